"""Each broker's present: the newest snapshot, current rates, names, and an hour of sparkline points, kept in memory.

A process that shows pages reads a snapshot once and answers every page, row and live frame from here. `present()` asks
the database only whether there is something newer. What it returns is never changed afterwards: a newer
snapshot makes a new `Present`, so that a page that is being drawn keeps one moment.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from brokers.registry.slots import Directory, KnownObject
from brokers.series.codec import CorruptSnapshotError, Frame, Table, decode
from brokers.series.metrics import RATES, Kind, stored_names
from brokers.series.models import Snapshot
from brokers.series.read import MIN_RATE_SPAN_MS

logger = logging.getLogger(__name__)

# A sparkline covers this long, one point each SPARK_STEP_MS.
SPARK_SPAN_MS = 3_600_000
SPARK_STEP_MS = 60_000
SPARK_POINTS = SPARK_SPAN_MS // SPARK_STEP_MS + 1
_GAP_CADENCES = 2.5
# Frames kept to compute current rates from: two readings of counters that are read once a minute.
_RECENT_SPAN_MS = 130_000


@dataclass(frozen=True, slots=True)
class PresentTable:
    """One kind's objects at the present: rows in slot order, `columns` of gauges, counters and rates alike."""

    slots: NDArray[np.uint32]
    objects: list[KnownObject]
    columns: dict[str, NDArray[np.float64]]

    def column(self, name: str) -> NDArray[np.float64]:
        """Return a column, all unknown where nothing is known of it."""
        found = self.columns.get(name)
        return found if found is not None else np.full(len(self.slots), np.nan)

    def row(self, slot: int) -> int | None:
        """Return the row of a slot, None where the object is not there now."""
        index = int(np.searchsorted(self.slots, slot))
        return index if index < len(self.slots) and self.slots[index] == slot else None

    def value(self, slot: int, name: str) -> float:
        """Return one figure, NaN for *unknown*."""
        row = self.row(slot)
        return float("nan") if row is None else float(self.column(name)[row])


@dataclass(frozen=True, slots=True)
class Present:
    """One broker as of one snapshot. `spark` holds (time, frame) points, oldest first, one a minute for an hour."""

    broker_id: int
    snapshot_id: int
    at_ms: int
    cadence_ms: int
    complete: bool
    object_revision: int
    tables: dict[Kind, PresentTable]
    spark_times_ms: NDArray[np.int64]
    spark_frames: tuple[Frame, ...]

    def table(self, kind: Kind) -> PresentTable:
        """Return the table of a kind, empty where the snapshot has none."""
        found = self.tables.get(kind)
        return found if found is not None else PresentTable(np.empty(0, dtype=np.uint32), [], {})

    def sparklines(self, kind: Kind, slots: NDArray[np.uint32], metric: str) -> NDArray[np.float64]:
        """Return an hour of one gauge of several objects, a row each: SPARK_POINTS values a minute apart, to now.

        NaN is *unknown*: the object was not there, or nothing was stored in that minute. Each point is the last value
        before it. Queues have `ready` only.
        """
        times = np.append(self.spark_times_ms, self.at_ms)
        values = np.empty((len(slots), len(times)))
        for column, frame in enumerate(self.spark_frames):
            values[:, column] = aligned(frame.table(kind), slots, metric)
        now = self.table(kind)
        values[:, -1] = aligned(Table(now.slots, {metric: now.column(metric)}), slots, metric)
        wanted = self.at_ms - np.arange(SPARK_POINTS - 1, -1, -1) * SPARK_STEP_MS
        found = np.searchsorted(times, wanted, side="right") - 1
        # A point a minute is up to a minute old; what is older than that and a slow cadence is a gap.
        there = (found >= 0) & (wanted - times[found] <= SPARK_STEP_MS + _GAP_CADENCES * self.cadence_ms)
        return np.where(there, values[:, found], np.nan)


@dataclass(slots=True)
class _Keeper:
    """What one process holds of one broker between snapshots."""

    directory: Directory
    newest: Frame | None = None
    # Counters of the last two minutes, and an hour of what sparklines are drawn from: no more of a frame than that.
    recent: deque[Frame] = field(default_factory=deque)
    sparks: deque[Frame] = field(default_factory=deque)
    present: Present | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


_keepers: dict[int, _Keeper] = {}
_keepers_lock = threading.Lock()


def present(broker_id: int) -> Present | None:
    """Return the broker's present, None where there is no snapshot yet. One cheap query when nothing is new."""
    keeper = _keeper(broker_id)
    newest = (
        Snapshot.objects.filter(broker_id=broker_id).order_by("-at_ms").values_list("id", "at_ms", "cadence_ms").first()
    )
    if newest is None:
        forget(broker_id)
        return None
    held = keeper.present
    if held is not None and held.snapshot_id == newest[0]:
        return held
    with keeper.lock:
        held = keeper.present
        if held is not None and held.snapshot_id == newest[0]:
            return held
        keeper.present = _advance(keeper, *newest)
        return keeper.present


def forget(broker_id: int) -> None:
    """Drop what is held of a broker."""
    with _keepers_lock:
        _keepers.pop(broker_id, None)


def _keeper(broker_id: int) -> _Keeper:
    with _keepers_lock:
        if broker_id not in _keepers:
            _keepers[broker_id] = _Keeper(Directory(broker_id))
        return _keepers[broker_id]


def _advance(keeper: _Keeper, snapshot_id: int, at_ms: int, cadence_ms: int) -> Present | None:
    directory = keeper.directory
    directory.refresh()
    newest = _read_frames(keeper, at_ms)
    if newest is None:
        return None
    tables = {kind: _table(directory, kind, newest, keeper.recent) for kind in newest.tables}
    return Present(
        broker_id=directory.broker_id,
        snapshot_id=snapshot_id,
        at_ms=newest.at_ms,
        cadence_ms=cadence_ms,
        complete=newest.complete,
        object_revision=directory.revision,
        tables=tables,
        spark_times_ms=np.array([frame.at_ms for frame in keeper.sparks], dtype=np.int64),
        spark_frames=tuple(keeper.sparks),
    )


def _read_frames(keeper: _Keeper, at_ms: int) -> Frame | None:
    """Bring `recent` and `sparks` up to the snapshot at `at_ms`, and return the newest that can be read, whole.

    One that can't be read is a gap, as if its poll had failed: the log says so, and pages show what was before it.
    """
    broker_id = keeper.directory.broker_id
    since = keeper.recent[-1].at_ms if keeper.recent else at_ms - SPARK_SPAN_MS - SPARK_STEP_MS
    rows = Snapshot.objects.filter(broker_id=broker_id, at_ms__gt=since, at_ms__lte=at_ms).order_by("at_ms")
    if not keeper.recent:
        keeper.sparks.clear()
    moments = dict(rows.values_list("id", "at_ms"))
    # Of each past minute the last snapshot is a sparkline point; of the last minutes all are wanted for rates.
    wanted = {row_id for row_id, moment in moments.items() if moment > at_ms - _RECENT_SPAN_MS}
    wanted |= set({moment // SPARK_STEP_MS: row_id for row_id, moment in moments.items()}.values())
    frame = keeper.newest
    for row_id, payload in (
        Snapshot.objects.filter(id__in=wanted).order_by("at_ms").values_list("id", "payload").iterator(chunk_size=5)
    ):
        old = moments[row_id] <= at_ms - _RECENT_SPAN_MS
        try:
            frame = decode(payload, metrics=_SPARK_COLUMNS if old else None)
        except CorruptSnapshotError as error:
            logger.warning("Snapshot %s of broker %s can't be read: %s", row_id, broker_id, error)
            continue
        if not old:
            keeper.recent.append(_narrow(frame, _counters, keeper.recent))
        if keeper.sparks and keeper.sparks[-1].at_ms // SPARK_STEP_MS == frame.at_ms // SPARK_STEP_MS:
            keeper.sparks.pop()
        keeper.sparks.append(_narrow(frame, _spark_columns, keeper.sparks))
    while len(keeper.recent) > 1 and keeper.recent[0].at_ms < at_ms - _RECENT_SPAN_MS:
        keeper.recent.popleft()
    while keeper.sparks and keeper.sparks[0].at_ms < at_ms - SPARK_SPAN_MS - SPARK_STEP_MS:
        keeper.sparks.popleft()
    keeper.newest = frame
    return frame


_SPARK_COLUMNS = frozenset({"ready", "unacked", "published", "acknowledged", "delivered", "confirmed", "connections"})
_COUNTERS = frozenset(RATES.values())


def _counters(_kind: Kind, table: Table) -> dict[str, NDArray[np.float64]]:
    return {name: values for name, values in table.columns.items() if name in _COUNTERS}


def _spark_columns(kind: Kind, table: Table) -> dict[str, NDArray[np.float64]]:
    """Of queues, which are many, the backlog alone, at half the size: a sparkline is 20 pixels high."""
    if kind is Kind.QUEUE:
        ready = table.columns.get("ready")
        return {} if ready is None else {"ready": ready.astype(np.float32)}
    return {name: values for name, values in table.columns.items() if name in _SPARK_COLUMNS}


def _narrow(
    frame: Frame, columns: Callable[[Kind, Table], dict[str, NDArray[np.float64]]], before: deque[Frame]
) -> Frame:
    """Keep some columns of a frame; slots are shared with the frame before where they are the same ones."""
    last = before[-1].tables if before else {}
    tables = {}
    for kind, table in frame.tables.items():
        known = last.get(kind)
        slots = known.slots if known is not None and np.array_equal(known.slots, table.slots) else table.slots
        tables[kind] = Table(slots, columns(kind, table))
    return Frame(frame.at_ms, tables, frame.complete)


# The broker itself is no object of the registry; its one row has slot 0.
_WHOLE = KnownObject(0, "", "", b"{}", 0, None)


def _table(directory: Directory, kind: Kind, newest: Frame, recent: deque[Frame]) -> PresentTable:
    table = newest.table(kind)
    names = {0: _WHOLE} if kind is Kind.BROKER else directory.by_slot.get(kind, {})
    rows = [index for index, slot in enumerate(table.slots.tolist()) if slot in names]
    whole = len(rows) == len(table.slots)
    slots = table.slots if whole else table.slots[rows]
    columns = {name: (table.column(name) if whole else table.column(name)[rows]) for name in stored_names(kind)}
    for rate, counter in RATES.items():
        if counter in columns:
            columns[rate] = _current_rate(slots, columns[counter], counter, kind, newest.at_ms, recent)
    return PresentTable(slots, [names[slot] for slot in slots.tolist()], columns)


def _current_rate(
    slots: NDArray[np.uint32],
    now: NDArray[np.float64],
    counter: str,
    kind: Kind,
    at_ms: int,
    recent: deque[Frame],
) -> NDArray[np.float64]:
    """Return what was counted a second since a frame at least MIN_RATE_SPAN_MS before.

    Unknown where the counter fell since then (it restarted). Counters that are too dear for every tick are missing from
    most snapshots: there the last two that have them give the rate. One that is missing from an incomplete snapshot
    is unknown now, and so is its rate.
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
            start = known & np.isnan(newest) & may_wait
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
    positions = np.minimum(np.searchsorted(table.slots, slots), len(table.slots) - 1)
    there = table.slots[positions] == slots
    values[there] = table.columns[metric][positions[there]]
    return values
