"""Measures at the present: computed once a snapshot, and gauges of the slow tier hold between their readings."""

from __future__ import annotations

import numpy as np
import pytest

from brokers.lag import present as lag
from brokers.series.metrics import Kind
from brokers.series.present import forget, present
from tests.support.builders import append_snapshot, make_broker, seen_queue

pytestmark = pytest.mark.django_db

NOW = 1_760_000_000_000


def _log(broker, ticks, step_ms=5_000, every=3):  # type: ignore[no-untyped-def]
    """Depths by tick of two queues; prefetch is in each third snapshot only."""
    for place, (first, second) in enumerate(ticks):
        extra = {"prefetch": 20.0} if place % every == 0 else {}
        append_snapshot(
            broker,
            {
                Kind.QUEUE: [
                    seen_queue("/", "one", ready=first, unacked=10, **extra),
                    seen_queue("/", "two", ready=second, unacked=0),
                ]
            },
            at_ms=NOW + place * step_ms,
        )


def test_growth_and_drain_time_follow_the_last_minute() -> None:
    broker = make_broker()
    forget(broker.id)
    _log(broker, [(100 + 50 * i, 1000 - 25 * i) for i in range(20)])
    now = present(broker.id)
    assert now is not None
    assert lag.column(now, Kind.QUEUE, "total").tolist() == [100 + 50 * 19 + 10, 1000 - 25 * 19]
    np.testing.assert_allclose(lag.column(now, Kind.QUEUE, "growth"), [600.0, -300.0])
    drain = lag.column(now, Kind.QUEUE, "drain_time")
    assert drain[0] == np.inf
    assert drain[1] == pytest.approx((1000 - 25 * 19) / 5.0)
    assert lag.column(now, Kind.QUEUE, "growth") is lag.column(now, Kind.QUEUE, "growth"), "computed once"
    assert lag.value(now, Kind.QUEUE, 1, "growth") == pytest.approx(-300.0)


def test_the_recent_pace_is_that_of_ten_minutes() -> None:
    broker = make_broker()
    forget(broker.id)
    # It shrank by 60 a minute for ten minutes and has stood still for a good one since.
    depths = [10_000 - 5 * min(i, 120) for i in range(136)]
    _log(broker, [(depth, 0) for depth in depths])
    now = present(broker.id)
    assert now is not None
    assert lag.column(now, Kind.QUEUE, "drain_time")[0] == np.inf
    recent = lag.column(now, Kind.QUEUE, "drain_time_recent")
    assert 9_000 < recent[0] < 15_000
    assert recent[1] == 0.0


def test_what_is_read_seldom_holds_until_its_next_reading_is_overdue() -> None:
    broker = make_broker()
    forget(broker.id)
    _log(broker, [(5, 5)] * 6, step_ms=60_000)
    now = present(broker.id)
    assert now is not None
    np.testing.assert_equal(now.table(Kind.QUEUE).column("prefetch"), [20.0, np.nan])
    np.testing.assert_equal(lag.column(now, Kind.QUEUE, "prefetch_used"), [0.5, np.nan])
    for place in (6, 7, 8, 9, 10):
        append_snapshot(broker, {Kind.QUEUE: [seen_queue("/", "one", ready=5, unacked=10)]}, at_ms=NOW + place * 60_000)
    later = present(broker.id)
    assert later is not None
    assert np.isnan(later.table(Kind.QUEUE).column("prefetch")).all()


def test_a_clock_that_was_set_back_hides_nothing() -> None:
    broker = make_broker()
    forget(broker.id)
    _log(broker, [(100, 0)] * 20)
    assert present(broker.id) is not None
    append_snapshot(broker, {Kind.QUEUE: [seen_queue("/", "one", ready=7, unacked=0)]}, at_ms=NOW - 3_600_000)
    now = present(broker.id)
    assert now is not None
    assert now.at_ms == NOW - 3_600_000
    assert now.table(Kind.QUEUE).column("ready").tolist() == [7.0]
    assert np.isnan(lag.column(now, Kind.QUEUE, "growth")).all(), "what was told before the jump is not its past"
