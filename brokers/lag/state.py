"""How a queue's consumers keep up, named tick by tick from what its figures did over the last ticks. Pure.

RabbitMQ's figures move in beats of 5 s that are out of phase: a queue tells its depth, each channel its counters, and
3.10's management API adds a beat of its own [measured: steady traffic reads as 50, 0, 100, 50 a tick]. So one tick in
which nothing was acknowledged says little. A state is named when either two such ticks follow each other, or one does
and the queue's depth, which another process tells, says the same. What a queue did before is its own measure: a
consumer that acknowledges once a minute is not stalled between two of its acknowledgements, and a backlog that comes
and goes in bursts does not fall behind with each of them. There is no threshold for a person to set.

`step` takes what is remembered of all queues, and a tick, and returns what is remembered after it and the states. What
is remembered is rebuilt by taking the last frames of the log through it, so a restart loses little.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from brokers.lag.followed import COUNTERS, FORGET_MS, METRICS, Flags, Floats, Memory, Now, Tick, follow, habit, remember

__all__ = ["FORGET_MS", "METRICS", "ConsumerState", "Memory", "Tick", "step"]


class ConsumerState(IntEnum):
    """The states as they are stored: the worse the higher."""

    IDLE = 0
    OK = 1
    FALLING_BEHIND = 2
    STARVED = 3
    STALLED = 4
    STOPPED = 5


# Held no longer than this, messages wait for the way there and back rather than for work: of a consumer with a prefetch
# of one or two, and of one with a few more. With more than FEW the way hardly limits it.
ROUND_TRIP_S, SHORT_S, FEW = 0.2, 0.1, 20
# Messages wait for at least so long where consumers are starved.
WORTH_S = 1.0


def step(memory: Memory, tick: Tick) -> tuple[Memory, Floats]:
    """Take one tick in; return what is remembered from now on, and a ConsumerState a queue, NaN for *unknown*.

    A tick that comes after a long gap begins anew.
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        m, now = follow(memory, tick)
        named = _named(m, now)
        remember(m, now, named)
    # By a clock that was set back: as long as the one before.
    span_ms = tick.at_ms - memory.at_ms if 0 < memory.at_ms < tick.at_ms else memory.span_ms
    return Memory(tick.at_ms, tick.slots, m, span_ms), np.where(now.known, named, np.nan)


def _named(m: dict[str, Floats], now: Now) -> Floats:
    """Name each queue's state; the later a line stands, the more it counts."""
    tick, before = now.tick, m["state"]
    begins = np.isnan(now.grew)
    named = np.full(len(tick.slots), float(ConsumerState.OK))
    # Of a queue that is seen for the first time, and holds messages, nothing can be said yet.
    named[begins & (now.level > 0) & ~tick.streams] = np.nan
    named[_idle(m, now)] = ConsumerState.IDLE
    named[_behind(m, now, before)] = ConsumerState.FALLING_BEHIND
    named[_starved(m, now, before)] = ConsumerState.STARVED
    named[_stalled(m, now, before)] = ConsumerState.STALLED
    named[_stopped(m, now, before)] = ConsumerState.STOPPED
    return named


def _idle(m: dict[str, Floats], now: Now) -> Flags:
    empty = now.known & (now.level == 0)
    uncounted = np.isnan(m["told_ms"])
    # Whether counters stand still, or were only read twice within one of their beats.
    little = (np.nan_to_num(m["last_in"]) <= 0.75 * np.nan_to_num(m["in_pace"])) & (
        np.nan_to_num(m["last_out"]) <= 0.75 * np.nan_to_num(m["out_pace"])
    )
    # Two readings within one beat of the broker are one rest more than there was.
    wanted = np.maximum(2, np.where(habit(m, "rest") > 0, 1.5 * habit(m, "rest") + 1, 0))
    rests = (m["quiet"] >= wanted) | ((m["quiet"] >= 1) & little & (m["streak"] >= 4) & (habit(m, "rest") < 1))
    # Between two readings of counters, be they read seldom or this one missing, what stood still is taken to do so.
    held = (m["state"] == ConsumerState.IDLE) & ((m["quiet"] > 0) | (~now.counted & ~uncounted))
    never = np.all([now.tick.figures.get(name, uncounted * np.nan) == 0 for name in COUNTERS[:2]], axis=0)
    first = (np.isnan(now.grew) & (now.consumers == 0)) | never
    found: Flags = empty & (rests | held | first | (uncounted & (now.consumers == 0)))
    return found


def _behind(m: dict[str, Floats], now: Now, before: Floats) -> Flags:
    flows = now.known & ((now.consumers > 0) | (m["fetched_ever"] > 1) | now.tick.streams)
    # What grows in the consumers' hands alone is sooner a burst than what they have no hands for.
    rise = (m["high"] - m["low"]) / np.where(now.ready > 0, 1.0, 4.0)
    begins = (
        (m["rising"] > 0)
        & (m["ups"] >= 2)
        & (rise > now.noise)
        & (rise > 1.5 * habit(m, "swing"))
        & now.waiting
        & ~(m["in_pace"] <= m["out_pace"])
    )
    falls = now.grew < 0
    much = -now.grew > np.maximum(2 * now.noise, 0.5 * np.nan_to_num(m["climb"]))
    ends = (m["downs"] >= 2) | (falls & much) | (m["since_high"] >= 3) | ~(now.waiting | now.tick.streams)
    held = (before == ConsumerState.FALLING_BEHIND) | (before >= ConsumerState.STARVED)
    found: Flags = flows & (begins | (held & ~ends & (m["rising"] > 0) & (m["ups"] > 0)))
    return found


def _starved(m: dict[str, Floats], now: Now, before: Floats) -> Flags:
    each = now.unacked / now.consumers
    held_s = now.unacked / m["rate"]
    calm_s = now.unacked / np.maximum(m["rate"], m["out_pace"])
    few = each <= 2
    short = np.where(few, held_s <= ROUND_TRIP_S, (held_s <= SHORT_S) & (each <= FEW) & (now.grew >= 0))
    # What chance brings together is worked off at once, whatever the prefetch.
    waits = now.ready >= WORTH_S * m["rate"]
    begins = (m["full"] >= 1) & (m["rate"] > 0) & short & waits & ((m["full"] >= 2) | (now.grew >= 0))
    limit = 2 * np.where(few, ROUND_TRIP_S, SHORT_S)
    stays = (before == ConsumerState.STARVED) & (m["unfilled"] < 2) & (now.consumers > 0) & ~(calm_s > limit)
    found: Flags = now.attended & ~now.tick.streams & (begins | stays)
    return found


def _stalled(m: dict[str, Floats], now: Now, before: Floats) -> Flags:
    able = now.attended & ~now.tick.streams
    span_s = now.span_s
    entered = np.nan_to_num(now.in_before) * span_s
    # Where fewer are published than before; none at all may be a channel that has not told yet.
    entered = np.where(now.counted & (now.entered > 0), np.minimum(entered, now.entered), entered)
    left = np.nan_to_num(m["out_pace"]) * span_s
    # The depth, told by another process, says that nothing left either; of what enters one reading tells too little.
    stands = (m["streak"] >= 2) & (left >= 3) & (now.grew >= entered - 0.5 * left)
    # Nobody has ever acknowledged anything: the same messages are held, or all that enters is.
    frozen = (now.delivered == 0) & (now.unacked == m["unacked"]) & (now.unacked > 0) & (now.ready > 0)
    never = np.isnan(m["out_pace"]) & (frozen | ((entered >= 3) & (now.grew >= 0.8 * entered)))
    short = habit(m, "pause") <= 1
    begins = (m["silent"] >= np.maximum(2, 1.5 * habit(m, "pause"))) | ((m["silent"] >= 1) & short & (stands | never))
    stays = (before == ConsumerState.STALLED) & (m["silent"] > 0)
    found: Flags = able & now.waiting & (begins | stays)
    return found


def _stopped(m: dict[str, Floats], now: Now, before: Floats) -> Flags:
    nobody = now.known & (now.consumers == 0) & (now.ready > 0)
    nobody &= ~now.tick.letters & ~now.tick.waits & ~now.tick.streams
    # Where consumers were read some ticks ago, and the backlog falls, one has come since.
    nobody &= now.consumers_told | ~(now.grew < 0)
    m["lonely"] = np.where(nobody, m["lonely"] + 1, np.where(now.known, 0, m["lonely"]))
    fetched = m["fetched_ever"] >= 2
    silent = m["silent"] >= np.where(fetched, np.maximum(2, 1.5 * habit(m, "pause")), 1)
    # Without counters, or between two readings of them, the depth must do: it does not fall.
    untold = ~now.counted & ~fetched & (now.grew >= 0)
    begins = (m["lonely"] >= 2) & (silent | untold)
    stays = (before == ConsumerState.STOPPED) & (m["fetched"] < 2)
    found: Flags = nobody & (begins | stays)
    return found
