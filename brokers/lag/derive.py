"""Derived measures as pure functions on arrays of stored ones: sums, gaps, ratios, pace. NaN is *unknown* throughout.

All of them work on one moment of many objects as well as on many moments of one: the last axis is time where one is
meant. A measure of several objects, or of a step that sums many readings up, is computed from the sums of what it
needs, so that a ratio is a ratio of sums and never a mean of ratios.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

# A change of less than this many messages over the whole span of a slope is no change: half a message can't go.
_STILL = 0.5


def ratio(part: Values, whole: Values) -> Values:
    """Return part / whole; unknown where the whole is zero or unknown."""
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    found = np.full(whole.shape, np.nan)
    with np.errstate(invalid="ignore"):
        np.divide(part, whole, out=found, where=whole > 0)
    return found


def slope(times_ms: NDArray[np.int64] | Values, values: Values, span_ms: float) -> Values:
    """Return at each time the least-squares slope per second of the values over the last `span_ms`.

    `values` has time as its last axis. A line through all readings is moved little by the teeth of a saw, where a
    difference of two of them is. Unknown where the readings known in the span are fewer than two, or cover less
    than half of it.
    """
    found = np.full(values.shape, np.nan)
    count = len(times_ms)
    if count < 2:
        return found
    # In units of the span and from its beginning, so that sums of squares keep their digits.
    at = (np.asarray(times_ms, np.float64) - float(times_ms[0])) / span_ms
    known = ~np.isnan(values)
    # From the least one, so that a deep queue that stands still has no slope by rounding.
    y = np.where(known, values - np.fmin.reduce(values, axis=-1, keepdims=True), 0.0)
    first = np.searchsorted(at, at - 1.0 - 1e-9, side="left")

    def sums(terms: Values) -> Values:
        total = np.concatenate((np.zeros((*terms.shape[:-1], 1)), np.cumsum(terms, axis=-1)), axis=-1)
        window: Values = total[..., 1:] - total[..., first]
        return window

    n = sums(known.astype(np.float64))
    t, tt = sums(known * at), sums(known * at * at)
    spread = n * tt - t * t
    earliest = _earliest(at, known, first)
    enough = (n >= 2) & known & (at - earliest >= 0.5 - 1e-9) & (spread > 0)
    lean = n * sums(y * at) - t * sums(y)
    np.divide(lean, spread, out=found, where=enough)
    return found / span_ms * 1000.0


def slope_now(times_ms: NDArray[np.int64], values: Values, span_ms: float) -> Values:
    """Return `slope` at the last time alone, for a row of values an object."""
    at = (times_ms - times_ms[-1]) / span_ms
    inside = at >= -1.0 - 1e-9
    at, values = at[inside], values[:, inside]
    known = ~np.isnan(values)
    n, t, tt = known.sum(axis=1), known @ at, known @ (at * at)
    y = np.where(known, values, 0.0)
    spread = n * tt - t * t
    earliest = at[np.argmax(known, axis=1)]
    enough = (n >= 2) & known[:, -1] & (-earliest >= 0.5 - 1e-9) & (spread > 0)
    found = np.full(len(values), np.nan)
    np.divide(n * (y @ at) - t * y.sum(axis=1), spread, out=found, where=enough)
    return found / span_ms * 1000.0


def _earliest(at: Values, known: NDArray[np.bool_], first: NDArray[np.intp]) -> Values:
    """Return the time of the earliest known reading in the window of each time; unknown ones give infinity."""
    count = len(at)
    place = np.where(known, np.arange(count), count)
    # The next known reading from each place on.
    following = np.minimum.accumulate(place[..., ::-1], axis=-1)[..., ::-1]
    found = following[..., first]
    return np.where(found < count, at[np.minimum(found, count - 1)], np.inf)


def growth(pace: Values) -> Values:
    """Return messages per minute from messages per second."""
    return pace * 60.0


def drain_time(total: Values, pace: Values, span_s: float) -> Values:
    """Return how many seconds it takes to empty at this pace (messages per second over the last `span_s`).

    Zero where it is empty, infinite (never) where it grows or stands still with messages in it.
    """
    total, pace = np.broadcast_arrays(np.asarray(total, np.float64), np.asarray(pace, np.float64))
    found = np.full(total.shape, np.nan)
    with np.errstate(invalid="ignore"):
        falls = pace * span_s < -_STILL
        np.divide(total, -pace, out=found, where=falls)
        found = np.where(~falls & (total > 0) & ~np.isnan(pace), np.inf, found)
        return np.where(total == 0, 0.0, found)
