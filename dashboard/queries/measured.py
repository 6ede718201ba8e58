"""Measures over time: any name that a kind of object has, be it stored, read from counters or derived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brokers.series import read as series
from brokers.series.metrics import METRICS, RATES, Kind, readable_names
from brokers.series.read import DEFAULT_POINTS

__all__ = ["DEFAULT_POINTS", "Many", "Series", "names", "read", "read_each", "unit"]


@dataclass(frozen=True, slots=True)
class Series:
    """A series with the least and greatest within each step; `resolution_ms` is what its stored values stand for."""

    times_ms: NDArray[np.int64]
    values: dict[str, NDArray[np.float64]]
    step_ms: int
    low: dict[str, NDArray[np.float64]]
    high: dict[str, NDArray[np.float64]]
    resolution_ms: int


@dataclass(frozen=True, slots=True)
class Many:
    """Series of many objects that share their times: arrays of objects × times, NaN for *unknown*."""

    slots: NDArray[np.uint32]
    times_ms: NDArray[np.int64]
    values: dict[str, NDArray[np.float64]]
    low: dict[str, NDArray[np.float64]]
    high: dict[str, NDArray[np.float64]]
    step_ms: int
    resolution_ms: int


def names(kind: Kind) -> tuple[str, ...]:
    """Return every measure of a kind."""
    return readable_names(kind)


def unit(kind: Kind, name: str) -> str:
    """Return the unit of a measure; a rate's ends in /s."""
    units = {metric.name: metric.unit for metric in METRICS[kind]}
    counter = RATES.get(name)
    return f"{units[counter]}/s" if counter else units[name]


def read(
    broker_id: int,
    kind: Kind,
    slots: Sequence[int],
    metrics: Sequence[str],
    start_ms: int,
    end_ms: int,
    *,
    step_ms: int | None = None,
    points: int = DEFAULT_POINTS,
) -> Series:
    """Return measures of one object, or summed over several."""
    one = series.read(broker_id, kind, slots, metrics, start_ms, end_ms, step_ms=step_ms, points=points)
    return Series(one.times_ms, one.values, one.step_ms, one.values, one.values, 0)


def read_each(
    broker_id: int,
    kind: Kind,
    slots: Sequence[int],
    metrics: Sequence[str],
    start_ms: int,
    end_ms: int,
    *,
    step_ms: int | None = None,
    points: int = DEFAULT_POINTS,
) -> Many:
    """Return measures of several objects, each for itself, at the times that they share."""
    found = [read(broker_id, kind, [slot], metrics, start_ms, end_ms, step_ms=step_ms, points=points) for slot in slots]
    times = np.unique(np.concatenate([one.times_ms for one in found])) if found else np.empty(0, dtype=np.int64)
    values = {name: np.full((len(slots), len(times)), np.nan) for name in metrics}
    for row, one in enumerate(found):
        place = np.searchsorted(times, one.times_ms)
        for name in metrics:
            values[name][row, place] = one.values[name]
    step = found[0].step_ms if found else step_ms or 0
    return Many(np.asarray(slots, dtype=np.uint32), times, values, values, values, step, 0)
