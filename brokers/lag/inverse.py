"""Time lag of all queues at one moment, from what flowed through them: pure, around Flow and Arrivals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from brokers.lag.beat import BEAT_MS, SAMPLED_MS, Floats, Reading
from brokers.lag.counted import guessed_ms
from brokers.lag.flow import Flow, step
from brokers.lag.history import HORIZON_MS, SPACING, Arrivals, Counts, wrapped


class LagSource(IntEnum):
    """What a time lag was read from; stored as `lag_source`."""

    COUNTERS = 0
    HEAD_TIMESTAMP = 1
    STREAM_OFFSETS = 2
    # The head is older than what is known of the queue, or messages are not in the order in which they came: it is at
    # least so old.
    AT_LEAST = 3
    # From counters that leave it open by more than one tick and 5 %: they are older than what flowed since.
    ABOUT = 4


@dataclass(frozen=True, slots=True)
class Lag:
    """By queue: the age of the oldest message in seconds, NaN for unknown, and the source as a float (NaN likewise)."""

    time_lag: Floats
    source: Floats


@dataclass(slots=True)
class Ages:
    """What one process knows of the queues of one broker, from reading to reading."""

    flow: Flow = field(default_factory=Flow)
    arrivals: Arrivals = field(default_factory=Arrivals)
    # By slot: the last timestamp of a head, in ms, and how many had left when it was read.
    heads: dict[int, tuple[float, float]] = field(default_factory=dict)


# Publishers' clocks and counters may differ by so much and still tell of the same message.
_HEAD_SLACK_S, _HEAD_SLACK_SHARE = 30.0, 0.5
# A clock that was set back goes on from here.
_RESUME_MS = 1_000


def advance(
    ages: Ages,
    reading: Reading,
    *,
    offsets: Floats | None = None,
    streams: NDArray[np.bool_] | None = None,
    heads: Mapping[int, float] | None = None,
    unordered: NDArray[np.bool_] | None = None,
) -> Lag:
    """Take one reading and return the lag as of it.

    `streams` marks streams: nothing leaves them, and their lag is that of the slowest consumer, which is `offsets`
    messages behind the end (NaN: no consumer, or not read now). `heads` has, by slot, the time (Unix seconds) that the
    publisher of the oldest message wrote into it, where it was read now. `unordered` marks queues that put at their
    tail what is returned: the oldest message may be anywhere in them. Where n left, one of the first n + 1 that came is
    still there, so the oldest is at least as old as the next one of those.
    """
    _take(ages, reading)
    flow, arrivals = ages.flow, ages.arrivals
    columns = flow.columns
    entered = flow.entered
    behind = flow.behind
    is_stream = streams if streams is not None else np.zeros(len(behind), dtype=np.bool_)
    if offsets is not None:
        behind = np.where(is_stream, offsets, behind)
    if reading.live:
        # Counters that may have emptied it and need not are no reason to hide what it told of within the last beat.
        most = np.minimum(np.nan_to_num(reading.total), np.floor(flow.bounds[1]))
        behind = np.where((behind < 0.5) & (most >= 1) & ~is_stream, most, behind)
    # Of a queue that is empty nobody asks when its head came in.
    asked = ~(behind < 0.5) | is_stream
    counts, places = wrapped(entered), np.flatnonzero(asked)
    entry_ms, older = np.full(len(behind), float(reading.at_ms)), np.zeros(len(behind), dtype=np.bool_)
    # Half a message less: the middle of the time in which the head came in.
    entry_ms[places], older[places] = arrivals.entered_ms(counts[places], np.maximum(behind[places], 1.0) - 0.5, places)
    # What came uncounted was seen when the queue told of it, and so is all that the management API counts: half a beat
    # later, on average.
    late = (columns["in"] == 0) & ~is_stream if reading.live else np.ones(len(behind), dtype=np.bool_)
    entry_ms = np.where(late & ~older, entry_ms - BEAT_MS / 2, entry_ms)
    # What was empty since holds nothing older, whatever the counters say.
    emptied = np.isfinite(columns["empty_ms"])
    at_least = (older | (entry_ms < columns["since_ms"] - BEAT_MS)) & ~emptied
    entry_ms = np.where(at_least, np.maximum(columns["since_ms"], float(arrivals.times_ms[0])), entry_ms)
    entry_ms = np.where(emptied, np.maximum(entry_ms, columns["empty_ms"] - BEAT_MS), entry_ms)
    held = (columns["out"] < columns["held_until"]) & (reading.total > 0)
    perhaps = ~held & (columns["out"] < columns["held_perhaps"]) & (reading.total > 0)
    entry_ms = np.where(held, np.fmin(entry_ms, columns["held_ms"]), entry_ms)
    columns["head_ms"] = np.where(behind < 0.5, np.nan, entry_ms)
    lag = np.maximum(reading.at_ms - entry_ms, 0.0) / 1000.0
    about = ~held & _open(ages, reading, counts, entry_ms, late, emptied, asked)
    source = np.where(about, float(LagSource.ABOUT), float(LagSource.COUNTERS))
    source = np.where(at_least | perhaps, float(LagSource.AT_LEAST), source)
    source = np.where(is_stream & ~at_least, float(LagSource.STREAM_OFFSETS), source)
    # A queue that told of no message within the last beat has none that is older than that.
    lag = np.where((reading.total == 0) & ~is_stream, np.minimum(lag, BEAT_MS / 2000.0), lag)
    unknown = (
        np.isnan(behind)
        | np.isnan(columns["surplus"])
        | (columns["in_ms"] < reading.at_ms - guessed_ms(columns["in_span"]))
    )
    unknown |= np.isnan(reading.total)
    empty = (behind < 0.5) | ((reading.total == 0) & ~is_stream & unknown)
    lag = np.where(unknown, np.nan, lag)
    lag = np.where(empty & ~np.isnan(reading.total), 0.0, lag)
    if unordered is not None:
        returned = unordered & (columns["again_ms"] >= columns["empty_ms"]) & np.isfinite(columns["again_ms"])
        source = np.where(returned, float(LagSource.AT_LEAST), source)
    source = np.where(empty & ~is_stream, float(LagSource.COUNTERS), source)
    source = np.where(np.isnan(lag), np.nan, source)
    lag, source = _with_heads(ages, reading, entered - flow.depth, lag, source, heads or {})
    return Lag(lag, source)


def _open(
    ages: Ages,
    reading: Reading,
    counts: Counts,
    entry_ms: Floats,
    late: NDArray[np.bool_],
    emptied: NDArray[np.bool_],
    asked: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Tell of which of the queues `asked` of the age may be further off than one tick and 5 %, by what is not known of
    their depth."""
    columns, at_ms = ages.flow.columns, reading.at_ms
    least, most = ages.flow.bounds
    found = np.zeros(len(counts), dtype=np.bool_)
    # What had no more than came in within a second when it told its depth has none that is much older than that beat.
    into = np.maximum(columns["in_pace"], columns["in_pace_before"])
    flows = (reading.total <= into * 1_000) & (at_ms - entry_ms <= BEAT_MS)
    where = np.flatnonzero((most - least > 1.0) & ~flows & asked)
    # What was told at some moment of a beat is taken for told in its middle.
    allowed = BEAT_MS + 0.05 * (at_ms - entry_ms[where])
    allowed -= np.where(late[where], BEAT_MS / 2 if ages.flow.live else SAMPLED_MS, 0.0)
    for bound in (least[where], most[where]):
        there, older = ages.arrivals.entered_ms(counts[where], np.maximum(bound, 1.0) - 0.5, where)
        there = np.where(late[where] & ~older, there - BEAT_MS / 2, there)
        there = np.where(emptied[where], np.maximum(there, columns["empty_ms"][where] - BEAT_MS), there)
        there = np.where(bound < 0.5, float(at_ms), there)
        found[where] |= np.abs(there - entry_ms[where]) > allowed
    return found


def take(ages: Ages, reading: Reading) -> None:
    """Take one reading of the past, of which nobody asks the lag."""
    _take(ages, reading)


def seed(ages: Ages, lag: Floats, source: Floats) -> None:
    """Say how old heads were at the one reading taken so far, as it was stored then; messages since the head are taken
    to have come in evenly.

    So what a process that was restarted forgot of old heads is known again, roughly.
    """
    flow, arrivals = ages.flow, ages.arrivals
    if len(arrivals) != 1:
        raise ValueError("seeded after the first reading, and only then")
    known = ~np.isnan(lag) & (lag > 0) & (flow.depth > 0)
    age_ms = np.where(known, lag * 1000.0, np.inf)
    depth = np.where(known, flow.depth, 0.0)
    entered = flow.entered
    seeded = Arrivals()
    seeded.realign(flow.slots, wrapped(entered))
    moments = []
    back = BEAT_MS
    while back < min(HORIZON_MS, float(age_ms[known].max(initial=0.0)) * 1.1 + BEAT_MS):
        moments.append(back)
        back = int(back * (1.0 + SPACING)) + BEAT_MS // 5
    for ago in reversed(moments):
        share = np.clip(ago / age_ms, 0.0, 1.0)
        seeded.append(flow.at_ms - ago, wrapped(entered - depth * share))
    seeded.append(flow.at_ms, wrapped(entered))
    ages.arrivals = seeded
    sure = known & (source != float(LagSource.AT_LEAST))
    since = np.where(known, flow.at_ms - age_ms, flow.columns["since_ms"])
    flow.columns["since_ms"] = np.where(sure, -np.inf, since)
    # Older than the seeded time is older than anything: it must not look as if the head had come in then.
    empty = (flow.depth == 0) & ~np.isnan(flow.columns["surplus"])
    flow.columns["since_ms"] = np.where(empty, -np.inf, flow.columns["since_ms"])


def _take(ages: Ages, reading: Reading) -> None:
    flow, arrivals = ages.flow, ages.arrivals
    if flow.at_ms and reading.at_ms <= flow.at_ms:
        by_ms = flow.at_ms + _RESUME_MS - reading.at_ms
        by_ms = max(by_ms, 1)
        flow.set_back(by_ms)
        arrivals.set_back(by_ms)
        ages.heads.clear()
    done = step(flow, reading)
    entered = flow.entered
    if arrivals.slots is not flow.slots:
        arrivals.realign(flow.slots, wrapped(np.where(done.born, entered - flow.depth, entered)))
    counts = wrapped(entered)
    arrivals.append(reading.at_ms, counts)
    lowered = np.flatnonzero(done.lowered)
    if len(lowered):
        arrivals.lower(lowered, counts[lowered])
    restated = np.flatnonzero(done.restated)
    for since_ms in np.unique(done.restated_ms[restated]):
        where = restated[done.restated_ms[restated] == since_ms]
        then, counted = wrapped(done.entered_then[where]), flow.columns["in"][where] > 0
        arrivals.restate(where, int(since_ms), then, counts[where], counted)


def _with_heads(
    ages: Ages, reading: Reading, left: Floats, lag: Floats, source: Floats, told: Mapping[int, float]
) -> tuple[Floats, Floats]:
    """Prefer the head's own timestamp where there is one that the counters don't contradict.

    It stays true as long as the head is the same: as nothing left since it was read.
    """
    if not told and not ages.heads:
        return lag, source
    lag, source = lag.copy(), source.copy()
    places = {int(slot): place for place, slot in enumerate(reading.slots.tolist())} if told or ages.heads else {}
    for slot, seconds in told.items():
        if slot in places and seconds > 0:
            ages.heads[slot] = (seconds * 1000.0, float(left[places[slot]]))
    for slot, (stamp_ms, left_then) in list(ages.heads.items()):
        place = places.get(slot)
        if place is None or not left[place] <= left_then or lag[place] == 0.0:
            del ages.heads[slot]
            continue
        age = (reading.at_ms - stamp_ms) / 1000.0
        if age >= 0 and _believed(age, float(lag[place]), float(source[place])):
            lag[place], source[place] = age, float(LagSource.HEAD_TIMESTAMP)
    return lag, source


def _believed(age: float, counted: float, source: float) -> bool:
    """Tell whether a timestamp may be that of the head, by what the counters say of it."""
    slack = _HEAD_SLACK_S + counted * _HEAD_SLACK_SHARE
    if np.isnan(counted):
        return True
    if source == LagSource.AT_LEAST:
        return age >= counted - slack
    return abs(age - counted) <= slack
