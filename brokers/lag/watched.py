"""The consumers' states of each broker from tick to tick: kept in the worker, rebuilt from the log where need be."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from brokers.lag.followed import begun
from brokers.lag.nature import natures
from brokers.lag.state import METRICS, Memory, Tick, step
from brokers.registry.models import Broker
from brokers.registry.slots import Directory
from brokers.series.codec import CorruptSnapshotError, Frame, decode
from brokers.series.metrics import Kind
from brokers.series.models import Snapshot

logger = logging.getLogger(__name__)

STATE = "consumer_state"
# A process that begins reads the log so far back: what a queue did before that is learned anew. Of a great many queues
# fewer ticks must do, since each takes its time: so many figures of queues at most, but always some minutes.
REBUILT_MS = 600_000
_REBUILT_FIGURES, _REBUILT_ROWS = 1_500_000, 36
# Snapshots in memory at once.
_AT_ONCE = 10
_COLUMNS = frozenset({*METRICS, STATE})


@dataclass(slots=True)
class _Watch:
    memory: Memory = field(default_factory=Memory)
    lock: threading.Lock = field(default_factory=threading.Lock)


_watches: dict[int, _Watch] = {}
_lock = threading.Lock()


def states(broker_id: int, frame: Frame, directory: Directory) -> NDArray[np.float64]:
    """Return the state of each queue of a frame that is about to be stored, NaN for *unknown*.

    What is remembered is that of the newest frame in the log. Where another worker polled since, it takes what that one
    stored; where this process is new, or the frame before could not be stored, the last minutes of the log are gone
    through again.
    """
    with _lock:
        watch = _watches.setdefault(broker_id, _Watch())
    with watch.lock:
        newest = Snapshot.objects.filter(broker_id=broker_id).order_by("-id").values_list("at_ms", flat=True).first()
        memory = watch.memory
        if newest is not None and newest != memory.at_ms:
            memory = _caught_up(memory, broker_id, frame.at_ms, directory) or _rebuilt(
                broker_id, frame.at_ms, directory, len(frame.table(Kind.QUEUE).slots)
            )
        watch.memory, found = step(memory, _tick(frame, directory))
    return found


def forget(broker_id: int | None = None) -> None:
    """Drop what is held of a broker, or of all."""
    with _lock:
        if broker_id is None:
            _watches.clear()
        else:
            _watches.pop(broker_id, None)


def _tick(frame: Frame, directory: Directory) -> Tick:
    table = frame.table(Kind.QUEUE)
    found = natures(directory, table.slots)
    return Tick(frame.at_ms, table.slots, table.columns, found.letters, found.waits, found.streams)


def _caught_up(memory: Memory, broker_id: int, before_ms: int, directory: Directory) -> Memory | None:
    """Take what came into the log since a memory; None where the memory is of a frame that is not in the log."""
    if not memory.at_ms or before_ms - memory.at_ms > memory.forgets_ms():
        return None
    rows = Snapshot.objects.filter(broker_id=broker_id, at_ms__gte=memory.at_ms, at_ms__lt=before_ms)
    ids = list(rows.order_by("id").values_list("id", "at_ms"))
    if not ids or ids[0][1] != memory.at_ms:
        return None
    for frame in _frames([row_id for row_id, _ in ids[1:]], _COLUMNS):
        memory, _ = step(memory, _tick(frame, directory))
    return memory


def _rebuilt(broker_id: int, before_ms: int, directory: Directory, queues: int) -> Memory:
    rows = Snapshot.objects.filter(broker_id=broker_id, at_ms__gte=before_ms - REBUILT_MS, at_ms__lt=before_ms)
    most = max(_REBUILT_ROWS, _REBUILT_FIGURES // max(1, queues))
    ids = list(rows.order_by("-id").values_list("id", "at_ms")[:most])
    since_ms = min((at_ms for _, at_ms in ids), default=before_ms)
    memory = _consumers_before(broker_id, since_ms)
    begins = True
    for frame in _frames([row_id for row_id, _ in reversed(ids)], _COLUMNS):
        first = begins or frame.at_ms - memory.at_ms > memory.forgets_ms()
        begins = False
        memory, _ = step(memory, _tick(frame, directory))
        if first:
            # As it was named then, by a memory that reached further back.
            stored = frame.table(Kind.QUEUE).column(STATE)
            memory.columns["state"][:] = np.where(np.isnan(stored), memory.columns["state"], stored)
    return memory


def _frames(ids: Sequence[int], metrics: frozenset[str]) -> Iterator[Frame]:
    """Yield the snapshots that can be read, in the order that is asked for."""
    for begin in range(0, len(ids), _AT_ONCE):
        part = ids[begin : begin + _AT_ONCE]
        payloads = dict(Snapshot.objects.filter(id__in=part).values_list("id", "payload"))
        for row_id in part:
            # One that was compacted meanwhile is older than what is wanted.
            if row_id not in payloads:
                continue
            try:
                yield decode(payloads[row_id], {Kind.QUEUE}, metrics=metrics)
            except CorruptSnapshotError as error:
                logger.warning("Consumers' states skip snapshot %s, which can't be read: %s", row_id, error)


def _consumers_before(broker_id: int, since_ms: int) -> Memory:
    """Return what consumers were read before the ticks that are gone through, where they are not read in each."""
    told = Broker.objects.filter(id=broker_id).values_list("read_every_ms", flat=True).first() or {}
    every_ms = told.get(f"{Kind.QUEUE}.consumers", 0)
    if not every_ms:
        return Memory()
    rows = Snapshot.objects.filter(broker_id=broker_id, at_ms__gte=since_ms - 2 * every_ms, at_ms__lt=since_ms)
    for frame in _frames(list(rows.order_by("-id").values_list("id", flat=True)), frozenset({"consumers"})):
        table = frame.table(Kind.QUEUE)
        if "consumers" in table.columns:
            return begun(since_ms - 1, table.slots, table.column("consumers"), frame.at_ms)
    return Memory()
