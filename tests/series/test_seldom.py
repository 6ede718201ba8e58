"""Gauges and counters that only some snapshots have: a reading holds until the next is overdue, on every level."""

from __future__ import annotations

import numpy as np
import pytest

from brokers.registry import slots
from brokers.registry.models import Broker
from brokers.registry.slots import ObjectName
from brokers.series import upkeep
from brokers.series.metrics import Kind
from brokers.series.present import forget, present
from brokers.series.read import read, read_each
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


@pytest.mark.parametrize("every_s", [20, 150, 300])
def test_consumers_and_rates_hold_between_two_readings_now_and_in_charts(every_s: int) -> None:
    written = Written(make_broker())
    written.broker.read_every_ms = {"queue.consumers": every_s * 1000, "queue.published": every_s * 1000}
    written.broker.save()
    slots.assign(written.broker, Kind.QUEUE, [ObjectName("/", "orders")], 1)
    begin = every_s * 2
    for second in range(0, every_s * 6, 10):
        row = {"ready": 1.0, "unacked": 0.0}
        if second % every_s == 0:
            row |= {"consumers": 3.0, "published": 5.0 * second}
        written.poll(BEGIN + second * 1000, {0: row}, cadence_ms=10_000)
        if second < begin:
            continue
        now = present(written.broker.id)
        assert now is not None
        table = now.table(Kind.QUEUE)
        assert (table.value(0, "consumers"), table.value(0, "publish_rate")) == (3, 5), second
        read_ms = BEGIN + second // every_s * every_s * 1000
        assert table.read_ms.get("consumers", now.at_ms) == table.read_ms.get("publish_rate", now.at_ms) == read_ms
    start, end = BEGIN + begin * 1000 + 10_000, BEGIN + every_s * 6_000
    found = read(written.broker.id, Kind.QUEUE, [0], ["consumers", "publish_rate"], start, end, step_ms=10_000)
    assert set(found.values["consumers"]) == {3.0}
    assert set(found.values["publish_rate"]) == {5.0}
    forget(written.broker.id)
    anew = present(written.broker.id)
    assert anew is not None
    assert (anew.table(Kind.QUEUE).value(0, "consumers"), anew.table(Kind.QUEUE).value(0, "publish_rate")) == (3, 5)


def test_a_present_does_not_hold_consumers_once_their_next_reading_is_overdue() -> None:
    written = Written(make_broker())
    slots.assign(written.broker, Kind.QUEUE, [ObjectName("/", "orders")], 1)
    Broker.objects.filter(id=written.broker.id).update(read_every_ms={"queue.consumers": 60_000})
    for second in range(0, 400, 10):
        row = {"ready": 1.0} | ({"consumers": 3.0} if second % 60 == 0 and second <= 120 else {})
        written.poll(BEGIN + second * 1000, {0: row}, cadence_ms=10_000)
        now = present(written.broker.id)
        assert now is not None
        assert np.isnan(now.table(Kind.QUEUE).value(0, "consumers")) == (second > 120 + 130)


def test_what_is_unknown_of_one_queue_now_and_then_is_not_held() -> None:
    written = Written(make_broker())
    for tick in range(60):
        known = {"time_lag": 5.0} if tick % 3 == 0 else {}
        written.poll(BEGIN + tick * 10_000, {0: {"ready": 1.0, **known}, 1: {"ready": 1.0, "time_lag": 1.0}})
    asked = (["time_lag"], BEGIN, BEGIN + 600_000)
    alone = read(written.broker.id, Kind.QUEUE, [0], *asked, step_ms=1000)
    among = read_each(written.broker.id, Kind.QUEUE, [0, 1], *asked, step_ms=1000)
    assert np.isnan(alone.values["time_lag"]).sum() == 40
    np.testing.assert_array_equal(alone.values["time_lag"], among.values["time_lag"][0])
