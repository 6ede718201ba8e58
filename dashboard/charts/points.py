"""From series to the points that a browser gets: NaN becomes None, values keep what a person can see of them. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from brokers.series.read import Series
from dashboard.cells import ChartPoints
from dashboard.charts.figures import Figure


def points(series: Series, figure: Figure) -> ChartPoints:
    """Return the points of one figure."""
    return ChartPoints(
        times=[int(at) for at in series.times_ms.tolist()],
        values={metric: plain(series.values[metric]) for metric in figure.metrics if metric in series.values},
    )


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
