"""What a broker's page says of confirms, unroutable messages, dead letters by reason, and who publishes how."""

from __future__ import annotations

import datetime as dt
import math

import pytest

from brokers.collect.channels import Publisher, Publishers, encode
from brokers.collect.models import PollState
from brokers.collect.state import Condition
from dashboard.queries.broker_facts import BrokerFacts
from dashboard.queries.broker_publishing import publishing

HOSTILE = "<script>alert(1)</script>"
TOTALS = {
    "publish_rate": 120.0,
    "received_confirm_rate": 100.0,
    "confirm_rate": 90.0,
    "return_rate": 0.0,
    "drop_rate": 2.0,
    "unconfirmed": 412.0,
    "unconfirmed_highest": 400.0,
    "dead_letter_rejected_rate": 1.5,
    "queue_create_rate": math.nan,
}


def facts(*, whole: bool = True, condition: Condition = Condition.LIVE) -> BrokerFacts:
    return BrokerFacts(7, "shop", condition, whole=whole, at_ms=1_000, totals=TOTALS)


def test_it_gives_the_gap_and_what_is_published_without_confirms() -> None:
    shown, cells = publishing(facts(), None, dt.UTC)
    assert cells["b.7.confirm_gap"].text == "10.0"
    assert cells["b.7.no_confirm_rate"].text == "20.0"
    assert cells["b.7.unconfirmed"].text == "412"
    assert cells["b.7.drop_rate"].text == "2.0"
    assert cells["b.7.dead_letter_rejected_rate"].text == "1.5"
    assert [one.label for one in shown.letters] == ["Rejected", "Expired", "Queue full", "Delivery limit"]


def test_what_is_unknown_has_its_reason_and_a_silent_broker_no_rate() -> None:
    _, cells = publishing(facts(), None, dt.UTC)
    assert cells["b.7.queue_create_rate"].unknown
    _, silent = publishing(facts(condition=Condition.PAUSED), None, dt.UTC)
    assert all(cell.unknown == "Polling of shop is paused." for cell in silent.values())


def test_it_shows_a_person_limited_to_vhosts_what_these_add_up_to_and_no_channel() -> None:
    shown, cells = publishing(facts(whole=False), None, dt.UTC)
    assert cells["b.7.confirm_gap"].text == "30.0"
    assert not {"b.7.unconfirmed", "b.7.no_confirm_rate", "b.7.connection_open_rate"} & set(cells)
    assert (shown.letters, shown.waiting, shown.bare) == ((), (), ())


@pytest.mark.parametrize("number", [2, 30])
def test_it_lists_channels_and_counts_the_others(number: int) -> None:
    channels = tuple(Publisher(f"{HOSTILE} ({one})", "c", "v", unconfirmed=40 - one, rate=1.5) for one in range(20))
    told = Publishers(1_000, 60, channels[:number], channels[:number], number)
    shown, _ = publishing(facts(), PollState(publishers=encode(told)), dt.UTC)
    assert shown.waiting[0].figure == "40"
    assert shown.bare[0].figure == "1.5 /s"
    assert len(shown.bare) + shown.bare_more == number
