"""Any measure over time, by its name in the registry: of one object, of several together, of each, the top ones.

Same signatures as brokers.series.read and top. Derived measures are computed from what a step holds of their parts, so
that a ratio over a day is a ratio of what was counted in it, and a sum of several objects is one of their parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from brokers.lag.derive import Values, slope
from brokers.lag.measures import Columns, Form, Measure, Over, measure
from brokers.series import read as series
from brokers.series.metrics import Kind
from brokers.series.read import DEFAULT_POINTS, Many, Series
from brokers.series.top import By, Ranked
from brokers.series.top import top as stored_top

__all__ = ["Many", "Ranked", "Series", "UnknownMeasureError", "read", "read_each", "top"]

# Objects that are read at once where a great many are compared, and moments that each is compared by.
_CHUNK, _COMPARED = 1_000, 60
_EVERYTHING = 2**31


class UnknownMeasureError(ValueError):
    """A kind of objects has no measure of this name; the message says so for the person who asked."""


def read(
    broker_id: int,
    kind: Kind,
    slots: Sequence[int],
    names: Sequence[str],
    start_ms: int,
    end_ms: int,
    *,
    step_ms: int | None = None,
    points: int = DEFAULT_POINTS,
) -> Series:
    """Return measures of one object, or of several together, between two moments; see Measure.over for the latter.

    `low` and `high` are the bounds of what a measure was inside each step, as far as that can be told of it; a derived
    one without such bounds has its value in all three. Raises UnknownMeasureError.
    """
    wanted = _wanted(kind, names)
    together = len(set(slots)) > 1
    each = [one.name for one in wanted if together and one.over in {Over.MAX, Over.MIN}]
    step = step_ms or max(1, (end_ms - start_ms) // points)
    lead = _lead_ms(wanted, step)
    stored = _needs([one for one in wanted if one.name not in each])
    found = series.read(broker_id, kind, slots, stored, start_ms - lead, end_ms, step_ms=step)
    inside = found.times_ms >= start_ms
    values, low, high = _all(wanted, found, each, inside)
    times = found.times_ms[inside]
    extremes = [one for one in wanted if one.name in each]
    for name, columns in _extremes(broker_id, kind, slots, extremes, times, start_ms, end_ms, step):
        values[name], low[name], high[name] = columns
    return Series(times, values, found.step_ms, low, high, found.resolution_ms)


def read_each(
    broker_id: int,
    kind: Kind,
    slots: Sequence[int],
    names: Sequence[str],
    start_ms: int,
    end_ms: int,
    *,
    step_ms: int | None = None,
    points: int = DEFAULT_POINTS,
) -> Many:
    """Return measures of several objects at once, each by itself: arrays of slots × times. Else like `read`."""
    wanted = _wanted(kind, names)
    step = step_ms or max(1, (end_ms - start_ms) // points)
    found = series.read_each(
        broker_id, kind, slots, _needs(wanted), start_ms - _lead_ms(wanted, step), end_ms, step_ms=step
    )
    inside = found.times_ms >= start_ms
    values, low, high = _all(wanted, found, (), inside)
    return Many(found.slots, found.times_ms[inside], values, low, high, found.step_ms, found.resolution_ms)


def top(
    broker_id: int,
    kind: Kind,
    name: str,
    n: int,
    start_ms: int,
    end_ms: int,
    *,
    by: By = "mean",
    slots: Sequence[int] | None = None,
) -> list[Ranked]:
    """Return the `n` objects with the highest value of a measure between two moments, the highest first.

    The value is the mean, least, greatest or last one; the mean of a ratio is the ratio of the means. Objects of which
    nothing is known are left out. Raises UnknownMeasureError.
    """
    (wanted,) = _wanted(kind, [name])
    if wanted.form is not Form.DERIVED:
        return stored_top(broker_id, kind, name, n, start_ms, end_ms, by=by, slots=slots)
    if by == "mean" and not wanted.span_s:
        found = _of_means(broker_id, kind, wanted, start_ms, end_ms, slots)
    else:
        found = _of_moments(broker_id, kind, wanted, start_ms, end_ms, by, slots)
    ranked = [Ranked(slot, value) for slot, value in found if not math.isnan(value)]
    return sorted(ranked, key=lambda one: (-one.value, one.slot))[: max(0, n)]


def _wanted(kind: Kind, names: Sequence[str]) -> list[Measure]:
    found = []
    for name in names:
        one = measure(kind, name)
        if one is None:
            raise UnknownMeasureError(f"There is no measure {name!r} of a {kind}.")
        found.append(one)
    return found


def _needs(wanted: Sequence[Measure]) -> list[str]:
    """Return what is to be read from the log: stored names and rates."""
    return sorted({name for one in wanted for name in (one.needs if one.form is Form.DERIVED else (one.name,))})


def _lead_ms(wanted: Sequence[Measure], step_ms: int) -> int:
    """Return how much earlier to begin, in whole steps, so that the first step has a pace already."""
    span_ms = max((_span_ms(one, step_ms) for one in wanted if one.span_s), default=0)
    return math.ceil(span_ms / step_ms + 1) * step_ms if span_ms else 0


def _span_ms(one: Measure, step_ms: int) -> int:
    """A pace is that of at least two steps."""
    return max(one.span_s * 1000 + min(step_ms, 60_000), 2 * step_ms + step_ms // 2)


def _all(
    wanted: Sequence[Measure], found: Series | Many, elsewhere: Sequence[str], inside: NDArray[np.bool_]
) -> tuple[dict[str, Values], dict[str, Values], dict[str, Values]]:
    values: dict[str, Values] = {}
    low: dict[str, Values] = {}
    high: dict[str, Values] = {}
    for one in wanted:
        if one.name in elsewhere:
            continue
        if one.form is not Form.DERIVED:
            columns = found.values[one.name], found.low[one.name], found.high[one.name]
        else:
            columns = _computed(one, found)
        values[one.name], low[one.name], high[one.name] = (column[..., inside] for column in columns)
    return values, low, high


def _computed(one: Measure, found: Series | Many) -> tuple[Values, Values, Values]:
    columns = {name: found.values[name] for name in one.needs}
    if one.span_s:
        total = columns["ready"] + columns["unacked"]
        columns["pace"] = slope(found.times_ms, total, float(_span_ms(one, found.step_ms)))
    values = _compute(one)(columns)
    if one.bounds is None:
        return values, values, values
    low, high = one.bounds(found.low, found.high)
    return values, low, high


def _compute(one: Measure) -> Callable[[Columns], Values]:
    if one.compute is None:
        raise ValueError(f"{one.name} is not a derived measure")
    return one.compute


def _extremes(
    broker_id: int,
    kind: Kind,
    slots: Sequence[int],
    wanted: Sequence[Measure],
    times_ms: NDArray[np.int64],
    start_ms: int,
    end_ms: int,
    step_ms: int,
) -> Iterator[tuple[str, tuple[Values, Values, Values]]]:
    """Yield of measures that are not added up the greatest or least of several objects at each time."""
    if not wanted or not len(times_ms):
        yield from ((one.name, (np.empty(0), np.empty(0), np.empty(0))) for one in wanted)
        return
    names = [one.name for one in wanted]
    places = list(dict.fromkeys(slots))
    found: dict[str, tuple[Values, Values, Values]] = {}
    for begin in range(0, len(places), _CHUNK):
        part = series.read_each(
            broker_id, kind, places[begin : begin + _CHUNK], names, start_ms, end_ms, step_ms=step_ms
        )
        at = np.searchsorted(times_ms, part.times_ms)
        at = np.minimum(at, len(times_ms) - 1)
        same = times_ms[at] == part.times_ms
        for one in wanted:
            pick = np.fmax if one.over is Over.MAX else np.fmin
            columns = []
            for source, held in zip(
                (part.values, part.low, part.high), found.get(one.name, (None, None, None)), strict=True
            ):
                column = np.full(len(times_ms), np.nan)
                column[at[same]] = pick.reduce(source[one.name], axis=0)[same]
                columns.append(column if held is None else pick(held, column))
            found[one.name] = (columns[0], columns[1], columns[2])
    yield from found.items()


def _of_means(
    broker_id: int, kind: Kind, wanted: Measure, start_ms: int, end_ms: int, slots: Sequence[int] | None
) -> list[tuple[int, float]]:
    means = {
        name: {
            one.slot: one.value
            for one in stored_top(broker_id, kind, name, _EVERYTHING, start_ms, end_ms, by="mean", slots=slots)
        }
        for name in wanted.needs
    }
    first, *others = means.values()
    common = sorted(set(first).intersection(*others)) if others else sorted(first)
    columns = {name: np.array([values[slot] for slot in common]) for name, values in means.items()}
    computed = _compute(wanted)(columns)
    return [(slot, float(value)) for slot, value in zip(common, computed.tolist(), strict=True)]


def _of_moments(
    broker_id: int, kind: Kind, wanted: Measure, start_ms: int, end_ms: int, by: By, slots: Sequence[int] | None
) -> list[tuple[int, float]]:
    if slots is None:
        there = stored_top(broker_id, kind, wanted.needs[0], _EVERYTHING, start_ms, end_ms, by="last")
        slots = sorted(one.slot for one in there)
    found: list[tuple[int, float]] = []
    for begin in range(0, len(slots), _CHUNK):
        part = read_each(
            broker_id, kind, slots[begin : begin + _CHUNK], [wanted.name], start_ms, end_ms, points=_COMPARED
        )
        source = {"min": part.low, "max": part.high}.get(by, part.values)[wanted.name]
        found += zip(part.slots.tolist(), _reduced(source, by).tolist(), strict=True)
    return found


def _reduced(values: Values, by: By) -> Values:
    if not values.shape[1]:
        return np.full(len(values), np.nan)
    if by == "max":
        return np.asarray(np.fmax.reduce(values, axis=1))
    if by == "min":
        return np.asarray(np.fmin.reduce(values, axis=1))
    known = ~np.isnan(values)
    if by == "last":
        place = np.where(known, np.arange(values.shape[1]), -1).max(axis=1)
        return np.where(place >= 0, values[np.arange(len(values)), np.maximum(place, 0)], np.nan)
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    found = np.full(len(values), np.nan)
    np.divide(total, count, out=found, where=count > 0)
    return found
