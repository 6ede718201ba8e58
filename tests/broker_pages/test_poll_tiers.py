"""The collector's page says of each tier how often it is read, what that costs, and why not more often."""

from __future__ import annotations

import time

import msgspec
import pytest
from django.test import Client

from brokers.collect.budget import Budget, Held, Pace, Tier, decode_pace, encode_pace
from brokers.collect.measures import CallMeasure, TickMeasures, encode, health_of
from brokers.collect.models import PollState
from dashboard.accounts.models import Role
from dashboard.queries.broker_polled import polled
from dashboard.queries.poll_tiers import tiers_shown
from tests.support.builders import make_broker, make_user

NOW_MS = 1_800_000_000_000
PACE = Pace(
    {
        Tier.DEPTH: Held(12_000, NOW_MS - 3000, ((0.06, 2_800_000), (0.05, 2_800_000), (0.052, 2_800_000))),
        Tier.COUNTERS: Held(60_000, NOW_MS - 600_000, ((0.1, 100_000),)),
        Tier.DETAILS: Held(300_000, NOW_MS - 9000, ((3.0, 13_000_000),), left_out=True),
    },
    packed=False,
)


def test_it_shows_each_tier_with_its_period_its_cost_and_the_reason() -> None:
    shown = tiers_shown(PACE, Budget(), 5000, "b.1.poll", NOW_MS)
    cells = shown.cells
    assert [row.name for row in shown.rows] == ["Messages in queues", "Counters, nodes", "Capacity, bytes, memory"]
    depth = "b.1.poll.tier.depth"
    assert (cells[f"{depth}.every"].text, cells[f"{depth}.cost"].text, cells[f"{depth}.last"].text) == (
        "12 s",
        "50 ms",
        "52 ms",
    )
    assert "takes 50 ms" in cells[f"{depth}.why"].text
    assert cells[f"{depth}.age"].since_ms == NOW_MS - 3000
    assert cells[f"{depth}.age"].state == ""
    # Ten minutes old where a minute was meant.
    assert cells["b.1.poll.tier.counters.age"].state == "stale"
    assert cells["b.1.poll.tier.details.every"].text == "left out"
    assert "tried again 5 min after" in cells["b.1.poll.tier.details.why"].text


def test_it_says_of_what_was_never_asked_that_it_is_expected_to_be_too_dear() -> None:
    waiting = Pace({**PACE.tiers, Tier.LISTS: Held(300_000, NOW_MS - 9000, left_out=True)})
    cells = tiers_shown(waiting, Budget(), 5000, "b.1.poll", NOW_MS).cells
    lists = "b.1.poll.tier.lists"
    assert cells[f"{lists}.every"].text == "left out"
    assert "expected to take more than the budget bears. It is tried 5 min after" in cells[f"{lists}.why"].text
    assert cells[f"{lists}.age"].unknown == "It has not been answered yet."


def test_what_finding_out_what_it_can_do_takes_has_a_row_of_its_own() -> None:
    look = Held(1_800_000, NOW_MS - 60_000, ((0.18, 4000),))
    shown = tiers_shown(msgspec.structs.replace(PACE, look=look), Budget(), 5000, "b.1.poll", NOW_MS)
    assert shown.rows[-1].name == "Version, plugins, addresses"
    assert shown.cells["b.1.poll.tier.look.every"].text == "30 min"
    assert shown.cells["b.1.poll.tier.look.cost"].text == "180 ms"
    assert shown.cells["b.1.poll.tier.look.age"].since_ms == NOW_MS - 60_000
    assert "where a node restarts" in shown.cells["b.1.poll.tier.look.why"].text


def test_it_says_what_all_take_and_why_that_is_less_than_was_set() -> None:
    said = tiers_shown(PACE, Budget(), 5000, "b.1.poll", NOW_MS).cells["b.1.poll.budget"].text
    assert "0.6 % and 977 KiB are allowed" in said
    assert "2 % were set, but a reading of depth takes 50 ms" in said
    assert "uncompressed" in said


def test_it_gives_no_reason_where_the_period_reads_as_what_was_asked_for() -> None:
    nearly = Pace(
        {
            Tier.DEPTH: Held(5_085, NOW_MS - 3000, ((0.004, 4_000),)),
            Tier.DETAILS: Held(10_170, NOW_MS - 3000, ((0.001, 3_000),)),
        },
        packed=False,
    )
    cells = tiers_shown(nearly, Budget(), 5000, "b.1.poll", NOW_MS).cells
    assert (cells["b.1.poll.tier.depth.every"].text, cells["b.1.poll.tier.depth.why"].text) == ("5 s", "")
    assert cells["b.1.poll.tier.details.why"].text == "It moves slowly: no more is wanted."


@pytest.mark.django_db
def test_a_cadence_that_reads_as_what_was_asked_for_is_no_stretched_one() -> None:
    broker = make_broker("shop")
    poll = PollState.objects.select_related("broker").get(broker=broker)
    poll.cadence_ms = 5_400
    assert polled(poll, NOW_MS, None).cells[f"b.{broker.pk}.poll.often"].text == "every 5 s"
    poll.cadence_ms = 12_000
    often = polled(poll, NOW_MS, None).cells[f"b.{broker.pk}.poll.often"].text
    assert often == "every 12 s; 5 s were asked for, and would take more than its budget"
    # One that does not answer is asked less often for that alone.
    poll.failures = 2
    often = polled(poll, NOW_MS, None).cells[f"b.{broker.pk}.poll.often"].text
    assert often == "every 12 s; 5 s were asked for, and it does not answer"


@pytest.mark.django_db
def test_the_page_has_a_row_for_each_tier() -> None:
    broker = make_broker("shop")
    now_ms = time.time_ns() // 1_000_000
    PollState.objects.filter(broker=broker).update(pace=encode_pace(PACE), last_tick_ms=now_ms, last_ok_ms=now_ms)
    client = Client()
    client.force_login(make_user("v", Role.VIEWER))
    page = client.get("/settings/collector").content.decode()
    assert f'data-live="b.{broker.pk}.poll.tier.depth.every"' in page
    assert "Capacity, bytes, memory" in page
    assert "left out" in page


@pytest.mark.django_db
def test_the_cost_of_all_is_that_of_the_tiers_by_how_often_each_is_asked() -> None:
    broker = make_broker("shop")
    dear = TickMeasures(calls=(CallMeasure("/metrics/detailed", seconds=1.0, tier="details"),))
    PollState.objects.filter(broker=broker).update(
        pace=encode_pace(
            Pace({Tier.DEPTH: Held(10_000, 1, ((0.02, 9),)), Tier.DETAILS: Held(100_000, 1, ((0.98, 9),))})
        ),
        measures=encode(dear),
        cadence_ms=10_000,
    )
    health = health_of(PollState.objects.get(broker=broker), 5)
    assert health.share == pytest.approx(0.002 + 0.0098)
    pace = decode_pace(PollState.objects.get(broker=broker).pace)
    pace = msgspec.structs.replace(pace, look=Held(100_000, 1, ((0.2, 9),)))
    PollState.objects.filter(broker=broker).update(pace=encode_pace(pace))
    assert health_of(PollState.objects.get(broker=broker), 5).share == pytest.approx(0.002 + 0.0098 + 0.002)


@pytest.mark.django_db
def test_what_a_poll_that_was_not_answered_took_is_unknown() -> None:
    broker = make_broker("shop")
    poll = PollState.objects.select_related("broker").get(broker=broker)
    cells = polled(poll, NOW_MS, None).cells
    for name in ("time", "cpu", "bytes", "cost"):
        assert cells[f"b.{broker.pk}.poll.{name}"].unknown == "No poll has ended yet."
