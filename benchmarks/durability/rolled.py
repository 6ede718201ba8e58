"""Roll-ups of the known figures, held against what the ticks make them: bounds, means, last values, counters' sums."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmarks.durability import figures
from brokers.series.history import level_of
from brokers.series.levels import ROLLED, Level
from brokers.series.metrics import Kind
from brokers.series.spans import spans_between

_EVER_MS = 2**62
_METRICS = ("ready", "published")
_MOST_TOLD = 5


def rolled(broker_id: int, ticks: list[int]) -> tuple[list[str], int]:
    """Return what is wrong with the roll-ups that there are, and how many cells were held against the ticks."""
    wrong: list[str] = []
    cells = 0
    stored = {tick: figures.values(tick) for tick in ticks}
    for level in ROLLED:
        spans = spans_between(broker_id, -_EVER_MS, _EVER_MS, (level,))
        wrong += _overlaps(level, [(span.start_ms, span.end_ms) for span in spans])
        for span in spans:
            told, count = _span(broker_id, level, span.start_ms, span.end_ms, stored)
            cells += count
            wrong += told
            if len(wrong) >= _MOST_TOLD:
                return wrong, cells
    return wrong, cells


def _overlaps(level: Level, windows: list[tuple[int, int]]) -> list[str]:
    windows = sorted(windows)
    pairs = pairwise(windows)
    return [f"{level.name}: two spans tell of {later[0]}" for earlier, later in pairs if later[0] < earlier[1]]


def _span(
    broker_id: int, level: Level, start_ms: int, end_ms: int, stored: dict[int, dict[str, NDArray[np.float64]]]
) -> tuple[list[str], int]:
    slots = list(range(figures.OBJECTS))
    history = level_of(broker_id, level, start_ms, end_ms)
    steps: dict[int, list[int]] = {}
    for tick in stored:
        at_ms = figures.at_ms(tick)
        if start_ms <= at_ms < end_ms:
            steps.setdefault(at_ms // level.resolution_ms, []).append(tick)
    what = f"{level.name} from {start_ms}"
    times = [figures.at_ms(max(members)) for _, members in sorted(steps.items())]
    if history.ticks.times_ms.tolist() != times:
        return [f"{what}: {len(history.ticks)} samples at other moments than the {len(times)} that ticks make"], 0
    if history.ticks.polls.tolist() != [len(members) for _, members in sorted(steps.items())]:
        return [f"{what}: other numbers of polls than ticks"], 0
    wrong: list[str] = []
    for part in history.parts(Kind.QUEUE, slots, _METRICS):
        for index, (_, members) in enumerate(sorted(steps.items())):
            for name in _METRICS:
                expected = _expected(name, sorted(members), stored)
                for field, values in expected.items():
                    found = getattr(part.cells[name], field)[:, index]
                    if not np.allclose(found, values[part.slots], rtol=1e-12, atol=0, equal_nan=True):
                        wrong.append(f"{what}: {field} of {name} differs at {times[index]}")
    return wrong[:_MOST_TOLD], len(times) * len(slots) * len(_METRICS)


def _expected(
    name: str, members: list[int], stored: dict[int, dict[str, NDArray[np.float64]]]
) -> dict[str, NDArray[np.float64]]:
    column = np.array([stored[tick][name] for tick in members])
    known = ~np.isnan(column)
    place = np.where(known, np.arange(len(members))[:, np.newaxis], -1).max(axis=0)
    last = np.where(place >= 0, column[place, np.arange(column.shape[1])], np.nan)
    if name == "ready":
        with np.errstate(all="ignore"):
            return {
                "last": last,
                "low": np.fmin.reduce(column, axis=0),
                "high": np.fmax.reduce(column, axis=0),
                "total": np.nansum(column, axis=0),
                "weight": known.sum(axis=0).astype(np.float64),
            }
    grown = np.zeros(column.shape[1])
    over = np.zeros(column.shape[1])
    for tick, now in zip(members, column, strict=True):
        before = stored.get(tick - 1)
        if before is None:
            continue
        with np.errstate(invalid="ignore"):
            grows = now - before[name] >= 0  # not where it restarted, came, or is away
        grown += np.where(grows, now - before[name], 0.0)
        over += np.where(grows, float(figures.TICK_MS), 0.0)
    return {"last": last, "total": grown, "weight": over}
