"""Snapshots of a broker that was never there: many queues with mixed traffic, as believable as figures go."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from brokers.series.codec import Frame, Table
from brokers.series.metrics import Kind

# Shares of the queues: busy all day, now and then, and those that lie still.
BUSY, MODERATE = 0.1, 0.2
SLOW_TIER_S = 60


class Queues:
    """`count` queues of which a tenth is busy, a fifth has traffic now and then, and the others lie still."""

    def __init__(self, count: int, seed: int = 1) -> None:
        self._random = np.random.default_rng(seed)
        kinds = self._random.random(count)
        self.count = count
        self._rate = np.where(kinds < BUSY, self._random.gamma(1.5, 15, count), 0.0)
        self._moderate = (kinds >= BUSY) & (kinds < BUSY + MODERATE)
        self._still = kinds >= BUSY + MODERATE
        self._on = np.zeros(count, dtype=np.bool_)
        self._ready = np.where(
            self._still & (self._random.random(count) < 0.2), self._random.integers(1, 500, count), 0
        )
        self._unacked = np.zeros(count, dtype=np.int64)
        self._counters = {
            name: np.zeros(count, dtype=np.int64) for name in ("published", "delivered", "acknowledged", "redelivered")
        }
        self._consumers = np.where(self._still, self._random.integers(0, 2, count), self._random.integers(1, 6, count))
        self._memory = self._random.integers(15_000, 60_000, count)

    def tick(self, seconds: float) -> dict[str, NDArray[np.float64]]:
        """Let time go by and return the columns that every tick has."""
        random, count = self._random, self.count
        turned = self._moderate & (random.random(count) < 0.002 * seconds)
        self._on ^= turned
        rate = np.where(self._moderate, np.where(self._on, 3.0, 0.0), self._rate)
        came = random.poisson(rate * seconds)
        able = random.poisson(rate * seconds * 1.05)
        went = np.minimum(self._ready + came, able)
        self._ready = self._ready + came - went
        acked = np.minimum(self._unacked + went, random.poisson(rate * seconds * 1.02))
        self._unacked = self._unacked + went - acked
        again = np.where(random.random(count) < 0.001, np.minimum(went, 3), 0)
        for name, grown in (("published", came), ("delivered", went), ("acknowledged", acked), ("redelivered", again)):
            self._counters[name] = self._counters[name] + grown
        lag = np.where(self._ready + self._unacked > 0, (self._ready + self._unacked) / np.maximum(rate, 0.05), 0.0)
        columns = {
            "ready": self._ready,
            "unacked": self._unacked,
            "consumers": self._consumers,
            **self._counters,
            "time_lag": np.round(lag, 1),
            "lag_source": np.zeros(count),
            "consumer_state": np.where(rate > 0, 1, 0),
        }
        return {name: values.astype(np.float64) for name, values in columns.items()}

    def slow(self) -> dict[str, NDArray[np.float64]]:
        """Return the columns that are asked for once a minute."""
        total = self._ready + self._unacked
        moving = self._rate + self._moderate > 0
        return {
            "memory": (
                self._memory + total * 300 + np.where(moving, self._random.integers(0, 800, self.count), 0)
            ).astype(np.float64),
            "message_bytes": (total * 256).astype(np.float64),
            "capacity": np.where(moving, np.round(1 - self._random.random(self.count) * 0.05, 3), 1.0),
            "prefetch": (self._consumers * 20).astype(np.float64),
        }


def frames(queues: Queues, begin_ms: int, end_ms: int, cadence_ms: int = 5_000) -> Iterator[Frame]:
    """Yield snapshots of all queues, and of their sums as the one vhost and the broker."""
    slots = np.arange(queues.count, dtype=np.uint32)
    one = np.zeros(1, dtype=np.uint32)
    for number, at_ms in enumerate(range(begin_ms, end_ms, cadence_ms)):
        columns = queues.tick(cadence_ms / 1000)
        names = ("ready", "unacked", "consumers", "published", "delivered", "acknowledged", "redelivered")
        total = {name: np.array([columns[name].sum()]) for name in names}
        if number % max(1, SLOW_TIER_S * 1000 // cadence_ms) == 0:
            columns |= queues.slow()
        # Answers come when they come.
        jitter = int(queues.count and (number * 7919) % 61)
        tables = {
            Kind.QUEUE: Table(slots, columns),
            Kind.VHOST: Table(one, total),
            Kind.BROKER: Table(one, total),
        }
        yield Frame(at_ms + jitter, tables)
