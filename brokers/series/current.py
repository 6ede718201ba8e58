"""Figures of the newest snapshot from the frames before it: current rates, and columns brought into one order. Pure."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from brokers.series.codec import Frame, Table
from brokers.series.metrics import Kind
from brokers.series.rates import MIN_RATE_SPAN_MS


def current_rate(
    slots: NDArray[np.uint32],
    now: NDArray[np.float64],
    counter: str,
    kind: Kind,
    at_ms: int,
    recent: deque[Frame],
    holds_ms: float,
) -> NDArray[np.float64]:
    """Return what was counted a second since a frame at least MIN_RATE_SPAN_MS before.

    Unknown where the counter fell since then (it restarted). Counters that are too dear for every tick are missing from
    most snapshots: there the last two that have them give the rate, for `holds_ms`. One that is missing from an
    incomplete snapshot is unknown now, and so is its rate.
    """
    found = np.full(len(slots), np.nan)
    fell = np.zeros(len(slots), dtype=np.bool_)
    newest, newest_ms = now.copy(), np.where(np.isnan(now), np.nan, float(at_ms))
    later = now.copy()
    may_wait = recent[-1].complete
    for frame in reversed(recent):
        if frame.at_ms >= at_ms:
            continue
        then = aligned(frame.table(kind), slots, counter)
        if np.isnan(then).all():
            may_wait = may_wait and frame.complete
            continue
        with np.errstate(invalid="ignore"):
            fell |= later < then
            known = ~np.isnan(then)
            start = known & np.isnan(newest) & may_wait & (at_ms - frame.at_ms <= holds_ms)
            newest, newest_ms = np.where(start, then, newest), np.where(start, float(frame.at_ms), newest_ms)
            span = newest_ms - frame.at_ms
            ready = known & np.isnan(found) & (span > 0) & ((span >= MIN_RATE_SPAN_MS) | (frame is recent[0]))
            found = np.where(ready, (newest - then) / np.where(span > 0, span, 1) * 1000.0, found)
        later = np.where(known, then, later)
        if not np.isnan(found).any():
            break
        may_wait = may_wait and frame.complete
    with np.errstate(invalid="ignore"):
        return np.where(fell | (found < 0), np.nan, found)


def aligned(table: Table, slots: NDArray[np.uint32], metric: str) -> NDArray[np.float64]:
    """Return a metric's values for the given slots, NaN where the table does not have the slot."""
    values = np.full(len(slots), np.nan)
    if len(table.slots) == 0 or metric not in table.columns:
        return values
    if len(table.slots) == len(slots) and np.array_equal(table.slots, slots):
        values[:] = table.columns[metric]
        return values
    positions = np.minimum(np.searchsorted(table.slots, slots), len(table.slots) - 1)
    there = table.slots[positions] == slots
    values[there] = table.columns[metric][positions[there]]
    return values
