"""Editing a broker: what is entered holds for the broker that it was checked against."""

from __future__ import annotations

from dataclasses import replace

import pytest

from brokers.registry import services
from tests.support.builders import make_broker

pytestmark = pytest.mark.django_db


def test_it_refuses_what_was_checked_against_a_broker_that_has_changed_since() -> None:
    broker = make_broker("shop", management_url="http://one:15672")
    given = services.input_of(broker)
    services.edit(broker.pk, replace(given, management_url="http://elsewhere:15672"))
    with pytest.raises(services.InvalidBrokerError, match="changed by somebody else"):
        services.edit(broker.pk, given, broker.revision)
    broker.refresh_from_db()
    assert broker.management_url == "http://elsewhere:15672"
    assert services.edit(broker.pk, given, broker.revision).management_url == "http://one:15672"


@pytest.mark.parametrize("token", ["abc\n", "a b", "tö…k", "a\x00b", "a\x7f"])
def test_it_refuses_a_token_that_no_call_could_send(token: str) -> None:
    given = services.BrokerInput(name="shop", management_url="http://one:15672", token=token)
    assert "paste it anew" in services.validate(given)["token"]
    assert "token" not in services.validate(replace(given, token="eyJhbGciOi.J9-_~+/="))
    assert "token" not in services.validate(replace(given, token=""))
