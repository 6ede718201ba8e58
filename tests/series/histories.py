"""Random histories for tests: what was written is kept beside, so that what is read can be held against it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from brokers.registry.models import Broker
from brokers.series import spans, store
from brokers.series.codec import Frame, Table
from brokers.series.levels import Level
from brokers.series.metrics import Kind
from brokers.series.models import Snapshot, Span
from brokers.series.read import Many, read_each

# The beginning of a day, so that windows of every length begin here: some day in 2023.
BEGIN = 1_699_920_000_000 // (30 * 86_400_000) * (30 * 86_400_000)
Rows = Mapping[int, Mapping[str, float]]
MINUTE, HOUR = 60_000, 3_600_000
SLOTS = [0, 1, 63, 64, 200]
METRICS = ["ready", "publish_rate", "published", "consumer_state", "capacity"]


@dataclass
class Written:
    """A broker's polls by moment, as they were written last."""

    broker: Broker
    polls: dict[int, tuple[Rows, int]] = field(default_factory=dict)

    def poll(self, at_ms: int, rows: Rows, *, cadence_ms: int = 5000, complete: bool = True) -> None:
        """Write one snapshot of queues."""
        slots = sorted(rows)
        names = sorted({name for figures in rows.values() for name in figures})
        columns = {name: np.array([rows[slot].get(name, math.nan) for slot in slots]) for name in names}
        table = Table(np.array(slots, dtype=np.uint32), columns)
        store.append(self.broker.id, Frame(at_ms, {Kind.QUEUE: table}, complete), cadence_ms)
        self.polls[at_ms] = rows, cadence_ms

    def values(self, slot: int, metric: str, start_ms: int, end_ms: int) -> tuple[list[int], list[float]]:
        """Return the moments between two (inclusive) and one object's values at them."""
        times = sorted(at for at in self.polls if start_ms <= at <= end_ms)
        return times, [self.polls[at][0].get(slot, {}).get(metric, math.nan) for at in times]


def walk(
    written: Written,
    seed: int,
    start_ms: int,
    end_ms: int,
    *,
    cadence_ms: int = 5000,
    slots: Sequence[int] = (0, 1, 63, 64, 200),
) -> None:
    """Write polls of queues that come and go, whose counters restart, with gaps, late polls and unknown values."""
    random = np.random.default_rng(seed)
    ready = dict.fromkeys(slots, 0.0)
    published = dict.fromkeys(slots, 0.0)
    there = dict.fromkeys(slots, True)
    at = start_ms
    while at < end_ms:
        rows: dict[int, dict[str, float]] = {}
        for slot in slots:
            if random.random() < 0.01:
                there[slot] = not there[slot]
            ready[slot] = max(0.0, ready[slot] + random.integers(-3, 4))
            published[slot] = 0.0 if random.random() < 0.005 else published[slot] + random.integers(0, 50)
            if there[slot]:
                rows[slot] = {"ready": ready[slot], "published": published[slot], "capacity": random.random()}
                rows[slot]["consumer_state"] = float(random.integers(0, 6))
                if random.random() < 0.02:
                    rows[slot]["ready"] = math.nan
        written.poll(at, rows, cadence_ms=cadence_ms)
        at += cadence_ms + int(random.integers(-200, 200))
        if random.random() < 0.004:
            at += int(random.integers(2, 30)) * cadence_ms


def everything(written: Written, until_ms: int = BEGIN + 150 * MINUTE) -> list[Many]:
    return [
        read_each(written.broker.id, Kind.QUEUE, SLOTS, METRICS, BEGIN, until_ms, step_ms=step)
        for step in (1000, MINUTE, 10 * MINUTE)
    ]


def assert_same(before: list[Many], after: list[Many]) -> None:
    for one, two in zip(before, after, strict=True):
        assert one.times_ms.tolist() == two.times_ms.tolist()
        for name in METRICS:
            for kept in ("values", "low", "high"):
                np.testing.assert_allclose(getattr(two, kept)[name], getattr(one, kept)[name], rtol=1e-12)


def samples_stored(broker_id: int) -> list[int]:
    """Return the times of all single polls, in blocks and snapshots, ascending."""
    found = spans.spans_between(broker_id, 0, 2**62, (Level.RAW,))
    times = [int(at) for span in found for at in span.ticks.times_ms]
    return sorted([*times, *Snapshot.objects.filter(broker_id=broker_id).values_list("at_ms", flat=True)])


def levels(broker_id: int) -> dict[Level, list[tuple[int, int]]]:
    rows = Span.objects.filter(broker_id=broker_id).order_by("start_ms").values_list("level", "start_ms", "end_ms")
    found: dict[Level, list[tuple[int, int]]] = {}
    for level, start, end in rows:
        found.setdefault(Level(level), []).append(((start - BEGIN) // MINUTE, (end - BEGIN) // MINUTE))
    return found
