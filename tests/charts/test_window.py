"""Windows of time: any address gives one that can be read, and its own address gives it again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.charts.window import MAX_POINTS, RANGES, Window, following, step_for, window_of

NOW = 1_790_000_000_000
texts = st.one_of(st.text(max_size=30), st.integers(-(10**20), 10**20).map(str), st.sampled_from(["1h", "all", ""]))
asked = st.dictionaries(st.sampled_from(["range", "from", "to", "other"]), texts, max_size=4)


@given(asked, st.one_of(st.none(), st.integers(0, NOW)))
def test_it_makes_a_window_of_any_address(params: dict[str, str], oldest: int | None) -> None:
    window = window_of(params, NOW, oldest)
    assert 0 <= window.start_ms < window.end_ms <= NOW
    assert window.step_ms > 0
    assert (window.end_ms - window.start_ms) / window.step_ms <= MAX_POINTS + 1


@given(asked, st.one_of(st.none(), st.integers(0, NOW)))
def test_it_shows_the_same_window_by_its_own_address(params: dict[str, str], oldest: int | None) -> None:
    window = window_of(params, NOW, oldest)
    again = window_of(window.query, NOW, oldest)
    assert again == Window(window.start_ms, window.end_ms, window.step_ms, window.range)


@pytest.mark.parametrize("name", RANGES)
def test_it_moves_on_a_grid_while_it_follows(name: str) -> None:
    first = following(name, NOW, NOW - 7_000_000)
    later = following(name, NOW + 5_000, NOW - 7_000_000)
    assert first.start_ms % first.step_ms == later.start_ms % later.step_ms == 0
    assert first.step_ms == later.step_ms


def test_it_ends_at_the_present_where_the_address_reaches_beyond() -> None:
    window = window_of({"from": str(NOW - 3_600_000), "to": "9999999999999"}, NOW, None)
    assert (window.start_ms, window.end_ms, window.problem) == (NOW - 3_600_000, NOW, "")


def test_it_spans_all_that_is_stored() -> None:
    window = following("all", NOW, NOW - 90_000_000)
    assert window.start_ms <= NOW - 90_000_000
    assert following("all", NOW, None).end_ms - following("all", NOW, None).start_ms >= 300_000


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"range": "<script>"}, "no such range"),
        ({"from": "10"}, "no window"),
        ({"from": "20", "to": "10"}, "ends before it begins"),
        ({"from": "x", "to": "10"}, "no window"),
        ({"from": str(NOW + 1), "to": str(NOW + 99)}, "not begun yet"),
        ({"from": "1" * 30, "to": "2" * 30}, "no window"),
    ],
)
def test_it_says_where_an_address_makes_no_sense(params: dict[str, str], says: str) -> None:
    window = window_of(params, NOW, None)
    assert window.follows
    assert says in window.problem


@given(st.integers(1, 400 * 86_400_000))
def test_it_takes_the_finest_step_that_is_bounded(span: int) -> None:
    step = step_for(span)
    assert span / step <= MAX_POINTS
    assert step == 1000 or span / step > MAX_POINTS / 5
