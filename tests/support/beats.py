"""A queue as a broker's figures tell it: what truly happens, seen through beats of 5 s that are out of phase."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

BEAT_S = 5.0
_STEP_S = 0.25
_COUNTERS = ("published", "delivered", "acknowledged", "redelivered")


@dataclass(frozen=True)
class Act:
    """So many seconds in which `enter` messages a second are published and consumers take up to `take` a second.

    `mode`: ack (held `held_s` at least), never, auto, get, nack. `prefetch` 0: no limit. `enter` may depend on the
    seconds since the act began.
    """

    seconds: float
    enter: object = 0.0
    take: float = 0.0
    consumers: int = 0
    prefetch: int = 50
    mode: str = "ack"
    prefill: int = 0


@dataclass(frozen=True)
class Beats:
    """When the queue, the publisher's and the consumer's channels tell, within their 5 s; `polled_s` the first poll.

    `jitter` is what each poll is early or late by, over and over again; `merged_s` set: a management database that
    takes counters over in a beat of its own, as 3.10's does.
    """

    queue_s: float = 0.0
    publisher_s: float = 0.0
    consumer_s: float = 0.0
    polled_s: float = 0.1
    jitter: Sequence[float] = (0.0,)
    merged_s: float | None = None
    # Counters are as of the poll, as Prometheus tells them from 4.0 on; depths keep their beat.
    live: bool = False


@dataclass(frozen=True)
class Shown:
    """One poll: `act` is the number of the act that it falls into, `since_s` how long that has lasted."""

    at_ms: int
    act: int
    since_s: float
    figures: dict[str, float]


class _Truth:
    def __init__(self) -> None:
        self.ready = self.unacked = 0.0
        self.published = self.delivered = self.acknowledged = self.redelivered = 0.0
        self.consumers = 0
        self.owed = self.able = 0.0

    def begin(self, act: Act) -> None:
        # Whoever consumed before is gone, and what it held is ready again.
        self.ready += self.unacked + act.prefill
        self.published += act.prefill
        self.unacked = 0.0
        self.consumers = act.consumers
        self.owed = self.able = 0.0

    def pass_time(self, act: Act, since_s: float, span_s: float) -> None:
        enter = act.enter(since_s) if callable(act.enter) else act.enter
        self.owed += float(enter) * span_s  # type: ignore[arg-type]
        whole = math.floor(self.owed)
        self.owed -= whole
        self.ready += whole
        self.published += whole
        self.able = min(self.able + act.take * span_s, max(act.take * span_s, 1.0) + 1)
        can = math.floor(self.able)
        if act.mode == "get":
            took = min(can, self.ready)
            self.ready -= took
            self.delivered += took
            self.acknowledged += took
            self.able -= took
            return
        if not act.consumers:
            return
        if act.mode == "auto":
            took = min(can, self.ready)
            self.ready -= took
            self.delivered += took
            self.able -= took
            return
        room = math.inf if act.prefetch == 0 else act.prefetch * act.consumers
        done = 0.0
        if act.mode == "ack":
            # Within a step messages come and go as often as there is time for.
            done = min(can, self.ready + self.unacked)
            self.acknowledged += done
        elif act.mode == "nack":
            again = min(can, self.unacked)
            self.redelivered += again
            self.delivered += again
            done = 0.0
            self.able -= again
        there = self.ready + self.unacked - done
        held = min(room, there)
        self.delivered += max(done + held - self.unacked, 0.0)
        self.able -= done
        self.ready, self.unacked = there - held, held


def played(acts: Sequence[Act], beats: Beats, *, cadence_s: float = 5.0) -> Iterator[Shown]:
    """Play the acts and yield what each poll is told. Figures are those of the newest beat before the poll."""
    truth = _Truth()
    told: dict[str, float] = dict.fromkeys(
        ("ready", "unacked", "consumers", "published", "delivered", "acknowledged", "redelivered"), 0.0
    )
    channel = dict(told)
    now_s, number, polls = 0.0, -1, 0
    ends_s = 0.0
    next_poll_s = beats.polled_s + beats.jitter[0]
    total_s = sum(act.seconds for act in acts)
    while now_s < total_s - 1e-6:
        if now_s >= ends_s - 1e-9:
            number += 1
            begun_s, ends_s = ends_s, ends_s + acts[number].seconds
            truth.begin(acts[number])
        truth.pass_time(acts[number], now_s - begun_s, _STEP_S)
        before_s, now_s = now_s, now_s + _STEP_S
        if _beats(beats.queue_s, before_s, now_s):
            told.update(ready=truth.ready, unacked=truth.unacked, consumers=float(truth.consumers))
        target = channel if beats.merged_s is not None else told
        if _beats(beats.publisher_s, before_s, now_s):
            target["published"] = truth.published
        if _beats(beats.consumer_s, before_s, now_s):
            target.update(delivered=truth.delivered, acknowledged=truth.acknowledged, redelivered=truth.redelivered)
        if beats.merged_s is not None and _beats(beats.merged_s, before_s, now_s):
            told.update({name: channel[name] for name in _COUNTERS})
        if now_s >= next_poll_s:
            if beats.live:
                told.update({name: getattr(truth, name) for name in _COUNTERS})
            yield Shown(1_000_000 + round(now_s * 1000), number, now_s - begun_s, dict(told))
            polls += 1
            next_poll_s = beats.polled_s + polls * cadence_s + beats.jitter[polls % len(beats.jitter)]


def _beats(phase_s: float, before_s: float, now_s: float) -> bool:
    return math.floor((now_s - phase_s) / BEAT_S) > math.floor((before_s - phase_s) / BEAT_S)
