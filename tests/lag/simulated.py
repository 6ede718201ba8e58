"""A queue that is simulated message by message, and what a poller would see of it: counters, and depths at a beat."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from brokers.lag.beat import Reading
from brokers.lag.inverse import Ages, Lag, LagSource, advance

TICK_MS = 5_000
START = 1_000_000
SLOT = np.array([0], dtype=np.uint32)


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


def arrivals(parts: list[tuple[float, float]], seed_: int = 1) -> np.ndarray:
    """Send times by chance: (seconds, messages a second) one after the other."""
    random = np.random.default_rng(seed_)
    found, begin = [], float(START)
    for seconds, pace in parts:
        found.append(np.sort(random.uniform(begin, begin + seconds * 1000, random.poisson(seconds * pace))))
        begin += seconds * 1000
    return np.concatenate(found)


def told(queue: SimulatedQueue, seconds: int, *, live: bool = True, sampled_ms: float = 2_500.0) -> list[tuple]:
    """Poll for so long: (ms since the start, told, true, source)."""
    ages = Ages()
    found = []
    for at in range(START + TICK_MS, START + seconds * 1000, TICK_MS + 13):
        lag = advance(ages, reading(queue, at, live=live, sampled_ms=sampled_ms))
        found.append((at - START, float(lag.time_lag[0]), queue.age_s(at), int(lag.source[0])))
    return found


def misses(moments: list[tuple], queue: SimulatedQueue) -> list[tuple]:
    """Return those that no moment of the beat before would excuse: further off than one tick + 5 %.

    Of what left in the next half a second the beat does not tell either: the last few messages of a backlog.
    """
    wrong = []
    for at, estimate, true, source in moments:
        past = [queue.age_s(START + at - back) for back in range(-500, 5_001, 250)]
        near = any(abs(estimate - age) <= (TICK_MS + 500) / 1000 + 0.05 * age for age in past) or min(
            past
        ) <= estimate <= max(past)
        if not near and not (source == LagSource.AT_LEAST and estimate <= true + 5.0):
            wrong.append((at, estimate, true, source))
    return wrong


def strictly(moments: list[tuple]) -> float:
    """Return the share of moments that are no further off than one tick + 5 % of what was true at that very moment."""
    return float(np.mean([abs(estimate - true) <= TICK_MS / 1000 + 0.05 * true for _, estimate, true, _ in moments]))


def one(at_ms: int, total: float, published: float, acknowledged: float, *, live: bool = True) -> Reading:
    return Reading(at_ms, SLOT, np.array([total]), np.array([published]), np.array([acknowledged]), live)


def steps(ages: Ages, readings: list[tuple[float, float, float]], begin: int = START) -> Lag:
    """Take readings (total, published, acknowledged) one tick apart; return the lag of the last."""
    for place, values in enumerate(readings):
        found = advance(ages, one(begin + place * TICK_MS, *values))
    return found
