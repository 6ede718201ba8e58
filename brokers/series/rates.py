"""Rates from counters: per second, unknown where a counter restarted or nothing was read for too long. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Snapshots further apart than this many cadences have a gap between them: the time in between is unknown.
GAP_CADENCES = 2.5
# Counters that are too dear for every tick are read once a minute at most: a rate holds until the next reading is due.
HOLDS_MS = 130_000
# Where the budget stretches their cadence it holds longer, but not for ever. The cadence moves with what answers cost.
HOLDS_LONGEST_MS, HOLDS_READINGS = 900_000, 2.0
# RabbitMQ's per-object figures move every 5 s. A rate over less than this would show that beat, not the traffic.
MIN_RATE_SPAN_MS = 9_000

Floats = NDArray[np.float64]


def rates(times_ms: NDArray[np.int64], counter: Floats, gap_ms: float | Floats) -> Floats:
    """Return a counter's rate per second at each time: what was counted since a moment at least 9 s before, or since
    the previous sample where that lies further back.

    `counter` is one row, or objects × times. Unknown at the first sample, where either end is unknown, where the
    counter fell in between (it restarted) and across more than `gap_ms` (one figure, or one for each distance).
    """
    found = np.full(counter.shape, np.nan)
    count = len(times_ms)
    if count < 2:
        return found
    here, base = np.arange(1, count), bases(times_ms)[1:]
    with np.errstate(invalid="ignore"):
        falls = np.cumsum(np.diff(_last_known(counter), axis=-1, prepend=counter[..., :1]) < 0, axis=-1)
    broken = stretches(times_ms, np.maximum(gap_ms, MIN_RATE_SPAN_MS * 2) if np.isscalar(gap_ms) else gap_ms)
    span = (times_ms[here] - times_ms[base]).astype(np.float64)
    difference = counter[..., here] - counter[..., base]
    ok = (span > 0) & (broken[here] == broken[base]) & (falls[..., here] == falls[..., base])
    with np.errstate(invalid="ignore"):
        ok &= difference >= 0
    found[..., 1:] = np.where(ok, difference / np.where(span > 0, span, 1) * 1000.0, np.nan)
    return found


def _last_known(counter: Floats) -> Floats:
    """Return a counter with the known value before in place of each unknown one: a restart shows behind that too."""
    unknown = np.isnan(counter)
    if not unknown.any():
        return counter
    place = np.maximum.accumulate(np.where(unknown, 0, np.arange(counter.shape[-1])), axis=-1)
    return np.take_along_axis(counter, place, axis=-1)


def bases(times_ms: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return for each sample the one that its rate counts from: 9 s before, or the previous one."""
    back = np.searchsorted(times_ms, times_ms - MIN_RATE_SPAN_MS, side="right") - 1
    return np.clip(back, 0, np.maximum(np.arange(len(times_ms)) - 1, 0))


def stretches(times_ms: NDArray[np.int64], gap_ms: float | Floats) -> NDArray[np.int64]:
    """Return which stretch of the log without a gap each sample belongs to: 0, 1, …"""
    if len(times_ms) == 0:
        return np.empty(0, dtype=np.int64)
    return np.concatenate(([0], np.cumsum(np.diff(times_ms) > gap_ms)))


def gaps_ms(cadences_ms: NDArray[np.int64]) -> Floats:
    """Return for each distance between two neighbours how long it may be: 2.5 of the longer cadence of the two."""
    return np.maximum(cadences_ms[1:], cadences_ms[:-1]) * GAP_CADENCES


def held(times_ms: NDArray[np.int64], counter: Floats, gap_ms: float | Floats, complete: NDArray[np.bool_]) -> Floats:
    """Return the rate of a counter that few snapshots have: that of its last two readings, until the next is overdue.

    It holds across no gap in the log, and not in an incomplete snapshot, where the counter may be missing for
    another reason. `counter` is one row, or objects × times that were read together.
    """
    unknown = np.isnan(counter)
    was_read = ~(unknown if counter.ndim == 1 else unknown.all(axis=0))
    readings = np.flatnonzero(was_read)
    if len(readings) == 0:
        return np.full(counter.shape, np.nan)
    stretch = stretches(times_ms, gap_ms)
    read_ms = times_ms[readings]
    found = rates(read_ms, counter[..., readings], holds_ms(read_ms))
    same = np.concatenate(([False], stretch[readings][1:] == stretch[readings][:-1]))
    return _carried(times_ms, np.where(same, found, np.nan), readings, stretch, complete)


def carried(times_ms: NDArray[np.int64], gauge: Floats, gap_ms: float | Floats, complete: NDArray[np.bool_]) -> Floats:
    """Return a gauge that few snapshots have with each reading held until the next is overdue, as `held` does."""
    readings = np.flatnonzero(~np.isnan(gauge).all(axis=0))
    if len(readings) == 0:
        return gauge
    return _carried(times_ms, gauge[:, readings], readings, stretches(times_ms, gap_ms), complete)


def holds_ms(read_ms: NDArray[np.int64]) -> float:
    """Return how long a reading holds, from the pace at which readings came."""
    pace_ms = float(np.median(np.diff(read_ms))) if len(read_ms) > 1 else 0.0
    return float(np.clip(pace_ms * HOLDS_READINGS, HOLDS_MS, HOLDS_LONGEST_MS))


def _carried(
    times_ms: NDArray[np.int64],
    values: Floats,
    readings: NDArray[np.intp],
    stretch: NDArray[np.int64],
    complete: NDArray[np.bool_],
) -> Floats:
    read_ms = times_ms[readings]
    last = np.searchsorted(read_ms, times_ms, side="right") - 1
    place = np.maximum(last, 0)
    age_ms = times_ms - read_ms[place]
    holds = (last >= 0) & (age_ms <= holds_ms(read_ms)) & (stretch == stretch[readings][place])
    return np.where(holds & (complete | (age_ms == 0)), values[..., place], np.nan)


def growth(times_ms: NDArray[np.int64], counter: Floats, limit_ms: float | Floats) -> tuple[Floats, Floats]:
    """Return what each sample counted since the one before it that is known, and over how many milliseconds.

    Both 0 where there is none before within `limit_ms` (one figure, or one a sample), and where the counter fell.
    Added up they give how much a counter grew whatever its restarts. `counter` is objects × times.
    """
    known = ~np.isnan(counter)
    place = np.where(known, np.arange(counter.shape[1]), -1)
    before = np.maximum.accumulate(place, axis=1)
    before = np.concatenate((np.full((len(counter), 1), -1), before[:, :-1]), axis=1)
    at = np.maximum(before, 0)
    over = (times_ms - times_ms[at]).astype(np.float64)
    with np.errstate(invalid="ignore"):
        grown = counter - np.take_along_axis(counter, at, axis=1)
        ok = known & (before >= 0) & (over > 0) & (over <= limit_ms) & (grown >= 0)
    return np.where(ok, grown, 0.0), np.where(ok, over, 0.0)
