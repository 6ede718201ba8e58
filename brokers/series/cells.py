"""What is known of metrics at each sample, whatever its resolution, and how samples become steps and sums. Pure.

A *sample* is one poll, or the polls of one minute, ten minutes or hour that a roll-up stands for. Of a sample we keep
five figures, which add up over time without loss: so the same few lines roll polls up into minutes, minutes into hours,
and either into the steps of a chart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brokers.series.metrics import METRICS, RATES, Kind, Shape
from brokers.series.rates import (
    GAP_CADENCES,
    HOLDS_LONGEST_MS,
    HOLDS_MS,
    MIN_RATE_SPAN_MS,
    Floats,
    carried,
    gaps_ms,
    growth,
    held,
    rates,
    stretches,
)


@dataclass(frozen=True, slots=True)
class Ticks:
    """The samples that all objects of a broker share; arrays of one length, `times_ms` ascending.

    A sample's time is that of its last poll, `polls` how many stand behind it, `resolution_ms` 0 for single polls.
    """

    times_ms: NDArray[np.int64]
    cadences_ms: NDArray[np.int64]
    complete: NDArray[np.bool_]
    polls: NDArray[np.int64]
    resolution_ms: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.times_ms)

    def part(self, where: slice | NDArray[np.bool_] | NDArray[np.intp]) -> Ticks:
        """Return some of the samples."""
        return Ticks(
            self.times_ms[where],
            self.cadences_ms[where],
            self.complete[where],
            self.polls[where],
            self.resolution_ms[where],
        )


def no_ticks() -> Ticks:
    """Return no samples."""
    none = np.empty(0, dtype=np.int64)
    return Ticks(none, none, np.empty(0, dtype=np.bool_), none, none)


def joined_ticks(parts: Sequence[Ticks]) -> Ticks:
    """Return the samples of several stretches one behind the other."""
    if not parts:
        return no_ticks()
    return Ticks(
        np.concatenate([part.times_ms for part in parts]),
        np.concatenate([part.cadences_ms for part in parts]),
        np.concatenate([part.complete for part in parts]),
        np.concatenate([part.polls for part in parts]),
        np.concatenate([part.resolution_ms for part in parts]),
    )


@dataclass(frozen=True, slots=True)
class Cells:
    """One metric, objects × samples. NaN: unknown.

    `last` known value, `low` and `high` inside the sample (of a counter: of its rate per second), `total` and `weight`:
    the sum of the known values and their number; of a counter what it grew by and over how many milliseconds. Both
    are 0 where nothing is known.
    """

    last: Floats
    low: Floats
    high: Floats
    total: Floats
    weight: Floats

    def part(self, where: slice | NDArray[np.bool_] | NDArray[np.intp]) -> Cells:
        """Return some of the samples."""
        last = self.last[:, where]
        # Of single polls the bounds are the value itself, and stay one array with it.
        low = last if self.low is self.last else self.low[:, where]
        high = last if self.high is self.last else self.high[:, where]
        return Cells(last, low, high, self.total[:, where], self.weight[:, where])

    def rows(self, where: NDArray[np.intp]) -> Cells:
        """Return some of the objects."""
        return Cells(self.last[where], self.low[where], self.high[where], self.total[where], self.weight[where])


FIELDS = ("last", "low", "high", "total", "weight")


def joined_cells(parts: Sequence[Cells]) -> Cells:
    """Return stretches of samples one behind the other."""
    if len(parts) == 1:
        return parts[0]
    done: dict[tuple[int, ...], Floats] = {}
    found = []
    for name in FIELDS:
        arrays = [getattr(part, name) for part in parts]
        # Of single polls last, low and high are one array.
        key = tuple(map(id, arrays))
        if key not in done:
            done[key] = np.concatenate(arrays, axis=1)
        found.append(done[key])
    return Cells(*found)


def shape_of(kind: Kind, metric: str) -> Shape:
    """Return how a stored metric moves; one that the kind does not have counts as a gauge that nobody knows."""
    return _SHAPES.get((kind, metric), Shape.GAUGE)


_SHAPES = {(kind, metric.name): metric.shape for kind, metrics in METRICS.items() for metric in metrics}


# Known in a smaller part of the polls than this, a counter is one that is read now and then. One that every second poll
# reads is in half of them, and of a few polls in one more.
SPARSE = 0.75


def is_sparse(values: Floats, there: Floats, part: float = SPARSE) -> bool:
    """Tell whether a metric is known now and then only, or not at all: it is too dear for every tick."""
    read = int((~np.isnan(values)).any(axis=0).sum())
    return read < int((there > 0).any(axis=0).sum()) * part


def of_gauge(ticks: Ticks, values: Floats, there: Floats, part: float = 0.5) -> Cells:
    """Return the cells of a gauge or state at single polls; of one that only some polls read, a reading holds.

    `there`: polls in which the object was, 0 or 1. A reading holds where less than `part` of them have one.
    """
    if len(ticks) > 1 and is_sparse(values, there, part):
        held_values = carried(ticks.times_ms, values, gaps_ms(ticks.cadences_ms), ticks.complete)
        values = np.where(there > 0, held_values, np.nan)
    return of_values(values)


def of_values(values: Floats) -> Cells:
    """Return the cells of figures that are there at each sample, or not known."""
    known = ~np.isnan(values)
    return Cells(values, values, values, np.where(known, values, 0.0), known.astype(np.float64))


def of_counter(ticks: Ticks, counter: Floats, there: Floats) -> Cells:
    """Return the cells of a counter at single polls.

    One that only some snapshots have, being too dear for every tick, gives a rate where it was read; it holds in the
    snapshots between. `there`: polls in which the object was, 0 or 1.
    """
    if len(ticks) == 0:
        return Cells(counter, counter, counter, counter, counter)
    gap_ms = gaps_ms(ticks.cadences_ms)
    if is_sparse(counter, there):
        rate = held(ticks.times_ms, counter, gap_ms, ticks.complete)
        same = stretches(ticks.times_ms, gap_ms)
        began_ms = ticks.times_ms[np.searchsorted(same, same)]
        limit_ms: Floats = np.minimum(HOLDS_LONGEST_MS, ticks.times_ms - began_ms).astype(np.float64)
    else:
        rate = rates(ticks.times_ms, counter, gap_ms)
        limit_ms = np.concatenate((gap_ms[:1], gap_ms)) if len(gap_ms) else np.zeros(1)
    grown, over_ms = growth(ticks.times_ms, counter, limit_ms)
    return Cells(counter, rate, rate, grown, over_ms)


def steps_of(ticks: Ticks, start_ms: int, step_ms: int) -> NDArray[np.intp]:
    """Return the first sample of each step that has any; steps are counted from `start_ms`."""
    if len(ticks) == 0:
        return np.empty(0, dtype=np.intp)
    step = (ticks.times_ms - start_ms) // step_ms
    return np.concatenate(([0], np.flatnonzero(np.diff(step)) + 1))


def reduce_ticks(ticks: Ticks, begins: NDArray[np.intp]) -> Ticks:
    """Return the samples that remain when those from each of `begins` on become one."""
    if len(begins) == len(ticks):
        return ticks
    ends = np.append(begins[1:], len(ticks)) - 1
    return Ticks(
        ticks.times_ms[ends],
        np.maximum.reduceat(ticks.cadences_ms, begins),
        np.logical_and.reduceat(ticks.complete, begins),
        np.add.reduceat(ticks.polls, begins),
        np.maximum.reduceat(ticks.resolution_ms, begins),
    )


def reduce_cells(cells: Cells, begins: NDArray[np.intp], fields: frozenset[str] = frozenset(FIELDS)) -> Cells:
    """Make one sample of those from each of `begins` on; what is not among `fields` is unknown afterwards."""
    if len(begins) == cells.last.shape[1]:
        return cells
    unknown = np.broadcast_to(np.nan, (len(cells.last), len(begins)))
    return Cells(
        _last_known(cells.last, begins) if "last" in fields else unknown,
        np.fmin.reduceat(cells.low, begins, axis=1) if "low" in fields else unknown,
        np.fmax.reduceat(cells.high, begins, axis=1) if "high" in fields else unknown,
        np.add.reduceat(cells.total, begins, axis=1) if "total" in fields else unknown,
        np.add.reduceat(cells.weight, begins, axis=1) if "weight" in fields else unknown,
    )


def _last_known(values: Floats, begins: NDArray[np.intp]) -> Floats:
    count = values.shape[1]
    if count == 0:
        return values
    place = np.where(np.isnan(values), -1, np.arange(count))
    last = np.maximum.reduceat(place, begins, axis=1)
    return np.where(last >= 0, np.take_along_axis(values, np.maximum(last, 0), axis=1), np.nan)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a reader gets of one metric, objects × samples: the value, and the least and greatest inside each sample."""

    values: Floats
    low: Floats
    high: Floats


def show(cells: Cells, kind: Kind, name: str) -> Shown:
    """Return what a metric's cells say under a reader's name.

    Gauges: the mean. Rates: what was counted by the time it took, and over less than 9 s the rate that looks further
    back (or holds). Counters and states: the last; `high` of a state is the worst.
    """
    if name in RATES:
        enough = cells.weight >= MIN_RATE_SPAN_MS
        values = np.where(enough, cells.total / np.where(enough, cells.weight, 1) * 1000.0, cells.high)
        # A mean over whole intervals may lie outside of the rates that look back from inside.
        return Shown(values, np.fmin(cells.low, values), np.fmax(cells.high, values))
    shape = shape_of(kind, name)
    if shape is Shape.COUNTER:
        return Shown(cells.last, cells.last, cells.last)
    if shape is Shape.STATE:
        return Shown(cells.last, cells.last, np.fmax(cells.last, cells.high))
    known = cells.weight > 0
    values = np.where(known, cells.total / np.where(known, cells.weight, 1), np.nan)
    # A mean of large numbers may miss its bounds by its last bit.
    return Shown(np.clip(values, cells.low, cells.high), cells.low, cells.high)


@dataclass(slots=True)
class Sum:
    """Adds up a metric over objects, sample by sample, some objects at a time."""

    ticks: Ticks
    is_rate: bool
    is_gauge: bool
    _sums: dict[str, Floats]
    _weight: Floats
    _present: NDArray[np.bool_]
    _broken: NDArray[np.bool_]

    @classmethod
    def of(cls, ticks: Ticks, kind: Kind, name: str) -> Sum:
        """Return a sum of nothing."""
        count = len(ticks)
        return cls(
            ticks,
            name in RATES,
            name not in RATES and shape_of(kind, name) is Shape.GAUGE,
            {field: np.zeros(count) for field in ("last", "low", "high", "total", "grown")},
            np.zeros(count),
            np.zeros(count, dtype=np.bool_),
            np.zeros(count, dtype=np.bool_),
        )

    def add(self, cells: Cells, there: Floats) -> None:
        """Add objects; `there` says in how many polls of each sample each was."""
        present = there > 0
        self._present |= present.any(axis=0)
        part = there / np.maximum(self.ticks.polls, 1)
        if self.is_rate:
            counted = cells.weight > 0
            rate = np.where(counted, cells.total / np.where(counted, cells.weight, 1), cells.high / 1000.0)
            unknown = np.isnan(rate) | np.isnan(cells.high)
            self._broken |= (present & unknown & ~self._young(part)).any(axis=0)
            # Of a poll the rates add up, whatever each part counts from; of a roll-up what was counted does.
            self._sums["total"] += np.where(counted & ~unknown, rate, 0.0).sum(axis=0)
            self._sums["grown"] += cells.total.sum(axis=0)
            self._weight = np.fmax(self._weight, cells.weight.max(axis=0, initial=0.0))
            self._sums["low"] += np.nansum(np.where(present, cells.low, 0.0), axis=0)
            self._sums["high"] += np.nansum(np.where(present, cells.high, 0.0), axis=0)
        elif self.is_gauge and cells.low is cells.last:
            # Single polls only, whose bounds are the value itself.
            added = np.where(present, cells.last, 0.0).sum(axis=0)
            self._broken |= np.isnan(added)
            for field in ("total", "low", "high"):
                self._sums[field] += np.nan_to_num(added)
        elif self.is_gauge:
            known = cells.weight > 0
            self._broken |= (present & ~known).any(axis=0)
            mean = np.where(known, cells.total / np.where(known, cells.weight, 1), 0.0)
            self._sums["total"] += (mean * part).sum(axis=0)
            low = np.where(part < 1, np.fmin(cells.low, 0.0), cells.low)
            self._sums["low"] += np.where(known, low, 0.0).sum(axis=0)
            self._sums["high"] += np.where(known, cells.high, 0.0).sum(axis=0)
        else:
            self._broken |= (present & np.isnan(cells.last)).any(axis=0)
        self._sums["last"] += np.nansum(np.where(present, cells.last, 0.0), axis=0)

    def add_known(self, places: NDArray[np.intp], sums: Mapping[str, Floats]) -> None:
        """Add what objects of a gauge that were there in all polls come to at some samples; NaN: not all is known.

        `sums`: of their means (`total`), bounds and last values.
        """
        self._present[places] = True
        self._broken[places] |= np.isnan(sums["total"])
        for field, values in sums.items():
            self._sums[field][places] += np.nan_to_num(values)

    def cells(self) -> Cells:
        """Return the sum as the cells of one object: unknown where a part that is there is unknown, or none is."""
        unknown = self._broken | ~self._present
        weight = self._weight if self.is_rate else self.ticks.polls.astype(np.float64)
        total = self._sums["total"] * weight
        if self.is_rate:
            total = np.where(self.ticks.polls > 1, self._sums["grown"], total)
        sums = {name: np.where(unknown, np.nan, self._sums[name])[np.newaxis] for name in ("last", "low", "high")}
        if not (self.is_rate or self.is_gauge):
            sums["low"] = sums["high"] = sums["last"]
        return Cells(
            sums["last"],
            sums["low"],
            sums["high"],
            np.where(unknown, 0.0, total)[np.newaxis],
            np.where(unknown, 0.0, weight)[np.newaxis],
        )

    def _young(self, part: Floats) -> NDArray[np.bool_]:
        """Tell which objects came so lately that nobody can know their rate: these add nothing to a sum."""
        absent = np.cumsum(np.maximum(1.0 - part, 0.0), axis=1)
        since = np.searchsorted(self.ticks.times_ms, self.ticks.times_ms - HOLDS_MS)
        before = np.where(since > 0, absent[:, np.maximum(since - 1, 0)], 0.0)
        return absent - before > 0


def holes(ticks: Ticks, step_ms: int) -> NDArray[np.intp]:
    """Return the samples after which the log has a gap: nothing for 2.5 cadences, two steps and two resolutions."""
    if len(ticks) < 2:
        return np.empty(0, dtype=np.intp)
    limits = np.maximum(ticks.cadences_ms[:-1] * GAP_CADENCES, step_ms * 2.0)
    limits = np.maximum(limits, np.maximum(ticks.resolution_ms[:-1], ticks.resolution_ms[1:]) * 2.0)
    return np.flatnonzero(np.diff(ticks.times_ms) > limits)
