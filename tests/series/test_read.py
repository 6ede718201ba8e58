"""Series over time: gaps are unknown, rates need two readings, and a counter that fell makes no rate."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.registry.models import Broker
from brokers.series import store
from brokers.series.codec import Frame, Table
from brokers.series.metrics import Kind
from brokers.series.models import Snapshot
from brokers.series.read import MIN_RATE_SPAN_MS, history_starts_ms, rates, read
from tests.support.builders import make_broker

pytestmark = pytest.mark.django_db
START = 1_700_000_000_000


def write(broker: Broker, at_s: float, rows: dict[int, dict[str, float]], *, cadence_ms: int = 5000) -> Snapshot:
    slots = sorted(rows)
    names = sorted({name for figures in rows.values() for name in figures})
    columns = {name: np.array([rows[slot].get(name, math.nan) for slot in slots]) for name in names}
    table = Table(np.array(slots, dtype=np.uint32), columns)
    return store.append(broker.id, Frame(START + int(at_s * 1000), {Kind.QUEUE: table}), cadence_ms)


def seconds(found: object) -> list[float]:
    return [(moment - START) / 1000 for moment in found.times_ms.tolist()]  # type: ignore[attr-defined]


def test_it_returns_a_gauge_at_each_snapshot() -> None:
    broker = make_broker()
    for second, ready in ((0, 3), (5, 4), (10, 5)):
        write(broker, second, {0: {"ready": ready}})
    found = read(broker.id, Kind.QUEUE, [0], ["ready"], START, START + 10_000, step_ms=5000)
    assert seconds(found) == [0, 5, 10]
    assert found.values["ready"].tolist() == [3, 4, 5]
    assert history_starts_ms(broker.id) == START


def test_it_shows_a_gap_as_unknown() -> None:
    broker = make_broker()
    for second in (0, 5, 60, 65):
        write(broker, second, {0: {"ready": 1.0}})
    found = read(broker.id, Kind.QUEUE, [0], ["ready"], START, START + 70_000, step_ms=5000)
    assert seconds(found) == [0, 5, 32.5, 60, 65]
    assert np.isnan(found.values["ready"]).tolist() == [False, False, True, False, False]


def test_it_computes_rates_and_makes_none_of_a_restart() -> None:
    broker = make_broker()
    for second, published in ((0, 100), (10, 200), (20, 300), (30, 5), (40, 25)):
        write(broker, second, {0: {"published": published}}, cadence_ms=10_000)
    found = read(broker.id, Kind.QUEUE, [0], ["publish_rate"], START, START + 40_000, step_ms=10_000)
    np.testing.assert_array_equal(found.values["publish_rate"], [math.nan, 10, 10, math.nan, 2])


def test_it_makes_no_rate_across_a_gap() -> None:
    broker = make_broker()
    for second, published in ((0, 0), (10, 100), (100, 1000), (110, 1100)):
        write(broker, second, {0: {"published": published}}, cadence_ms=10_000)
    found = read(broker.id, Kind.QUEUE, [0], ["publish_rate"], START, START + 110_000, step_ms=10_000)
    by_time = dict(zip(seconds(found), found.values["publish_rate"].tolist(), strict=True))
    assert math.isnan(by_time[100])
    assert (by_time[10], by_time[110]) == (10, 10)


def test_it_takes_the_snapshot_before_the_range_for_its_first_rate() -> None:
    broker = make_broker()
    for second, published in ((0, 0), (10, 100), (20, 200)):
        write(broker, second, {0: {"published": published}}, cadence_ms=10_000)
    found = read(broker.id, Kind.QUEUE, [0], ["publish_rate"], START + 10_000, START + 20_000, step_ms=10_000)
    assert found.values["publish_rate"].tolist() == [10, 10]


def test_it_sums_several_and_knows_no_sum_of_which_a_part_is_unknown() -> None:
    broker = make_broker()
    write(broker, 0, {0: {"ready": 1}, 1: {"ready": 2}, 2: {"ready": 100}})
    write(broker, 5, {0: {"ready": 1}, 1: {}, 2: {"ready": 100}})
    write(broker, 10, {0: {"ready": 1}, 2: {"ready": 100}})
    found = read(broker.id, Kind.QUEUE, [1, 0], ["ready"], START, START + 10_000, step_ms=5000)
    np.testing.assert_array_equal(found.values["ready"], [3, math.nan, 1])


def test_it_knows_nothing_of_an_object_that_is_in_no_snapshot() -> None:
    broker = make_broker()
    write(broker, 0, {3: {"ready": 1}})
    assert np.isnan(read(broker.id, Kind.QUEUE, [2], ["ready"], START, START + 10).values["ready"]).all()
    assert len(read(broker.id, Kind.QUEUE, [], ["ready"], START, START + 10).times_ms) == 0
    assert len(read(broker.id, Kind.QUEUE, [3], ["ready"], START, START).times_ms) == 0


def test_it_makes_of_many_snapshots_the_mean_of_each_step_and_its_bounds() -> None:
    broker = make_broker()
    for second in range(0, 60, 5):
        write(broker, second, {0: {"ready": float(second)}})
    found = read(broker.id, Kind.QUEUE, [0], ["ready"], START, START + 60_000, step_ms=20_000)
    assert seconds(found) == [15, 35, 55]
    assert found.values["ready"].tolist() == [7.5, 27.5, 47.5]
    assert found.low["ready"].tolist() == [0, 20, 40]
    assert found.high["ready"].tolist() == [15, 35, 55]


@given(st.lists(st.tuples(st.integers(1000, 20_000), st.integers(0, 50)), min_size=2, max_size=30))
def test_it_never_makes_a_rate_below_zero_or_above_what_was_counted(steps: list[tuple[int, int]]) -> None:
    times = np.cumsum([span for span, _ in steps]).astype(np.int64)
    counter = np.cumsum([grown for _, grown in steps]).astype(float)
    found = rates(times, counter, 60_000)
    known = found[~np.isnan(found)]
    assert math.isnan(found[0])
    assert (known >= 0).all()
    assert (known <= max(grown for _, grown in steps) * 1000 / 1000).all()
    assert len(known) == len(steps) - 1


@given(st.lists(st.one_of(st.integers(0, 100).map(float), st.just(math.nan)), min_size=2, max_size=20))
def test_it_never_makes_a_rate_of_a_counter_that_fell(counter: list[float]) -> None:
    times = np.arange(len(counter), dtype=np.int64) * MIN_RATE_SPAN_MS
    found = rates(times, np.array(counter), 60_000)
    for index in range(1, len(counter)):
        before, now = counter[index - 1], counter[index]
        if now >= before:
            assert found[index] == pytest.approx((now - before) * 1000 / MIN_RATE_SPAN_MS)
        else:  # it fell, or either end is unknown
            assert math.isnan(found[index])


COUNTS = st.lists(st.one_of(st.integers(0, 100).map(float), st.just(math.nan)), min_size=2, max_size=20)


@given(COUNTS, st.integers(2_000, 9_000))
def test_it_never_makes_a_rate_across_a_restart_that_an_unknown_value_hides(counter: list[float], pace_ms: int) -> None:
    times = np.arange(len(counter), dtype=np.int64) * pace_ms
    found = rates(times, np.array(counter), 60_000)
    for index in np.flatnonzero(~np.isnan(found)).tolist():
        base = max([at for at in range(index) if times[index] - times[at] >= MIN_RATE_SPAN_MS], default=0)
        known = [value for value in counter[base : index + 1] if value == value]
        assert known == sorted(known)
