"""A block as bytes: 64 neighbouring objects × the samples of a span, every metric as a column that is read by itself.

Layout: `WB1`, four bytes of header length (little-endian), the header (MessagePack, one zstd frame), then the columns,
one behind the other. A column that equals an earlier one byte for byte is not stored again. A column of a roll-up is
named `metric:field` (brokers.series.cells), one of single polls `metric`; the column `` says in how many polls of each
sample each object was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from brokers.series import columns as coding
from brokers.series.cells import Ticks
from brokers.series.columns import UNREADABLE, Column, CorruptBlockError, Floats

GROUP = 64
MAGIC = b"WB1"
THERE = ""
# A span of two hours has 7,200 where a broker is polled every second.
_MOST_SAMPLES = 1_000_000


class _Header(msgspec.Struct, array_like=True):
    samples: int
    offsets: bytes  # slot % 64 of each object, ascending
    columns: list[Column]
    # Names of columns that equal another, with that one's name.
    same: dict[str, str]


@dataclass(frozen=True, slots=True)
class Block:
    """A stored block, opened: its objects and what can be read of it."""

    slots: NDArray[np.uint32]
    samples: int
    _places: Mapping[str, tuple[Column, int]]
    _payload: bytes

    def has(self, name: str) -> bool:
        """Tell whether a column is known of any object."""
        return name in self._places

    def names(self) -> list[str]:
        """Return the columns' names."""
        return list(self._places)

    def column(self, name: str, rows: Sequence[int]) -> Floats:
        """Return a column of some objects (by their index in `slots`), rows × samples; NaN where nothing is known.

        Raises CorruptBlockError, like all that follows.
        """
        found = self._places.get(name)
        if found is None:
            return np.full((len(rows), self.samples), np.nan)
        try:
            return coding.decode(found[0], self._stored(found), len(self.slots), self.samples, rows)
        except UNREADABLE as error:
            raise CorruptBlockError(f"the column {name} can't be read: {error}") from error

    def one(self, name: str, row: int) -> Floats | float:
        """Return a column of one object: its samples, or the one value that all of them have (NaN: nothing known)."""
        found = self._places.get(name)
        if found is None:
            return math.nan
        try:
            return coding.decode_one(found[0], self._stored(found), self.samples, row)
        except UNREADABLE as error:
            raise CorruptBlockError(f"the column {name} can't be read: {error}") from error

    def reduced(self, name: str) -> coding.Reduced | None:
        """Return all samples of a column as one, of all objects; None where nothing is known."""
        found = self._places.get(name)
        if found is None or not self.samples:
            return None
        try:
            return coding.reduce(found[0], self._stored(found), len(self.slots), self.samples)
        except UNREADABLE as error:
            raise CorruptBlockError(f"the column {name} can't be read: {error}") from error

    def summed(self, name: str) -> Floats | None:
        """Return the sum of all objects at each sample; None where any is unknown at any."""
        found = self._places.get(name)
        if found is None:
            return None
        try:
            return coding.add_up(found[0], self._stored(found), len(self.slots), self.samples)
        except UNREADABLE as error:
            raise CorruptBlockError(f"the column {name} can't be read: {error}") from error

    def still(self, name: str) -> Floats:
        """Return the value of each object whose column has the same, known, at all samples; NaN for the others."""
        found = self._places.get(name)
        if found is None:
            return np.full(len(self.slots), np.nan)
        try:
            return coding.still(found[0], len(self.slots))
        except UNREADABLE as error:
            raise CorruptBlockError(f"the column {name} can't be read: {error}") from error

    def same_for_all(self, name: str) -> Floats | None:
        """Return a column of which all objects have the same row, which is that; None of any other."""
        found = self._places.get(name)
        if found is None or len(found[0].rows) > 1 or found[0].masks:
            return None
        row = self.one(name, 0)
        return np.full(self.samples, row) if isinstance(row, float) else row

    def _stored(self, found: tuple[Column, int]) -> memoryview:
        column, begin = found
        return memoryview(self._payload)[begin : begin + column.size]


class Builder:
    """Makes the block of one group's objects, a column at a time; `slots` ascending. `known`: values that are known."""

    def __init__(self, slots: NDArray[np.uint32], samples: int) -> None:
        self.known = 0
        self._shape = len(slots), samples
        self._header = _Header(samples, (slots % GROUP).astype(np.uint8).tobytes(), [], {})
        self._parts: list[bytes] = []
        self._seen: dict[tuple[object, ...], str] = {}

    def add(self, name: str, values: Floats) -> None:
        """Add a column, objects × samples; one that is wholly unknown is left out, which reads back the same."""
        if values.shape != self._shape:
            raise ValueError(f"column {name} is {values.shape} for {self._shape} objects and samples")
        known = values.size - int(np.isnan(values).sum())
        if known == 0:
            return
        if name != THERE and name.partition(":")[2] in {"", "last"}:
            self.known += known
        column, data = coding.encode(name, values)
        key = (*msgspec.structs.astuple(column)[1:5], tuple(column.pages), column.masks, data)
        if key in self._seen:
            self._header.same[name] = self._seen[key]
            return
        self._seen[key] = name
        self._header.columns.append(column)
        self._parts.append(data)

    def payload(self) -> bytes:
        """Return the block as bytes."""
        head = coding.compressed(msgspec.msgpack.encode(self._header))
        return b"".join((MAGIC, len(head).to_bytes(4, "little"), head, *self._parts))


def encode(slots: NDArray[np.uint32], samples: int, columns: Mapping[str, Floats]) -> bytes:
    """Encode the columns (objects × samples) of one group's objects; `slots` ascending."""
    builder = Builder(slots, samples)
    for name, values in columns.items():
        builder.add(name, values)
    return builder.payload()


def decode(payload: bytes | memoryview, group: int) -> Block:
    """Open a block; columns are decoded when they are asked for. Raises CorruptBlockError."""
    payload = bytes(payload)
    begin = 7 + int.from_bytes(payload[3:7], "little")
    if payload[:3] != MAGIC or len(payload) < begin:
        raise CorruptBlockError("the payload does not begin like a block")
    try:
        plain = coding.decompressed(payload[7:begin], 4_000_000)
        header = msgspec.msgpack.decode(plain, type=_Header)
    except UNREADABLE as error:
        raise CorruptBlockError(f"the block's header can't be read: {error}") from error
    if not 0 <= header.samples <= _MOST_SAMPLES:
        raise CorruptBlockError(f"a block has no {header.samples} samples")
    places: dict[str, tuple[Column, int]] = {}
    for column in header.columns:
        places[column.name] = column, begin
        begin += column.size
    for name, other in header.same.items():
        if other not in places:
            raise CorruptBlockError(f"the column {name} equals one that is not there")
        places[name] = places[other]
    slots = np.frombuffer(header.offsets, dtype=np.uint8).astype(np.uint32) + np.uint32(group * GROUP)
    return Block(slots, header.samples, places, payload)


class _TicksHeader(msgspec.Struct, array_like=True):
    columns: list[Column]
    samples: int


_TICK_FIELDS = ("times_ms", "cadences_ms", "complete", "polls", "resolution_ms")


def encode_ticks(ticks: Ticks) -> bytes:
    """Encode the samples that all blocks of a span share."""
    parts = [
        coding.encode(name, getattr(ticks, name).astype(np.float64)[np.newaxis]) if len(ticks) else None
        for name in _TICK_FIELDS
    ]
    header = _TicksHeader([part[0] for part in parts if part], len(ticks))
    head = msgspec.msgpack.encode(header)
    return b"".join((len(head).to_bytes(4, "little"), head, *(part[1] for part in parts if part)))


def decode_ticks(payload: bytes | memoryview) -> Ticks:
    """Read what `encode_ticks` wrote. Raises CorruptBlockError."""
    try:
        ticks = _decode_ticks(bytes(payload))
    except UNREADABLE as error:
        raise CorruptBlockError(f"a span's samples can't be read: {error}") from error
    if len({len(getattr(ticks, name)) for name in _TICK_FIELDS}) > 1 or (np.diff(ticks.times_ms) < 0).any():
        raise CorruptBlockError("a span's samples can't be read: they are not what was written")
    return ticks


def _decode_ticks(payload: bytes) -> Ticks:
    begin = 4 + int.from_bytes(payload[:4], "little")
    header = msgspec.msgpack.decode(payload[4:begin], type=_TicksHeader)
    if not 0 <= header.samples <= _MOST_SAMPLES:
        raise CorruptBlockError(f"a span has no {header.samples} samples")
    found: dict[str, NDArray[np.int64]] = {}
    for column in header.columns:
        data = payload[begin : begin + column.size]
        values = coding.decode(column, data, 1, header.samples, [0])[0].astype(np.int64)
        # Most of them are the same at every sample, and take no memory so.
        found[column.name] = values if column.pages else np.broadcast_to(values[0], header.samples)
        begin += column.size
    none = np.empty(0, dtype=np.int64)
    times, cadences, complete, polls, resolution = (found.get(name, none) for name in _TICK_FIELDS)
    return Ticks(times, cadences, complete.astype(np.bool_), polls, resolution)
