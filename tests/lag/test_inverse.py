"""Time lag from counters and late depths, held against queues that are simulated message by message."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.lag.beat import Reading
from brokers.lag.inverse import Ages, Lag, LagSource, advance, seed, take
from tests.lag.simulated import (
    SLOT,
    START,
    TICK_MS,
    SimulatedQueue,
    arrivals,
    misses,
    one,
    purged,
    reading,
    served,
    steps,
    strictly,
    told,
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(10, 60), st.sampled_from([0.0, 2.0, 20.0, 60.0])), min_size=2, max_size=5),
    st.sampled_from([5.0, 15.0, 40.0]),
    st.integers(0, 4_999),
    st.integers(0, 2**31),
)
def test_it_is_within_one_tick_and_5_percent(
    parts: list[tuple[int, float]], pace: float, phase_ms: int, seed_: int
) -> None:
    """Where it is told as sure; also of what was there before the first reading, of which nobody knows how much."""
    came = arrivals([(float(seconds), rate) for seconds, rate in parts], seed_)
    took = np.random.default_rng(seed_).exponential(1000.0 / pace, len(came))
    queue = SimulatedQueue(came, served(came, took), phase_ms=float(phase_ms))
    moments = told(queue, sum(seconds for seconds, _ in parts))
    assert misses([one for one in moments if one[3] != LagSource.ABOUT], queue) == []


def test_a_queue_that_told_of_messages_is_not_empty_for_sure_while_some_may_be_left() -> None:
    """It was not empty when it was first seen, and nothing tells yet by how much."""
    came = arrivals([(10.0, 20.0), (30.0, 0.0)], 2)
    took = np.random.default_rng(2).exponential(1000.0 / 5, len(came))
    queue = SimulatedQueue(came, served(came, took), phase_ms=14.0)
    _, estimate, true, source = told(queue, 40)[-1]
    assert source == LagSource.ABOUT
    assert estimate == pytest.approx(true, abs=5)


@pytest.mark.parametrize("phase_ms", [0.0, 1_700.0, 4_100.0])
@pytest.mark.parametrize("live", [True, False])
def test_a_purge_is_seen_when_the_queue_tells_of_it(phase_ms: float, live: bool) -> None:
    came = arrivals([(300, 20)])
    went = served(came, np.full(len(came), 100.0))
    purge = START + 152_000.0
    gone = (came < purge) & (went > purge)
    queue = SimulatedQueue(came, np.where(gone, purge, went), uncounted_out=gone, phase_ms=phase_ms)
    moments = told(queue, 300, live=live)
    late = [one for one in misses(moments, queue) if not live and purge - START <= one[0] < purge - START + 10_000]
    assert [one for one in misses(moments, queue) if one not in late] == []
    assert max(estimate for at, estimate, _, _ in moments if 165_000 < at < 175_000) < 23


@pytest.mark.parametrize("phase_ms", [0.0, 600.0, 1_200.0, 1_900.0, 2_800.0, 4_100.0, 4_900.0])
@pytest.mark.parametrize("pace", [0.4, 3.0, 10.0, 19.0])
@pytest.mark.parametrize("live", [True, False])
def test_what_consumers_hold_at_a_purge_is_the_oldest_until_they_have_done_with_it(
    phase_ms: float, pace: float, live: bool
) -> None:
    """From when the queue told of the purge on: before it, nobody can know."""
    came = arrivals([(10, 0), (290, 20)])
    purge = START + 150_300.0
    queue = purged(came, np.full(len(came), 1000.0 / pace), purge, 20)
    queue.phase_ms = phase_ms
    wrong, least = [], 0
    for at, estimate, true, source in told(queue, 300, live=live):
        known = queue.told_at_ms(START + at) >= purge or START + at < purge
        off = abs(estimate - true) > TICK_MS / 1000 + 0.05 * true
        # Somewhere in the last beat the counters of the management API were right, and no more is claimed.
        if known and off and not (source == LagSource.AT_LEAST and estimate < true) and source != LagSource.ABOUT:
            wrong.append((at, estimate, true, source))
        least += source == LagSource.AT_LEAST and START + at > purge
    assert wrong == []
    assert least <= 4


@pytest.mark.parametrize("phase_ms", [0.0, 1_700.0, 3_400.0])
@pytest.mark.parametrize("sampled_ms", [1_000.0, 3_500.0, 5_500.0])
def test_what_late_counters_leave_open_is_not_told_as_sure(phase_ms: float, sampled_ms: float) -> None:
    """Bursts, and a consumer that is fast, slow and away, seen by counters that are some seconds old."""
    came = arrivals([(40.0, 15.0), (5.0, 250.0)] * 10)
    took = np.where((np.arange(len(came)) // 1_500) % 2 == 0, 1000.0 / 50, 1000.0 / 20)
    queue = SimulatedQueue(came, served(np.maximum(came, START + 30_000.0), took), phase_ms=phase_ms)
    moments = told(queue, 450, live=False, sampled_ms=sampled_ms)
    sure = [one for one in moments[3:] if one[3] != LagSource.ABOUT]
    assert strictly(sure) >= 0.97, [one for one in sure if abs(one[1] - one[2]) > 5 + 0.05 * one[2]]
    assert len(sure) > len(moments) / 4


@pytest.mark.parametrize("live", [True, False])
def test_what_depth_and_counters_leave_no_doubt_of_is_told_as_sure(live: bool) -> None:
    came = arrivals([(10.0, 0.0), (290.0, 5.0)])
    waits = told(SimulatedQueue(came, np.full(len(came), np.inf)), 300, live=live)
    assert {one[3] for one in waits[3:]} == {LagSource.COUNTERS}
    slow = told(SimulatedQueue(came, served(came, np.full(len(came), 1000.0))), 300, live=live)
    assert {one[3] for one in slow[10:]} == {LagSource.COUNTERS}
    busy = arrivals([(10.0, 0.0), (290.0, 50.0)])
    well = told(SimulatedQueue(busy, served(busy, np.full(len(busy), 15.0)), phase_ms=1_700.0), 300, live=live)
    assert {one[3] for one in well} == {LagSource.COUNTERS}
    assert strictly(well) == 1.0


def test_a_restart_of_the_broker_leaves_the_head_as_old_as_it_is() -> None:
    """Counters begin at zero again; durable messages are still there."""
    ages = Ages()
    steps(ages, [(0, 1000, 1000), *((100.0 * i, 1000 + 100 * i, 1000) for i in range(1, 13))])
    after = steps(ages, [(1200, 0, 0), (1210, 10, 0), (1110, 10, 100)], START + 14 * TICK_MS)
    # 100 of the messages of the first tick are gone: the head came in the second.
    assert after.time_lag[0] == pytest.approx(14.5 * 5, abs=5)
    assert after.source[0] == LagSource.COUNTERS


def test_a_gap_in_polling_is_bridged() -> None:
    ages = Ages()
    steps(ages, [(0, 0, 0), (100, 100, 0), (200, 200, 0)])
    later = steps(ages, [(700, 800, 100)], START + 20 * TICK_MS)
    assert later.time_lag[0] == pytest.approx(19 * 5, abs=5)


def test_a_head_that_was_there_before_is_at_least_as_old_as_what_is_known() -> None:
    ages = Ages()
    found = steps(ages, [(500, 10_000, 9_000)] * 13)
    assert found.source[0] == LagSource.AT_LEAST
    assert found.time_lag[0] == 60
    found = steps(ages, [(500, 10_200 + 100 * i, 9_200 + 100 * i) for i in range(12)], START + 13 * TICK_MS)
    assert found.source[0] == LagSource.COUNTERS
    assert found.time_lag[0] == pytest.approx(25, abs=6)


def test_a_queue_that_came_to_be_has_all_its_past() -> None:
    ages = Ages()
    nothing = np.empty(0)
    advance(ages, Reading(START, np.empty(0, dtype=np.uint32), nothing, nothing, nothing))
    found = steps(ages, [(40, 50, 10)] * 20, START + TICK_MS)
    assert found.source[0] == LagSource.COUNTERS
    assert found.time_lag[0] == pytest.approx(19.5 * 5, abs=5)


def test_what_consumers_hold_outlives_a_purge() -> None:
    ages = Ages()
    for place in range(13):
        at = START + place * TICK_MS
        advance(ages, replace(one(at, 100.0 * place, 100.0 * place, 0), unacked=np.array([min(20.0, 100.0 * place)])))
    at = START + 13 * TICK_MS
    after = advance(ages, replace(one(at, 20, 1_200, 0), unacked=np.array([20.0])))
    assert after.time_lag[0] == pytest.approx(65, abs=5), "the oldest is with a consumer"
    acknowledged = advance(ages, replace(one(at + TICK_MS, 30, 1_250, 20), unacked=np.array([20.0])))
    assert acknowledged.time_lag[0] < 12


def test_an_empty_queue_has_no_lag_and_an_unknown_one_an_unknown() -> None:
    ages = Ages()
    assert steps(ages, [(0, 10, 10)] * 3).time_lag[0] == 0
    unknown = advance(ages, one(START + 3 * TICK_MS, np.nan, np.nan, np.nan))
    assert np.isnan(unknown.time_lag[0])
    assert np.isnan(unknown.source[0])
    back = advance(ages, one(START + 4 * TICK_MS, 5, 15, 10))
    assert 0 <= back.time_lag[0] <= 10


def test_an_age_does_not_come_and_go_where_counters_are_read_every_four_minutes() -> None:
    """As the budget may have it for a large broker. Once they are not read any more, nothing is known after a while."""
    ages, told = Ages(), []
    for tick in range(360):
        came, gone = 50.0 * tick, max(0.0, 50.0 * (tick - 24))
        read = tick % 48 == 0 and tick <= 192
        counted = (came, gone) if read else (np.nan, np.nan)
        told.append(advance(ages, one(START + tick * TICK_MS, came - gone, *counted)).time_lag[0])
    assert not np.isnan(np.array(told[49:260])).any()
    # From the second pace on: the first is of a time in which nothing left at first.
    settled = np.array(told[97:260])
    assert settled == pytest.approx(np.full(len(settled), 120.0), abs=15)
    assert np.isnan(told[192 + 73 :]).all()


def test_counters_never_read_leave_the_lag_unknown() -> None:
    ages = Ages()
    found = steps(ages, [(7, np.nan, np.nan)] * 5)
    assert np.isnan(found.time_lag[0])
    assert steps(ages, [(0, np.nan, np.nan)], START + 6 * TICK_MS).time_lag[0] == 0


def test_counters_read_each_minute_are_guessed_between_and_put_right() -> None:
    came = arrivals([(300, 20), (300, 5)])
    queue = SimulatedQueue(came, served(came, np.full(len(came), 80.0)))
    ages = Ages()
    wrong = []
    for place, at in enumerate(range(START + TICK_MS, START + 600_000, TICK_MS)):
        # Before its second reading nobody knows a pace; after the publisher's changed, a guess is one until the next.
        settled = at - START > 70_000 and not 300_000 < at - START < 370_000
        seen = reading(queue, at)
        if place % 12:
            seen = Reading(at, SLOT, seen.total, np.array([np.nan]), np.array([np.nan]))
        lag = float(advance(ages, seen).time_lag[0])
        if settled and abs(lag - queue.age_s(at)) > 5 + 0.05 * queue.age_s(at):
            wrong.append((at - START, lag, queue.age_s(at)))
    assert wrong == []


def test_a_clock_that_was_set_back_changes_no_age() -> None:
    ages = Ages()
    steps(ages, [(0, 0, 0), *([(50, 50, 0)] * 11)])
    before = steps(ages, [(50, 50, 0)], START + 12 * TICK_MS)
    after = steps(ages, [(50, 50, 0)], START - 3_600_000)
    assert after.time_lag[0] == pytest.approx(before.time_lag[0], abs=6)


def test_a_process_that_began_anew_knows_old_heads_from_what_was_stored() -> None:
    ages = Ages()
    first = one(START, 500, 10_000, 9_500)
    take(ages, first)
    seed(ages, np.array([3600.0]), np.array([float(LagSource.COUNTERS)]))
    found = advance(ages, one(START + TICK_MS, 500, 10_000, 9_500))
    assert found.time_lag[0] == pytest.approx(3605, rel=0.05)
    assert found.source[0] == LagSource.COUNTERS
    half = advance(ages, one(START + 2 * TICK_MS, 250, 10_000, 9_750))
    assert half.time_lag[0] == pytest.approx(1810, rel=0.06)


def test_a_timestamp_of_the_head_is_preferred_where_the_counters_agree() -> None:
    ages = Ages()
    steps(ages, [(0, 0, 0), *((10.0 * i, 10 * i, 0) for i in range(1, 13))])
    at = START + 13 * TICK_MS
    found = advance(ages, one(at, 130, 130, 0), heads={0: (at - 63_000) / 1000})
    assert found.source[0] == LagSource.HEAD_TIMESTAMP
    assert found.time_lag[0] == pytest.approx(63)
    # It holds while the head stays.
    found = advance(ages, one(at + TICK_MS, 140, 140, 0))
    assert found.time_lag[0] == pytest.approx(68)
    found = advance(ages, one(at + 2 * TICK_MS, 100, 150, 50))
    assert found.source[0] == LagSource.COUNTERS


def test_a_publisher_with_a_wrong_clock_is_not_believed() -> None:
    ages = Ages()
    steps(ages, [(0, 0, 0), *((10.0 * i, 10 * i, 0) for i in range(1, 13))])
    at = START + 13 * TICK_MS
    found = advance(ages, one(at, 130, 130, 0), heads={0: (at - 7_200_000) / 1000})
    assert found.source[0] == LagSource.COUNTERS
    assert found.time_lag[0] == pytest.approx(63, abs=5)


def test_a_stream_is_as_late_as_its_slowest_consumer() -> None:
    ages = Ages()
    is_stream = np.array([True])
    for place in range(13):
        found = advance(
            ages,
            one(START + place * TICK_MS, 1_000 + 50 * place, 50 * place, 0),
            streams=is_stream,
            offsets=np.array([200.0 if place > 6 else np.nan]),
        )
    assert found.source[0] == LagSource.STREAM_OFFSETS
    assert found.time_lag[0] == pytest.approx(20, abs=3)
    found = advance(ages, one(START + 13 * TICK_MS, 2_000, 650, 0), streams=is_stream, offsets=np.array([np.nan]))
    assert np.isnan(found.time_lag[0]), "nobody reads it: there is no lag to tell"


def test_where_what_is_returned_goes_to_the_tail_the_head_is_at_least_so_old() -> None:
    ages, unordered = Ages(), np.array([True])

    def at(tick: int, total: float, published: float, acknowledged: float, redelivered: float) -> Lag:
        seen = replace(one(START + tick * TICK_MS, total, published, acknowledged), redelivered=np.array([redelivered]))
        return advance(ages, seen, unordered=unordered)

    at(0, 0, 0, 0, 0)
    assert at(1, 10, 10, 0, 0).source[0] == LagSource.COUNTERS
    assert at(2, 15, 20, 5, 1).source[0] == LagSource.AT_LEAST
    # Nothing says that what was returned has left, before the queue was empty.
    assert at(3, 15, 25, 10, 1).source[0] == LagSource.AT_LEAST
    assert at(4, 0, 25, 25, 1).source[0] == LagSource.COUNTERS
    assert at(5, 5, 30, 25, 1).source[0] != LagSource.AT_LEAST


def test_a_queue_that_was_away_and_is_back_is_not_new() -> None:
    """A broker that starts again tells of its queues one after the other: durable messages are as old as before."""
    ages, nothing = Ages(), np.empty(0)
    steps(ages, [(500, 10_000, 9_500)] * 3)
    advance(ages, Reading(START + 3 * TICK_MS, np.empty(0, dtype=np.uint32), nothing, nothing, nothing))
    back = steps(ages, [(500, 0, 0), (490, 0, 10)], START + 4 * TICK_MS)
    assert back.source[0] == LagSource.AT_LEAST
    emptied = steps(ages, [(0, 0, 500), (5, 5, 500)], START + 6 * TICK_MS)
    assert emptied.source[0] != LagSource.AT_LEAST


def test_a_queue_that_was_deleted_and_declared_again_holds_nothing_of_before() -> None:
    ages = Ages()
    for place in range(13):
        at = START + place * TICK_MS
        advance(ages, replace(one(at, 100.0 * place, 100.0 * place, 0), unacked=np.array([min(20.0, 100.0 * place)])))
    at = START + 13 * TICK_MS
    anew = advance(ages, replace(one(at, 30, 30, 0), unacked=np.array([20.0])))
    assert anew.time_lag[0] <= 10


def test_a_new_queue_has_the_pace_of_its_first_tick_until_its_counters_are_read_again() -> None:
    ages, nothing = Ages(), np.empty(0)
    advance(ages, Reading(START, np.empty(0, dtype=np.uint32), nothing, nothing, nothing))
    advance(ages, one(START + TICK_MS, 50, 50, 0, live=False))
    for place in range(2, 6):
        unread = one(START + place * TICK_MS, 50.0 * place, np.nan, np.nan, live=False)
        guessed = advance(ages, unread)
    assert guessed.time_lag[0] == pytest.approx(25, abs=6)


def test_after_a_restart_it_is_remembered_that_messages_are_out_of_order() -> None:
    ages, unordered = Ages(), np.array([True])
    take(ages, replace(one(START, 100, 1_000, 900), redelivered=np.array([7.0])))
    seed(ages, np.array([30.0]), np.array([float(LagSource.AT_LEAST)]))
    for place in range(1, 12):
        seen = one(START + place * TICK_MS, 100, 1_000 + 50.0 * place, 900 + 50.0 * place)
        found = advance(ages, replace(seen, redelivered=np.array([7.0])), unordered=unordered)
    assert found.source[0] == LagSource.AT_LEAST
