"""The objects that have most of something over a range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from brokers.series.cells import Cells, reduce_cells, show
from brokers.series.history import consistent, context_of, open_history
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
    history = open_history(broker_id, start_ms, end_ms, step_ms, context_ms=context_of(broker_id, [metric]))
    stored = RATES.get(metric, metric)
    slots_found: list[NDArray[np.uint32]] = []
    values: list[Floats] = []
    if len(history.ticks):
        # The last rate is that of its sample; all else can be told of each piece as a whole.
        whole = not (by == "last" and metric in RATES)
        for part in history.parts(kind, slots, [stored], _FIELDS[by] if whole else ALL_FIELDS, whole=whole):
            slots_found.append(part.slots)
            values.append(_value(part.cells[stored], kind, metric, by))
    if not values:
        return np.empty(0, dtype=np.uint32), np.empty(0)
    return np.concatenate(slots_found), np.concatenate(values)


def _value(cells: Cells, kind: Kind, metric: str, by: By) -> Floats:
    if by == "last":
        values = cells.last if metric not in RATES else show(cells, kind, metric).values
        place = np.where(np.isnan(values), -1, np.arange(values.shape[1])).max(axis=1)
        return np.where(place >= 0, values[np.arange(len(values)), np.maximum(place, 0)], np.nan)
    shown = show(reduce_cells(cells, np.zeros(1, dtype=np.intp), _FIELDS[by]), kind, metric)
    return {"mean": shown.values, "min": shown.low, "max": shown.high}[by][:, 0]
