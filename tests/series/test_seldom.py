"""Gauges and counters that only some snapshots have: a reading holds until the next is overdue, on every level."""

from __future__ import annotations

import numpy as np
import pytest

from brokers.series import upkeep
from brokers.series.metrics import Kind
from brokers.series.read import read
from tests.series.histories import BEGIN, Written
from tests.support.builders import make_broker

pytestmark = pytest.mark.django_db
MINUTE = 60_000


def seldom(pace_s: int, minutes: int = 100) -> Written:
    """Poll every ten seconds; bytes and counters are read every `pace_s` only."""
    written = Written(make_broker())
    for second in range(0, minutes * 60, 10):
        row = {"ready": 1.0}
        if second % pace_s == 0:
            row |= {"message_bytes": float(second), "published": 2.0 * second}
        written.poll(BEGIN + second * 1000, {0: row}, cadence_ms=10_000)
    return written


@pytest.mark.parametrize("pace_s", [60, 300])
def test_a_reading_holds_between_two(pace_s: int) -> None:
    written = seldom(pace_s)
    start, end = BEGIN + 20 * MINUTE, BEGIN + 30 * MINUTE

    def get(step_ms: int) -> tuple[np.ndarray, np.ndarray]:
        found = read(written.broker.id, Kind.QUEUE, [0], ["message_bytes", "publish_rate"], start, end, step_ms=step_ms)
        return found.values["message_bytes"], found.values["publish_rate"]

    size, rate = get(10_000)
    at = np.arange(1200, 1801, 10)
    np.testing.assert_array_equal(size, at // pace_s * pace_s)
    np.testing.assert_array_equal(rate[pace_s // 10 :], np.full(len(rate) - pace_s // 10, 2.0))
    upkeep.keep(written.broker.id, seconds=600)
    rolled, rolled_rate = get(MINUTE)
    assert not np.isnan(rolled).any()
    assert rolled[0] == 1200
    np.testing.assert_array_equal(rolled_rate[pace_s // 60 :], np.full(len(rolled_rate) - pace_s // 60, 2.0))


def test_a_reading_does_not_hold_once_the_next_is_overdue() -> None:
    written = seldom(60, minutes=10)
    for second in range(600, 1200, 10):
        written.poll(BEGIN + second * 1000, {0: {"ready": 1.0}}, cadence_ms=10_000)
    found = read(written.broker.id, Kind.QUEUE, [0], ["message_bytes"], BEGIN, BEGIN + 20 * MINUTE, step_ms=10_000)
    known = found.times_ms[~np.isnan(found.values["message_bytes"])]
    assert (known[-1] - BEGIN) // 1000 == 540 + 130
