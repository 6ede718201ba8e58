"""Figures that can be computed from object and tick alone, so that every sample read back can be judged. Pure.

Object `slot` at tick `n`, ticks TICK_MS apart: gauges that change, a counter that grows and restarts with its object,
a column that only few snapshots have, and objects that come and go.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brokers.series.codec import Frame, Table
from brokers.series.metrics import Kind

START_MS = 1_700_000_400_000  # a whole hour
TICK_MS = 10_000
OBJECTS = 150
METRICS = ("ready", "consumers", "published", "memory")
SPARSE_EVERY = 6


def at_ms(tick: int) -> int:
    """Return the moment of a tick."""
    return START_MS + tick * TICK_MS


def tick_at(moment_ms: int) -> int:
    """Return the tick of a moment."""
    return (moment_ms - START_MS) // TICK_MS


def present(tick: int) -> NDArray[np.bool_]:
    """Tell which objects there are: each is away one time in eleven, for forty ticks."""
    return (tick // 40 + np.arange(OBJECTS)) % 11 != 0


def values(tick: int) -> dict[str, NDArray[np.float64]]:
    """Return each metric for all objects, NaN where an object or a figure is not there."""
    slots = np.arange(OBJECTS, dtype=np.float64)
    found = {
        "ready": (slots * 7919 + tick * 31) % 1000 * (slots % 3),
        "consumers": slots % 4,
        "published": (tick % 1000) * (slots % 5),  # restarts now and then
        "memory": slots * 100 + tick if tick % SPARSE_EVERY == 0 else np.full(OBJECTS, np.nan),
    }
    there = present(tick)
    return {name: np.where(there, column, np.nan) for name, column in found.items()}


def frame(tick: int) -> Frame:
    """Return the snapshot of a tick."""
    there = np.flatnonzero(present(tick)).astype(np.uint32)
    columns = {name: column[there] for name, column in values(tick).items()}
    return Frame(at_ms(tick), {Kind.QUEUE: Table(there, columns)})
