"""The time lag of a broker's queues, tick by tick: what a process remembers of their past, and the log where it forgot.

A tick hands its frame in and gets the columns `time_lag` and `lag_source` to store with it. A process remembers what
entered each queue (brokers.lag.history); where another process polled in between it takes the snapshots that it missed
from the log. One that has just begun takes the last ten minutes, and of heads that are older what was stored of them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from brokers.lag.beat import Reading
from brokers.lag.history import HORIZON_MS, wrapped
from brokers.lag.inverse import Ages, advance, seed, take
from brokers.registry.slots import Directory
from brokers.series.codec import CorruptSnapshotError, Frame, Table, decode
from brokers.series.metrics import Kind
from brokers.series.models import Snapshot

logger = logging.getLogger(__name__)

# How far the log is read back by a process that remembers nothing, and how many snapshots at most.
_BACK_MS = 10 * 60_000
_BACK_ROWS = 150
_NEEDED = (
    *("ready", "unacked", "published", "acknowledged", "redelivered"),
    *("stream_lag", "time_lag", "lag_source"),
)
# A queue that the registry knows for so long and that comes up now is one that was away.
_NEW_MS = 60_000
# Offsets of streams are read more seldom than depths; meanwhile a consumer is taken to stay as far behind.
_OFFSETS_HOLD_MS = 130_000


@dataclass(slots=True)
class _Kept:
    ages: Ages = field(default_factory=Ages)
    # The newest snapshot that is in `ages`, as far as its time tells.
    seen_ms: int = 0
    streams: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, dtype=np.uint32))
    # Queues that put at their tail what is returned.
    unordered: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, dtype=np.uint32))
    # Which directory, at which revision, these were read from.
    revision: tuple[int, int] = (0, -1)
    # By slot of a stream: how far its slowest consumer was behind, and when that was read.
    offsets: dict[int, tuple[float, int]] = field(default_factory=dict)
    live: bool = True
    lock: threading.Lock = field(default_factory=threading.Lock)


_kept: dict[int, _Kept] = {}
_kept_lock = threading.Lock()


def forget(broker_id: int | None = None) -> None:
    """Drop what is remembered of a broker, or of all."""
    with _kept_lock:
        if broker_id is None:
            _kept.clear()
        else:
            _kept.pop(broker_id, None)


def lag_of(
    broker_id: int,
    frame: Frame,
    directory: Directory,
    *,
    live: bool,
    heads: Mapping[int, float] | None = None,
    last_ms: int | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Return the columns `time_lag` and `lag_source` of a frame's queues.

    `live`: its counters of queues are as of now (Prometheus), not sampled by the management API. `heads`: timestamps of
    oldest messages by slot, Unix seconds, where this tick asked for them. `last_ms`: the moment of the broker's newest
    snapshot in the log.
    """
    with _kept_lock:
        kept = _kept.setdefault(broker_id, _Kept())
    with kept.lock:
        ages = kept.ages
        kept.live = live
        if not ages.flow.at_ms:
            _remember(broker_id, kept, frame.at_ms, live=live)
            ages.flow.know(_known_before(directory, frame.at_ms - _NEW_MS))
        elif last_ms is not None and last_ms > kept.seen_ms:
            _catch_up(broker_id, kept, frame.at_ms, live=live)
        table = frame.table(Kind.QUEUE)
        _define(kept, directory, live=live)
        streams = np.isin(table.slots, kept.streams)
        found = advance(
            ages,
            reading_of(frame, live=live),
            offsets=_offsets(kept, frame.at_ms, table, streams) if streams.any() else None,
            streams=streams,
            heads=heads,
            unordered=np.isin(table.slots, kept.unordered),
        )
        kept.seen_ms = frame.at_ms
    return {"time_lag": np.round(found.time_lag, 1), "lag_source": found.source}


def ages_of(broker_id: int, behind: Sequence[tuple[int, int]], now_ms: int) -> list[tuple[float, bool] | None]:
    """Return the age in seconds of the message that has so many behind it: of (queue slot, messages) each.

    True where it is older than what is known of the queue; None where nothing is. For streams: their consumers are
    told of more seldom than their depth, and by another thread than the tick's.
    """
    with _kept_lock:
        kept = _kept.setdefault(broker_id, _Kept())
    with kept.lock:
        if kept.ages.flow.at_ms:
            _catch_up(broker_id, kept, now_ms, live=kept.live)
        else:
            _remember(broker_id, kept, now_ms, live=kept.live)
        flow, arrivals = kept.ages.flow, kept.ages.arrivals
        slots = np.array([slot for slot, _ in behind], dtype=np.uint32)
        there = np.isin(slots, arrivals.slots)
        if not there.any():
            return [None] * len(behind)
        columns = np.searchsorted(arrivals.slots, slots[there])
        counts = np.array([count for _, count in behind], dtype=np.float64)[there]
        entry_ms, older = arrivals.entered_ms(wrapped(flow.entered[columns]), np.maximum(counts, 1.0) - 0.5, columns)
        since_ms = flow.columns["since_ms"][columns]
    older |= entry_ms < since_ms
    seconds = np.maximum(now_ms - np.where(older, np.fmax(entry_ms, since_ms), entry_ms), 0.0) / 1000.0
    told = iter(zip(np.where(counts == 0, 0.0, seconds).tolist(), (older & (counts > 0)).tolist(), strict=True))
    return [next(told) if known else None for known in there.tolist()]


def reading_of(frame: Frame, *, live: bool) -> Reading:
    """Return what a frame tells of its queues."""
    table = frame.table(Kind.QUEUE)
    return Reading(
        frame.at_ms,
        table.slots,
        table.column("ready") + table.column("unacked"),
        table.column("published"),
        table.column("acknowledged"),
        live,
        table.column("unacked"),
        table.column("redelivered"),
    )


def _remember(broker_id: int, kept: _Kept, now_ms: int, *, live: bool) -> None:
    """Take from the log the last minutes that are there: a broker may have been paused, or out of reach."""
    before = Snapshot.objects.filter(broker_id=broker_id, at_ms__lt=now_ms, at_ms__gte=now_ms - HORIZON_MS)
    newest_ms = before.order_by("-id").values_list("at_ms", flat=True).first()
    if newest_ms is None:
        return
    rows = before.filter(at_ms__gte=newest_ms - _BACK_MS)
    _take(kept, rows.order_by("-id").values_list("id", "at_ms")[:_BACK_ROWS], live=live)


def _known_before(directory: Directory, at_ms: int) -> NDArray[np.uint32]:
    known = directory.by_slot.get(Kind.QUEUE, {})
    return np.array([slot for slot, one in known.items() if one.first_seen_ms < at_ms], dtype=np.uint32)


def _catch_up(broker_id: int, kept: _Kept, now_ms: int, *, live: bool) -> None:
    """Take what other processes stored since this one polled last."""
    snapshots = Snapshot.objects.filter(broker_id=broker_id)
    rows = snapshots.filter(at_ms__gt=kept.seen_ms, at_ms__lt=now_ms)
    last_id = snapshots.filter(at_ms=kept.seen_ms).order_by("-id").values_list("id", flat=True).first()
    if last_id is not None:
        # Of before a clock was set back there are later times.
        rows = rows.filter(id__gt=last_id)
    _take(kept, rows.order_by("-id").values_list("id", "at_ms")[:_BACK_ROWS], live=live)


def _take(kept: _Kept, newest_first: Iterable[tuple[int, int]], *, live: bool) -> None:
    """Take snapshots, of which their ids and times are given. Of times that lie after those of a later one, since a
    clock was set back between the two, nothing is taken."""
    wanted, before_ms = [], np.inf
    for row_id, at_ms in newest_first:
        if at_ms < before_ms:
            wanted.append(row_id)
            before_ms = at_ms
    rows = Snapshot.objects.filter(id__in=wanted).order_by("at_ms").values_list("id", "payload")
    for row_id, payload in rows.iterator(chunk_size=20):
        try:
            frame = decode(payload, (Kind.QUEUE,), _NEEDED)
        except CorruptSnapshotError as error:
            logger.warning("Snapshot %s can't be read: %s", row_id, error)
            continue
        if frame.at_ms <= kept.ages.flow.at_ms:
            continue
        take(kept.ages, reading_of(frame, live=live))
        if len(kept.ages.arrivals) == 1:
            table = frame.table(Kind.QUEUE)
            seed(kept.ages, table.column("time_lag"), table.column("lag_source"))
        kept.seen_ms = frame.at_ms


def puts_at_tail(detail: bytes, *, live: bool) -> bool:
    """Tell whether a queue puts at its tail what is returned to it, by its definition as it is stored: not decoded, for
    there may be a hundred thousand.

    A quorum queue without a delivery limit does [measured on 3.10 and 4.0]: before 4.0 one that has none set, since
    then (`live`) one that is set to have none.
    """
    if b'"type":"quorum"' not in detail:
        return False
    return b'delivery-limit":-' in detail if live else b'delivery-limit":' not in detail


def _define(kept: _Kept, directory: Directory, *, live: bool) -> None:
    """Keep which slots are streams, and which put at their tail what is returned, by the definitions."""
    revision = (id(directory), directory.revision)
    if kept.revision == revision:
        return
    known = directory.by_slot.get(Kind.QUEUE, {})
    streams = [slot for slot, one in known.items() if b'"type":"stream"' in one.detail]
    unordered = [slot for slot, one in known.items() if puts_at_tail(one.detail, live=live)]
    kept.streams = np.array(sorted(streams), dtype=np.uint32)
    kept.unordered = np.array(sorted(unordered), dtype=np.uint32)
    kept.revision = revision


def _offsets(kept: _Kept, at_ms: int, table: Table, streams: NDArray[np.bool_]) -> NDArray[np.float64]:
    told = table.column("stream_lag").copy()
    kept.offsets = {slot: one for slot, one in kept.offsets.items() if at_ms - one[1] <= _OFFSETS_HOLD_MS}
    for place in np.flatnonzero(streams).tolist():
        slot = int(table.slots[place])
        if not np.isnan(told[place]):
            kept.offsets[slot] = (float(told[place]), at_ms)
        else:
            behind, read_ms = kept.offsets.get(slot, (np.nan, 0))
            told[place] = behind if at_ms - read_ms <= _OFFSETS_HOLD_MS else np.nan
    return told
