"""A matrix objects × samples as bytes, by pcodec: each object can be read by itself, and what does not move is free.

Rows that are alike are stored once; constant ones as one number; the others as pages of one pcodec chunk, PAGE_ROWS
to a page. NaN (*unknown*) is the value before it, and a bit in a mask. Whole numbers are stored as such. Lossless; only
the sign of a zero is lost among whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def encode(name: str, values: Floats) -> tuple[Column, bytes]:
    """Return a matrix of at most 64 objects as its description and its bytes."""
    objects, samples = values.shape
    unknown = np.isnan(values)
    masks, mask_data = _encode_masks(unknown)
    filled = _filled(values, unknown)
    dtype = _dtype(filled[~unknown.all(axis=1)])
    stored = np.where(np.isnan(filled), 0.0, filled).astype(f"<{dtype}")
    constant = (stored == stored[:, :1]).all(axis=1) if samples else np.ones(objects, dtype=np.bool_)
    nothing = unknown.all(axis=1)
    which = np.full(objects, _UNKNOWN, dtype=np.uint8)
    distinct: dict[bytes, int] = {}
    constants: list[int] = []
    for row in np.flatnonzero(constant & ~nothing).tolist():
        key = stored[row, :1].tobytes()
        if key not in distinct:
            distinct[key] = len(constants)
            constants.append(row)
        which[row] = distinct[key]
    varying: list[int] = []
    for row in np.flatnonzero(~constant & ~nothing).tolist():
        key = stored[row].tobytes()
        if key not in distinct:
            distinct[key] = len(constants) + len(varying)
            varying.append(row)
        which[row] = distinct[key]
    meta, pages = _encode_pages(stored[varying]) if varying else (b"", [])
    column = Column(
        name,
        len(mask_data) + len(meta) + sum(map(len, pages)),
        dtype,
        which[:1].tobytes() if (which == which[:1]).all() else which.tobytes(),
        stored[constants, 0].tobytes() if constants else b"",
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
    which = np.frombuffer(column.rows, dtype=np.uint8)
    if len(which) == 1:
        which = np.broadcast_to(which, objects)
    wanted = which[list(rows)]
    constants = np.frombuffer(column.constants, dtype=f"<{column.dtype}").astype(np.float64)
    found = np.full((len(wanted), samples), np.nan)
    still = wanted < len(constants)
    if still.any():
        found[still] = constants[wanted[still]][:, np.newaxis]
    moving = np.flatnonzero((wanted != _UNKNOWN) & ~still)
    if len(moving):
        numbers = wanted[moving].astype(np.intp) - len(constants)
        pages = _decode_pages(column, data, samples, np.unique(numbers // PAGE_ROWS), _moving(which, len(constants)))
        for target, number in zip(moving.tolist(), numbers.tolist(), strict=True):
            found[target] = pages[number // PAGE_ROWS][number % PAGE_ROWS]
    if column.masks:
        _apply_masks(column, data, found, list(rows))
    return found


def _moving(which: NDArray[np.uint8], constants: int) -> int:
    held = which[which != _UNKNOWN]
    return int(held.max()) + 1 - constants if len(held) else 0


def _filled(values: Floats, unknown: NDArray[np.bool_]) -> Floats:
    if not unknown.any() or values.shape[1] == 0:
        return values
    place = np.where(unknown, -1, np.arange(values.shape[1]))
    first = np.argmax(~unknown, axis=1)[:, np.newaxis]
    before = np.maximum.accumulate(place, axis=1)
    return np.take_along_axis(values, np.where(before < 0, first, before), axis=1)


def _dtype(values: Floats) -> str:
    """Return the narrowest type that holds values without loss."""
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
    column: Column, data: bytes | memoryview, samples: int, wanted: NDArray[np.intp], rows: int
) -> dict[int, NDArray[np.generic]]:
    begins = np.cumsum([column.mask_size + column.meta, *column.pages])
    found: dict[int, NDArray[np.generic]] = {}
    try:
        file, _ = wrapped.FileDecompressor.new(_PCO_HEADER)
        meta = bytes(data[column.mask_size : column.mask_size + column.meta])
        chunk, _ = file.chunk_decompressor(meta, _DTYPES[column.dtype])
        for page in wanted.tolist():
            many = min(PAGE_ROWS, rows - page * PAGE_ROWS)
            target = np.empty(many * samples, dtype=column.dtype)
            chunk.read_page_into(bytes(data[begins[page] : begins[page + 1]]), len(target), target)
            found[page] = target.reshape(many, samples)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise CorruptBlockError(f"a column can't be unpacked: {error}") from error
    return found


def _encode_masks(unknown: NDArray[np.bool_]) -> tuple[bytes, bytes]:
    # What is wholly unknown has no row to mask.
    partly = unknown.any(axis=1) & ~unknown.all(axis=1)
    if not partly.any():
        return b"", b""
    which = np.full(len(unknown), _UNKNOWN, dtype=np.uint8)
    distinct: dict[bytes, int] = {}
    for row in np.flatnonzero(partly).tolist():
        which[row] = distinct.setdefault(np.packbits(unknown[row]).tobytes(), len(distinct))
    return which.tobytes(), zstandard.ZstdCompressor(level=9).compress(b"".join(distinct))


def _apply_masks(column: Column, data: bytes | memoryview, found: Floats, rows: list[int]) -> None:
    samples = found.shape[1]
    width = (samples + 7) // 8
    try:
        plain = zstandard.ZstdDecompressor().decompress(data[: column.mask_size], max_output_size=64 * width)
    except zstandard.ZstdError as error:
        raise CorruptBlockError(f"a mask can't be unpacked: {error}") from error
    which = np.frombuffer(column.masks, dtype=np.uint8)
    for target, row in enumerate(rows):
        if which[row] != _UNKNOWN:
            packed = np.frombuffer(plain, np.uint8, width, int(which[row]) * width)
            found[target, np.unpackbits(packed, count=samples).astype(np.bool_)] = np.nan
