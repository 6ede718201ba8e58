"""Pace, drain time and ratios, on their own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.lag.derive import drain_time, ratio, slope, slope_now

TICKS = np.arange(0, 125_000, 5_000)


def test_a_line_has_its_slope() -> None:
    found = slope(TICKS, 100 + TICKS / 1000 * 3.0, 60_000)
    assert np.isnan(found[:6]).all(), "half a minute is not enough to tell"
    assert found[6:] == pytest.approx(3.0)


def test_a_saw_moves_it_little() -> None:
    """Consumers that acknowledge in batches: 100 arrive a tick, 1,000 go every tenth."""
    saw = np.array([(i % 10) * 100.0 for i in range(len(TICKS))])
    whole = slope(TICKS, saw, 60_000)[12:]
    ends = (saw[12:] - saw[:-12]) / 60.0
    assert np.abs(whole).max() < np.abs(ends).max()


def test_a_deep_queue_that_stands_still_has_no_slope() -> None:
    """Two days of single polls: what is added up over them must not hide that nothing moves."""
    found = slope(np.arange(34_560) * 5_000, np.full(34_560, 1e9), 65_000)
    assert (found[12:] == 0).all()


@given(
    st.lists(st.one_of(st.floats(0, 1e9), st.just(float("nan"))), min_size=2, max_size=40),
    st.integers(1_000, 60_000),
)
def test_it_is_what_polyfit_says(values: list[float], step_ms: int) -> None:
    times = np.arange(len(values)) * step_ms
    found = slope(times, np.array(values), 60_000)[-1]
    inside = times >= times[-1] - 60_000
    known = inside & ~np.isnan(values)
    if np.isnan(values[-1]) or known.sum() < 2 or times[-1] - times[known][0] < 30_000:
        assert np.isnan(found)
        return
    line = np.polyfit(times[known] / 1000.0, np.array(values)[known], 1)[0]
    assert found == pytest.approx(line, abs=1e-9 * max(1.0, np.nanmax(values)), rel=1e-6)


def test_many_objects_at_once_are_as_each_alone() -> None:
    random = np.random.default_rng(7)
    many = random.integers(0, 1000, (5, len(TICKS))).astype(float)
    many[2, 3:9] = np.nan
    together = slope(TICKS, many, 60_000)
    for row in range(5):
        np.testing.assert_allclose(together[row], slope(TICKS, many[row], 60_000))
    many[3, -1] = np.nan
    together = slope(TICKS, many, 60_000)
    np.testing.assert_allclose(slope_now(TICKS, many, 60_000), together[:, -1])


@pytest.mark.parametrize(
    ("total", "pace", "seconds"),
    [
        (600.0, -10.0, 60.0),
        (600.0, 10.0, np.inf),
        (600.0, 0.0, np.inf),
        (600.0, -0.001, np.inf),  # less than a message in the span: it stands still
        (0.0, np.nan, 0.0),
        (0.0, -10.0, 0.0),
        (600.0, np.nan, np.nan),
        (np.nan, -10.0, np.nan),
    ],
)
def test_drain_time(total: float, pace: float, seconds: float) -> None:
    found = drain_time(np.array([total]), np.array([pace]), 60)
    np.testing.assert_equal(found, [seconds])


def test_a_ratio_to_nothing_is_unknown() -> None:
    np.testing.assert_equal(ratio(np.array([0.0, 1.0, np.nan]), np.array([0.0, 4.0, 2.0])), [np.nan, 0.25, np.nan])
