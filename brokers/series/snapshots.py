"""Columns of single snapshots, opened once: what is asked for again and again is kept in memory, within a bound.

A snapshot never changes once it is written. Columns are kept as they are stored, a byte or two a value.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brokers.series import sql
from brokers.series.codec import CorruptSnapshotError, Packed, packed
from brokers.series.metrics import Kind
from brokers.series.models import Snapshot

logger = logging.getLogger(__name__)

# What a process keeps of opened snapshots; ten minutes of 10,000 queues take 1 to 3 MB a metric.
CACHE_BYTES = 48_000_000


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """A row of the log without its payload."""

    id: int
    at_ms: int
    stored_ms: int
    cadence_ms: int
    complete: bool


class MovedError(Exception):
    """What a read was about to open was moved between two of its queries: it has to look again."""


_Key = tuple[int, int, int, Kind]
_cache: OrderedDict[_Key, Packed] = OrderedDict()
_cached_bytes = 0
_lock = threading.Lock()


def rows_between(broker_id: int, start_ms: int, end_ms: int) -> list[SnapshotRow]:
    """Return the rows of the log between two moments (both inclusive), by time; of equal times the later written."""
    rows = [
        SnapshotRow(row[0], row[1], row[2], row[3], bool(row[4]))
        for row in sql.snapshot_rows(broker_id, start_ms, end_ms)
    ]
    return list({row.at_ms: row for row in rows}.values())


def opened(rows: Sequence[SnapshotRow], kind: Kind, metrics: Sequence[str]) -> Iterator[tuple[int, Packed]]:
    """Yield (index in `rows`, columns) of those that can be read; one that can't is a gap, as if its poll had failed.

    Raises MovedError where one is gone.
    """
    wanted = frozenset(metrics)
    missing: dict[int, int] = {}
    for index, row in enumerate(rows):
        held = _get(row, kind)
        if held is not None and wanted <= held.columns.keys():
            yield index, held
        else:
            missing[row.id] = index
    ids = list(missing)
    for begin in range(0, len(ids), 200):
        part = ids[begin : begin + 200]
        seen = 0
        payloads = Snapshot.objects.filter(id__in=part).values_list("id", "payload")
        for row_id, payload in payloads.iterator(chunk_size=20):
            seen += 1
            row = rows[missing[row_id]]
            try:
                found = packed(payload, kind, wanted)
            except CorruptSnapshotError as error:
                logger.warning("Snapshot %s can't be read: %s", row_id, error)
                continue
            yield missing[row_id], _put(row, kind, wanted, found)
        if seen < len(part):
            raise MovedError


def matrix(
    count: int, tables: Sequence[tuple[int, Packed]], slots: NDArray[np.uint32], metrics: Sequence[str]
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Return where each of `slots` (ascending) was there (0 or 1), and the metrics' values; slots × `count`."""
    # Filled a snapshot at a time, neighbour beside neighbour in memory: several times as fast as across.
    there = np.zeros((count, len(slots)))
    values = {name: np.full((count, len(slots)), np.nan) for name in metrics}
    seen: tuple[NDArray[np.uint32], NDArray[np.intp], NDArray[np.bool_]] | None = None
    for index, table in tables:
        if len(table.slots) == 0:
            continue
        if seen is None or not (seen[0] is table.slots or np.array_equal(seen[0], table.slots)):
            place = np.minimum(np.searchsorted(table.slots, slots), len(table.slots) - 1)
            seen = table.slots, place, table.slots[place] == slots
        _, place, found = seen
        there[index, found] = 1.0
        rows = place[found]
        for name in metrics:
            column = table.some(name, rows)
            if column is not None:
                values[name][index, found] = column
    return there.T, {name: column.T for name, column in values.items()}


def forget() -> None:
    """Drop everything that is held."""
    global _cached_bytes  # noqa: PLW0603 # the bound belongs to the process
    with _lock:
        _cache.clear()
        _cached_bytes = 0


def _get(row: SnapshotRow, kind: Kind) -> Packed | None:
    key = (row.id, row.at_ms, row.stored_ms, kind)
    with _lock:
        found = _cache.get(key)
        if found is not None:
            _cache.move_to_end(key)
        return found


def _put(row: SnapshotRow, kind: Kind, wanted: frozenset[str], found: Packed) -> Packed:
    """Keep what was opened beside what was there, and return both. What the snapshot lacks is noted as such."""
    global _cached_bytes  # noqa: PLW0603
    key = (row.id, row.at_ms, row.stored_ms, kind)
    with _lock:
        before = _cache.pop(key, None)
        slots, columns = found.slots, {name: found.columns.get(name) for name in wanted}
        if before is not None:
            _cached_bytes -= before.nbytes
            slots, columns = before.slots, {**before.columns, **columns}
        elif _cache:
            # Most snapshots have the slots of the one before them: they share one array.
            last = next(reversed(_cache.values())).slots
            slots = last if np.array_equal(last, slots) else slots
        kept = Packed(slots, columns)
        _cache[key] = kept
        _cached_bytes += kept.nbytes
        while _cached_bytes > CACHE_BYTES and len(_cache) > 1:
            _cached_bytes -= _cache.popitem(last=False)[1].nbytes
        return kept
