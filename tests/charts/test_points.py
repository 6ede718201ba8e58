"""Points for the browser: what is unknown stays unknown, and nothing in them is not JSON."""

from __future__ import annotations

import json
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from brokers.series.read import Series
from dashboard.charts.figures import WAITING
from dashboard.charts.points import plain, points

floats = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(floats, max_size=50))
def test_it_makes_json_of_any_values(values: list[float]) -> None:
    shown = plain(np.array(values, dtype=np.float64))
    assert len(shown) == len(values)
    json.dumps(shown, allow_nan=False)
    for one, value in zip(shown, values, strict=True):
        assert (one is None) == (not math.isfinite(value))
        if one is not None:
            assert math.isclose(one, value, rel_tol=1e-9, abs_tol=0.001)


def test_it_keeps_times_and_gaps_in_step() -> None:
    series = Series(
        np.array([1000, 2000, 3000]),
        {"ready": np.array([1.0, np.nan, 3.0]), "unacked": np.array([0.0, np.nan, 0.25]), "consumers": np.zeros(3)},
        1000,
    )
    shown = points(series, WAITING)
    assert shown.times == [1000, 2000, 3000]
    assert shown.values == {"ready": [1, None, 3], "unacked": [0, None, 0.25]}
