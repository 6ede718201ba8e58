"""A queue that is simulated message by message, and what a poller would see of it: counters, and depths at a beat."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from brokers.lag.beat import Reading

TICK_MS = 5_000


@dataclass
class SimulatedQueue:
    """First in, first out. Times in ms; `came`: when each message entered; `went`: when it left (inf: not yet)."""

    came: NDArray[np.float64]
    went: NDArray[np.float64]
    # What left that was not acknowledged, and what entered that no publisher counted, by message.
    uncounted_out: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=np.bool_))
    uncounted_in: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=np.bool_))
    phase_ms: float = 0.0
    # How many messages its consumers may hold.
    prefetch: int = 0

    def __post_init__(self) -> None:
        if not len(self.uncounted_out):
            self.uncounted_out = np.zeros(len(self.came), dtype=np.bool_)
        if not len(self.uncounted_in):
            self.uncounted_in = np.zeros(len(self.came), dtype=np.bool_)

    def published(self, at_ms: float) -> float:
        return float(((self.came <= at_ms) & ~self.uncounted_in).sum())

    def acknowledged(self, at_ms: float) -> float:
        return float(((self.went <= at_ms) & ~self.uncounted_out).sum())

    def total(self, at_ms: float) -> float:
        return float((self.came <= at_ms).sum() - (self.went <= at_ms).sum())

    def told_at_ms(self, at_ms: float, beat_ms: float = 5_000.0) -> float:
        """When the queue told its depth last."""
        return float(np.floor((at_ms - self.phase_ms) / beat_ms) * beat_ms + self.phase_ms)

    def age_s(self, at_ms: float) -> float:
        """The age of the oldest message in the queue, 0 where it is empty."""
        inside = (self.came <= at_ms) & (self.went > at_ms)
        return float(at_ms - self.came[inside].min()) / 1000.0 if inside.any() else 0.0


def reading(queue: SimulatedQueue, at_ms: int, *, live: bool = True, sampled_ms: float = 0.0) -> Reading:
    """What one poll sees of the queue; `sampled_ms`: how old its counters are where they are not live."""
    counted_ms = at_ms - (0.0 if live else sampled_ms)
    return Reading(
        at_ms,
        np.array([0], dtype=np.uint32),
        np.array([queue.total(queue.told_at_ms(at_ms))]),
        np.array([queue.published(counted_ms)]),
        np.array([queue.acknowledged(counted_ms)]),
        live,
        np.array([min(float(queue.prefetch), queue.total(queue.told_at_ms(at_ms)))]),
    )


def purged(came: NDArray[np.float64], pace: NDArray[np.float64], at_ms: float, prefetch: int) -> SimulatedQueue:
    """A queue with a single consumer, which holds `prefetch` messages, and a purge that takes what is ready."""
    went = served(came, pace)
    waiting = np.flatnonzero((came <= at_ms) & (went > at_ms))
    held, gone = waiting[:prefetch], np.zeros(len(came), dtype=np.bool_)
    gone[waiting[prefetch:]] = True
    later = came > at_ms
    free = float(went[held].max(initial=at_ms))
    went[later] = served(np.maximum(came[later], free), pace[later])
    return SimulatedQueue(came, np.where(gone, at_ms, went), uncounted_out=gone, prefetch=prefetch)


def served(came: NDArray[np.float64], pace: NDArray[np.float64]) -> NDArray[np.float64]:
    """When each message leaves a single consumer that needs `pace[i]` ms for the i-th one."""
    went = np.empty(len(came))
    free = 0.0
    for place, (moment, took) in enumerate(zip(came, pace, strict=True)):
        free = max(free, moment) + took
        went[place] = free
    return went
