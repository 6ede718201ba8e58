"""Synthetic queues for the comparison of histories: the same figures for Prometheus and for us, without a broker.

Four sets, one a read, since a month of every poll of 10,000 queues would take longer to make than to measure.
"""

from __future__ import annotations

import functools
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
# All processes of a run have the same end.
END_MS = int(os.environ.setdefault("WARREN_BENCH_END_MS", str(int(time.time()) // 3600 * _HOUR_MS)))


@dataclass(frozen=True)
class Set:
    """`queues` of which `ready` is known each `step_ms` over `span_ms`."""

    name: str
    queues: int
    step_ms: int
    span_ms: int
    # As long as Prometheus' compaction makes blocks of such an age: two hours at first, a tenth of the retention later.
    longest_block: str

    @property
    def start_ms(self) -> int:
        """Return the first moment."""
        return END_MS - self.span_ms

    @property
    def end_ms(self) -> int:
        """Return the last moment."""
        return END_MS

    def times_ms(self) -> NDArray[np.int64]:
        """Return all moments."""
        return np.arange(self.start_ms, END_MS, self.step_ms, dtype=np.int64)

    def queue(self, number: int) -> str:
        """Return a queue's name."""
        return f"bench.{number % 97:02d}.queue-{number:05d}"


SETS = (
    Set("day", 64, 5_000, _DAY_MS, "2h"),
    Set("month", 64, 60_000, 30 * _DAY_MS, "162h"),
    Set("hour", 10_000, 5_000, _HOUR_MS, "2h"),
    Set("week", 1_000, 60_000, 7 * _DAY_MS, "54h"),
)


@functools.cache
def values_of(one: Set) -> NDArray[np.float64]:
    """Return queues × moments: of ten queues one is busy, two move now and then, seven stand still."""
    rng = np.random.default_rng(one.queues)
    count = len(one.times_ms())
    values = np.empty((one.queues, count))
    for number in range(one.queues):
        base = float(rng.integers(0, 5_000)) if number % 3 else 0.0
        if number % 10 == 0:
            moves = rng.poisson(20, count) - rng.poisson(20, count)
        elif number % 10 in {1, 2}:
            moves = np.where(rng.random(count) < 0.02, rng.integers(-30, 31, count), 0)
        else:
            moves = np.zeros(count, dtype=np.int64)
        values[number] = np.maximum(base + np.cumsum(moves), 0)
    return values


def write_openmetrics(one: Set, path: Path) -> int:
    """Write a set as promtool takes it; return the samples."""
    times = [f"{at / 1000:.3f}" for at in one.times_ms().tolist()]
    values = values_of(one)
    with path.open("w", buffering=1 << 20) as file:
        file.write("# TYPE rabbitmq_detailed_queue_messages_ready gauge\n")
        for number in range(one.queues):
            labels = (
                f'{{set="{one.name}",vhost="v",queue="{one.queue(number)}",instance="127.0.0.1:15692",job="rabbitmq"}}'
            )
            begin = f"rabbitmq_detailed_queue_messages_ready{labels} "
            lines = [f"{begin}{int(value)} {at}\n" for value, at in zip(values[number].tolist(), times, strict=True)]
            file.write("".join(lines))
        file.write("# EOF\n")
    return values.size
