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

from brokers.registry.models import Broker
from brokers.registry.slots import Directory, KnownObject
from brokers.series.codec import CorruptSnapshotError, Frame, Table, decode
from brokers.series.current import aligned, current_rate
from brokers.series.frames import frames
from brokers.series.metrics import RATES, SELDOM, Kind, stored_names
from brokers.series.models import Snapshot
from brokers.series.rates import HOLDS_LONGEST_MS, HOLDS_MS, HOLDS_READINGS

logger = logging.getLogger(__name__)

# A sparkline covers this long, one point each SPARK_STEP_MS.
SPARK_SPAN_MS = 3_600_000
SPARK_STEP_MS = 60_000
SPARK_POINTS = SPARK_SPAN_MS // SPARK_STEP_MS + 1
_GAP_CADENCES = 2.5
# Frames kept to compute current rates from; of counters that are read seldomer, their readings of so many periods.
_RECENT_SPAN_MS = 130_000
_KEPT_READINGS = 2.5
# Gauges too dear for every tick: between two readings the last one holds. What they are is brokers.collect's choice;
# how often they are read shows in the snapshots.
HELD_GAUGES = SELDOM


@dataclass(frozen=True, slots=True)
class PresentTable:
    """One kind's objects at the present: rows in slot order, `columns` of gauges, counters and rates alike."""

    slots: NDArray[np.uint32]
    objects: list[KnownObject]
    columns: dict[str, NDArray[np.float64]]
    # When a figure was read that is not of this snapshot, but held from one before; Unix milliseconds.
    read_ms: dict[str, int] = field(default_factory=dict)

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
    # The frames of the last two minutes, of which only counters and `total` are kept.
    recent: tuple[Frame, ...] = ()
    # What readers computed from this moment, by kind and measure; brokers.lag.present keeps it.
    memo: dict[tuple[Kind, str], NDArray[np.float64]] = field(default_factory=dict, compare=False)

    def table(self, kind: Kind) -> PresentTable:
        """Return the table of a kind, empty where the snapshot has none."""
        found = self.tables.get(kind)
        return found if found is not None else PresentTable(np.empty(0, dtype=np.uint32), [], {})

    def totals(self, kind: Kind, span_ms: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return ready + unacked of all objects of a kind over the last `span_ms`: times, and a row an object.

        Every frame of up to two minutes; of a longer span one a minute, and now.
        """
        since = self.at_ms - span_ms
        frames = self.recent if span_ms < _RECENT_SPAN_MS else self.spark_frames
        kept = [frame for frame in frames if since <= frame.at_ms < self.at_ms]
        now = self.table(kind)
        values = np.empty((len(now.slots), len(kept) + 1))
        for place, frame in enumerate(kept):
            values[:, place] = aligned(frame.table(kind), now.slots, TOTAL)
        values[:, -1] = now.column("ready") + now.column("unacked")
        return np.array([*(frame.at_ms for frame in kept), self.at_ms], dtype=np.int64), values

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


@dataclass(frozen=True, slots=True)
class _Reading:
    """The last reading of a gauge that is not read in every tick, and until when it holds."""

    at_ms: int
    until_ms: float
    table: Table


@dataclass(slots=True)
class _Keeper:
    """What one process holds of one broker between snapshots."""

    directory: Directory
    newest: Frame | None = None
    newest_id: int = 0
    # Counters of the last two minutes, and an hour of what sparklines are drawn from: no more of a frame than that.
    recent: deque[Frame] = field(default_factory=deque)
    sparks: deque[Frame] = field(default_factory=deque)
    held: dict[tuple[Kind, str], _Reading] = field(default_factory=dict)
    # How often figures are read that are not in every snapshot, milliseconds by `kind.metric`.
    every_ms: dict[str, int] = field(default_factory=dict)
    present: Present | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


_keepers: dict[int, _Keeper] = {}
_keepers_lock = threading.Lock()


def present(broker_id: int) -> Present | None:
    """Return the broker's present, None where there is no snapshot yet. One cheap query when nothing is new."""
    keeper = _keeper(broker_id)
    # By id, not by time: a clock of ours that was set back must not hide what is stored from then on.
    newest = (
        Snapshot.objects.filter(broker_id=broker_id).order_by("-id").values_list("id", "at_ms", "cadence_ms").first()
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
    keeper.every_ms = (
        Broker.objects.filter(id=directory.broker_id).values_list("read_every_ms", flat=True).first() or {}
    )
    begins = not keeper.recent
    newest = _read_frames(keeper, snapshot_id, at_ms)
    if newest is None:
        return None
    if begins:
        # The older part of the hour is in blocks already.
        first_ms = keeper.sparks[0].at_ms if keeper.sparks else at_ms
        older = _from_blocks(keeper.directory.broker_id, at_ms - SPARK_SPAN_MS - SPARK_STEP_MS, first_ms)
        keeper.sparks.extendleft(reversed(older))
    tables = {kind: _table(directory, kind, newest, keeper) for kind in newest.tables}
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
        recent=tuple(keeper.recent),
    )


def _read_frames(keeper: _Keeper, newest_id: int, at_ms: int) -> Frame | None:
    """Bring `recent` and `sparks` up to the snapshot at `at_ms`, and return the newest that can be read, whole.

    One that can't be read is a gap, as if its poll had failed: the log says so, and pages show what was before it.
    """
    broker_id = keeper.directory.broker_id
    rows = Snapshot.objects.filter(broker_id=broker_id, id__lte=newest_id)
    if keeper.recent:
        rows = rows.filter(id__gt=keeper.newest_id)
        # Where the clock was set back, what it had told before is not the past of what it tells now.
        for held in (keeper.recent, keeper.sparks):
            while held and held[-1].at_ms >= at_ms:
                held.pop()
    else:
        rows = rows.filter(at_ms__gt=at_ms - SPARK_SPAN_MS - SPARK_STEP_MS, at_ms__lte=at_ms)
        keeper.sparks.clear()
    moments = dict(rows.order_by("id").values_list("id", "at_ms"))
    # Of each past minute the last snapshot is a sparkline point; of the last minutes all are wanted for rates.
    span_ms = _span_ms(keeper)
    wanted = {row_id for row_id, moment in moments.items() if moment > at_ms - span_ms}
    wanted |= set({moment // SPARK_STEP_MS: row_id for row_id, moment in moments.items()}.values())
    frame = keeper.newest
    for row_id, payload in (
        Snapshot.objects.filter(id__in=wanted).order_by("id").values_list("id", "payload").iterator(chunk_size=5)
    ):
        old = moments[row_id] <= at_ms - span_ms
        try:
            frame = decode(payload, metrics=_SPARK_COLUMNS if old else None)
        except CorruptSnapshotError as error:
            logger.warning("Snapshot %s of broker %s can't be read: %s", row_id, broker_id, error)
            continue
        if not old:
            keeper.recent.append(_narrow(frame, _recent_columns, keeper.recent))
            _hold(keeper, frame)
        if keeper.sparks and keeper.sparks[-1].at_ms // SPARK_STEP_MS == frame.at_ms // SPARK_STEP_MS:
            keeper.sparks.pop()
        keeper.sparks.append(_narrow(frame, _spark_columns, keeper.sparks))
    _drop_recent(keeper, at_ms, span_ms)
    while keeper.sparks and keeper.sparks[0].at_ms < at_ms - SPARK_SPAN_MS - SPARK_STEP_MS:
        keeper.sparks.popleft()
    keeper.newest, keeper.newest_id = frame, newest_id
    return frame


def _from_blocks(broker_id: int, start_ms: int, end_ms: int) -> list[Frame]:
    """Return a frame a minute of what sparklines are drawn from, before the oldest snapshot."""
    ends = range(start_ms // SPARK_STEP_MS * SPARK_STEP_MS + SPARK_STEP_MS, end_ms + SPARK_STEP_MS, SPARK_STEP_MS)
    moments = [min(end, end_ms) - 1 for end in ends]
    found: dict[int, dict[Kind, Table]] = {}
    for kind in Kind:
        names = sorted(_SPARK_COLUMNS.intersection(stored_names(kind)))
        names = ["ready", "unacked"] if kind is Kind.QUEUE else names
        for moment, frame in zip(moments, frames(broker_id, kind, names, moments) if names else [], strict=False):
            if frame is not None and len(frame.table(kind).slots) and moment - frame.at_ms < SPARK_STEP_MS:
                found.setdefault(frame.at_ms, {})[kind] = Table(
                    frame.table(kind).slots, _spark_columns(kind, frame.table(kind))
                )
    return [Frame(moment, found[moment]) for moment in sorted(found)]


def _span_ms(keeper: _Keeper) -> float:
    return max(_RECENT_SPAN_MS, _KEPT_READINGS * max(keeper.every_ms.values(), default=0))


def _holds_ms(every_ms: float) -> float:
    return min(max(every_ms * HOLDS_READINGS, HOLDS_MS), HOLDS_LONGEST_MS)


def _drop_recent(keeper: _Keeper, at_ms: int, span_ms: float) -> None:
    """Drop what is too old, and what is older than two minutes and has no counter that is read seldomer."""
    while len(keeper.recent) > 1 and keeper.recent[0].at_ms < at_ms - span_ms:
        keeper.recent.popleft()
    if span_ms > _RECENT_SPAN_MS:
        seldom = [name.split(".", 1) for name in keeper.every_ms]
        kept = [
            frame
            for frame in keeper.recent
            if frame.at_ms >= at_ms - _RECENT_SPAN_MS
            or not frame.complete
            or any(name in frame.table(Kind(kind)).columns for kind, name in seldom)
        ]
        if len(kept) < len(keeper.recent):
            keeper.recent = deque(kept)


def _hold(keeper: _Keeper, frame: Frame) -> None:
    """Remember gauges that only some snapshots have: a reading holds until the next is overdue."""
    for kind, table in frame.tables.items():
        for name in HELD_GAUGES & table.columns.keys():
            before = keeper.held.get((kind, name))
            pace_ms = frame.at_ms - before.at_ms if before and frame.at_ms > before.at_ms else 0
            span_ms = _holds_ms(max(pace_ms, keeper.every_ms.get(f"{kind}.{name}", 0)))
            reading = Table(table.slots, {name: table.columns[name]})
            keeper.held[kind, name] = _Reading(frame.at_ms, frame.at_ms + span_ms, reading)


_SPARK_COLUMNS = frozenset({"ready", "unacked", "published", "acknowledged", "delivered", "confirmed", "connections"})
_COUNTERS = frozenset(RATES.values())


# In frames of the past that are kept: ready + unacked.
TOTAL = "total"


def _recent_columns(_kind: Kind, table: Table) -> dict[str, NDArray[np.float64]]:
    kept = {name: values for name, values in table.columns.items() if name in _COUNTERS}
    return kept | _total(table)


def _total(table: Table) -> dict[str, NDArray[np.float64]]:
    if "ready" not in table.columns or "unacked" not in table.columns:
        return {}
    return {TOTAL: table.columns["ready"] + table.columns["unacked"]}


def _spark_columns(kind: Kind, table: Table) -> dict[str, NDArray[np.float64]]:
    """Of queues, which are many, the backlog alone, at half the size: a sparkline is 20 pixels high."""
    total = _total(table)
    if kind is Kind.QUEUE:
        kept = {"ready": table.columns["ready"]} if "ready" in table.columns else {}
        return {name: values.astype(np.float32) for name, values in (kept | total).items()}
    return {name: values for name, values in table.columns.items() if name in _SPARK_COLUMNS} | total


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


def _table(directory: Directory, kind: Kind, newest: Frame, keeper: _Keeper) -> PresentTable:
    table = newest.table(kind)
    names = {0: _WHOLE} if kind is Kind.BROKER else directory.by_slot.get(kind, {})
    rows = [index for index, slot in enumerate(table.slots.tolist()) if slot in names]
    whole = len(rows) == len(table.slots)
    slots = table.slots if whole else table.slots[rows]
    columns = {name: (table.column(name) if whole else table.column(name)[rows]) for name in stored_names(kind)}
    read_ms: dict[str, int] = {}
    for name in HELD_GAUGES & columns.keys() - table.columns.keys():
        reading = keeper.held.get((kind, name))
        if reading and newest.complete and newest.at_ms <= reading.until_ms:
            columns[name] = aligned(reading.table, slots, name)
            read_ms[name] = reading.at_ms
    for rate, counter in RATES.items():
        if counter in columns:
            holds_ms = _holds_ms(keeper.every_ms.get(f"{kind}.{counter}", 0))
            columns[rate] = current_rate(slots, columns[counter], counter, kind, newest.at_ms, keeper.recent, holds_ms)
            if counter not in table.columns:
                read = [frame.at_ms for frame in keeper.recent if counter in frame.table(kind).columns]
                read_ms |= {rate: read[-1]} if read else {}
    return PresentTable(slots, [names[slot] for slot in slots.tolist()], columns, read_ms)
