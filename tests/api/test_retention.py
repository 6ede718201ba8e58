"""Retention by API: what is kept and what it takes, tried before it is set, and confirmed where it deletes."""

from __future__ import annotations

import pytest

from brokers.registry.models import Broker
from brokers.series.retention import Retention, retention_of
from dashboard.accounts.models import AuditEntry, Role
from tests.api.conftest import Api, api_of, check_problem
from tests.broker_pages.test_retention import shop
from tests.support.builders import make_user

pytestmark = pytest.mark.django_db(transaction=True)
__all__ = ["shop"]


def test_it_tells_what_is_kept_and_what_it_takes(admin: Api, shop: Broker) -> None:
    told = admin.get(f"/brokers/{shop.pk}/retention")
    assert (told["raw_h"], told["minute_d"], told["ten_minutes_d"], told["hour_d"]) == (48, 14, 90, 400)
    [raw, *others] = [one["used_bytes"] for one in told["levels"]]
    assert others == [50_000_000, 0, 0]
    # With the poll of now, which is in no block yet.
    assert 30_000_000 < raw < 30_010_000
    assert told["used_bytes"] == raw + sum(others)
    assert told["predicted_bytes"] == sum(one["predicted_bytes"] for one in told["levels"])
    assert all(one["deleted_bytes"] == 0 for one in told["levels"])


def test_it_tries_what_it_would_be(admin: Api, shop: Broker) -> None:
    told = admin.get(f"/brokers/{shop.pk}/retention?raw_h=10&hour_d=500")
    assert (told["raw_h"], told["hour_d"]) == (10, 500)
    assert 18_000_000 <= told["levels"][0]["deleted_bytes"] <= 20_000_000
    assert told["levels"][0]["deleted_until"].endswith("Z")
    assert retention_of(shop.pk) == Retention()


def test_it_takes_the_brokers_name_where_history_goes(admin: Api, shop: Broker) -> None:
    refused = admin.call("PUT", f"/brokers/{shop.pk}/retention", {"raw_h": 10})
    assert refused.status_code == 409
    problem = check_problem(refused)
    assert "Every poll:" in problem["detail"]
    assert set(problem["errors"]) == {"confirm"}
    assert retention_of(shop.pk) == Retention()
    assert admin.call("PUT", f"/brokers/{shop.pk}/retention", {"raw_h": 10, "confirm": "shop"}).status_code == 200
    assert retention_of(shop.pk) == Retention(raw_h=10)
    assert AuditEntry.objects.get(action="broker.retention").via == "api"
    # What is not sent stays, and longer takes no confirmation.
    assert admin.call("PUT", f"/brokers/{shop.pk}/retention", {"hour_d": 500}).status_code == 200
    assert retention_of(shop.pk) == Retention(raw_h=10, hour_d=500)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"raw_h": 1}, {"raw_h"}),
        ({"raw_h": -1}, {"raw_h"}),
        ({"raw_h": "many"}, {"raw_h"}),
        ({"minute_d": 1}, {"minute_d"}),
        ({"hour_d": 100_000}, {"hour_d"}),
        ({"hours": 4}, {"hours"}),
    ],
)
def test_it_says_by_field_what_can_not_be(admin: Api, shop: Broker, body: dict[str, object], fields: set[str]) -> None:
    answer = admin.call("PUT", f"/brokers/{shop.pk}/retention", body)
    assert answer.status_code == 422
    assert set(check_problem(answer)["errors"]) == fields


def test_it_says_the_most_of_what_is_too_much(admin: Api, shop: Broker) -> None:
    answer = admin.call("PUT", f"/brokers/{shop.pk}/retention", {"raw_h": 10**9})
    assert check_problem(answer)["detail"] == "Enter whole hours, 1 to 87,840."


def test_it_is_for_the_brokers_administrators(shop: Broker) -> None:
    for grant, status in (((Role.OPERATOR, shop), 403), ((Role.ADMINISTRATOR, shop, "*"), 403)):
        api = api_of(make_user(None, grant))
        assert api.status(f"/brokers/{shop.pk}/retention") == status
        assert api.status(f"/brokers/{shop.pk}/retention", "PUT", {"raw_h": 10, "confirm": "shop"}) == status
    assert api_of(make_user(None)).status(f"/brokers/{shop.pk}/retention") == 404
    assert retention_of(shop.pk) == Retention()
