"""Time lag of queues of which not all that comes or goes is counted: dead letters, rejects, what expires."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from brokers.lag.inverse import Ages, advance
from tests.lag.simulated import START, TICK_MS, SimulatedQueue, arrivals, misses, one, reading, served, strictly, told


@pytest.mark.parametrize("phase_ms", [0.0, 2_600.0])
def test_dead_letters_are_counted_by_nobody_and_yet_have_an_age(phase_ms: float) -> None:
    came = arrivals([(600, 0.2)])
    queue = SimulatedQueue(
        came, np.full(len(came), np.inf), uncounted_in=np.ones(len(came), dtype=np.bool_), phase_ms=phase_ms
    )
    moments = told(queue, 600)
    assert misses(moments, queue) == []
    assert moments[-1][1] > 500


@pytest.mark.parametrize("phase_ms", [0.0, 1_300.0, 2_600.0, 4_400.0])
@pytest.mark.parametrize("missing", [0, 3])
def test_dead_letters_that_are_drained_are_as_old_as_the_next_one(phase_ms: float, missing: int) -> None:
    """Nobody counts what comes in, at an uneven pace; what leaves is acknowledged. Some ticks lack the counters."""
    came = arrivals([(200, 1.0), (200, 4.0), (250, 2.0)])
    went = served(np.maximum(came, START + 300_000.0), np.full(len(came), 1000.0 / 5.0))
    queue = SimulatedQueue(came, went, uncounted_in=np.ones(len(came), dtype=np.bool_), phase_ms=phase_ms)
    ages, moments = Ages(), []
    for tick, at in enumerate(range(START + TICK_MS, START + 650_000, TICK_MS + 13)):
        seen = reading(queue, at)
        if missing and tick % missing == 1:
            seen = replace(seen, published=np.array([np.nan]), acknowledged=np.array([np.nan]))
        lag = advance(ages, seen)
        moments.append((at, float(lag.time_lag[0]), queue.age_s(at), 0))
    assert strictly(moments) >= 0.97


@pytest.mark.parametrize("live", [True, False])
def test_letters_that_come_one_by_one_are_all_remembered(live: bool) -> None:
    """A queue of dead letters that nobody reads gets one every ten seconds; then half of them are taken."""
    ages = Ages()
    came = [START + 10_000 * number for number in range(60)]
    for at in range(START, START + 600_000, TICK_MS):
        depth = float(sum(moment <= at for moment in came))
        advance(ages, one(at, depth, 0, 0, live=live))
    taken = [advance(ages, one(START + 600_000 + TICK_MS * n, 30, 0, 30, live=live)) for n in range(4)][-1]
    assert taken.time_lag[0] == pytest.approx((START + 615_000 - came[30]) / 1000, abs=15)


# A queue of dead letters on 3.10 that is drained, as it was polled: seconds, depth, acknowledged (None: not read). Once
# the management API has the same counters in two readings.
DRAINED = (
    *(
        (428.0, 498, 744),
        (433.1, 483, 774),
        (438.0, 459, 804),
        (443.1, 439, 834),
        (448.1, 419, 864),
        (453.0, 401, None),
    ),
    *((458.0, 379, 924), (463.0, 361, 954), (469.2, 338, 1014), (473.0, 313, 1014), (478.1, 292, None)),
    *((483.1, 273, 1074), (488.0, 249, None), (493.0, 249, 1134), (498.1, 223, 1164), (503.0, 204, 1194)),
    *((508.1, 181, 1224), (513.3, 160, 1254), (518.0, 135, 1284)),
)


def test_letters_whose_counters_are_told_twice_did_not_come_twice() -> None:
    """161 came meanwhile, by those who sent them."""
    ages, entered = Ages(), []
    for seconds, depth, acknowledged in DRAINED:
        counted = np.nan if acknowledged is None else float(acknowledged)
        published = np.nan if acknowledged is None else 0.0
        advance(ages, one(START + int(seconds * 1000), depth, published, counted, live=False))
        entered.append(float(ages.flow.entered[0]))
    # What is acknowledged within a beat, either way.
    assert entered[-1] - entered[0] == pytest.approx(161, abs=35)


@pytest.mark.parametrize("live", [True, False])
def test_a_burst_between_two_readings_of_counters_is_not_taken_for_uncounted(live: bool) -> None:
    """All is counted; counters are read in every third tick. The depth of before the burst is told with those after."""
    ages, published, acknowledged, before = Ages(), 0.0, 0.0, []
    for tick in range(90):
        burst = tick % 9 == 5
        depth = published - acknowledged
        published += 700.0 if burst else 60.0
        acknowledged += 100.0
        acknowledged = min(acknowledged, published)
        read = tick % 3 == 2
        # What was told of the depth is a beat old.
        seen = one(START + tick * TICK_MS, depth, published, acknowledged, live=live)
        if not read:
            seen = replace(seen, published=np.array([np.nan]), acknowledged=np.array([np.nan]))
        advance(ages, seen)
        if read:
            before.append(published - float(ages.flow.entered[0]))
    # What there was before the first reading stays what it was.
    assert max(before) - min(before) <= 65


@pytest.mark.parametrize("phase_ms", [0.0, 2_600.0])
def test_what_is_rejected_leaves_though_nobody_counts_it(phase_ms: float) -> None:
    came = arrivals([(400, 10.0)])
    went = served(came, np.concatenate((np.full(1_500, 150.0), np.full(len(came) - 1_500, 70.0))))
    rejected = np.random.default_rng(3).random(len(came)) < 0.3
    queue = SimulatedQueue(came, went, uncounted_out=rejected, phase_ms=phase_ms)
    moments = told(queue, 400)
    assert misses(moments, queue) == []
    assert strictly(moments) >= 0.97


def test_what_expires_is_no_older_than_its_time() -> None:
    came = arrivals([(600, 40)])
    queue = SimulatedQueue(came, came + 60_000.0, uncounted_out=np.ones(len(came), dtype=np.bool_), phase_ms=900.0)
    moments = told(queue, 600)
    assert misses(moments, queue) == []
    assert 55 <= np.median([estimate for _, estimate, _, _ in moments[20:]]) <= 68
