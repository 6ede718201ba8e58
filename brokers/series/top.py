"""The objects that have most of something over a range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from brokers.series.cells import Cells, reduce_cells, show
from brokers.series.history import History, consistent, context_of, open_history
from brokers.series.metrics import RATES, Kind
from brokers.series.pieces import ALL_FIELDS
from brokers.series.rates import Floats

By = Literal["mean", "max", "min", "last"]
# What of a sample each way of ranking is told from; a mean lies between its bounds.
_FIELDS: dict[By, frozenset[str]] = {
    "mean": frozenset(("last", "low", "high", "total", "weight")),
    "max": frozenset(("last", "high", "total", "weight")),
    "min": frozenset(("last", "low", "high", "total", "weight")),
    "last": frozenset(("last",)),
}
# A range is ranked from as few samples as this, where roll-ups have them.
_SAMPLES = 60
# Where the last rate is looked for at first.
_LATE_MS = 300_000


@dataclass(frozen=True, slots=True)
class Ranked:
    """An object and its value."""

    slot: int
    value: float


def top(
    broker_id: int,
    kind: Kind,
    metric: str,
    n: int,
    start_ms: int,
    end_ms: int,
    *,
    by: By = "mean",
    slots: Sequence[int] | None = None,
) -> list[Ranked]:
    """Return the `n` objects with the highest value between two moments, the highest first, of equals the lower slot.

    The value is the mean, least, greatest or last known one. Objects of which nothing is known are left out. `slots`:
    of these only.
    """
    found, values = consistent(lambda: _values(broker_id, kind, metric, start_ms, end_ms, by, slots))
    known = ~np.isnan(values)
    found, values = found[known], values[known]
    order = np.lexsort((found, -values))[: max(0, n)]
    return [Ranked(int(slot), float(value)) for slot, value in zip(found[order], values[order], strict=True)]


def _values(
    broker_id: int, kind: Kind, metric: str, start_ms: int, end_ms: int, by: By, slots: Sequence[int] | None
) -> tuple[NDArray[np.uint32], Floats]:
    step_ms = max(1, (end_ms - start_ms) // _SAMPLES)
    context_ms = context_of(broker_id, [metric])

    def told(begin_ms: int, slots: Sequence[int] | None) -> tuple[NDArray[np.uint32], Floats]:
        history = open_history(broker_id, begin_ms, end_ms, step_ms, context_ms=context_ms)
        return _told(history, kind, metric, by, slots)

    # The last rate is that of its sample, of which no piece can tell as a whole. Nearly all have one late in a range.
    late_ms = end_ms - max(_LATE_MS, step_ms)
    if by != "last" or metric not in RATES or late_ms <= start_ms:
        return told(start_ms, slots)
    found, values = told(late_ms, slots)
    known = ~np.isnan(values)
    found, values = found[known], values[known]
    if slots is None:
        slots = open_history(broker_id, start_ms, late_ms - 1, step_ms, context_ms=0).slots(kind).tolist()
    others, theirs = told(start_ms, np.setdiff1d(slots, found).tolist())
    return np.concatenate((found, others)), np.concatenate((values, theirs))


def _told(
    history: History, kind: Kind, metric: str, by: By, slots: Sequence[int] | None
) -> tuple[NDArray[np.uint32], Floats]:
    stored = RATES.get(metric, metric)
    slots_found: list[NDArray[np.uint32]] = [np.empty(0, dtype=np.uint32)]
    values: list[Floats] = [np.empty(0)]
    if len(history.ticks):
        whole = not (by == "last" and metric in RATES)
        for part in history.parts(kind, slots, [stored], _FIELDS[by] if whole else ALL_FIELDS, whole=whole):
            slots_found.append(part.slots)
            values.append(_value(part.cells[stored], kind, metric, by))
    return np.concatenate(slots_found), np.concatenate(values)


def _value(cells: Cells, kind: Kind, metric: str, by: By) -> Floats:
    if by == "last":
        values = cells.last if metric not in RATES else show(cells, kind, metric).values
        place = np.where(np.isnan(values), -1, np.arange(values.shape[1])).max(axis=1)
        return np.where(place >= 0, values[np.arange(len(values)), np.maximum(place, 0)], np.nan)
    shown = show(reduce_cells(cells, np.zeros(1, dtype=np.intp), _FIELDS[by]), kind, metric)
    return {"mean": shown.values, "min": shown.low, "max": shown.high}[by][:, 0]
