"""Sums of counters neither fall nor leap, whatever becomes of their parts."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from brokers.collect.counters import Parts, accumulate, decode, encode, grown


def parts(**counts: float) -> Parts:
    return Parts("prometheus", {name: {"published": value} for name, value in counts.items()})


def test_it_starts_with_what_was_counted_before() -> None:
    assert accumulate("published", parts(a=5, b=7), None, math.nan) == 12


def test_it_adds_what_each_part_grew() -> None:
    assert accumulate("published", parts(a=8, b=7), parts(a=5, b=7), 100) == 103


def test_it_takes_a_part_that_fell_for_restarted() -> None:
    assert accumulate("published", parts(a=2, b=9), parts(a=500, b=7), 1000) == 1004


def test_it_does_not_leap_when_a_node_is_seen_for_the_first_time() -> None:
    assert accumulate("published", parts(a=6, b=1_000_000), parts(a=5), 10) == 11


def test_it_does_not_fall_when_a_node_vanishes() -> None:
    assert accumulate("published", parts(a=6), parts(a=5, b=1_000_000), 1_000_005) == 1_000_006


def test_it_does_not_know_a_sum_with_an_unknown_part() -> None:
    assert math.isnan(accumulate("published", parts(a=6, b=math.nan), parts(a=5, b=1), 6))
    assert math.isnan(accumulate("published", Parts("prometheus", {}), parts(a=5), 6))


def test_it_does_not_compare_counts_of_different_sources() -> None:
    now = Parts("management", {"overview": {"published": 1_000_000.0}})
    assert accumulate("published", now, parts(a=5), 100) == 100


@given(st.lists(st.lists(st.integers(0, 10**6), min_size=1, max_size=4), min_size=2, max_size=12))
def test_it_never_falls_and_never_grows_by_more_than_the_parts_hold(ticks: list[list[int]]) -> None:
    base: Parts | None = None
    total = math.nan
    for tick in ticks:
        now = parts(**{f"n{index}": float(value) for index, value in enumerate(tick)})
        following = accumulate("published", now, base, total)
        if not math.isnan(total):
            assert 0 <= following - total <= sum(tick)
        base, total = decode(encode(now)), following


def test_it_reads_growth_of_many_parts_at_once() -> None:
    now = np.array([10.0, 3.0, 8.0, np.nan, 5.0])
    base = np.array([4.0, 7.0, np.nan, 1.0, np.nan])
    in_base = np.array([True, True, False, True, True])
    found = grown(now, base, in_base)
    np.testing.assert_array_equal(found, [6.0, 3.0, 8.0, np.nan, 0.0])


def test_it_keeps_parts_through_the_database() -> None:
    held = decode(encode(Parts("prometheus", {"node:a": {"published": 3.0, "confirmed": math.nan}})))
    assert held == Parts("prometheus", {"node:a": {"published": 3.0}})
    assert decode(b"") is None
    assert decode(b"no JSON") is None
