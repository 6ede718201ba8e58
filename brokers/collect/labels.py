"""From the labels of an exposition to slots, remembered per process so that a tick looks each label up and parses none.

Labels come as raw bytes, as they stand between the braces (see brokers.rabbitmq.exposition).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from brokers.rabbitmq import exposition
from brokers.registry.slots import Directory, ObjectName
from brokers.series.metrics import Kind

# Labels that are remembered beyond those of the last tick, before the memory is emptied: names come and go.
_SLACK = 200_000


def object_name(raw: bytes, kind: Kind, *, escaped: bool = True) -> ObjectName | None:
    """Return the name of the object that labels belong to, None where they name none of this kind."""
    labels = exposition.labels(raw, escaped=escaped)
    if kind is Kind.VHOST:
        return ObjectName("", labels["vhost"]) if "vhost" in labels else None
    if kind.value not in labels or "vhost" not in labels:
        return None
    return ObjectName(labels["vhost"], labels[kind.value])


@dataclass(slots=True)
class LabelCache:
    """Slots by raw label bytes, of one broker."""

    directory: Directory
    escaped: bool = True
    limit: int = _SLACK
    _slots: dict[Kind, dict[bytes, int]] = field(default_factory=dict)
    _vhosts: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    _vhosts_at: int = -1

    def unknown(self, kind: Kind, labels: Sequence[bytes]) -> set[ObjectName]:
        """Return the names among labels that have no slot yet, and remember the slots of all others."""
        cache = self._slots.setdefault(kind, {})
        fresh = set(labels).difference(cache)
        if not fresh:
            return set()
        if len(cache) > self.limit:
            cache.clear()
            fresh = set(labels)
            self.limit = _SLACK + 4 * len(fresh)
        missing: set[ObjectName] = set()
        for raw in fresh:
            name = object_name(raw, kind, escaped=self.escaped)
            if name is None:
                cache[raw] = -1
                continue
            slot = self.directory.slot(kind, *name)
            if slot is None:
                missing.add(name)
            else:
                cache[raw] = slot
        return missing

    def slots(self, kind: Kind, labels: Sequence[bytes]) -> NDArray[np.int64]:
        """Return the slot of each label, -1 where it names nothing that has one."""
        cache = self._slots.setdefault(kind, {})
        found = np.fromiter(map(cache.get, labels, repeat(-2)), dtype=np.int64, count=len(labels))
        if (found == -2).any():  # the memory was emptied since they were looked up
            self.unknown(kind, labels)
            found = np.fromiter(map(cache.get, labels, repeat(-1)), dtype=np.int64, count=len(labels))
        return found

    def gone(self, kind: Kind) -> NDArray[np.int64]:
        """Return the slots of a kind whose objects were found gone."""
        known = self.directory.by_slot.get(kind, {})
        return np.array([slot for slot, found in known.items() if found.gone_ms is not None], dtype=np.int64)

    def vhosts_of(self, queues: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the vhost slot of each queue slot, -1 where the vhost has none."""
        directory = self.directory
        if self._vhosts_at != directory.revision:
            known = directory.by_slot.get(Kind.QUEUE, {})
            self._vhosts = np.full(max(known, default=-1) + 1, -1, dtype=np.int64)
            by_name = {name.name: slot for name, slot in directory.by_name.get(Kind.VHOST, {}).items()}
            for slot, queue in known.items():
                self._vhosts[slot] = by_name.get(queue.vhost, -1)
            self._vhosts_at = directory.revision
        found = np.full(len(queues), -1, dtype=np.int64)
        inside = queues < len(self._vhosts)
        found[inside] = self._vhosts[queues[inside]]
        return found


_caches: dict[int, LabelCache] = {}
_lock = threading.Lock()


def cache_of(broker_id: int) -> LabelCache:
    """Return this process's directory and labels of a broker."""
    with _lock:
        if broker_id not in _caches:
            _caches[broker_id] = LabelCache(Directory(broker_id))
        return _caches[broker_id]


def forget(broker_id: int | None = None) -> None:
    """Drop what is held of a broker, or of all."""
    with _lock:
        if broker_id is None:
            _caches.clear()
        else:
            _caches.pop(broker_id, None)
