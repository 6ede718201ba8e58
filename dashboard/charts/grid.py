"""Many series on one grid of times: one chart has lines of several brokers, polled at moments of their own. Pure.

A point of the grid stands for its step: it has the series' last sample in that step. A step without one keeps the
sample before it where another follows: polls come a little early and a little late, and what is older has fewer points.
A gap is a sample that is NaN (as readers give it), or none for much longer than samples lie apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def grid(start_ms: int, end_ms: int, step_ms: int) -> NDArray[np.int64]:
    """Return the beginnings of the steps from that of `start_ms` to that of `end_ms` (Unix ms)."""
    return np.arange(start_ms // step_ms * step_ms, end_ms + 1, step_ms, dtype=np.int64)


# Samples that lie further apart than so many times what is usual have a gap between them.
_GAP = 2.5


@dataclass(frozen=True, slots=True)
class Places:
    """For each point of a grid the index of a series' sample that stands there, and whether there is one."""

    index: NDArray[np.int64]
    there: NDArray[np.bool_]

    def take(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a column of the series on the grid, NaN for *unknown*."""
        if not len(values):
            return np.full(len(self.index), np.nan)
        return np.where(self.there, values[self.index], np.nan)


def places(times_ms: NDArray[np.int64], at_ms: NDArray[np.int64], step_ms: int) -> Places:
    """Return where samples at ascending times stand on the grid `at_ms`, whose steps are `step_ms` long."""
    steps = times_ms // step_ms * step_ms
    index = np.searchsorted(steps, at_ms, side="right") - 1
    if not len(steps):
        return Places(index, np.zeros(len(at_ms), dtype=np.bool_))
    here = np.maximum(index, 0)
    distances = np.diff(steps)
    longest = _GAP * max(step_ms, float(np.median(distances)) if len(distances) else 0.0)
    # The newest sample is not held: what comes after it is not known yet.
    held = np.append(distances <= longest, False)
    return Places(here, (index >= 0) & ((at_ms == steps[here]) | held[here]))


def last_known(columns: Sequence[NDArray[np.float64]]) -> int:
    """Return how many points of a grid there are up to the last at which anything is known; 0: nothing is."""
    known = np.zeros(max((len(column) for column in columns), default=0), dtype=np.bool_)
    for column in columns:
        known |= np.isfinite(column)
    found = np.flatnonzero(known)
    return int(found[-1]) + 1 if len(found) else 0
