"""From the labels of an exposition to slots, remembered per process so that a tick looks each label up and parses none.

Labels come as raw bytes, as they stand between the braces (see brokers.rabbitmq.exposition).
"""

from __future__ import annotations

import itertools
import math
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from brokers.collect.placing import Placing
from brokers.rabbitmq import exposition
from brokers.rabbitmq.exposition_again import Labels
from brokers.registry.slots import Directory, ObjectName
from brokers.series.metrics import Kind

# Labels that are remembered beyond those of the last tick, before the memory is emptied: names come and go.
_SLACK = 200_000
# Lists of labels that are held during a tick.
_LISTS = 6
_NONE: NDArray[np.int64] = np.empty(0, dtype=np.int64)


def object_name(raw: bytes, kind: Kind, *, escaped: bool = True) -> ObjectName | None:
    """Return the name of the object that labels belong to, None where they name none of this kind."""
    labels = exposition.labels(raw, escaped=escaped)
    if kind is Kind.VHOST:
        return ObjectName("", labels["vhost"]) if "vhost" in labels else None
    if kind.value not in labels or "vhost" not in labels:
        return None
    return ObjectName(labels["vhost"], labels[kind.value])


@dataclass(frozen=True, slots=True)
class _Memo:
    """What stands in a list of labels: their slots, and the number of the cache and the kind that they are of."""

    of: tuple[int, Kind]
    slots: NDArray[np.int64]


@dataclass(slots=True)
class LabelCache:
    """Slots by raw label bytes, of one broker."""

    directory: Directory
    escaped: bool = True
    limit: int = _SLACK
    _number: int = field(default_factory=itertools.count().__next__)
    _slots: dict[Kind, dict[bytes, int]] = field(default_factory=dict)
    # The last lists of labels and their slots: metrics of one family name the same objects in the same order, and to
    # compare two lists is three times as fast as to look each label up [measured].
    _same: dict[Kind, deque[tuple[Sequence[bytes], NDArray[np.int64]]]] = field(default_factory=dict)
    # Where slots stand among others, from tick to tick.
    placing: Placing = field(default_factory=Placing)
    # What was computed of the directory, with the revision that it was computed at.
    _vhosts: dict[Kind, tuple[int, NDArray[np.int64]]] = field(default_factory=dict)
    # The homes that were asked for last, with the slots that they are of and the array of all that they are from.
    _homes: dict[Kind, tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = field(default_factory=dict)
    _prefetch: tuple[int, NDArray[np.float64], NDArray[np.float64]] = (-1, np.empty(0), np.empty(0))

    def unknown(self, kind: Kind, labels: Sequence[bytes]) -> set[ObjectName]:
        """Return the names among labels that have no slot yet, and remember the slots of all others."""
        if self._seen(kind, labels) is not None:
            return set()
        cache = self._slots.setdefault(kind, {})
        fresh = set(labels).difference(cache)
        if not fresh:
            self.slots(kind, labels)
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
        seen = self._seen(kind, labels)
        if seen is not None:
            return seen
        cache = self._slots.setdefault(kind, {})
        found = np.fromiter(map(cache.get, labels, itertools.repeat(-2)), dtype=np.int64, count=len(labels))
        if (found == -2).any():  # the memory was emptied since they were looked up
            self.unknown(kind, labels)
            return np.fromiter(map(cache.get, labels, itertools.repeat(-1)), dtype=np.int64, count=len(labels))
        found.setflags(write=False)
        self._note(kind, labels, found)
        return found

    def _seen(self, kind: Kind, labels: Sequence[bytes]) -> NDArray[np.int64] | None:
        """Return the slots of labels that were looked up before, the same array for all that are the same."""
        lists = self._same.get(kind, ())
        if isinstance(labels, Labels) and isinstance(labels.memo, _Memo) and labels.memo.of == (self._number, kind):
            found: NDArray[np.int64] | None = labels.memo.slots
            if not any(slots is found for _, slots in lists):
                self._note(kind, labels, labels.memo.slots)
            return found
        found = next((slots for held, slots in lists if held == labels), None)
        if found is not None:
            self._note(kind, labels, found)
        return found

    def _note(self, kind: Kind, labels: Sequence[bytes], slots: NDArray[np.int64]) -> None:
        self._same.setdefault(kind, deque(maxlen=_LISTS)).append((labels, slots))
        if isinstance(labels, Labels):
            labels.memo = _Memo((self._number, kind), slots)

    def let_go(self) -> None:
        """Let the last lists go: the tick that they were of is over."""
        self._same.clear()
        self.placing.let_go()

    def gone(self, kind: Kind) -> NDArray[np.int64]:
        """Return the slots of a kind whose objects were found gone."""
        known = self.directory.by_slot.get(kind, {})
        return np.array([slot for slot, found in known.items() if found.gone_ms is not None], dtype=np.int64)

    def vhosts_of(self, slots: NDArray[np.int64], kind: Kind = Kind.QUEUE) -> NDArray[np.int64]:
        """Return the vhost slot of each queue's or exchange's slot, -1 where the vhost has none.

        As long as the registry tells the same it is the same array for the same array.
        """
        directory = self.directory
        revision, homes = self._vhosts.get(kind, (-1, _NONE))
        if revision != directory.revision:
            by_name = {name.name: slot for name, slot in directory.by_name.get(Kind.VHOST, {}).items()}
            known = directory.by_slot.get(kind, {})
            homes = _by_slot(known, [by_name.get(one.vhost, -1) for one in known.values()], -1)
            self._vhosts[kind] = directory.revision, homes
        asked = self._homes.get(kind)
        if asked is None or asked[0] is not slots or asked[1] is not homes:
            asked = self._homes[kind] = slots, homes, _taken(homes, slots, -1)
        return asked[2]

    def prefetch_of(self, queues: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return by queue slot what its consumers may hold, and how many consumers that was; NaN where unknown."""
        directory = self.directory
        revision, limits, consumers = self._prefetch
        if revision != directory.revision:
            known = directory.by_slot.get(Kind.QUEUE, {})
            told = [_prefetch(one.detail) for one in known.values()]
            limits = _by_slot(known, [one[0] for one in told], np.nan)
            consumers = _by_slot(known, [one[1] for one in told], np.nan)
            self._prefetch = directory.revision, limits, consumers
        return _taken(limits, queues, np.nan), _taken(consumers, queues, np.nan)


class _Prefetch(msgspec.Struct, frozen=True):
    """The part of a QueueDetail that a tick reads."""

    prefetch: float | None = None
    prefetch_consumers: float | None = None


_prefetch_decoder = msgspec.json.Decoder(_Prefetch)


def _prefetch(detail: bytes) -> tuple[float, float]:
    if b'"prefetch"' not in detail:  # spares most queues the decoding
        return math.nan, math.nan
    found = _prefetch_decoder.decode(detail)
    if found.prefetch is None or found.prefetch_consumers is None:
        return math.nan, math.nan
    return found.prefetch, found.prefetch_consumers


def _by_slot(known: Mapping[int, object], values: Sequence[float], missing: float) -> NDArray[Any]:
    """Return values as an array by slot, of the type that `missing` has."""
    spread = np.full(max(known, default=-1) + 1, missing)
    if known:
        spread[np.fromiter(known, dtype=np.int64, count=len(known))] = values
    return spread


def _taken(by_slot: NDArray[Any], slots: NDArray[np.int64], missing: float) -> NDArray[Any]:
    found = np.full(len(slots), missing)
    inside = slots < len(by_slot)
    found[inside] = by_slot[slots[inside]]
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
