"""A snapshot as bytes: tables of columns, each column compressed by itself so that a reader pays for what it wants.

Layout: `WS1`, four bytes of header length (little-endian), the header as MessagePack (see `_Header`), then the
columns one behind the other. Whole numbers are stored in the smallest unsigned type that holds them, with its highest
value for *unknown*; anything else as float64 with NaN for *unknown*. Every column is one zstd frame.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np
import zstandard
from numpy.typing import NDArray

from brokers.series.metrics import Kind

MAGIC = b"WS1"
# A header names some sixty columns: it is far shorter than this.
HEADER_BYTES = 8192
_UNSIGNED = ("u1", "u2", "u4")
_DTYPES = frozenset((*_UNSIGNED, "u8", "f8"))
_KINDS = frozenset(str(kind) for kind in Kind)
# float64 holds whole numbers up to here exactly.
_EXACT = 2.0**53


class CorruptSnapshotError(Exception):
    """A stored payload can't be read: it was cut off or is not a snapshot."""


@dataclass(frozen=True, slots=True)
class Table:
    """Objects of one kind × metrics: `slots` ascending, every column as long as `slots`, NaN for *unknown*."""

    slots: NDArray[np.uint32]
    columns: Mapping[str, NDArray[np.float64]]

    def column(self, name: str) -> NDArray[np.float64]:
        """Return a metric's values, all unknown where the snapshot has none."""
        found = self.columns.get(name)
        return found if found is not None else np.full(len(self.slots), np.nan)

    def value(self, slot: int, name: str) -> float:
        """Return one object's value, NaN where the object or the metric is not in the snapshot."""
        index = int(np.searchsorted(self.slots, slot))
        if index >= len(self.slots) or self.slots[index] != slot or name not in self.columns:
            return float("nan")
        return float(self.columns[name][index])


EMPTY = Table(np.empty(0, dtype=np.uint32), {})


@dataclass(frozen=True, slots=True)
class Frame:
    """One broker at one moment; `at_ms` in Unix milliseconds."""

    at_ms: int
    tables: Mapping[Kind, Table] = field(default_factory=dict)
    complete: bool = True

    def table(self, kind: Kind) -> Table:
        """Return the table of a kind, empty where the snapshot has none."""
        return self.tables.get(kind, EMPTY)


class _Column(msgspec.Struct, array_like=True):
    name: str
    dtype: str
    size: int


class _Table(msgspec.Struct, array_like=True):
    kind: str
    rows: int
    columns: list[_Column]


class _Header(msgspec.Struct, array_like=True):
    at_ms: int
    complete: bool
    tables: list[_Table]


# zstandard's objects must not be shared between threads.
_local = threading.local()


def _compressor() -> zstandard.ZstdCompressor:
    if not hasattr(_local, "compressor"):
        _local.compressor = zstandard.ZstdCompressor(level=3)
    found: zstandard.ZstdCompressor = _local.compressor
    return found


def _decompressor() -> zstandard.ZstdDecompressor:
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor()
    found: zstandard.ZstdDecompressor = _local.decompressor
    return found


def encode(frame: Frame) -> bytes:
    """Encode a frame; columns that are wholly unknown are left out, which reads back the same."""
    header = _Header(frame.at_ms, frame.complete, [])
    parts: list[bytes] = []
    for kind, table in frame.tables.items():
        entry = _Table(str(kind), len(table.slots), [])
        _append(entry, parts, "", *_slots_as_bytes(table.slots))
        for name, values in table.columns.items():
            if len(values) != len(table.slots):
                raise ValueError(f"column {name} of {kind} has {len(values)} values for {len(table.slots)} slots")
            if len(values) and np.isnan(values).all():
                continue
            _append(entry, parts, name, *_as_bytes(values))
        header.tables.append(entry)
    head = msgspec.msgpack.encode(header)
    return b"".join((MAGIC, len(head).to_bytes(4, "little"), head, *parts))


def decode(
    payload: bytes | memoryview, kinds: Collection[Kind] | None = None, metrics: Collection[str] | None = None
) -> Frame:
    """Decode a payload, or only some kinds and metrics of it. Raises CorruptSnapshotError."""
    payload = bytes(payload)
    header = _header(payload)
    tables: dict[Kind, Table] = {}
    for entry, parts in _parts(payload):
        kind = Kind(entry.kind)
        if kinds is not None and kind not in kinds:
            continue
        slots: NDArray[np.uint32] = EMPTY.slots
        columns: dict[str, NDArray[np.float64]] = {}
        for column, data in parts:
            if column.name == "":
                slots = _slots(data, column, entry.rows)
            elif metrics is None or column.name in metrics:
                columns[column.name] = _as_floats(_raw(data, column.dtype, entry.rows))
        tables[kind] = Table(slots, columns)
    return Frame(header.at_ms, tables, header.complete)


def _header(payload: bytes) -> _Header:
    if payload[:3] != MAGIC or len(payload) < 7:
        raise CorruptSnapshotError("the payload does not begin like a snapshot")
    try:
        header = msgspec.msgpack.decode(payload[7 : 7 + int.from_bytes(payload[3:7], "little")], type=_Header)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptSnapshotError(f"the snapshot's header can't be read: {error}") from error
    for table in header.tables:
        sound = (
            table.kind in _KINDS
            and table.rows >= 0
            and [one.dtype for one in table.columns if one.name == ""] == ["u4"]
        )
        if not sound or any(one.size < 0 or one.dtype not in _DTYPES for one in table.columns):
            raise CorruptSnapshotError("the snapshot's header is not what was written")
    return header


def _parts(payload: bytes) -> Iterator[tuple[_Table, list[tuple[_Column, bytes]]]]:
    """Yield each kind's table with its columns as they are stored."""
    position = 7 + int.from_bytes(payload[3:7], "little")
    for entry in _header(payload).tables:
        parts = []
        for column in entry.columns:
            end = position + column.size
            if end > len(payload):
                raise CorruptSnapshotError("the snapshot is cut off")
            parts.append((column, payload[position:end]))
            position = end
        yield entry, parts


def _slots(data: bytes, column: _Column, rows: int) -> NDArray[np.uint32]:
    return np.cumsum(_raw(data, column.dtype, rows), dtype=np.uint32)


@dataclass(frozen=True, slots=True)
class Packed:
    """Columns of one kind as they are stored, a few bytes a value; None stands for one that the snapshot lacks."""

    slots: NDArray[np.uint32]
    columns: Mapping[str, NDArray[np.generic] | None]

    def some(self, name: str, rows: NDArray[np.intp]) -> NDArray[np.float64] | None:
        """Return a column's values in some rows, NaN for *unknown*; None where the snapshot has no such column."""
        found = self.columns.get(name)
        return None if found is None else _as_floats(found[rows])

    @property
    def nbytes(self) -> int:
        """Return the memory that the columns take, as if nobody shared the slots."""
        return self.slots.nbytes // 8 + sum(column.nbytes for column in self.columns.values() if column is not None)


def packed(
    payload: bytes | memoryview, kind: Kind, metrics: Collection[str], *, slots: NDArray[np.uint32] | None = None
) -> Packed:
    """Return some columns of one kind without making floats of them. Raises CorruptSnapshotError.

    `slots`: the kind's, where they were read before.
    """
    found = Packed(EMPTY.slots, {})
    for entry, parts in _parts(bytes(payload)):
        if entry.kind != kind:
            continue
        if slots is None:
            slots = next((_slots(data, column, entry.rows) for column, data in parts if column.name == ""), EMPTY.slots)
        columns = {
            column.name: _raw(data, column.dtype, entry.rows) for column, data in parts if column.name in metrics
        }
        found = Packed(slots, columns)
    return found


def check(payload: bytes | memoryview) -> None:
    """Raise CorruptSnapshotError where a payload can't be read."""
    for entry, parts in _parts(bytes(payload)):
        for column, data in parts:
            _raw(data, column.dtype, entry.rows)


def columns_of(beginning: bytes | memoryview, kind: Kind) -> set[str]:
    """Return the names of a kind's columns from the first HEADER_BYTES of a payload; none where they can't be read."""
    beginning = bytes(beginning)
    end = 7 + int.from_bytes(beginning[3:7], "little")
    if beginning[:3] != MAGIC or end > len(beginning):
        return set()
    try:
        header = _header(beginning)
    except CorruptSnapshotError:
        return set()
    return {column.name for entry in header.tables if entry.kind == kind for column in entry.columns}


def _append(entry: _Table, parts: list[bytes], name: str, dtype: str, data: bytes) -> None:
    packed = _compressor().compress(data)
    entry.columns.append(_Column(name, dtype, len(packed)))
    parts.append(packed)


def _slots_as_bytes(slots: NDArray[np.uint32]) -> tuple[str, bytes]:
    deltas = np.diff(slots, prepend=np.uint32(0))
    if len(slots) > 1 and (np.diff(slots.astype(np.int64)) <= 0).any():
        raise ValueError("slots must ascend")
    return "u4", deltas.astype("<u4").tobytes()


def _as_bytes(values: NDArray[np.float64]) -> tuple[str, bytes]:
    unknown = np.isnan(values)
    known = values[~unknown]
    if len(known) and known.min() >= 0 and known.max() < _EXACT and (known == np.floor(known)).all():
        for dtype in _UNSIGNED:
            top = np.iinfo(dtype).max
            if known.max() < top:
                return dtype, np.where(unknown, top, values).astype(f"<{dtype}").tobytes()
        top64 = np.iinfo("u8").max
        whole = np.where(unknown, 0, values).astype("<u8")
        whole[unknown] = top64
        return "u8", whole.tobytes()
    return "f8", values.astype("<f8").tobytes()


def _raw(data: bytes, dtype: str, rows: int) -> NDArray[np.generic]:
    try:
        plain = _decompressor().decompress(data, max_output_size=rows * 8 + 8)
        values = np.frombuffer(plain, dtype=f"<{dtype}")
    except (zstandard.ZstdError, OverflowError, ValueError) as error:
        raise CorruptSnapshotError(f"a column can't be unpacked: {error}") from error
    if len(values) != rows:
        raise CorruptSnapshotError(f"a column has {len(values)} values for {rows} rows")
    return values


def _as_floats(values: NDArray[np.generic]) -> NDArray[np.float64]:
    if values.dtype.kind == "f":
        return values.astype(np.float64)
    floats = values.astype(np.float64)
    floats[values == np.iinfo(values.dtype).max] = np.nan  # type: ignore[type-var]
    return floats
