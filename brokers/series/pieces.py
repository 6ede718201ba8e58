"""A stretch of history at one level, and what it holds of some objects: from blocks, from snapshots, or from both."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from brokers.series import blocks, snapshots
from brokers.series.cells import (
    SPARSE,
    Cells,
    Ticks,
    joined_ticks,
    of_counter,
    of_gauge,
    of_values,
    reduce_cells,
    shape_of,
    steps_of,
)
from brokers.series.codec import Packed
from brokers.series.columns import CorruptBlockError, Floats
from brokers.series.coverage import Stretch
from brokers.series.levels import Level
from brokers.series.metrics import SELDOM, Kind, Shape
from brokers.series.rates import HOLDS_MS
from brokers.series.snapshots import SnapshotRow
from brokers.series.spans import LOOKS_BACK_MS, SpanRow

logger = logging.getLogger(__name__)

# How far before a stretch of single polls samples are read, so that its first rates are known.
CONTEXT_MS = HOLDS_MS + 60_000
# And before one of figures that are read seldom.
LONG_CONTEXT_MS = LOOKS_BACK_MS
# What is kept of each shape in a roll-up; a state's least is its last, and it has no mean.
KEPT = {
    Shape.GAUGE: ("last", "low", "high", "total", "weight"),
    Shape.COUNTER: ("last", "low", "high", "total", "weight"),
    Shape.STATE: ("last", "high"),
}
ALL_FIELDS = frozenset(("last", "low", "high", "total", "weight"))

Opened = Mapping[tuple[int, int], blocks.Block]
Tables = Sequence[tuple[int, Packed]]


@dataclass(frozen=True, slots=True)
class Source:
    """Samples of a span: which of its own, and where they stand in the piece."""

    span_id: int
    samples: NDArray[np.intp]
    places: NDArray[np.intp]

    @property
    def where(self) -> slice | NDArray[np.intp]:
        """Return `places` as a slice where they are neighbours, which nearly all are."""
        return run(self.places)

    def fits(self, block: blocks.Block) -> bool:
        """Tell whether a block has the samples that its span says it has."""
        return len(self.samples) > 0 and int(self.samples[-1]) < block.samples


@dataclass(frozen=True, slots=True)
class Piece:
    """The samples of one stretch; `first` is the first that lies in it, those before only give the first rates."""

    level: Level
    ticks: Ticks
    first: int
    sources: Sequence[Source]
    rows: Sequence[SnapshotRow]
    # Where each of `rows` stands among the samples.
    row_places: NDArray[np.intp]

    @property
    def inside(self) -> Ticks:
        """Return the samples of the stretch itself."""
        return self.ticks.part(slice(self.first, None))

    def read(
        self,
        kind: Kind,
        slots: NDArray[np.uint32],
        metrics: Sequence[str],
        opened: Opened,
        tables: Tables,
        fields: frozenset[str] = ALL_FIELDS,
        step_ms: int = 0,
    ) -> tuple[Floats, dict[str, Cells]]:
        """Return in how many polls the objects (slots ascending) were there, and the metrics' cells.

        With `step_ms` the samples of each step, counted from 1970, as one.
        """
        inside = slice(self.first, None)
        begins = steps_of(self.inside, 0, step_ms) if step_ms else None
        known = self._known(metrics, opened, tables)
        if self.level is not Level.RAW:
            there, cells = self._rolled(kind, slots, known, opened, fields)
            if begins is not None:
                cells = {name: reduce_cells(found, begins, fields) for name, found in cells.items()}
        else:
            there, values = self.raw(slots, known, opened, tables)
            if begins is None:
                cells = {name: raw_cells(kind, name, self.ticks, column, there) for name, column in values.items()}
                cells = {name: found.part(inside) for name, found in cells.items()}
            else:
                cells = {name: self._stepped(kind, name, column, there, begins) for name, column in values.items()}
        there = there[:, inside]
        if begins is not None:
            there = np.add.reduceat(there, begins, axis=1)
        nothing = _cells({}, there.shape)
        return there, {name: cells.get(name, nothing) for name in metrics}

    def _known(self, metrics: Sequence[str], opened: Opened, tables: Tables) -> list[str]:
        """Return the metrics of which something is stored in what was opened."""
        names = ("",) if self.level is Level.RAW else (":last", ":high")
        return [
            metric
            for metric in metrics
            if any(block.has(metric + name) for name in names for block in opened.values())
            or any(table.columns.get(metric) is not None for _, table in tables)
        ]

    def _stepped(self, kind: Kind, name: str, values: Floats, there: Floats, begins: NDArray[np.intp]) -> Cells:
        """Return the samples from each of `begins` on as one, of a metric's values at single polls."""
        still = np.flatnonzero((values == values[:, :1]).all(axis=1) & there.all(axis=1))
        # Objects that stand still differ in their value alone: the first of them tells of all.
        alone = np.setdiff1d(np.arange(len(values)), still[1:])
        cells = raw_cells(kind, name, self.ticks, values[alone], there[alone]).part(slice(self.first, None))
        cells = reduce_cells(cells, begins)
        if len(still) < 2:
            return cells
        like = np.arange(len(values))
        like[still] = still[0]
        cells = cells.rows(np.searchsorted(alone, like))
        cells.last[still] = values[still, :1]
        if shape_of(kind, name) is not Shape.COUNTER:
            cells.low[still] = cells.high[still] = values[still, :1]
            cells.total[still] = values[still, :1] * cells.weight[still]
        return cells

    def raw(
        self, slots: NDArray[np.uint32], metrics: Sequence[str], opened: Opened, tables: Tables
    ) -> tuple[Floats, dict[str, Floats]]:
        """Return where the objects were there, and the metrics' values, of a piece of single polls, context and all."""
        there = np.zeros((len(slots), len(self.ticks)))
        values = {name: np.full(there.shape, np.nan) for name in metrics}
        self._scatter(slots, opened, {blocks.THERE: there, **values})
        if self.rows:
            at, figures = snapshots.matrix(len(self.rows), tables, slots, metrics)
            where = run(self.row_places)
            there[:, where] = at
            for name in metrics:
                values[name][:, where] = figures[name]
        return there, values

    def _rolled(
        self,
        kind: Kind,
        slots: NDArray[np.uint32],
        metrics: Sequence[str],
        opened: Opened,
        fields: frozenset[str],
    ) -> tuple[Floats, dict[str, Cells]]:
        count = (len(slots), len(self.ticks))
        found = {
            name: {field: np.full(count, np.nan) for field in KEPT[shape_of(kind, name)] if field in fields}
            for name in metrics
        }
        there = np.zeros(count)
        into = {f"{name}:{field}": values for name, columns in found.items() for field, values in columns.items()}
        self._scatter(slots, opened, {blocks.THERE: there, **into})
        return there, {name: _cells(columns, count) for name, columns in found.items()}

    def _scatter(self, slots: NDArray[np.uint32], opened: Opened, into: Mapping[str, Floats]) -> None:
        """Fill matrices (slots × samples) with the columns of the blocks that hold them."""
        if len(slots) == 1:
            self._scatter_one(int(slots[0]), opened, into)
            return
        numbers = np.unique(slots // blocks.GROUP).tolist()
        for source in self.sources:
            for group in numbers:
                block = opened.get((source.span_id, group))
                if block is None or not source.fits(block):
                    continue
                targets, rows = common(slots, block.slots)
                if not len(rows):
                    continue
                where, there = source.where, rows.tolist()
                for values, found in _columns(source, block, into, partial(block.column, rows=there)):
                    if isinstance(where, slice):
                        values[run(targets), where] = found
                    else:
                        values[np.ix_(targets, where)] = found

    def _scatter_one(self, slot: int, opened: Opened, into: Mapping[str, Floats]) -> None:
        """Do the same for one object, of which the most is asked by far, without what only many need."""
        group = slot // blocks.GROUP
        for source in self.sources:
            block = opened.get((source.span_id, group))
            if block is None or not source.fits(block):
                continue
            row = int(block.slots.searchsorted(slot))
            if row == len(block.slots) or block.slots[row] != slot:
                continue
            where = source.where
            for values, found in _columns(source, block, into, partial(block.one, row=row)):
                values[0, where] = found


def _columns(
    source: Source, block: blocks.Block, into: Mapping[str, Floats], read: Callable[[str], Floats | float]
) -> Iterator[tuple[Floats, Floats | float]]:
    """Yield each matrix with the samples of a source in its column of a block, where that can be read."""
    whole = len(source.samples) == block.samples
    for name, values in into.items():
        if not block.has(name):
            continue
        try:
            found = read(name)
        except CorruptBlockError as error:
            # A gap, as if nothing had been stored.
            logger.warning("A block of span %s: %s", source.span_id, error)
            continue
        yield values, found if whole or isinstance(found, float) else found[..., source.samples]


def _cells(columns: Mapping[str, Floats], count: tuple[int, ...]) -> Cells:
    """Return the cells of a roll-up's columns, by field; those that are not there stand for unknown, or none."""
    none, zero = np.broadcast_to(np.nan, count), np.broadcast_to(0.0, count)
    for name in columns.keys() & {"total", "weight"}:
        columns[name][np.isnan(columns[name])] = 0.0
    last = columns.get("last", none)
    return Cells(
        last,
        columns.get("low", last),
        columns.get("high", none),
        columns.get("total", zero),
        columns.get("weight", zero),
    )


def common(slots: NDArray[np.uint32], others: NDArray[np.uint32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the places in both of what both have; both ascending."""
    if not len(slots):
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    place = np.minimum(np.searchsorted(slots, others), len(slots) - 1)
    rows = np.flatnonzero(slots[place] == others)
    return place[rows], rows


def run(places: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """Return ascending places as a slice where they are neighbours."""
    count = len(places)
    if count and places[-1] - places[0] == count - 1:
        return slice(int(places[0]), int(places[0]) + count)
    return places


def raw_cells(kind: Kind, metric: str, ticks: Ticks, values: Floats, there: Floats) -> Cells:
    """Return the cells of a stored metric at single polls."""
    if shape_of(kind, metric) is Shape.COUNTER:
        return of_counter(ticks, values, there)
    if metric in SELDOM:
        return of_gauge(ticks, values, there, SPARSE)
    # Of a queue all else is read in every tick: what is unknown is not waiting for its next reading.
    return of_values(values) if kind is Kind.QUEUE else of_gauge(ticks, values, there)


def ticks_of(rows: Sequence[SnapshotRow]) -> Ticks:
    """Return snapshots as samples."""
    count = len(rows)
    return Ticks(
        np.fromiter((row.at_ms for row in rows), np.int64, count),
        np.fromiter((row.cadence_ms for row in rows), np.int64, count),
        np.fromiter((row.complete for row in rows), np.bool_, count),
        np.ones(count, dtype=np.int64),
        np.zeros(count, dtype=np.int64),
    )


def piece_of(
    stretch: Stretch, spans: Sequence[SpanRow], rows: Sequence[SnapshotRow], context_ms: int = CONTEXT_MS
) -> Piece:
    """Return the piece that tells of a stretch, from the spans and snapshots that are there.

    Samples stand by time. Of two of one moment the later written counts: a snapshot before what a block has.
    """
    since_ms = stretch.start_ms - (context_ms if stretch.level is Level.RAW else 0)
    spans = [
        span
        for span in spans
        if span.level is stretch.level and span.end_ms > since_ms and span.start_ms < stretch.end_ms
    ]
    rows = [row for row in rows if since_ms <= row.at_ms < stretch.end_ms] if stretch.level is Level.RAW else []
    newer = np.fromiter((row.at_ms for row in rows), np.int64, len(rows))
    chosen: list[NDArray[np.intp]] = []
    parts: list[Ticks] = []
    for span in spans:
        ticks = span.ticks
        samples = _chosen(ticks.times_ms, since_ms, stretch.end_ms, newer)
        chosen.append(samples)
        parts.append(ticks if len(samples) == len(ticks) else ticks.part(samples))
    ticks = joined_ticks([*parts, ticks_of(rows)])
    places = np.arange(len(ticks))
    if (ticks.times_ms[1:] < ticks.times_ms[:-1]).any():
        order = np.argsort(ticks.times_ms, kind="stable")
        places[order] = np.arange(len(order))
        ticks = ticks.part(order)
    sources, begin = [], 0
    for span, samples in zip(spans, chosen, strict=True):
        sources.append(Source(span.id, samples, places[begin : begin + len(samples)]))
        begin += len(samples)
    first = int(np.searchsorted(ticks.times_ms, stretch.start_ms))
    return Piece(stretch.level, ticks, first, sources, rows, places[begin:])


def _chosen(times_ms: NDArray[np.int64], since_ms: int, end_ms: int, newer: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return which of a span's samples, ascending, lie in [since_ms, end_ms) and are not in `newer`, ascending too."""
    begin, end = times_ms.searchsorted((since_ms, end_ms)).tolist()
    found = np.arange(begin, end)
    if end > begin and len(newer) and newer[0] <= times_ms[end - 1] and newer[-1] >= times_ms[begin]:
        return found[~np.isin(times_ms[begin:end], newer)]
    return found
