"""The consumers' states of each broker from tick to tick: kept in the worker, rebuilt from the log where need be."""

from __future__ import annotations

import logging
import threading
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
# The log is read again so far back: what a queue did before that is learned anew.
REBUILT_MS = 180_000
_COLUMNS = frozenset({*METRICS, STATE})


@dataclass(slots=True)
class _Watch:
    memory: Memory = field(default_factory=Memory)
    lock: threading.Lock = field(default_factory=threading.Lock)


_watches: dict[int, _Watch] = {}
_lock = threading.Lock()


def states(broker_id: int, frame: Frame, directory: Directory) -> NDArray[np.float64]:
    """Return the state of each queue of a frame that is about to be stored, NaN for *unknown*.

    What is remembered is that of the newest frame in the log. Where it is not (another worker polled since, this
    process is new, or the frame before could not be stored), the last minutes of the log are gone through again.
    """
    with _lock:
        watch = _watches.setdefault(broker_id, _Watch())
    with watch.lock:
        newest = Snapshot.objects.filter(broker_id=broker_id).order_by("-id").values_list("at_ms", flat=True).first()
        memory = watch.memory
        if newest is not None and newest != memory.at_ms:
            memory = _rebuilt(broker_id, frame.at_ms, directory)
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


def _rebuilt(broker_id: int, before_ms: int, directory: Directory) -> Memory:
    rows = Snapshot.objects.filter(broker_id=broker_id, at_ms__gte=before_ms - REBUILT_MS, at_ms__lt=before_ms)
    memory = _consumers_before(broker_id, before_ms)
    begins = True
    for payload in rows.order_by("id").values_list("payload", flat=True).iterator(chunk_size=5):
        try:
            frame = decode(payload, {Kind.QUEUE}, metrics=_COLUMNS)
        except CorruptSnapshotError as error:
            logger.warning("A snapshot of broker %s can't be read: its consumers' states skip it: %s", broker_id, error)
            continue
        first = begins or frame.at_ms - memory.at_ms > memory.forgets_ms()
        begins = False
        memory, _ = step(memory, _tick(frame, directory))
        if first:
            # As it was named then, by a memory that reached further back.
            stored = frame.table(Kind.QUEUE).column(STATE)
            memory.columns["state"][:] = np.where(np.isnan(stored), memory.columns["state"], stored)
    return memory


def _consumers_before(broker_id: int, before_ms: int) -> Memory:
    """Return what consumers were read before the ticks that are gone through, where they are not read in each."""
    told = Broker.objects.filter(id=broker_id).values_list("read_every_ms", flat=True).first() or {}
    every_ms = told.get(f"{Kind.QUEUE}.consumers", 0)
    if not every_ms:
        return Memory()
    rows = Snapshot.objects.filter(
        broker_id=broker_id, at_ms__gte=before_ms - REBUILT_MS - 2 * every_ms, at_ms__lt=before_ms - REBUILT_MS
    )
    for payload in rows.order_by("-id").values_list("payload", flat=True).iterator(chunk_size=5):
        try:
            frame = decode(payload, {Kind.QUEUE}, metrics=frozenset({"consumers"}))
        except CorruptSnapshotError:
            continue  # it is no reading, then; those that are gone through are told in the log
        table = frame.table(Kind.QUEUE)
        if "consumers" in table.columns:
            return begun(before_ms - REBUILT_MS - 1, table.slots, table.column("consumers"), frame.at_ms)
    return Memory()
