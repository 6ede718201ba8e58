"""What a queue's figures did from tick to tick, followed queue by queue in arrays: what moved, for how long, how often.

Everything here is counting; brokers.lag.state says what it means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Slots = NDArray[np.uint32]

# What of a queue's table is read.
METRICS = (
    *("ready", "unacked", "consumers", "published", "delivered", "acknowledged", "redelivered"),
    "stream_lag",
)
COUNTERS = ("published", "delivered", "acknowledged", "redelivered")
# Within a beat of the broker's figures nothing need have been told anew. It is 5 s; our polls are early now and then.
BEAT_MS = 4_500
# After a gap this long what is remembered says nothing about now; what a queue's bursts and pauses taught holds longer.
FORGET_MS = 120_000
_LEARNED_MS = 900_000
# Where the budget stretches the ticks themselves a gap is what is longer than so many of them.
_GAP_TICKS = 2.5
# Consumers need not be told in every tick: what was read holds for so long (brokers.series.rates holds it as long).
_CONSUMERS_MS = 900_000

# What is remembered of each queue, with its value where nothing is known of it yet. Counts are of ticks.
_START: dict[str, float] = {
    **dict.fromkeys(("ready", "unacked", "consumers", "level", *COUNTERS), np.nan),
    # When counters were told last, and the level then; paces a second while they moved.
    **dict.fromkeys(("told_ms", "told_level", "in_pace", "out_pace", "last_in", "last_out", "rate"), np.nan),
    # When a counter last moved, and in how many readings in a row messages entered.
    "moved_ms": np.nan,
    "streak": 0.0,
    # Ticks in a row in which nothing left though messages waited, and the two longest such pauses that ended.
    **dict.fromkeys(("silent", "pause", "pause_second"), 0.0),
    # The same of ticks in which nothing moved and nothing was there.
    **dict.fromkeys(("quiet", "rest", "rest_second"), 0.0),
    # Without a consumer: ticks in a row with messages, ticks in a row in which some were fetched all the same.
    **dict.fromkeys(("lonely", "fetched", "fetched_ever"), 0.0),
    # The backlog's way: rises and falls in a row, the leg it is on and its ends, the two highest rises that fell again.
    **dict.fromkeys(("ups", "downs", "flats", "rising", "swing", "swing_second", "since_high"), 0.0),
    **dict.fromkeys(("low", "high", "climb"), np.nan),
    **dict.fromkeys(("full", "unfilled"), 0.0),
    # When its consumers were read last.
    "consumers_ms": np.nan,
    # Habits are those of the present quarter of an hour and of the one before it, so that none is forgotten at once.
    **dict.fromkeys(("pause_before", "rest_before", "swing_before"), 0.0),
    "learned_ms": 0.0,
    "seen": 0.0,
    "state": np.nan,
}


# Of these, moments.
_MOMENTS = ("told_ms", "moved_ms", "consumers_ms", "learned_ms")


@dataclass(frozen=True, slots=True)
class Tick:
    """All queues of a broker at one moment: `slots` ascending, `figures` by the names in METRICS, NaN for *unknown*.

    `letters`: dead-letter queues, `waits`: queues in which messages wait for their time: nobody is to consume either.
    `streams`: reading removes nothing there.
    """

    at_ms: int
    slots: Slots
    figures: Mapping[str, Floats]
    letters: Flags
    waits: Flags
    streams: Flags


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of the queues of a broker, a column a thing (see _START), rows in slot order."""

    at_ms: int = 0
    slots: Slots = field(default_factory=lambda: np.empty(0, dtype=np.uint32))
    columns: Mapping[str, Floats] = field(default_factory=dict)
    # How long after the tick before it the last one came.
    span_ms: int = 0

    def forgets_ms(self) -> float:
        """Return how long after its last tick what is remembered says nothing about now."""
        return max(FORGET_MS, _GAP_TICKS * self.span_ms)

    def set_back(self, at_ms: int) -> Memory:
        """Return the memory as of a clock that was set back and now says `at_ms`: one tick later than the last."""
        span_ms = self.span_ms or BEAT_MS
        by_ms = self.at_ms + span_ms - at_ms
        moved = {name: self.columns[name] - by_ms for name in _MOMENTS if name in self.columns}
        return Memory(at_ms - span_ms, self.slots, {**self.columns, **moved}, self.span_ms)

    def over(self, slots: Slots) -> dict[str, Floats]:
        """Return the columns for other slots: what is new starts as unknown. The arrays are not to be changed."""
        if len(self.slots) == len(slots) and np.array_equal(self.slots, slots):
            return dict(self.columns)
        found = {name: np.full(len(slots), start) for name, start in _START.items()}
        if len(self.slots) and len(slots):
            position = np.minimum(np.searchsorted(self.slots, slots), len(self.slots) - 1)
            there = self.slots[position] == slots
            for name, values in found.items():
                values[there] = self.columns[name][position[there]]
        return found


@dataclass(frozen=True, slots=True)
class Now:
    """A tick beside what is remembered: what moved since the last one. Flags are False where anything is unknown."""

    tick: Tick
    span_s: float
    known: Flags
    ready: Floats
    unacked: Floats
    consumers: Floats
    # They were read in this tick; else the last reading holds.
    consumers_told: Flags
    level: Floats
    grew: Floats
    counted: Flags
    # Counters are told for the first time, or began anew: they are what later ones are compared with.
    restarted: Flags
    # Since the counters last moved: two readings within one of their beats are one.
    counted_s: Floats
    in_before: Floats
    entered: Floats
    delivered: Floats
    acked: Floats
    again: Floats
    waiting: Flags
    attended: Flags
    noise: Floats


def begun(at_ms: int, slots: Slots, consumers: Floats, read_ms: int) -> Memory:
    """Return a memory of nothing but the consumers that were read some ticks before the moment from which on ticks are
    gone through."""
    columns = {name: np.full(len(slots), start) for name, start in _START.items()}
    columns["consumers"] = consumers.astype(np.float64)
    columns["consumers_ms"] = np.where(np.isnan(consumers), np.nan, float(read_ms))
    return Memory(at_ms, slots, columns)


def follow(memory: Memory, tick: Tick) -> tuple[dict[str, Floats], Now]:
    """Take a tick in: return the columns of what is remembered, to be replaced where they change, and what moved.

    A tick that comes after a long gap begins anew; one that is not later than the last comes by a clock that was set
    back, which moves what is remembered back with it. Call it under `np.errstate`: comparing with NaN is what it does
    all day.
    """
    if memory.at_ms and tick.at_ms <= memory.at_ms:
        memory = memory.set_back(tick.at_ms)
    span_ms = tick.at_ms - memory.at_ms
    if span_ms > memory.forgets_ms():
        memory = Memory()
    m = memory.over(tick.slots)
    if not m:
        m = {name: np.full(len(tick.slots), start) for name, start in _START.items()}
    now = _now(m, tick, span_ms / 1000 if memory.at_ms else np.nan)
    _outflow(m, now)
    _rest(m, now)
    _backlog(m, now)
    _fill(m, now)
    return m, now


def _now(m: dict[str, Floats], tick: Tick, span_s: float) -> Now:
    unknown = np.full(len(tick.slots), np.nan)
    figures = {name: tick.figures.get(name, unknown) for name in METRICS}
    # The number of consumers may be told more seldom than depths: it holds until it is told again.
    ready, unacked = figures["ready"], figures["unacked"]
    consumers_told = ~np.isnan(figures["consumers"])
    fresh = tick.at_ms - m["consumers_ms"] <= _CONSUMERS_MS
    consumers = np.where(consumers_told | ~fresh, figures["consumers"], m["consumers"])
    known = ~np.isnan(ready) & ~np.isnan(unacked) & ~np.isnan(consumers)
    # A stream's readers have a backlog of their own; it is told seldom, and holds until it is told again.
    lag = np.where(
        np.isnan(figures["stream_lag"]), np.where(np.isnan(m["level"]), 0.0, m["level"]), figures["stream_lag"]
    )
    level = np.where(tick.streams, lag, ready + unacked)
    told = ~np.isnan(figures["acknowledged"]) & ~np.isnan(figures["delivered"])
    deltas = {name: figures[name] - m[name] for name in COUNTERS}
    # A counter that fell began anew: what was counted since the last tick is unknown.
    fell = np.any([delta < 0 for delta in deltas.values()], axis=0)
    counted = told & ~np.isnan(m["told_ms"]) & ~fell
    still = (deltas["published"] == 0) & (deltas["delivered"] == 0) & (deltas["acknowledged"] == 0)
    # A depth that grows while nobody is said to have published: the counters are still those of the last tick.
    # So they may be where the last tick was less than a beat ago.
    counted &= ~(still & ((level > m["level"]) | (tick.at_ms - m["told_ms"] < BEAT_MS)))
    counted_s = (tick.at_ms - np.where(np.isnan(m["moved_ms"]), m["told_ms"], m["moved_ms"])) / 1000
    waits = (ready > 0) | (unacked > consumers)
    waited = (m["ready"] > 0) | (m["unacked"] > m["consumers"])
    moved = np.nan_to_num(m["in_pace"]) + np.nan_to_num(m["out_pace"])
    return Now(
        tick=tick,
        span_s=span_s,
        known=known,
        ready=ready,
        unacked=unacked,
        consumers=consumers,
        consumers_told=consumers_told,
        level=level,
        grew=level - m["level"],
        counted=counted,
        restarted=told & (np.isnan(m["told_ms"]) | fell),
        counted_s=counted_s,
        in_before=m["in_pace"].copy(),
        entered=deltas["published"],
        delivered=deltas["delivered"],
        acked=deltas["acknowledged"],
        again=np.nan_to_num(deltas["redelivered"]),
        waiting=known & waits & waited,
        attended=known & (consumers > 0) & (m["consumers"] > 0),
        noise=2 + np.sqrt(moved * (0.0 if np.isnan(span_s) else span_s)),
    )


def _outflow(m: dict[str, Floats], now: Now) -> None:
    """Follow whether messages leave: by acknowledgement, at delivery where none is wanted, or by being rejected."""
    first = now.delivered - now.again
    calls = now.counted & (first > 0) & (now.acked == 0)
    automatic = calls & (now.unacked == 0) & (m["unacked"] == 0)
    paced = np.where(np.isnan(now.in_before), np.inf, now.in_before * now.counted_s)
    gone = np.minimum(now.entered, paced) - (now.level - m["told_level"])
    rejected = calls & (gone > 0.5 * first) & (now.again <= first)
    # Where nothing left before, a depth that stands still is sooner that of the last tick than one that is held even.
    rejected &= ~((m["silent"] > 0) & (now.level == m["told_level"]) & (now.level > 0))
    moved = now.counted & ((now.acked > 0) | automatic | rejected)
    silent = now.counted & ~moved
    left = np.where(now.acked > 0, now.acked, np.where(moved, np.maximum(first, 0), 0))
    ended = moved & (m["silent"] > 0)
    _note(m, "pause", ended, m["silent"])
    counts = silent & now.waiting & (now.attended | (now.consumers == 0))
    m["silent"] = np.where(moved | (silent & ~counts), 0, m["silent"] + counts)
    # Whoever has only just subscribed was not silent before.
    m["silent"][(now.consumers > 0) & (m["consumers"] == 0)] = 0
    alone = now.known & (now.consumers == 0) & (m["consumers"] == 0)
    m["fetched"] = np.where(alone & moved, m["fetched"] + 1, np.where(now.counted | ~alone, 0, m["fetched"]))
    m["fetched_ever"] = np.where(
        alone & moved, m["fetched_ever"] + 1, np.where(now.consumers > 0, 0, m["fetched_ever"])
    )
    any_moved = now.counted & ~((now.entered == 0) & (now.delivered == 0) & (now.acked == 0))
    rate = left / now.counted_s
    m["rate"] = np.where(any_moved, rate, m["rate"])
    m["out_pace"] = _smooth(m["out_pace"], rate, moved)
    m["in_pace"] = _smooth(m["in_pace"], now.entered / now.counted_s, any_moved)
    m["moved_ms"] = np.where(any_moved | np.isnan(m["moved_ms"]) & now.counted, now.tick.at_ms, m["moved_ms"])


def _rest(m: dict[str, Floats], now: Now) -> None:
    """Follow whether anything moves at all."""
    still = now.counted & (now.level == 0) & (m["level"] == 0) & ~(now.entered > 0) & (now.delivered == 0)
    still &= now.acked == 0
    _note(m, "rest", now.counted & ~still & (m["quiet"] > 0), m["quiet"])
    m["quiet"] = np.where(still, m["quiet"] + 1, np.where(now.counted | (now.level > 0), 0, m["quiet"]))


def _backlog(m: dict[str, Floats], now: Now) -> None:
    """Follow the backlog from low to high and back: how often and how far it rises."""
    up, down = now.grew > 0, now.grew < 0
    flat = now.grew == 0
    m["flats"] = np.where(flat, m["flats"] + 1, 0)
    stands = m["flats"] >= 2
    m["ups"] = np.where(up, m["ups"] + 1, np.where(down | stands, 0, m["ups"]))
    m["downs"] = np.where(down, m["downs"] + 1, np.where(up | stands, 0, m["downs"]))
    new = np.isnan(m["low"]) & now.known
    m["low"] = np.where(new, now.level, m["low"])
    m["high"] = np.where(new, now.level, m["high"])
    rising = m["rising"] > 0
    higher = now.level > m["high"]
    m["since_high"] = np.where(higher, 0, m["since_high"] + now.known)
    m["high"] = np.where(rising & higher, now.level, m["high"])
    fallen = rising & (now.level <= m["high"] - np.maximum(2 * now.noise, 0.5 * (m["high"] - m["low"])))
    _note(m, "swing", fallen, m["high"] - m["low"])
    m["low"] = np.where(fallen, now.level, m["low"])
    m["low"] = np.where(~rising & (now.level < m["low"]), now.level, m["low"])
    begins = ~rising & (now.level > m["low"])
    m["high"] = np.where(begins, now.level, m["high"])
    m["since_high"] = np.where(begins, 0, m["since_high"])
    m["rising"] = np.where(fallen, 0.0, np.where(begins, 1.0, m["rising"]))
    m["climb"] = np.where(up, _smooth(m["climb"], now.grew, up), m["climb"])


def _fill(m: dict[str, Floats], now: Now) -> None:
    """Follow whether consumers hold all they may: while messages are ready they hold the same again and again."""
    steady = np.abs(now.unacked - m["unacked"]) <= 0.1 * now.unacked
    full = now.attended & steady & (now.unacked > 0) & (now.ready > 0) & (m["ready"] > 0)
    m["full"] = np.where(full, m["full"] + 1, 0)
    m["unfilled"] = np.where(full, 0, m["unfilled"] + now.known)


def remember(m: dict[str, Floats], now: Now, named: Floats) -> None:
    """Keep the tick for the next one, with the states that were named."""
    tick, known = now.tick, now.known
    m["last_in"] = np.where(now.counted, now.entered / now.counted_s, m["last_in"])
    m["last_out"] = np.where(now.counted, np.where(now.acked > 0, m["rate"], 0), m["last_out"])
    m["streak"] = np.where(now.counted, np.where(now.entered > 0, m["streak"] + 1, 0), m["streak"])
    for name, values in (("ready", now.ready), ("unacked", now.unacked), ("consumers", now.consumers)):
        m[name] = np.where(known, values, m[name])
    m["consumers_ms"] = np.where(now.consumers_told, float(tick.at_ms), m["consumers_ms"])
    m["level"] = np.where(known, now.level, m["level"])
    unknown = np.full(len(tick.slots), np.nan)
    told = ~np.isnan(tick.figures.get("acknowledged", unknown)) & ~np.isnan(tick.figures.get("delivered", unknown))
    # What is no reading of now is none at all.
    told &= now.counted | now.restarted
    for name in COUNTERS:
        m[name] = np.where(told, tick.figures.get(name, unknown), m[name])
    m["told_ms"] = np.where(told, tick.at_ms, m["told_ms"])
    m["moved_ms"] = np.where(now.restarted, tick.at_ms, m["moved_ms"])
    m["told_level"] = np.where(told & known, now.level, m["told_level"])
    m["seen"] = m["seen"] + known
    m["state"] = np.where(known, named, m["state"])
    old = tick.at_ms - m["learned_ms"] > _LEARNED_MS
    for name in ("pause", "rest", "swing"):
        m[f"{name}_before"] = np.where(old, m[f"{name}_second"], m[f"{name}_before"])
        for learned in (name, f"{name}_second"):
            m[learned] = np.where(old, 0.0, m[learned])
    m["learned_ms"] = np.where(old, float(tick.at_ms), m["learned_ms"])


def habit(m: Mapping[str, Floats], name: str) -> Floats:
    """Return what a queue does of habit: its second longest `pause` or `rest` in ticks, its second highest `swing`."""
    return np.maximum(m[f"{name}_second"], m[f"{name}_before"])


def _note(m: dict[str, Floats], name: str, where: Flags, values: Floats) -> None:
    """Keep the two largest of what a queue did; the second counts: what happened once is no habit."""
    first, second = m[name], m[f"{name}_second"]
    m[f"{name}_second"] = np.where(where, np.maximum(second, np.minimum(first, values)), second)
    m[name] = np.where(where, np.maximum(first, values), first)


def _smooth(held: Floats, value: Floats, where: Flags) -> Floats:
    usable = where & ~np.isnan(value)
    return np.where(usable, np.where(np.isnan(held), value, 0.6 * held + 0.4 * value), held)
