"""Sparklines: what the path data of a line promises, whatever the values are."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.cells import Spark
from dashboard.charts.sparkline import HEADROOM, HEIGHT, HOUR_POINTS, WIDTH, over_an_hour, sparkline

figure = st.floats(min_value=0, max_value=1e12, allow_nan=False)
points = st.lists(st.none() | figure | st.just(math.nan), max_size=70)

_PATH = re.compile(r"M[\d.]+ [\d.]+(?:h\.01|(?:L[\d.]+ [\d.]+)+)")


def known(value: float | None) -> bool:
    return value is not None and not math.isnan(value)


def runs(values: list[float | None]) -> list[list[float]]:
    """Return the runs of known values between the unknown ones."""
    found: list[list[float]] = [[]]
    for value in values:
        if known(value):
            found[-1].append(value)  # type: ignore[arg-type]
        elif found[-1]:
            found.append([])
    return [run for run in found if run]


def drawn(path: str) -> list[list[tuple[float, float]]]:
    """Return the points of each sub-path."""
    assert "".join(_PATH.findall(path)) == path
    return [
        [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", part)]
        for part in path.replace("h.01", "").split("M")[1:]
    ]


@given(points, points, st.sampled_from([0, 50]))
def test_it_draws_each_run_of_known_values_as_a_line_of_its_own(
    values: list[float | None], second: list[float | None], floor: float
) -> None:
    spark = sparkline(values, second=second, floor=floor)
    assert [len(part) for part in drawn(spark.line)] == [len(run) for run in runs(values)]
    assert [len(part) for part in drawn(spark.line2)] == [len(run) for run in runs(second)]
    for part in drawn(spark.line) + drawn(spark.line2):
        places = [x for x, _ in part]
        assert places == sorted(places)
        assert all(0 <= x <= WIDTH and HEADROOM <= y <= HEIGHT for x, y in part)


@given(points)
def test_it_marks_the_last_point_only_where_that_is_known(values: list[float | None]) -> None:
    spark = sparkline(values)
    if values and known(values[-1]):
        [[(x, y)]] = drawn(spark.dot)
        assert (x, y) == drawn(spark.line)[-1][-1]
        assert x == WIDTH
    else:
        assert spark.dot == ""


@given(st.lists(figure, min_size=2, max_size=60), st.sampled_from([0, 50]))
def test_it_keeps_the_order_of_heights_and_the_scale_from_zero(values: list[float], floor: float) -> None:
    [line] = drawn(sparkline(values, floor=floor).line)
    top = max(*values, floor)
    for value, (_, y) in zip(values, line, strict=True):
        expected = HEIGHT - (HEIGHT - HEADROOM) * (value / top if top > 1e-9 else 0)
        assert y == pytest.approx(expected, abs=0.06)


def test_it_never_magnifies_less_than_the_floor() -> None:
    [line] = drawn(sparkline([14, 12, 14], floor=50).line)
    assert min(y for _, y in line) > HEIGHT * 0.7


def test_it_draws_both_lines_to_one_scale() -> None:
    spark = sparkline([10, 10], second=[20, 20])
    assert drawn(spark.line2)[0][0][1] == HEADROOM
    assert drawn(spark.line)[0][0][1] == pytest.approx(HEIGHT - (HEIGHT - HEADROOM) / 2, abs=0.06)


def test_it_fills_the_area_under_each_run_and_under_none_where_not_asked() -> None:
    assert sparkline([1, 2, None, 3, 4]).area.count("Z") == 2
    assert sparkline([1, 2], area=False).area == ""


@pytest.mark.parametrize("values", [[], [None], [None, None], [math.nan]])
def test_it_draws_nothing_of_nothing(values: list[float | None]) -> None:
    assert sparkline(values) == Spark()


def test_it_takes_what_is_endless_for_unknown() -> None:
    assert sparkline([1.0, math.inf, 2.0]) == sparkline([1.0, None, 2.0])


def test_it_gives_a_short_history_its_part_of_the_hour() -> None:
    times = np.array([1, 2, 4], dtype=np.int64) * 60_000 + 5_000
    hour = over_an_hour(times, np.array([7.0, 8.0, 9.0]))
    assert len(hour) == HOUR_POINTS
    assert hour[[-4, -3, -1]].tolist() == [7.0, 8.0, 9.0]
    assert np.isnan(hour[-2])
    assert np.isnan(hour[:-4]).all()


def test_it_leaves_out_what_is_older_than_the_hour_and_takes_the_last_value_of_a_minute() -> None:
    times = np.array([0, 60 * 60_000, 61 * 60_000, 61 * 60_000 + 30_000], dtype=np.int64)
    hour = over_an_hour(times, np.array([1.0, 2.0, 3.0, 4.0]))
    assert hour[-2:].tolist() == [2.0, 4.0]
    assert np.isnan(hour[:-2]).all()
    assert np.isnan(over_an_hour(times[:0], np.empty(0))).all()
