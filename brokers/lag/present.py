"""Any measure of all objects of a kind at a broker's present, computed once a snapshot and kept with it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brokers.lag.derive import slope_now
from brokers.lag.measures import Form, Measure, measure
from brokers.series.metrics import Kind
from brokers.series.present import Present

PACE = "pace"


def column(present: Present, kind: Kind, name: str) -> NDArray[np.float64]:
    """Return a measure of all objects of a kind, in the order of the present's slots; NaN is *unknown*.

    Unknown throughout where the kind has no such measure. The array belongs to the present: don't change it.
    """
    found = measure(kind, name)
    table = present.table(kind)
    if found is None or found.form is not Form.DERIVED:
        return table.column(name)
    held = present.memo.get((kind, name))
    if held is None:
        held = present.memo[kind, name] = _computed(present, kind, found)
    return held


def value(present: Present, kind: Kind, slot: int, name: str) -> float:
    """Return a measure of one object, NaN for *unknown*."""
    row = present.table(kind).row(slot)
    return float("nan") if row is None else float(column(present, kind, name)[row])


def pace(present: Present, kind: Kind, span_s: int) -> NDArray[np.float64]:
    """Return what the backlog of each object grew by, messages a second, over the last so many seconds."""
    key = f"{PACE}.{span_s}"
    held = present.memo.get((kind, key))
    if held is None:
        # The reading from which a span began lies up to a cadence, of a long span up to a minute, before it.
        slack_ms = present.cadence_ms if span_s < 120 else 60_000
        times, totals = present.totals(kind, span_s * 1000 + slack_ms)
        held = slope_now(times, totals, float(span_s * 1000 + slack_ms))
        present.memo[kind, key] = held
    return held


def _computed(present: Present, kind: Kind, wanted: Measure) -> NDArray[np.float64]:
    table = present.table(kind)
    columns = {name: table.column(name) for name in wanted.needs}
    if wanted.span_s:
        columns[PACE] = pace(present, kind, wanted.span_s)
    if wanted.compute is None:  # every derived measure has it; a stored one never comes here
        raise ValueError(f"{wanted.name} is not a derived measure")
    return wanted.compute(columns)
