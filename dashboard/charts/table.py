"""A chart's series as CSV: a row a time, a column a series, exact values, *unknown* empty. Pure.

Names come from whoever declared a queue, and a spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a
formula: such a name gets an apostrophe before it, which spreadsheets read as *this is text* (OWASP, CSV injection).
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")

Column = tuple[str, NDArray[np.int64], NDArray[np.float64]]


def rows(columns: Sequence[Column]) -> Iterator[str]:
    """Return the lines of the file: first the names, then every time at which any series has a point, ascending.

    A column is a name, times (Unix ms) and as many values.
    """
    yield _line(["time", *(safe(name) for name, _, _ in columns)])
    every = np.unique(np.concatenate([times for _, times, _ in columns])) if columns else np.empty(0, dtype=np.int64)
    aligned: list[list[float]] = []
    for _, times, values in columns:
        found = np.full(len(every), np.nan)
        found[np.searchsorted(every, times)] = values
        aligned.append(found.tolist())
    for number, at in enumerate(every.tolist()):
        yield _line([iso(at), *(written(column[number]) for column in aligned)])


def safe(name: str) -> str:
    """Return a name that no spreadsheet takes for a formula."""
    return f"'{name}" if name.lstrip().startswith(_FORMULA) or name.startswith(_FORMULA) else name


def written(value: float) -> str:
    """Return a value with every digit that it has, whole numbers without a fraction; empty for *unknown*."""
    if not math.isfinite(value):
        # Infinity is known: a queue that grows never drains.
        return "" if math.isnan(value) else repr(value)
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)


def iso(at_ms: int) -> str:
    """Return Unix milliseconds as `2026-11-24T18:05:10.250Z`."""
    at = dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"


def _line(cells: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()
