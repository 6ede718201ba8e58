"""What is stored of a broker between two moments, as samples: which rows to open, and what they hold of objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from brokers.series import snapshots
from brokers.series.cells import Cells, Ticks, of_counter, of_values, shape_of
from brokers.series.codec import Packed
from brokers.series.metrics import Kind, Shape
from brokers.series.rates import HOLDS_MS, Floats

# How far before a range samples are read, so that its first rates are known.
CONTEXT_MS = HOLDS_MS + 60_000
# Cells of one matrix in memory: 16 MB.
_CELLS_AT_ONCE = 2_000_000
_ATTEMPTS = 6

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part:
    """Some objects' cells over all samples of a history: `there` in how many polls of each sample each object was."""

    slots: NDArray[np.uint32]
    there: Floats
    cells: dict[str, Cells]


@dataclass(frozen=True, slots=True)
class History:
    """The samples of one broker between two moments; what they hold is read part by part."""

    broker_id: int
    ticks: Ticks
    # Snapshots from a bit before the range on; the samples of the range begin at `first`.
    rows: list[snapshots.SnapshotRow]
    first: int

    def parts(self, kind: Kind, slots: Sequence[int] | None, metrics: Sequence[str]) -> Iterator[Part]:
        """Yield the stored metrics of objects (None: of all that are there), some objects at a time, slots ascending.

        Objects that are asked for and in no sample are not left out. Raises SnapshotsMovedError.
        """
        tables: list[tuple[int, Packed]] = list(snapshots.opened(self.rows, kind, metrics))
        if slots is None:
            lists = {id(table.slots): table.slots for _, table in tables}
            wanted = np.unique(np.concatenate(list(lists.values()))) if lists else np.empty(0, dtype=np.uint32)
        else:
            wanted = np.unique(np.asarray(slots, dtype=np.uint32))
        many = max(64, _CELLS_AT_ONCE // max(1, len(self.rows)))
        for begin in range(0, len(wanted), many):
            yield self._part(kind, tables, wanted[begin : begin + many], metrics)

    def _part(
        self, kind: Kind, tables: Sequence[tuple[int, Packed]], slots: NDArray[np.uint32], metrics: Sequence[str]
    ) -> Part:
        there, values = snapshots.matrix(len(self.rows), tables, slots, metrics)
        ticks = ticks_of(self.rows)
        inside = slice(self.first, None)
        cells = {name: raw_cells(kind, name, ticks, column, there).part(inside) for name, column in values.items()}
        return Part(slots, there[:, inside], cells)


def open_history(broker_id: int, start_ms: int, end_ms: int) -> History:
    """Return what is stored between two moments, both inclusive."""
    rows = snapshots.rows_between(broker_id, start_ms - CONTEXT_MS, end_ms)
    first = next((index for index, row in enumerate(rows) if row.at_ms >= start_ms), len(rows))
    return History(broker_id, ticks_of(rows[first:]), rows, first)


def raw_cells(kind: Kind, metric: str, ticks: Ticks, values: Floats, there: Floats) -> Cells:
    """Return the cells of a stored metric at single polls."""
    if shape_of(kind, metric) is Shape.COUNTER:
        return of_counter(ticks, values, there)
    return of_values(values)


def ticks_of(rows: Sequence[snapshots.SnapshotRow]) -> Ticks:
    """Return snapshots as samples."""
    count = len(rows)
    return Ticks(
        np.fromiter((row.at_ms for row in rows), np.int64, count),
        np.fromiter((row.cadence_ms for row in rows), np.int64, count),
        np.fromiter((row.complete for row in rows), np.bool_, count),
        np.ones(count, dtype=np.int64),
        np.zeros(count, dtype=np.int64),
    )


def consistent(read: Callable[[], T]) -> T:
    """Call `read`, and again where compaction moved what it was about to open.

    The tables are asked in several queries that see different moments; a move takes milliseconds and is minutes apart.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return read()
        except snapshots.SnapshotsMovedError:
            continue
    return read()
