"""What views begin with: 404 for what a person does not see, 403 with a sentence for what they may not do."""

from __future__ import annotations

import pytest
from django.http import Http404

from dashboard.accounts.guards import RefusedError, broker_or_404, check_vhost, require
from dashboard.accounts.models import Role
from dashboard.accounts.rights import rights_of
from tests.support.builders import make_broker, make_user

pytestmark = pytest.mark.django_db


def test_it_tells_a_hidden_broker_from_a_missing_one_by_nothing() -> None:
    shop, hidden = make_broker("shop"), make_broker("hidden")
    rights = rights_of(make_user("noor", (Role.VIEWER, shop, "tenant-*")))
    assert broker_or_404(rights, shop.pk) == shop
    sentences = set()
    for broker_id in (hidden.pk, 999_999):
        with pytest.raises(Http404) as caught:
            broker_or_404(rights, broker_id)
        sentences.add(str(caught.value))
    assert len(sentences) == 1
    with pytest.raises(Http404) as caught:
        require(rights, Role.OPERATOR, hidden)
    assert str(caught.value) in sentences


def test_it_hides_vhosts_and_names_missing_roles() -> None:
    shop = make_broker("shop")
    rights = rights_of(make_user("noor", (Role.VIEWER, shop, "tenant-*")))
    check_vhost(rights, shop, "tenant-a")
    with pytest.raises(Http404):
        check_vhost(rights, shop, "payments")
    with pytest.raises(Http404):
        require(rights, Role.VIEWER, shop, "payments")
    require(rights, Role.VIEWER, shop, "tenant-a")
    with pytest.raises(RefusedError, match="operator on vhost tenant-a of shop; you are viewer there"):
        require(rights, Role.OPERATOR, shop, "tenant-a")
    with pytest.raises(RefusedError, match="viewer on shop; you have no role there"):
        require(rights, Role.VIEWER, shop)
    with pytest.raises(RefusedError, match="administrator on all brokers; you have no role there"):
        require(rights, Role.ADMINISTRATOR)
