"""A span of single polls that is read on both sides of what is there as minutes too."""

from __future__ import annotations

import numpy as np
import pytest

from brokers.series import blocks, spans
from brokers.series.cells import Ticks
from brokers.series.levels import Level
from brokers.series.metrics import Kind
from brokers.series.read import read_each
from brokers.series.spans import NewBlock, NewSpan
from tests.support.builders import make_broker

pytestmark = pytest.mark.django_db
START = 7_200_000 * 236_000
MINUTE = 60_000


def ticks(first: int, last: int, resolution_ms: int) -> Ticks:
    times = START + np.arange(first, last, dtype=np.int64) * MINUTE
    count = len(times)
    ones = np.ones(count, dtype=np.int64)
    return Ticks(times, ones * MINUTE, ones.astype(np.bool_), ones, ones * resolution_ms)


def write(broker_id: int, level: Level, first: int, last: int, columns: tuple[str, ...]) -> None:
    shared = ticks(first, last, 0 if level is Level.RAW else MINUTE)
    values = np.arange(first, last, dtype=np.float64)[np.newaxis]
    builder = blocks.Builder(np.array([2], dtype=np.uint32), len(shared))
    builder.add(blocks.THERE, np.ones_like(values))
    for name in columns:
        builder.add(name, np.ones_like(values) if name.endswith("weight") else values)
    block = NewBlock(Kind.QUEUE, 0, builder.payload(), builder.known)
    spans.write(broker_id, NewSpan(level, START + first * MINUTE, START + last * MINUTE, shared, [block]))


def test_it_is_read_where_an_object_is_asked_for_that_it_does_not_hold() -> None:
    broker = make_broker()
    write(broker.id, Level.RAW, 0, 120, ("ready",))
    rolled = tuple(f"ready:{field}" for field in ("last", "low", "high", "total", "weight"))
    write(broker.id, Level.MINUTE, 60, 75, rolled)
    found = read_each(broker.id, Kind.QUEUE, [2, 640], ["ready"], START, START + 119 * MINUTE, step_ms=MINUTE)
    there = found.values["ready"][0]
    assert there[~np.isnan(there)].tolist() == [float(minute) for minute in range(120)]
    assert np.isnan(found.values["ready"][1]).all()
