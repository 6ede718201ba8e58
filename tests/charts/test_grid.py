"""Series on one grid: a late poll is no gap, a gap stays one, and no value comes to stand where none was read."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.charts.grid import grid, last_known, places

STEP = 5_000


def on(times: list[int], values: list[float], end: int = 60_000) -> list[float]:
    at = grid(0, end, STEP)
    return places(np.array(times, dtype=np.int64), at, STEP).take(np.array(values, dtype=float)).tolist()


def test_it_keeps_the_last_sample_of_each_step() -> None:
    assert on([0, 2_000, 5_000, 10_000], [1, 2, 3, 4], 10_000) == [2, 3, 4]


def test_it_takes_a_poll_that_came_late_for_no_gap() -> None:
    # The third poll slipped into the next step.
    assert on([0, 5_100, 15_001, 20_000], [1, 2, 3, 4], 20_000) == [1, 2, 2, 3, 4]


def test_it_keeps_a_gap() -> None:
    found = on([0, 5_000, 10_000, 40_000, 45_000], [1, 2, 3, 4, 5], 45_000)
    assert found[:3] == [1, 2, 3]
    assert np.isnan(found[3:8]).all()
    assert found[8:] == [4, 5]


def test_it_keeps_what_a_reader_says_is_unknown() -> None:
    found = on([0, 60_000, 90_000, 120_000, 180_000], [1, 2, np.nan, 3, 4], 180_000)
    assert np.isnan(found[19:24]).all()


def test_it_holds_what_was_read_seldom() -> None:
    assert on([0, 60_000, 120_000], [1, 2, 3], 120_000) == [1.0] * 12 + [2.0] * 12 + [3.0]


def test_it_tells_nothing_after_the_newest_sample() -> None:
    found = on([0, 5_000], [1, 2], 20_000)
    assert found[:2] == [1, 2]
    assert np.isnan(found[2:]).all()
    assert last_known([np.array(found)]) == 2


def test_it_has_nothing_of_nothing() -> None:
    assert np.isnan(on([], [])).all()
    assert last_known([]) == 0


@given(st.lists(st.integers(0, 600_000), min_size=1, max_size=80, unique=True).map(sorted), st.integers(500, 100_000))
@settings(deadline=None)
def test_it_shows_only_what_was_read_before(times: list[int], step: int) -> None:
    at = grid(0, 600_000, step)
    found = places(np.array(times, dtype=np.int64), at, step).take(np.array(times, dtype=float))
    for begin, value in zip(at.tolist(), found.tolist(), strict=True):
        inside = [time for time in times if begin <= time < begin + step]
        if inside:
            assert value == inside[-1]
        elif not np.isnan(value):
            before = [time for time in times if time < begin]
            assert value == before[-1]
            assert any(time >= begin + step for time in times)
