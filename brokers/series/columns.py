"""A matrix objects × samples as bytes, by pcodec: each object can be read by itself, and what does not move is free.

Rows that are alike are stored once; constant ones as one number; the others as pages of one pcodec chunk, PAGE_ROWS
to a page. NaN (*unknown*) is the value before it, and a bit in a mask. Whole numbers are stored as such. Lossless; only
the sign of a zero is lost among whole numbers.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import zstandard
from numpy.typing import NDArray
from pcodec import ChunkConfig, PagingSpec, wrapped

Floats = NDArray[np.float64]
PAGE_ROWS = 4
# float64 holds whole numbers up to here exactly.
_EXACT = 2.0**53
_UNKNOWN = 255
_DTYPES = {"i4": "i32", "i8": "i64", "f4": "f32", "f8": "f64"}
_PCO_HEADER = wrapped.FileCompressor().write_header()


class CorruptBlockError(Exception):
    """Stored columns can't be read: they were cut off or are something else."""


# What Python, msgspec, numpy and pcodec raise where bytes are not what was written.
UNREADABLE = (
    msgspec.MsgspecError,
    zstandard.ZstdError,
    ArithmeticError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


class Column(msgspec.Struct, array_like=True):
    """How one matrix is stored. `size` bytes behind those of the column before."""

    name: str
    size: int
    dtype: str
    # By object: which of the distinct rows it has, 255 none; the constant ones first. One byte: all the same.
    rows: bytes
    constants: bytes
    meta: int
    pages: list[int]
    # By object: which of the distinct masks it has, 255: all is known. Empty: all is known of all.
    masks: bytes
    mask_size: int


# zstandard's objects must not be shared between threads, and take longer to make than to use.
_local = threading.local()


def compressed(data: bytes) -> bytes:
    """Return a zstd frame of what is small and written once."""
    if not hasattr(_local, "compressor"):
        _local.compressor = zstandard.ZstdCompressor(level=9)
    frame: bytes = _local.compressor.compress(data)
    return frame


def decompressed(data: bytes | memoryview, limit: int) -> bytes:
    """Return what a zstd frame holds, up to `limit` bytes. Raises ZstdError."""
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor()
    plain: bytes = _local.decompressor.decompress(data, max_output_size=limit)
    return plain


def encode(name: str, values: Floats) -> tuple[Column, bytes]:
    """Return a matrix of at most 64 objects, with at least one sample, as its description and its bytes."""
    # Most objects stand still, and are no more than their first value; NaN differs from itself.
    moving = np.flatnonzero((values != values[:, :1]).any(axis=1))
    moved = values[moving]
    unknown = np.isnan(moved)
    filled = _filled(moved, unknown)
    first = values[:, 0].copy()
    first[moving] = filled[:, 0]
    dtype = _dtype(np.concatenate((first, filled.reshape(-1))))
    stored = np.where(np.isnan(filled), 0.0, filled).astype(f"<{dtype}")
    varies = (stored != stored[:, :1]).any(axis=1)
    which = np.full(len(values), _UNKNOWN, dtype=np.uint8)
    constant = ~np.isnan(first)
    constant[moving[varies]] = False
    rows = np.flatnonzero(constant)
    bits = first[rows].astype(f"<{dtype}").view(f"<u{dtype[1]}")
    constants = {value: number for number, value in enumerate(dict.fromkeys(bits.tolist()))}
    which[rows] = [constants[value] for value in bits.tolist()]
    distinct: dict[bytes, int] = {}
    varying: list[int] = []
    for place in np.flatnonzero(varies).tolist():
        key = stored[place].tobytes()
        if key not in distinct:
            distinct[key] = len(constants) + len(varying)
            varying.append(place)
        which[moving[place]] = distinct[key]
    masks, mask_data = _encode_masks(unknown, moving, len(values))
    meta, pages = _encode_pages(stored[varying]) if varying else (b"", [])
    column = Column(
        name,
        len(mask_data) + len(meta) + sum(map(len, pages)),
        dtype,
        which[:1].tobytes() if (which == which[:1]).all() else which.tobytes(),
        np.array(list(constants), dtype=bits.dtype).tobytes(),
        len(meta),
        [len(page) for page in pages],
        masks,
        len(mask_data),
    )
    return column, b"".join((mask_data, meta, *pages))


def decode(column: Column, data: bytes | memoryview, objects: int, samples: int, rows: Sequence[int]) -> Floats:
    """Return some objects of a stored matrix. Raises CorruptBlockError."""
    if len(data) != column.size:
        raise CorruptBlockError("the block is cut off")
    which = _which(column, objects)
    wanted = which[list(rows)]
    constants = _constants(column)
    found = np.full((len(wanted), samples), np.nan)
    still = wanted < len(constants)
    if still.any():
        found[still] = constants[wanted[still]][:, np.newaxis]
    moving = np.flatnonzero((wanted != _UNKNOWN) & ~still)
    if len(moving):
        numbers = (wanted[moving].astype(np.intp) - len(constants)).tolist()
        needed = sorted({number // PAGE_ROWS for number in numbers})
        pages = _decode_pages(column, data, samples, needed, _moving(column))
        for target, number in zip(moving.tolist(), numbers, strict=True):
            found[target] = pages[number // PAGE_ROWS][number % PAGE_ROWS]
    if column.masks:
        _apply_masks(column, data, found, rows)
    return found


def decode_one(column: Column, data: bytes | memoryview, samples: int, row: int) -> Floats | float:
    """Return one object as `decode` does, with no work for those beside it: its samples, or the value of all of them.

    Raises CorruptBlockError.
    """
    if len(data) != column.size:
        raise CorruptBlockError("the block is cut off")
    which = column.rows[0] if len(column.rows) == 1 else column.rows[row]
    if which == _UNKNOWN:
        return math.nan
    still = len(column.constants) // int(column.dtype[1])
    masked = bool(column.masks) and column.masks[row] != _UNKNOWN
    if which < still:
        value = float(np.frombuffer(column.constants, dtype=f"<{column.dtype}")[which])
        if not masked:
            return value
        found = np.full((1, samples), value)
    else:
        page, place = divmod(which - still, PAGE_ROWS)
        rows = _decode_pages(column, data, samples, [page], _moving(column))[page]
        found = rows[place : place + 1].astype(np.float64)
    if masked:
        _apply_masks(column, data, found, [row])
    whole: Floats = found[0]
    return whole


@dataclass(frozen=True, slots=True)
class Reduced:
    """What all samples of a matrix come to, by object: NaN, and 0 of `total` and `count`, where nothing is known.

    `last` known, `least` and `greatest`, `total`: the sum of the known ones, `count`: how many are known.
    """

    last: Floats
    least: Floats
    greatest: Floats
    total: Floats
    count: Floats


def reduce(column: Column, data: bytes | memoryview, objects: int, samples: int) -> Reduced:
    """Return each object of a stored matrix as one sample; what does not move is not unpacked.

    Raises CorruptBlockError.
    """
    rows = _distinct_rows(column, data, samples)
    constants = _constants(column)
    # Where something is unknown, what was known before it stands: it changes neither the last nor the bounds.
    last = np.concatenate((constants, rows[:, -1], (np.nan,)))
    least = np.concatenate((constants, rows.min(axis=1), (np.nan,)))
    greatest = np.concatenate((constants, rows.max(axis=1), (np.nan,)))
    total = np.concatenate((constants * samples, rows.sum(axis=1, dtype=np.float64), (0.0,)))
    which = np.minimum(_which(column, objects), len(last) - 1)
    count = np.where(which == len(last) - 1, 0.0, float(samples))
    found = Reduced(last[which], least[which], greatest[which], total[which], count)
    if column.masks:
        masked, unknown = _masks(column, data, samples, range(objects))
        filled = np.concatenate((np.broadcast_to(constants[:, np.newaxis], (len(constants), samples)), rows))
        found.total[masked] -= np.where(unknown, filled[which[masked]], 0.0).sum(axis=1)
        found.count[masked] -= unknown.sum(axis=1)
    return found


def still(column: Column, objects: int) -> Floats:
    """Return the value of each object that has the same, known, at all samples; NaN for the others."""
    which, constants = _which(column, objects), _constants(column)
    found = np.full(objects, np.nan)
    same = which < len(constants)
    found[same] = constants[which[same]]
    if column.masks:
        found[np.frombuffer(column.masks, dtype=np.uint8) != _UNKNOWN] = np.nan
    return found


def add_up(column: Column, data: bytes | memoryview, objects: int, samples: int) -> Floats | None:
    """Return the sum of all objects at each sample; None where any is unknown at any. Raises CorruptBlockError."""
    which = _which(column, objects)
    if column.masks or (which == _UNKNOWN).any():
        return None
    constants = _constants(column)
    times = np.bincount(which, minlength=len(constants))
    rows = _distinct_rows(column, data, samples)
    moving: Floats = times[len(constants) :].astype(np.float64) @ rows.astype(np.float64)
    return moving + float(times[: len(constants)] @ constants)


def _distinct_rows(column: Column, data: bytes | memoryview, samples: int) -> NDArray[np.generic]:
    """Return the rows that move, each once, as they are stored."""
    if len(data) != column.size:
        raise CorruptBlockError("the block is cut off")
    if not column.pages:
        return np.empty((0, samples), dtype=column.dtype)
    pages = _decode_pages(column, data, samples, range(len(column.pages)), _moving(column))
    return np.concatenate(list(pages.values()))


def _which(column: Column, objects: int) -> NDArray[np.uint8]:
    which = np.frombuffer(column.rows, dtype=np.uint8)
    return np.broadcast_to(which, objects) if len(which) == 1 else which


def _constants(column: Column) -> Floats:
    return np.frombuffer(column.constants, dtype=f"<{column.dtype}").astype(np.float64)


def _moving(column: Column) -> int:
    """Return how many distinct rows are stored as pages."""
    held = column.rows.replace(bytes((_UNKNOWN,)), b"")
    return max(held) + 1 - len(column.constants) // int(column.dtype[1]) if held else 0


def _filled(values: Floats, unknown: NDArray[np.bool_]) -> Floats:
    if not unknown.any():
        return values
    place = np.where(unknown, -1, np.arange(values.shape[1]))
    first = np.argmax(~unknown, axis=1)[:, np.newaxis]
    before = np.maximum.accumulate(place, axis=1)
    return np.take_along_axis(values, np.where(before < 0, first, before), axis=1)


def _dtype(values: Floats) -> str:
    """Return the narrowest type that holds the known ones of values without loss."""
    values = values[~np.isnan(values)]
    if values.size == 0:
        return "i4"
    least, greatest = values.min(), values.max()
    if least > -_EXACT and greatest < _EXACT and (values == np.rint(values)).all():
        return "i4" if least >= -(2**31) and greatest < 2**31 else "i8"
    with np.errstate(over="ignore"):
        return "f4" if (values.astype(np.float32) == values).all() else "f8"


def _encode_pages(stored: NDArray[np.generic]) -> tuple[bytes, list[bytes]]:
    count, samples = stored.shape
    sizes = [min(PAGE_ROWS, count - begin) * samples for begin in range(0, count, PAGE_ROWS)]
    flat = np.ascontiguousarray(stored).reshape(-1)
    chunk = wrapped.FileCompressor().chunk_compressor(flat, ChunkConfig(paging_spec=PagingSpec.exact_page_sizes(sizes)))
    return bytes(chunk.write_meta()), [bytes(chunk.write_page(page)) for page in range(len(sizes))]


def _decode_pages(
    column: Column, data: bytes | memoryview, samples: int, wanted: Sequence[int], rows: int
) -> dict[int, NDArray[np.generic]]:
    begins = np.cumsum([column.mask_size + column.meta, *column.pages])
    found: dict[int, NDArray[np.generic]] = {}
    try:
        file, _ = wrapped.FileDecompressor.new(_PCO_HEADER)
        meta = bytes(data[column.mask_size : column.mask_size + column.meta])
        chunk, _ = file.chunk_decompressor(meta, _DTYPES[column.dtype])
        for page in wanted:
            many = min(PAGE_ROWS, rows - page * PAGE_ROWS)
            target = np.empty(many * samples, dtype=column.dtype)
            chunk.read_page_into(bytes(data[begins[page] : begins[page + 1]]), len(target), target)
            found[page] = target.reshape(many, samples)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise CorruptBlockError(f"a column can't be unpacked: {error}") from error
    return found


def _encode_masks(unknown: NDArray[np.bool_], rows: NDArray[np.intp], objects: int) -> tuple[bytes, bytes]:
    """Return what of `rows`, of so many objects, is unknown at some samples."""
    # What is wholly unknown has no row to mask.
    partly = np.flatnonzero(unknown.any(axis=1) & ~unknown.all(axis=1))
    if not len(partly):
        return b"", b""
    which = np.full(objects, _UNKNOWN, dtype=np.uint8)
    distinct: dict[bytes, int] = {}
    for row, mask in zip(rows[partly].tolist(), np.packbits(unknown[partly], axis=1), strict=True):
        which[row] = distinct.setdefault(mask.tobytes(), len(distinct))
    return which.tobytes(), compressed(b"".join(distinct))


def _apply_masks(column: Column, data: bytes | memoryview, found: Floats, rows: Sequence[int]) -> None:
    masked, unknown = _masks(column, data, found.shape[1], rows)
    if len(masked):
        found[masked] = np.where(unknown, np.nan, found[masked])


def _masks(
    column: Column, data: bytes | memoryview, samples: int, rows: Sequence[int]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return which of `rows` are unknown at some samples, by index, and of these at which."""
    which = np.frombuffer(column.masks, dtype=np.uint8)[list(rows)]
    masked = np.flatnonzero(which != _UNKNOWN)
    width = (samples + 7) // 8
    try:
        plain = decompressed(data[: column.mask_size], 64 * width) if len(masked) else b""
    except zstandard.ZstdError as error:
        raise CorruptBlockError(f"a mask can't be unpacked: {error}") from error
    distinct = np.frombuffer(plain, dtype=np.uint8).reshape(-1, width)
    return masked, np.unpackbits(distinct[which[masked]], axis=1, count=samples).astype(np.bool_)
