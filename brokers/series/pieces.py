"""A stretch of history at one level, and what it holds of some objects: from blocks, from snapshots, or from both."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brokers.series import blocks, snapshots
from brokers.series.cells import SPARSE, Cells, Ticks, joined_ticks, of_counter, of_gauge, shape_of
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
    ) -> tuple[Floats, dict[str, Cells]]:
        """Return in how many polls the objects (slots ascending) were there, and the metrics' cells."""
        if self.level is not Level.RAW:
            there = np.zeros((len(slots), len(self.ticks)))
            self._scatter(slots, opened, {blocks.THERE: there})
            return there, {name: self._rolled(kind, name, slots, opened, fields) for name in metrics}
        there, values = self.raw(slots, metrics, opened, tables)
        inside = slice(self.first, None)
        cells = {name: raw_cells(kind, name, self.ticks, column, there) for name, column in values.items()}
        return there[:, inside], {name: found.part(inside) for name, found in cells.items()}

    def raw(
        self, slots: NDArray[np.uint32], metrics: Sequence[str], opened: Opened, tables: Tables
    ) -> tuple[Floats, dict[str, Floats]]:
        """Return where the objects were there, and the metrics' values, of a piece of single polls, context and all."""
        there = np.zeros((len(slots), len(self.ticks)))
        values = {name: np.full(there.shape, np.nan) for name in metrics}
        self._scatter(slots, opened, {blocks.THERE: there, **values})
        if self.rows:
            at, figures = snapshots.matrix(len(self.rows), tables, slots, metrics)
            there[:, self.row_places] = at
            for name in metrics:
                values[name][:, self.row_places] = figures[name]
        return there, values

    def _rolled(
        self, kind: Kind, metric: str, slots: NDArray[np.uint32], opened: Opened, fields: frozenset[str]
    ) -> Cells:
        count = (len(slots), len(self.ticks))
        kept = [field for field in KEPT[shape_of(kind, metric)] if field in fields]
        found = {field: np.full(count, np.nan) for field in kept}
        self._scatter(slots, opened, {f"{metric}:{field}": values for field, values in found.items()})
        none, zero = np.broadcast_to(np.nan, count), np.broadcast_to(0.0, count)
        last = found.get("last", none)
        return Cells(
            last,
            found.get("low", last),
            found.get("high", none),
            np.nan_to_num(found["total"], copy=False) if "total" in found else zero,
            np.nan_to_num(found["weight"], copy=False) if "weight" in found else zero,
        )

    def _scatter(self, slots: NDArray[np.uint32], opened: Opened, into: Mapping[str, Floats]) -> None:
        """Fill matrices (slots × samples) with the columns of the blocks that hold them."""
        numbers = np.unique(slots // blocks.GROUP).tolist()
        for source in self.sources:
            for group in numbers:
                block = opened.get((source.span_id, group))
                if block is None or not source.fits(block):
                    continue
                targets, rows = common(slots, block.slots)
                if not len(rows):
                    continue
                whole = len(source.samples) == block.samples
                where = source.where
                one = int(targets[0]) if len(targets) == 1 else None
                for name, values in into.items():
                    if not block.has(name):
                        continue
                    try:
                        found = block.column(name, rows.tolist())
                    except CorruptBlockError as error:
                        # A gap, as if nothing had been stored.
                        logger.warning("A block of span %s: %s", source.span_id, error)
                        continue
                    found = found if whole else found[:, source.samples]
                    if one is not None:
                        values[one, where] = found[0]
                    elif isinstance(where, slice):
                        values[run(targets), where] = found
                    else:
                        values[np.ix_(targets, where)] = found


def common(slots: NDArray[np.uint32], others: NDArray[np.uint32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the places in both of what both have; both ascending."""
    if not len(slots):
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    place = np.minimum(np.searchsorted(slots, others), len(slots) - 1)
    rows = np.flatnonzero(slots[place] == others)
    return place[rows], rows


def run(places: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """Return places as a slice where they are neighbours."""
    count = len(places)
    if count and places[-1] - places[0] == count - 1 and (count < 3 or (np.diff(places) == 1).all()):
        return slice(int(places[0]), int(places[0]) + count)
    return places


def raw_cells(kind: Kind, metric: str, ticks: Ticks, values: Floats, there: Floats) -> Cells:
    """Return the cells of a stored metric at single polls."""
    if shape_of(kind, metric) is Shape.COUNTER:
        return of_counter(ticks, values, there)
    return of_gauge(ticks, values, there, SPARSE) if metric in SELDOM else of_gauge(ticks, values, there)


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
    for span in spans:
        times = span.ticks.times_ms
        inside = (times >= since_ms) & (times < stretch.end_ms)
        chosen.append(np.flatnonzero(inside & ~np.isin(times, newer) if len(newer) else inside))
    parts = [span.ticks.part(samples) for span, samples in zip(spans, chosen, strict=True)]
    ticks = joined_ticks([*parts, ticks_of(rows)])
    order = np.argsort(ticks.times_ms, kind="stable")
    places = np.empty(len(order), dtype=np.intp)
    places[order] = np.arange(len(order))
    sources, begin = [], 0
    for span, samples in zip(spans, chosen, strict=True):
        sources.append(Source(span.id, samples, places[begin : begin + len(samples)]))
        begin += len(samples)
    ticks = ticks.part(order)
    first = int(np.searchsorted(ticks.times_ms, stretch.start_ms))
    return Piece(stretch.level, ticks, first, sources, rows, places[begin:])
