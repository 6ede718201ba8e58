"""Since when a queue is in trouble: read off what polls named, to the minute, and no more claimed than is known."""

from __future__ import annotations

import datetime as dt
import math
import time
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from brokers.lag.read import Many, read_each
from brokers.lag.state import ConsumerState
from brokers.registry.models import Broker, BrokerObject
from brokers.series.metrics import Kind
from dashboard.accounts.models import Role
from dashboard.accounts.rights import rights_of
from dashboard.queries import lasting
from dashboard.queries.broker_analysis import SLOTS_KEPT
from dashboard.queries.fleet import fleet
from dashboard.queries.lasting import Begun, begun, begun_of
from dashboard.queries.queue import find_queue, queue_page
from tests.support.builders import Seen, append_snapshot, make_broker, make_user, seen_queue

OK, STALLED, BEHIND, NAN = ConsumerState.OK, ConsumerState.STALLED, ConsumerState.FALLING_BEHIND, math.nan


@pytest.mark.parametrize(
    ("named", "since"),
    [
        ([OK, OK, STALLED, STALLED], Begun(120, before=False)),
        ([OK, STALLED, OK, STALLED], Begun(180, before=False)),
        # What was so before Warren looked began at no time that is known.
        ([NAN, STALLED, STALLED], Begun(60, before=True)),
        # A gap ends nothing; another state does.
        ([OK, STALLED, NAN, STALLED], Begun(60, before=False)),
        ([OK, STALLED, BEHIND, NAN], None),
        ([OK, OK], None),
        ([NAN, NAN], None),
        ([], None),
    ],
)
def test_it_begins_with_the_first_minute_of_the_last_run(named: list[float], since: Begun | None) -> None:
    times = np.arange(len(named), dtype=np.int64) * 60
    assert begun(times, np.array(named, dtype=np.float64), STALLED) == since


def stalling(minutes_ago: int | dict[str, int], now_ms: int) -> Broker:
    """A broker polled for ten minutes, whose queue, or queues by name, stalled so many minutes ago."""
    broker = make_broker("shop")
    ago = {"orders": minutes_ago} if isinstance(minutes_ago, int) else minutes_ago
    for minute in range(10, -1, -1):
        queues = [queue(name, stalled=minute <= began) for name, began in ago.items()]
        append_snapshot(
            broker, {Kind.QUEUE: queues}, whole={"ready": 50}, at_ms=now_ms - minute * 60_000, cadence_ms=60_000
        )
    return broker


def queue(name: str, *, stalled: bool) -> Seen:
    state = STALLED if stalled else OK
    return seen_queue("mine", name, ready=50 if stalled else 0, unacked=5, consumers=1, consumer_state=float(state))


@pytest.mark.django_db
@pytest.mark.parametrize(("minutes_ago", "word"), [(4, "since"), (10, "since before")])
def test_the_fleet_and_the_page_of_the_queue_say_so(minutes_ago: int, word: str) -> None:
    now_ms = time.time_ns() // 60_000_000_000 * 60_000
    broker = stalling(minutes_ago, now_ms)
    rights = rights_of(make_user("v", Role.VIEWER))
    at = dt.datetime.fromtimestamp(now_ms / 1000 - 60 * minutes_ago, dt.UTC)

    [need] = fleet(rights, dt.UTC, now_ms).needs
    assert (need.since_word, need.since) == (word, at)

    known = find_queue(rights, broker.pk, "mine", "orders", now_ms)
    assert known is not None
    evidence = queue_page(known, dt.UTC, now_ms).standing.evidence
    assert evidence.startswith(f"Stalled {word} ")
    assert f"{at:%H:%M}. From " in evidence


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("minutes_ago", "word", "first"),
    [
        ({"orders": 4, "refunds": 2, "returns": 6}, "the first since", 6),
        ({"orders": 4, "refunds": 10}, "the first since before", 10),
        # So many that not all are looked up: what is told is of those that are.
        ({f"orders.{number:03}": 3 for number in range(SLOTS_KEPT + 1)}, "some since", 3),
    ],
)
def test_of_several_queues_it_says_since_when_the_first_is(minutes_ago: dict[str, int], word: str, first: int) -> None:
    now_ms = time.time_ns() // 60_000_000_000 * 60_000
    stalling(minutes_ago, now_ms)
    [need] = fleet(rights_of(make_user("v", Role.VIEWER)), dt.UTC, now_ms).needs
    assert (need.since_word, need.since) == (word, dt.datetime.fromtimestamp(now_ms / 1000 - 60 * first, dt.UTC))


@pytest.mark.django_db
def test_later_it_reads_only_what_came_since(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ms = time.time_ns() // 60_000_000_000 * 60_000
    broker = stalling(4, now_ms)
    slot = BrokerObject.objects.get(broker=broker, kind=Kind.QUEUE.value).slot
    first = begun_of(broker.pk, {slot: float(STALLED)}, now_ms)
    begins: list[int] = []

    def read_from(*asked: Any, **more: Any) -> Many:
        begins.append(asked[4])
        return read_each(*asked, **more)

    monkeypatch.setattr(lasting, "read_each", read_from)

    def poll(minute: int, *, stalled: bool) -> None:
        append_snapshot(
            broker,
            {Kind.QUEUE: [queue("orders", stalled=stalled)]},
            at_ms=now_ms + minute * 60_000,
            cadence_ms=60_000,
        )

    poll(1, stalled=True)
    poll(2, stalled=True)
    assert begun_of(broker.pk, {slot: float(STALLED)}, now_ms + 150_000) == first
    # It kept up for a minute while nobody looked: it began anew after that.
    poll(3, stalled=False)
    poll(4, stalled=True)
    again = begun_of(broker.pk, {slot: float(STALLED)}, now_ms + 290_000)
    assert again == {slot: Begun(now_ms + 240_000, before=False)}
    assert begins == [now_ms, now_ms + 120_000]


@pytest.mark.django_db
def test_it_reads_history_once_while_somebody_looks_and_anew_for_another_state() -> None:
    now_ms = time.time_ns() // 60_000_000_000 * 60_000
    broker = stalling(4, now_ms)
    slot = BrokerObject.objects.get(broker=broker, kind=Kind.QUEUE.value).slot
    first = begun_of(broker.pk, {slot: float(STALLED)}, now_ms)
    assert first == {slot: Begun(now_ms - 240_000, before=False)}
    with CaptureQueriesContext(connection) as asked:
        assert begun_of(broker.pk, {slot: float(STALLED)}, now_ms + 90_000) == first
        # A queue that keeps up is in no trouble that could have begun.
        assert begun_of(broker.pk, {slot: float(OK)}, now_ms + 95_000) == {}
    assert not len(asked)
    assert begun_of(broker.pk, {slot: float(BEHIND)}, now_ms + 100_000) == {}
