"""What a queue is for, as far as its figures are to be read by it: flags by slot, from the definitions."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from brokers.registry.slots import Directory
from brokers.series.metrics import Kind

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Natures:
    """Of some queues, in the order asked for: dead-letter queues, those whose messages wait for their time, streams."""

    letters: Flags
    waits: Flags
    streams: Flags


class _Told(msgspec.Struct, frozen=True):
    type: str | None = None
    dead_letters_of: tuple[str, ...] = ()
    named_like_dlq: bool = False
    waits: bool = False


_LETTERS, _WAITS, _STREAM = 1, 2, 4
_decoder = msgspec.json.Decoder(_Told)


@dataclass(slots=True)
class NatureCache:
    """The flags of one broker's queues, read again where the registry's directory has changed."""

    _revision: int = -1
    _codes: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, dtype=np.uint8))
    _known: dict[int, tuple[bytes, int]] = field(default_factory=dict)

    def of(self, directory: Directory, slots: NDArray[np.uint32]) -> Natures:
        """Return the natures of the queues in these slots; of what has no definition yet nothing is known: no flag."""
        if self._revision != directory.revision:
            self._read(directory)
        codes = np.zeros(len(slots), dtype=np.uint8)
        inside = slots < len(self._codes)
        codes[inside] = self._codes[slots[inside]]
        return Natures((codes & _LETTERS) > 0, (codes & _WAITS) > 0, (codes & _STREAM) > 0)

    def _read(self, directory: Directory) -> None:
        queues = directory.by_slot.get(Kind.QUEUE, {})
        known: dict[int, tuple[bytes, int]] = {}
        codes = np.zeros(max(queues, default=-1) + 1, dtype=np.uint8)
        for slot, queue in queues.items():
            held = self._known.get(slot)
            if held is None or held[0] is not queue.detail:
                held = (queue.detail, _code(queue.detail))
            known[slot] = held
            codes[slot] = held[1]
        self._known, self._codes, self._revision = known, codes, directory.revision


def _code(detail: bytes) -> int:
    try:
        told = _decoder.decode(detail or b"{}")
    except msgspec.MsgspecError:  # written by a later version: nothing is known of it
        return 0
    letters = _LETTERS if told.dead_letters_of or told.named_like_dlq else 0
    return letters | (_WAITS if told.waits else 0) | (_STREAM if told.type == "stream" else 0)


_caches: dict[int, NatureCache] = {}
_lock = threading.Lock()


def natures(directory: Directory, slots: NDArray[np.uint32]) -> Natures:
    """Return the natures of a broker's queues in these slots; `directory` is refreshed by its owner."""
    with _lock:
        cache = _caches.setdefault(directory.broker_id, NatureCache())
    return cache.of(directory, slots)


def forget(broker_id: int) -> None:
    """Drop what is held of a broker."""
    with _lock:
        _caches.pop(broker_id, None)
