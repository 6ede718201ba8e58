"""From series to the points that a browser gets: NaN becomes None, values keep what a person can see of them. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from brokers.series.read import Series
from dashboard import formats
from dashboard.cells import ChartPoints
from dashboard.charts.figures import Figure


def points(series: Series, figure: Figure) -> ChartPoints:
    """Return the points of one figure, with the lows and highs of the lines that have a band."""
    values: dict[str, list[float | None]] = {}
    for trace in figure.traces:
        if trace.metric in series.values:
            values[trace.metric] = plain(series.values[trace.metric])
            if trace.band:
                values |= {f"{trace.metric}:{part}": plain(column) for part, column in band_of(series, trace.metric)}
    return ChartPoints(times=[int(at) for at in series.times_ms.tolist()], values=values)


def band_of(series: Series, metric: str) -> list[tuple[str, NDArray[np.float64]]]:
    """Return the lows and highs inside the steps, none where no step has more than its one value."""
    low, high = series.low.get(metric), series.high.get(metric)
    if low is None or high is None or bool(np.all((low == high) | ~np.isfinite(low) | ~np.isfinite(high))):
        return []
    return [("low", low), ("high", high)]


def resolution_words(step_ms: int, resolution_ms: int, cadence_ms: int) -> str:
    """Say what one point is: `every poll, 5 s apart` or `1 minute means, lows and highs`."""
    span_ms = max(step_ms, resolution_ms)
    if not resolution_ms and step_ms <= cadence_ms:
        return f"every poll, {formats.duration(cadence_ms / 1000)} apart"
    return f"{_span_word(span_ms)} means, lows and highs"


def _span_word(span_ms: int) -> str:
    for unit_ms, word in ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second")):
        if span_ms >= unit_ms and span_ms % unit_ms == 0:
            return f"{span_ms // unit_ms} {word}"
    return formats.duration(span_ms / 1000)


def by_figure(series: Series, figures: Iterable[Figure]) -> dict[str, ChartPoints]:
    """Return the points of several figures by their keys."""
    return {figure.key: points(series, figure) for figure in figures}


def plain(values: NDArray[np.float64]) -> list[float | None]:
    """Return values for JSON: None for *unknown*, whole numbers whole, others with three decimals."""
    return [_number(value) for value in values.tolist()]


def _number(value: float) -> float | None:
    if not math.isfinite(value):
        return None
    return int(value) if value == int(value) else round(value, 3)
