"""Since when a queue is in trouble: read off what polls named, to the minute, and no more claimed than is known."""

from __future__ import annotations

import datetime as dt
import math
import time

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from brokers.lag.state import ConsumerState
from brokers.registry.models import Broker, BrokerObject
from brokers.series.metrics import Kind
from brokers.series.read import Series
from dashboard.accounts.models import Role
from dashboard.accounts.rights import rights_of
from dashboard.queries.fleet import fleet
from dashboard.queries.lasting import Begun, begun, begun_of
from dashboard.queries.queue import find_queue, queue_page
from tests.support.builders import append_snapshot, make_broker, make_user, seen_queue

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
    assert begun(Series(times, {"consumer_state": np.array(named, dtype=np.float64)}, 60), STALLED) == since


def stalling(minutes_ago: int, now_ms: int) -> Broker:
    """A broker polled for ten minutes, whose queue stalled so many minutes ago."""
    broker = make_broker("shop")
    for minute in range(10, -1, -1):
        stalled = minute <= minutes_ago
        append_snapshot(
            broker,
            {
                Kind.QUEUE: [
                    seen_queue(
                        "mine",
                        "orders",
                        ready=50 if stalled else 0,
                        unacked=5,
                        consumers=1,
                        consumer_state=float(STALLED if stalled else OK),
                    )
                ]
            },
            whole={"ready": 50},
            at_ms=now_ms - minute * 60_000,
            cadence_ms=60_000,
        )
    return broker


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
