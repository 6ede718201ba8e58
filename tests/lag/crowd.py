"""Many simulated queues with every kind of traffic, seen as brokers tell of them: how often a lag is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from brokers.lag.beat import Reading
from brokers.lag.inverse import Ages, LagSource, advance

START, SECONDS, TICK_MS, BEAT_MS = 1_000_000, 600, 5_000, 5_000

Times = NDArray[np.float64]
Random = np.random.Generator
# (seconds, messages a second), one after the other.
Paces = list[tuple[float, float]]


@dataclass
class Member:
    """First in, first out: when each message came and went (ms, ascending), and which of that nobody counts."""

    came: Times
    went: Times
    uncounted_in: NDArray[np.bool_] | None = None
    uncounted_out: NDArray[np.bool_] | None = None
    published: Times = field(init=False)
    acknowledged: Times = field(init=False)

    def __post_init__(self) -> None:
        nothing = np.zeros(len(self.came), dtype=np.bool_)
        self.published = self.came[~(nothing if self.uncounted_in is None else self.uncounted_in)]
        self.acknowledged = self.went[~(nothing if self.uncounted_out is None else self.uncounted_out)]

    def total(self, at_ms: float) -> float:
        return count(self.came, at_ms) - count(self.went, at_ms)

    def age_s(self, at_ms: float) -> float:
        head = int(count(self.went, at_ms))
        return (at_ms - float(self.came[head])) / 1000 if head < count(self.came, at_ms) else 0.0


def count(times: Times, at_ms: float) -> float:
    return float(np.searchsorted(times, at_ms, side="right"))


def _arrivals(random: Random, paces: Paces) -> Times:
    found, begin = [], float(START)
    for seconds, pace in paces:
        found.append(np.sort(random.uniform(begin, begin + seconds * 1000, random.poisson(seconds * pace))))
        begin += seconds * 1000
    return np.concatenate(found)


def _changing(random: Random, paces: Sequence[float]) -> Paces:
    found: Paces = []
    while sum(seconds for seconds, _ in found) < SECONDS:
        found.append((float(random.uniform(15, 120)), float(random.choice(paces))))
    return found


def _bursts(random: Random, scale: float) -> Paces:
    return [(random.uniform(20, 50), 0.3 * scale), (random.uniform(2, 8), 5.0 * scale)] * 20


def _consumed(random: Random, came: Times, paces: Paces) -> Times:
    ends = START + np.cumsum([seconds * 1000 for seconds, _ in paces])
    even, went, free, place = random.random() < 0.5, np.full(len(came), np.inf), 0.0, 0
    for number, moment in enumerate(came):
        at = max(free, moment)
        while place < len(ends) and (at >= ends[place] or paces[place][1] == 0):
            at, place = (max(at, float(ends[place])) if paces[place][1] == 0 else at), place + 1
        if place == len(ends):
            break
        free = at + 1000 / paces[place][1] * (1.0 if even else random.exponential())
        went[number] = free
    return went


def _plain(random: Random, scale: float) -> Member:
    came = _arrivals(random, _changing(random, [0, 0.5 * scale, scale]))
    return Member(came, _consumed(random, came, _changing(random, [0, 0.5 * scale, scale, 1.5 * scale])))


def _bursting(random: Random, scale: float) -> Member:
    came = _arrivals(random, _bursts(random, scale))
    return Member(came, _consumed(random, came, _changing(random, [0.2 * scale, scale, 2 * scale])))


def _rejecting(random: Random, scale: float) -> Member:
    came = _arrivals(random, _changing(random, [0.7 * scale, scale]))
    went = _consumed(random, came, _changing(random, [0.5 * scale, scale, 1.5 * scale]))
    return Member(came, went, uncounted_out=random.random(len(came)) < random.choice([0.05, 0.3, 0.6]))


def _letters(random: Random, scale: float) -> Member:
    came = _arrivals(random, _changing(random, [0.2 * scale, 0.4 * scale, 0.5 * scale]))
    went = _consumed(random, came, _changing(random, [0, 0.3 * scale, scale]))
    return Member(came, went, uncounted_in=np.ones(len(came), dtype=np.bool_))


def _mixed(random: Random, scale: float) -> Member:
    came = _arrivals(random, _changing(random, [0.7 * scale, scale]))
    went = _consumed(random, came, _changing(random, [0.5 * scale, scale, 1.5 * scale]))
    return Member(came, went, uncounted_in=random.random(len(came)) < random.choice([0.1, 0.4]))


def _expiring(random: Random, scale: float) -> Member:
    """What its consumer does not take in time expires."""
    came = _arrivals(random, _changing(random, [0.7 * scale, scale]))
    taken = _consumed(random, came, _changing(random, [0.3 * scale, 0.6 * scale, scale]))
    late = came + random.uniform(30, 90) * 1000
    return Member(came, np.maximum.accumulate(np.minimum(taken, late)), uncounted_out=taken > late)


KINDS: dict[str, Callable[[Random, float], Member]] = {
    "plain": _plain,
    "bursts": _bursting,
    "reject": _rejecting,
    "letters": _letters,
    "mixed": _mixed,
    "expiring": _expiring,
}


@dataclass
class Score:
    """Of so many moments: within one tick + 5 % of the truth of now, told as about, and neither about nor within that
    of any moment of the beat before."""

    moments: int = 0
    within: int = 0
    about: int = 0
    wrong: int = 0


def play(kind: str, *, live: bool, queues: int, seed: int, missing: float = 0.0) -> Score:
    """Follow queues of a kind for ten minutes. `live`: counters are as of now, else as old as 3.10's management API has
    them, each at a beat of its own; `missing`: the share of polls that don't read them."""
    random = np.random.default_rng(seed)
    members = [KINDS[kind](random, float(np.exp(random.uniform(np.log(0.5), np.log(100.0))))) for _ in range(queues)]
    phases, score, ages = random.uniform(0, BEAT_MS, (3, queues)), Score(), Ages()
    at, ends = START + TICK_MS, START + SECONDS * 1000
    while at < ends:
        unread = random.random() < missing
        told_ms = np.floor((at - phases[0]) / BEAT_MS) * BEAT_MS + phases[0]
        # Those of publishers are 1.4 to 4.4 s old there, those of consumers 0.3 to 5.3 s.
        late = 0.0 if live else 1.0
        published_ms = at - late * (1_400 + 0.6 * ((at - phases[1]) % BEAT_MS))
        acknowledged_ms = at - late * (300 + (at - phases[2]) % BEAT_MS)
        published = [count(one.published, moment) for one, moment in zip(members, published_ms, strict=True)]
        acknowledged = [count(one.acknowledged, moment) for one, moment in zip(members, acknowledged_ms, strict=True)]
        known = np.full(queues, np.nan if unread else 0.0)
        depths = [one.total(moment) for one, moment in zip(members, told_ms, strict=True)]
        seen = (np.array(depths), np.array(published) + known, np.array(acknowledged) + known)
        lag = advance(ages, Reading(at, np.arange(queues, dtype=np.uint32), *seen, live, np.zeros(queues)))
        # Before that nobody knows a pace.
        if at > START + 6 * TICK_MS:
            for member, told, source in zip(members, lag.time_lag, lag.source, strict=True):
                _judge(score, member, at, float(told), float(source))
        at += TICK_MS + int(random.integers(-150, 300))
    return score


def _judge(score: Score, member: Member, at_ms: int, told: float, source: float) -> None:
    true = member.age_s(at_ms)
    past = [member.age_s(at_ms - back) for back in range(0, BEAT_MS + 1, 500)]
    off = 0.0 if source == LagSource.AT_LEAST and told <= true else abs(told - true)
    excused = min(past) <= told <= max(past) or any(abs(told - age) <= 5 + 0.05 * age for age in past) or not off
    score.moments += 1
    score.within += off <= 5 + 0.05 * true
    score.about += source == LagSource.ABOUT
    score.wrong += source != LagSource.ABOUT and not excused
