"""Cadences follow from what answers cost: within the budget, not going to and fro, and back when it gets cheaper."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.collect.allot import (
    FIRST_MS,
    RETRY_MS,
    RETRY_PART,
    SLOWEST_MS,
    SLOWEST_OPTIONAL_MS,
    SLOWEST_RETRY_MS,
    Allotment,
    allot,
    retry_ms,
)
from brokers.collect.budget import (
    DEFINITIONS_MOST,
    DEFINITIONS_PART,
    HEAVY,
    LIGHT_S,
    SMALL,
    Budget,
    Cost,
    Held,
    Pace,
    Tier,
    definitions_share,
    due,
    expected,
    remember,
    share_in_force,
    smoothed,
    spent,
)
from brokers.collect.pace import silent

# Measured at 10,000 queues with mixed traffic: seconds and bytes of an answer, seconds of a reading of definitions.
AT_10_000 = {
    "3.10": {
        Tier.DEPTH: Cost(0.045, 4_000_000),
        Tier.COUNTERS: Cost(0.06, 90_000),
        Tier.CONSUMERS: Cost(0.085, 920_000),
        Tier.DETAILS: Cost(0.42, 18_300_000),
        Tier.CHANNELS: Cost(0.004, 3000),
        Tier.LISTS: Cost(2.0, 320_000),
    },
    "4.3": {
        Tier.DEPTH: Cost(0.052, 5_400_000),
        Tier.COUNTERS: Cost(0.1, 260_000),
        Tier.CONSUMERS: Cost(0.1, 1_850_000),
        Tier.DETAILS: Cost(0.3, 18_000_000),
        Tier.CHANNELS: Cost(0.004, 3000),
    },
}
DEFINITIONS_S = 0.8
# The same as CPU of the official UI's page of queues, sorted by ready: each of its refreshes.
PAGE_S = {"3.10": 0.87, "4.3": 0.86}

seconds = st.floats(0.0005, 30)
sizes = st.integers(500, 50_000_000)
costs_of_plans = st.dictionaries(st.sampled_from(list(Tier)), st.builds(Cost, seconds, sizes), max_size=6).map(
    lambda found: {Tier.DEPTH: Cost(0.01, 10_000), **found}
)
budgets = st.builds(Budget, st.floats(0.001, 0.5), st.integers(10_000, 100_000_000))


def settled(
    costs: dict[Tier, Cost],
    budget: Budget,
    cadence_ms: int = 5000,
    start: Allotment | None = None,
    reserved: float = 0.0,
) -> Allotment:
    """Return the allotment after many ticks at the same costs, and after what is left out was tried often."""
    found = start or allot(costs, budget, cadence_ms)
    tries = dict.fromkeys(costs, len(RETRY_MS))
    for _ in range(20):
        found = allot(
            costs, budget, cadence_ms, found.every_ms, reserved=reserved, left_out=found.left_out, tries=tries
        )
    return found


def test_it_leaves_a_small_broker_its_cadence_with_all_tiers_in_it() -> None:
    costs = dict.fromkeys(Tier, Cost(0.003, 20_000))
    found = settled(costs, Budget())
    assert found.every_ms[Tier.DEPTH] == 5000
    assert {found.every_ms[tier] for tier in (Tier.COUNTERS, Tier.CONSUMERS, Tier.LISTS)} == {5000}
    assert found.every_ms[Tier.DETAILS] == 10_000
    assert not found.left_out


@pytest.mark.parametrize("version", ["3.10", "4.3"])
def test_it_asks_10_000_queues_for_a_twentieth_of_what_the_official_ui_takes(version: str) -> None:
    costs = AT_10_000[version]
    part = definitions_share(Budget(), costs[Tier.DEPTH])
    found = settled(costs, Budget(), reserved=part)
    # What is left out is tried now and then; that is in it.
    assert spent(costs, found.every_ms).seconds + part <= PAGE_S[version] / 5 / 20
    assert found.every_ms[Tier.DEPTH] <= 25_000
    assert found.every_ms[Tier.COUNTERS] <= 125_000
    assert Tier.CONSUMERS not in found.left_out
    assert DEFINITIONS_S / part <= 600


@settings(deadline=None)
@given(costs_of_plans, budgets)
def test_whatever_else_is_asked_depth_comes_at_least_half_as_often_as_alone(
    costs: dict[Tier, Cost], budget: Budget
) -> None:
    alone = settled({Tier.DEPTH: costs[Tier.DEPTH]}, budget)
    found = settled(costs, budget)
    assert found.every_ms[Tier.DEPTH] <= max(5000, 2.2 * alone.every_ms[Tier.DEPTH])


def test_consumers_of_a_large_broker_on_a_busy_machine_are_read_seldom_and_not_never() -> None:
    busy = {
        Tier.DEPTH: Cost(0.09, 5_400_000),
        Tier.COUNTERS: Cost(0.2, 260_000),
        Tier.CONSUMERS: Cost(0.2, 1_850_000),
        Tier.DETAILS: Cost(0.6, 18_000_000),
        Tier.CHANNELS: Cost(0.008, 3000),
    }
    found = settled(busy, Budget(), reserved=definitions_share(Budget(), busy[Tier.DEPTH]))
    assert found.left_out == {Tier.DETAILS}
    assert 300_000 < found.every_ms[Tier.CONSUMERS] <= SLOWEST_OPTIONAL_MS + found.every_ms[Tier.DEPTH]
    assert found.every_ms[Tier.DEPTH] <= 50_000


@settings(deadline=None)
@given(costs_of_plans, budgets)
def test_what_states_hang_on_is_left_out_only_where_it_does_not_go_beside_half_of_the_budget_for_depth(
    costs: dict[Tier, Cost], budget: Budget
) -> None:
    found = settled(costs, budget)
    share = share_in_force(budget, costs[Tier.DEPTH])
    if Tier.CONSUMERS in found.left_out:
        slowest = {Tier.CONSUMERS: SLOWEST_OPTIONAL_MS, Tier.COUNTERS: SLOWEST_MS}
        kept = {tier: costs[tier] for tier in slowest if tier in costs and tier not in found.left_out}
        least = spent({**kept, Tier.CONSUMERS: costs[Tier.CONSUMERS]}, slowest)
        depth = spent({Tier.DEPTH: costs[Tier.DEPTH]}, {Tier.DEPTH: SLOWEST_MS})
        short_of_time = least.seconds + max(depth.seconds, share / 2) >= share * 0.999
        assert short_of_time or least.bytes + max(depth.bytes, budget.bytes_per_s / 2) >= budget.bytes_per_s * 0.999


@settings(deadline=None)
@given(costs_of_plans, budgets)
def test_counters_are_not_left_out_for_the_sake_of_anything_but_depth(costs: dict[Tier, Cost], budget: Budget) -> None:
    alone = settled({tier: costs[tier] for tier in (Tier.DEPTH, Tier.COUNTERS) if tier in costs}, budget)
    assert (Tier.COUNTERS in settled(costs, budget).left_out) == (Tier.COUNTERS in alone.left_out)


@settings(deadline=None)
@given(st.floats(0.0005, 30), st.integers(0, 10**8), budgets)
def test_ticks_and_definitions_together_have_the_share_in_force(cost: float, size: int, budget: Budget) -> None:
    depth = Cost(cost, size)
    assert definitions_share(budget, depth) <= DEFINITIONS_MOST * share_in_force(budget, depth)
    assert definitions_share(budget, None) == DEFINITIONS_PART * budget.share


@settings(deadline=None)
@given(costs_of_plans, budgets, st.integers(1, 300))
def test_it_never_passes_the_budget_in_steady_state(costs: dict[Tier, Cost], budget: Budget, cadence_s: int) -> None:
    found = settled(costs, budget, cadence_s * 1000)
    took = spent({tier: cost for tier, cost in costs.items() if tier not in found.left_out}, found.every_ms)
    slowest = found.every_ms[Tier.DEPTH] >= max(SLOWEST_MS, cadence_s * 1000)
    assert slowest or took.seconds <= share_in_force(budget, costs[Tier.DEPTH]) * 1.001
    assert slowest or took.bytes <= budget.bytes_per_s * 1.001 + 1
    for tier, every_ms in found.every_ms.items():
        assert every_ms >= cadence_s * 1000
        assert tier in found.left_out or every_ms % found.every_ms[Tier.DEPTH] == 0


@settings(deadline=None)
@given(costs_of_plans, budgets)
def test_it_says_so_where_even_the_slowest_cadence_passes_the_budget(costs: dict[Tier, Cost], budget: Budget) -> None:
    found = settled(costs, budget)
    share = share_in_force(budget, costs[Tier.DEPTH])
    if found.every_ms[Tier.DEPTH] < SLOWEST_MS:
        assert not found.over
    # All that is optional is left out before depth is: alone it would have to be seldomer than the slowest.
    if found.over:
        assert found.every_ms[Tier.DEPTH] == SLOWEST_MS
        assert "Even at one reading in 5 min" in found.over
    if costs[Tier.DEPTH].seconds / share > SLOWEST_MS / 1000:
        assert found.over


@settings(deadline=None)
@given(st.floats(0.005, 0.25), st.integers(0, 10**9))
def test_it_does_not_go_to_and_fro_where_costs_are_noisy(cost: float, seed: int) -> None:
    held = {tier: Held() for tier in (Tier.DEPTH, Tier.COUNTERS, Tier.DETAILS)}
    every: dict[Tier, int] = {}
    seen, chance = [], Random(seed)
    for at in range(200):
        held = {tier: remember(one, cost * chance.uniform(0.95, 1.05), 1000, at) for tier, one in held.items()}
        every = dict(allot({t: c for t, one in held.items() if (c := one.cost)}, Budget(), 5000, every).every_ms)
        seen.append(every[Tier.DEPTH])
    settled_at = seen[40:]
    shrunk = sum(after < before for before, after in pairwise(settled_at))
    # It follows the dearest that the noise shows, and stays there. (Dearer still, a tier may be left out any time.)
    assert shrunk == 0
    assert max(settled_at) <= 1.4 * min(settled_at)


@settings(deadline=None)
@given(st.floats(0.02, 3), st.integers(1, 20))
def test_it_stretches_with_a_broker_that_grows_and_relaxes_when_it_shrinks(small: float, times: int) -> None:
    budget = Budget()

    def plan_at(seconds: float) -> dict[Tier, Cost]:
        return {Tier.DEPTH: Cost(seconds / 10), Tier.COUNTERS: Cost(seconds / 10), Tier.DETAILS: Cost(seconds)}

    before = settled(plan_at(small), budget)
    grown = settled(plan_at(small * (1 + times)), budget, start=before)
    for tier in (Tier.DEPTH, Tier.COUNTERS):
        assert tier in grown.left_out or grown.every_ms[tier] >= before.every_ms[tier]
    back = settled(plan_at(small), budget, start=grown)
    # Within the slack that keeps it from going to and fro.
    assert back.every_ms[Tier.DEPTH] <= max(5000, before.every_ms[Tier.DEPTH] * 1.8)
    assert (
        Tier.DETAILS in before.left_out or Tier.DETAILS not in back.left_out or before.every_ms[Tier.DETAILS] > 300_000
    )


def test_slow_answers_change_nothing_while_some_are_still_fast() -> None:
    held = Held()
    for at in range(7):
        held = remember(held, 0.01, 1000, at)
    assert held.cost == Cost(0.01, 1000)
    for at in range(5):
        held = remember(held, 3.0, 1000, 10 + at)
        assert held.cost == Cost(0.01, 1000)
    assert remember(held, 3.0, 1000, 20).cost == Cost(3.0, 1000)


@settings(deadline=None)
@given(st.integers(0, 10**9))
def test_a_small_broker_on_a_busy_machine_keeps_its_counters_in_every_tick(seed: int) -> None:
    """Every third answer is as fast as ever, the others wait for a CPU."""
    chance = Random(seed)
    costs = {Tier.DEPTH: 0.004, Tier.COUNTERS: 0.006, Tier.DETAILS: 0.008, Tier.CHANNELS: 0.003}
    held = {tier: Held() for tier in costs}
    every: dict[Tier, int] = {}
    slow = 0
    for at in range(100):
        for tier, seconds in costs.items():
            waited = chance.uniform(0.02, 0.4) if at % 3 else 0.0
            held[tier] = remember(held[tier], seconds + waited, 4000, at)
        every = dict(allot({t: c for t, one in held.items() if (c := one.cost)}, Budget(), 5000, every).every_ms)
        slow += at >= 10 and (every[Tier.DEPTH], every[Tier.COUNTERS]) != (5000, 5000)
    assert slow == 0


def test_depth_doubles_at_most_so_that_a_first_slow_answer_silences_nobody() -> None:
    first = allot({Tier.DEPTH: Cost(3.0)}, Budget(), 5000)
    assert first.every_ms[Tier.DEPTH] == 10_000
    relaxed = allot({Tier.DEPTH: Cost(0.004)}, Budget(), 5000, first.every_ms)
    assert relaxed.every_ms[Tier.DEPTH] == 5000


def test_long_answers_may_take_a_smaller_share() -> None:
    assert share_in_force(Budget(), None) == share_in_force(Budget(), Cost(LIGHT_S)) == 0.02
    assert share_in_force(Budget(), Cost(2 * LIGHT_S)) == pytest.approx(0.006)
    assert share_in_force(Budget(), Cost(1.5 * LIGHT_S)) == pytest.approx(0.02 / 2.25)
    assert share_in_force(Budget(), Cost(60)) == 0.02 * HEAVY


def test_a_small_answer_is_no_long_one_however_long_it_took() -> None:
    assert share_in_force(Budget(), Cost(2 * LIGHT_S, SMALL - 1)) == 0.02
    assert share_in_force(Budget(), Cost(2 * LIGHT_S, SMALL)) == pytest.approx(0.006)


def test_bytes_stretch_where_they_are_what_is_dear() -> None:
    found = settled({Tier.DEPTH: Cost(0.001, 4_000_000)}, Budget(bytes_per_s=100_000))
    assert found.every_ms[Tier.DEPTH] == 40_000
    assert found.by_bytes == {Tier.DEPTH}


def test_what_is_left_out_is_tried_now_and_then_and_comes_back_with_room_to_spare() -> None:
    costs = {Tier.DEPTH: Cost(0.04), Tier.DETAILS: Cost(5.0)}
    found = settled(costs, Budget())
    assert found.left_out == {Tier.DETAILS}
    # Of the 0.6 % in force a quarter may be spent on trying.
    assert found.every_ms[Tier.DETAILS] == pytest.approx(3_333_333, abs=1)
    cheaper = settled({**costs, Tier.DETAILS: Cost(0.2)}, Budget(), start=found)
    assert not cheaper.left_out


def test_it_leaves_nothing_out_by_a_first_slow_answer() -> None:
    costs = {Tier.DEPTH: Cost(0.004), Tier.DETAILS: Cost(30.0)}
    for count, every_ms in ((1, 10_000), (2, 20_000)):
        found = allot(costs, Budget(), 5000, answers={Tier.DEPTH: 9, Tier.DETAILS: count})
        assert not found.left_out
        assert found.every_ms[Tier.DETAILS] == every_ms
    assert allot(costs, Budget(), 5000, answers={Tier.DEPTH: 9, Tier.DETAILS: 3}).left_out == {Tier.DETAILS}


def test_what_was_tried_often_enough_comes_back_without_room_to_spare_too() -> None:
    costs = {Tier.DEPTH: Cost(0.3), Tier.COUNTERS: Cost(0.7)}
    for tries, out in ((0, True), (len(RETRY_MS) - 1, True), (len(RETRY_MS), False)):
        found = allot(costs, Budget(), 5000, left_out={Tier.COUNTERS}, tries={Tier.COUNTERS: tries})
        assert (Tier.COUNTERS in found.left_out) is out


def test_what_is_not_expected_to_be_borne_is_left_out_before_it_was_ever_asked() -> None:
    depth = Cost(0.045, 4_000_000)
    dear = {tier: cost for tier in Tier if (cost := expected(tier, depth)) is not None}
    assert dear == {Tier.DETAILS: Cost(0.045 * 7), Tier.LISTS: Cost(0.045 * 40)}
    known = {tier: cost for tier, cost in AT_10_000["3.10"].items() if tier not in dear}
    answers = dict.fromkeys(known, 7) | dict.fromkeys(dear, 0)
    found = allot(known | dear, Budget(), 5000, answers=answers)
    assert found.left_out == set(dear)
    assert found.every_ms[Tier.DETAILS] == found.every_ms[Tier.LISTS] == FIRST_MS


def test_where_depth_is_short_nothing_is_expected_of_the_rest() -> None:
    assert [expected(tier, Cost(0.02, 2_000_000)) for tier in Tier] == [None] * len(Tier)
    assert expected(Tier.LISTS, None) is None


@pytest.mark.parametrize("before_ms", [0, 300_000, 320_000, 10**6])
def test_counters_that_were_slow_once_or_twice_are_not_left_out_whatever_their_period_was(before_ms: int) -> None:
    costs = {Tier.DEPTH: Cost(0.07, 4_000_000), Tier.COUNTERS: Cost(9.0, 85_000)}
    before = {Tier.DEPTH: 32_000, Tier.COUNTERS: before_ms}
    for count in (1, 2):
        found = allot(costs, Budget(), 5000, before, answers={Tier.DEPTH: 9, Tier.COUNTERS: count})
        assert not found.left_out
    assert allot(costs, Budget(), 5000, before, answers={Tier.DEPTH: 9, Tier.COUNTERS: 3}).left_out


def test_only_what_it_costs_now_counts_of_what_was_left_out() -> None:
    held = Held(120_000, 1, ((30.0, 9), (30.0, 9), (30.0, 9)), left_out=True)
    assert remember(held, 0.01, 9, 2).cost == Cost(0.01, 9)


def test_it_tries_what_is_left_out_soon_then_seldomer() -> None:
    """As where a slow start made a tier look dear."""
    every: dict[Tier, int] = {}
    held = Held(recent=((3.0, 9),) * 3, left_out=True)
    seen = []
    for at in range(5):
        found = allot(
            {Tier.DEPTH: Cost(0.02), Tier.COUNTERS: Cost(0.15), Tier.DETAILS: Cost(0.15)},
            Budget(0.005),
            5000,
            every,
            left_out=[Tier.DETAILS] if held.left_out else [],
            tries={Tier.DETAILS: held.tries},
        )
        every = dict(found.every_ms)
        held = msgspec.structs.replace(held, left_out=Tier.DETAILS in found.left_out, every_ms=every[Tier.DETAILS])
        seen.append(held.every_ms)
        held = remember(held, 0.15, 9, at)
    assert seen[:-1] == [*RETRY_MS]
    # Then it is borne, if only just.
    assert not held.left_out


def test_it_begins_anew_with_trying_once_a_tier_was_borne_for_a_while() -> None:
    held = remember(Held(120_000, 1, ((3.0, 9),), left_out=True, tries=2), 0.01, 9, 2)
    assert held.tries == 3
    held = msgspec.structs.replace(held, left_out=False)
    for at in range(5):
        held = remember(held, 0.01, 9, at)
        assert held.tries == 3
    assert remember(held, 0.01, 9, 9).tries == 0


@given(st.integers(0, 9), st.floats(0.001, 30), sizes, budgets)
def test_trying_takes_no_more_than_its_part_of_the_budget(tries: int, cost: float, size: int, budget: Budget) -> None:
    every_ms = retry_ms(tries, Cost(cost, size), budget)
    assert RETRY_MS[0] <= every_ms <= SLOWEST_RETRY_MS
    if every_ms < SLOWEST_RETRY_MS:
        assert cost * 1000 / every_ms <= budget.share * RETRY_PART * 1.001
        assert size * 1000 / every_ms <= budget.bytes_per_s * RETRY_PART * 1.001


def test_what_rides_in_every_tick_is_due_in_every_tick_and_the_rest_after_its_period() -> None:
    assert due(Held(5000, asked_ms=1000), 1001, 5000)
    assert due(Held(20_000), 1001, 5000)
    assert not due(Held(20_000, asked_ms=1000), 16_000, 5000)
    assert due(Held(20_000, asked_ms=1000), 20_900, 5000)
    # Our clock was set back.
    assert due(Held(20_000, asked_ms=90_000), 1000, 5000)


def test_a_cost_is_the_lower_of_two() -> None:
    assert smoothed([]) is None
    assert smoothed([(3.0, 10), (1.0, 20)]) == Cost(1.0, 10)


def test_a_broker_that_does_not_answer_in_time_is_asked_seldomer_from_the_second_time_on() -> None:
    pace = Pace({Tier.DEPTH: Held(5000, 1, ((0.004, 900),) * 7)})
    periods = []
    for at_ms in range(10):
        pace = silent(pace, 3.7, at_ms, Budget(), 5000)
        periods.append(pace.of(Tier.DEPTH).every_ms)
    assert periods[:5] == [5000, 10_000, 20_000, 40_000, 80_000]
    assert periods[-1] == 300_000
    assert "more than the" in pace.over


def test_how_long_a_broker_was_silent_is_forgotten_with_its_first_answer() -> None:
    pace = Pace({Tier.DEPTH: Held(5000, 1, ((0.004, 900),) * 3)})
    for at_ms in range(9):
        pace = silent(pace, 3.7, at_ms, Budget(), 5000)
    held = remember(pace.of(Tier.DEPTH), 0.004, 900, 20)
    assert (held.cost, held.late) == (Cost(0.004, 900), 0)


def test_one_deadline_among_answers_is_noise() -> None:
    pace = silent(Pace({Tier.DEPTH: Held(5000, 1, ((0.004, 900),) * 3)}), 3.7, 2, Budget(), 5000)
    assert pace.of(Tier.DEPTH).cost == Cost(0.004, 900)
    assert remember(pace.of(Tier.DEPTH), 0.004, 900, 3).late == 0
