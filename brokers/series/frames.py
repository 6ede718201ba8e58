"""All objects of a kind as they were at given moments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from brokers.series.codec import Frame, Table
from brokers.series.history import consistent, context_of, open_history
from brokers.series.metrics import Kind
from brokers.series.pieces import CONTEXT_MS
from brokers.series.rates import GAP_CADENCES


def frames(broker_id: int, kind: Kind, metrics: Sequence[str], at_ms: Sequence[int]) -> list[Frame | None]:
    """Return for each moment the frame of the last sample at or before it, with the stored `metrics` of one kind.

    Moments between which nothing new was stored share one frame. None where that sample is older than 2.5 cadences, or
    the resolution that is still there. Gauges and counters are the last that the sample knows.
    """
    if not at_ms:
        return []
    return consistent(lambda: _frames(broker_id, kind, metrics, at_ms))


def _frames(broker_id: int, kind: Kind, metrics: Sequence[str], at_ms: Sequence[int]) -> list[Frame | None]:
    moments = np.asarray(at_ms, dtype=np.int64)
    # As fine as the moments lie apart; what is further back than that is found in coarser samples.
    apart = np.diff(np.unique(moments))
    step_ms = int(np.median(apart)) if len(apart) else 1
    start_ms, end_ms = int(moments.min()) - CONTEXT_MS, int(moments.max())
    history = open_history(broker_id, start_ms, end_ms, step_ms, context_ms=context_of(broker_id, metrics))
    ticks = history.ticks
    if len(ticks) == 0:
        return [None] * len(moments)
    place = np.searchsorted(ticks.times_ms, moments, side="right") - 1
    age_ms = moments - ticks.times_ms[np.maximum(place, 0)]
    lasts_ms = np.maximum(ticks.cadences_ms * GAP_CADENCES, ticks.resolution_ms * 2)[np.maximum(place, 0)]
    known = (place >= 0) & (age_ms <= lasts_ms)
    wanted = np.unique(place[known])
    slots: dict[int, list[np.ndarray]] = {index: [] for index in wanted.tolist()}
    columns: dict[int, dict[str, list[np.ndarray]]] = {index: {name: [] for name in metrics} for index in slots}
    for part in history.parts(kind, None, list(metrics)):
        for index, found_slots in slots.items():
            here = part.there[:, index] > 0
            found_slots.append(part.slots[here])
            for name in metrics:
                columns[index][name].append(part.cells[name].last[here, index])
    found = {
        index: Frame(
            int(ticks.times_ms[index]),
            {
                kind: Table(
                    np.concatenate([*slots[index], np.empty(0, dtype=np.uint32)]).astype(np.uint32),
                    {name: np.concatenate([*parts, np.empty(0)]) for name, parts in columns[index].items()},
                )
            },
            bool(ticks.complete[index]),
        )
        for index in slots
    }
    return [found[index] if ok else None for index, ok in zip(place.tolist(), known.tolist(), strict=True)]
