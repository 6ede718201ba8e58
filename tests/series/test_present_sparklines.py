"""An hour of many objects at once, a point a minute; and how little of each snapshot stays in memory."""

from __future__ import annotations

import time

import numpy as np
import pytest

from brokers.registry.models import Broker
from brokers.series import present as module
from brokers.series import upkeep
from brokers.series.metrics import Kind
from brokers.series.models import Snapshot
from brokers.series.present import SPARK_POINTS, present
from tests.support.builders import append_snapshot, make_broker, seen_queue

pytestmark = pytest.mark.django_db
MINUTE = 60_000


def polled(minutes: dict[int, list[float]], cadence_ms: int = 5000) -> tuple[Broker, int]:
    """Write one snapshot at each of these ages in minutes, of queues q0, q1, … with these ready messages."""
    broker = make_broker("shop")
    end = time.time_ns() // 1_000_000
    for age in sorted(minutes, reverse=True):
        rows = [
            seen_queue("/", f"q{number}", ready=ready, unacked=1, published=10.0 * (60 - age))
            for number, ready in enumerate(minutes[age])
        ]
        append_snapshot(broker, {Kind.QUEUE: rows}, at_ms=end - age * MINUTE, cadence_ms=cadence_ms)
    return broker, end


def hour(broker: Broker, *slots: int) -> np.ndarray:
    shown = present(broker.pk)
    assert shown is not None
    return shown.sparklines(Kind.QUEUE, np.array(slots, dtype=np.uint32), "ready")


def test_it_gives_a_point_a_minute_up_to_now() -> None:
    broker, _ = polled({age: [float(age), 100.0] for age in range(61)})
    values = hour(broker, 1, 0)
    assert values.shape == (2, SPARK_POINTS)
    assert values[0].tolist() == [100.0] * SPARK_POINTS
    assert values[1].tolist() == [float(age) for age in range(60, -1, -1)]


def test_it_leaves_gaps_where_nothing_was_stored_or_the_object_was_not_there() -> None:
    broker, _ = polled({20: [1.0], 19: [1.0], 2: [1.0, 5.0], 1: [1.0, 5.0], 0: [1.0, 6.0]})
    first, second = hour(broker, 0, 1)
    assert np.flatnonzero(~np.isnan(first)).tolist() == [40, 41, 42, 58, 59, 60]
    assert second[-3:].tolist() == [5.0, 5.0, 6.0]
    assert np.isnan(second[:58]).all()


def test_it_bridges_the_pace_of_a_slow_broker() -> None:
    broker, _ = polled({age: [1.0] for age in range(0, 60, 2)}, cadence_ms=2 * MINUTE)
    assert not np.isnan(hour(broker, 0)[0][2:]).any()


def test_it_knows_nothing_of_a_slot_that_is_not_there() -> None:
    broker, _ = polled({0: [1.0]})
    assert np.isnan(hour(broker, 7)).all()


def test_it_goes_on_from_what_it_has() -> None:
    broker, end = polled({age: [1.0] for age in range(3)})
    hour(broker, 0)
    append_snapshot(broker, {Kind.QUEUE: [seen_queue("/", "q0", ready=9.0)]}, at_ms=end + MINUTE)
    assert hour(broker, 0)[0][-4:].tolist() == [1.0, 1.0, 1.0, 9.0]


def test_it_keeps_of_older_snapshots_only_what_is_drawn_or_counted() -> None:
    broker, _ = polled({age: [float(age), 100.0] for age in range(61)})
    shown = present(broker.pk)
    assert shown is not None
    keeper = module._keepers[broker.pk]
    frames = [frame.table(Kind.QUEUE) for frame in keeper.sparks]
    assert {name for table in frames for name in table.columns} == {"ready", "total"}
    assert {values.dtype for table in frames for values in table.columns.values()} == {np.dtype(np.float32)}
    # The same slots are kept once.
    assert len({id(table.slots) for table in frames}) == 1
    assert {name for frame in keeper.recent for name in frame.table(Kind.QUEUE).columns} == {"published", "total"}
    # The present has everything all the same, with rates from the counters that were kept.
    assert shown.table(Kind.QUEUE).column("unacked").tolist() == [1, 1]
    assert shown.table(Kind.QUEUE).column("publish_rate").tolist() == pytest.approx([10 / 60] * 2)


def test_it_draws_the_older_part_of_the_hour_from_blocks() -> None:
    broker, _ = polled({age: [float(age), 100.0] for age in range(61)}, cadence_ms=30_000)
    before = hour(broker, 0, 1)
    assert upkeep.keep(broker.pk, seconds=600) > 0
    assert Snapshot.objects.filter(broker=broker).count() < 25
    module.forget(broker.pk)
    np.testing.assert_array_equal(hour(broker, 0, 1)[:, 1:], before[:, 1:])
    frames = module._keepers[broker.pk].sparks
    assert {name for frame in frames for name in frame.table(Kind.QUEUE).columns} == {"ready", "total"}
