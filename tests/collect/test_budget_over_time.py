"""What a broker really spends on answering stays within its budget, however noisy its costs are. Simulated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.collect.allot import RETRY_PART
from brokers.collect.budget import Budget, Cost, Held, Pace, Tier, share_in_force
from brokers.collect.measures import CallMeasure
from brokers.collect.pace import SOON_MS, after, due_tiers, unfinished
from brokers.collect.plan import Abilities, Plan, plan

NODE = "rabbit@a"
OLD = Abilities("3.10.8", {NODE: "http://a:15692"})
NEW = Abilities("4.3.6", {NODE: "http://a:15692"}, counters_exposed=True)
CADENCE_MS = 5000
WINDOW_MS = 600_000
DEADLINE_S = 20.0

# Seconds of an answer, as multiples of that of depth, and bytes: about as measured at 10,000 queues.
RATIOS: Mapping[Tier, tuple[float, int]] = {
    Tier.DEPTH: (1.0, 3_000_000),
    Tier.COUNTERS: (1.2, 90_000),
    Tier.CONSUMERS: (2.5, 630_000),
    Tier.DETAILS: (6.0, 13_000_000),
    Tier.CHANNELS: (0.05, 2000),
    Tier.LISTS: (30.0, 320_000),
}
Truth = Callable[[Tier, int], float]


@dataclass
class Run:
    """What happened: each reading with its moment and its seconds; depth's period after each tick."""

    readings: list[tuple[int, Tier, float]] = field(default_factory=list)
    periods: list[tuple[int, int]] = field(default_factory=list)
    pace: Pace = field(default_factory=Pace)

    def most(self, from_ms: int = WINDOW_MS) -> float:
        """Return the largest share of any ten minutes that begin at `from_ms` or later, less their dearest tick.

        What a tick brings is known after it: the dearest of a few ten minutes is in some of them.
        """
        found = 0.0
        ticks: dict[int, float] = {}
        for at, _, cost in self.readings:
            ticks[at] = ticks.get(at, 0.0) + cost
        moments = sorted(ticks)
        for index, begins in enumerate(moments):
            if begins >= from_ms:
                within = [ticks[at] for at in moments[index:] if at < begins + WINDOW_MS]
                found = max(found, (sum(within) - max(within)) * 1000 / WINDOW_MS)
        return found


def simulated(
    truth: Truth,
    minutes: int,
    budget: Budget,
    seed: int = 0,
    *,
    abilities: Abilities = OLD,
    size: float = 1.0,
    definitions_s: float = 0.0,
) -> Run:
    """Poll a broker whose answers cost what `truth` says, and are `size` times as long as at 10,000 queues, so long.

    Its readings of definitions take so many seconds each.
    """
    run, at_ms, end = Run(), 1, minutes * 60_000
    chance = Random(seed)
    while at_ms < end:
        chosen: Plan = plan(abilities, 10_000, CADENCE_MS, run.pace, definitions_s, budget)
        asked = due_tiers(chosen, run.pace, at_ms, budget, definitions_s)
        measures = []
        left_s = DEADLINE_S
        for tier in (one for one in Tier if one in asked):
            if tier is Tier.CONSUMERS and Tier.DETAILS in asked:
                continue
            # Lists are asked beside the node, whose tiers come one behind the other.
            cost = min(DEADLINE_S if tier is Tier.LISTS else left_s, truth(tier, at_ms))
            left_s -= 0.0 if tier is Tier.LISTS else cost
            run.readings.append((at_ms, tier, cost))
            body = int(RATIOS[tier][1] * size)
            measures.append(CallMeasure("/metrics", NODE, cost, body, body, tier=str(tier)))
        before = run.pace
        run.pace = after(chosen, before, asked, measures, at_ms, budget, CADENCE_MS, definitions_s, near=True)
        every_ms = run.pace.of(Tier.DEPTH).every_ms
        run.periods.append((at_ms, every_ms))
        at_ms += SOON_MS if unfinished(chosen, before, run.pace, asked) else every_ms
        at_ms += chance.randrange(0, 300)
    return run


def steady(depth_s: float) -> Truth:
    return lambda tier, at_ms: depth_s * RATIOS[tier][0]


def noisy(truth: Truth, seed: int, spread: float, outliers: float) -> Truth:
    chance = Random(seed)

    def cost(tier: Tier, at_ms: int) -> float:
        one = truth(tier, at_ms) * chance.uniform(1 - spread, 1 + spread)
        return one * 10 if chance.random() < outliers else one

    return cost


def changing(truth: Truth, factor: float, from_ms: int, until_ms: int) -> Truth:
    return lambda tier, at_ms: truth(tier, at_ms) * (factor if from_ms <= at_ms < until_ms else 1.0)


# A depth that takes more can't be kept within the budget: it is read once in five minutes whatever it costs.
depths = st.floats(0.25, 0.6)
seeds = st.integers(0, 10**6)
factors = st.sampled_from([0.1, 0.5, 2.0, 10.0])


@settings(deadline=None, max_examples=20)
@given(depths, seeds, st.floats(0, 0.6), st.floats(0, 0.05))
def test_noise_does_not_pass_the_budget(depth_s: float, seed: int, spread: float, outliers: float) -> None:
    run = simulated(noisy(steady(depth_s), seed, spread, outliers), 90, Budget(), seed)
    assert run.most() <= Budget().share


@settings(deadline=None, max_examples=20)
@given(depths, seeds, st.floats(0, 0.6), st.floats(0, 0.05), factors)
def test_it_stays_within_the_budget_over_any_ten_minutes_but_the_first(
    depth_s: float, seed: int, spread: float, outliers: float, factor: float
) -> None:
    budget = Budget()
    truth = changing(steady(depth_s), factor, 1_800_000, 3_600_000)
    run = simulated(noisy(truth, seed, spread, outliers), 90, budget, seed)
    # What costs ten times as much as a moment ago is known once it was paid; depth is asked for all that.
    assert run.most() <= 2 * budget.share


@settings(deadline=None, max_examples=6)
@given(depths, seeds, factors)
def test_it_relaxes_again_when_answers_get_cheaper(depth_s: float, seed: int, factor: float) -> None:
    truth = steady(depth_s)
    before = simulated(truth, 300, Budget(), seed)
    run = simulated(changing(truth, max(factor, 1 / factor), 1_800_000, 3_600_000), 300, Budget(), seed)
    dear = max(every for at, every in run.periods if 1_800_000 <= at < 3_600_000)
    usual, now = (median(every for at, every in one.periods if at > 14_400_000) for one in (before, run))
    assert dear >= usual
    assert now <= usual * 1.8
    for tier in Tier:
        assert run.pace.of(tier).left_out <= before.pace.of(tier).left_out, tier


@settings(deadline=None, max_examples=20)
@given(depths, seeds, st.floats(0, 0.3), st.floats(0, 0.05))
def test_it_does_not_change_the_cadence_tick_after_tick(
    depth_s: float, seed: int, spread: float, outliers: float
) -> None:
    run = simulated(noisy(steady(depth_s), seed, spread, outliers), 240, Budget(), seed)
    settled = [every for at, every in run.periods if at > 1_800_000]
    turns = sum((b - a) * (c - b) < 0 for (a, b), (b2, c) in pairwise(pairwise(settled)) if b == b2)
    assert turns <= len(settled) / 10 + 2


def test_a_busy_machine_on_which_answers_wait_costs_no_tick() -> None:
    """Every third answer is as fast as ever, the others wait for a CPU."""
    chance, count = Random(4), iter(range(10**9))

    def truth(tier: Tier, _: int) -> float:
        return 0.001 * RATIOS[tier][0] + (chance.uniform(0.02, 0.35) if next(count) % 3 else 0.0)

    run = simulated(truth, 60, Budget(), size=0.02)
    periods = [every for at, every in run.periods if at > WINDOW_MS]
    assert median(periods) == CADENCE_MS
    assert sum(tier is Tier.COUNTERS for _, tier, _ in run.readings) >= 0.95 * len(run.periods)


@pytest.mark.parametrize("depth_s", [0.05, 0.25, 1.0])
def test_in_quiet_times_it_takes_what_is_in_force_and_no_more(depth_s: float) -> None:
    budget = Budget()
    run = simulated(steady(depth_s), 600, budget)
    share = share_in_force(budget, Cost(depth_s, 3_000_000))
    spent = sum(cost for at, _, cost in run.readings if at > 7_200_000) * 1000 / (480 * 60_000)
    # Beside it there is what trying takes of what the budget does not bear.
    assert spent <= share * (1.05 + RETRY_PART)


# Seconds of an answer at 10,000 queues with mixed traffic, and of a reading of definitions.
AT_10_000: Mapping[str, Mapping[Tier, float]] = {
    "3.10.8": {
        Tier.DEPTH: 0.045,
        Tier.COUNTERS: 0.06,
        Tier.CONSUMERS: 0.085,
        Tier.DETAILS: 0.42,
        Tier.CHANNELS: 0.004,
        Tier.LISTS: 2.0,
    },
    "4.3.6": {
        Tier.DEPTH: 0.045,
        Tier.COUNTERS: 0.1,
        Tier.CONSUMERS: 0.1,
        Tier.DETAILS: 0.3,
        Tier.CHANNELS: 0.004,
    },
}
# Ticks are due half a cadence early.
FIRST_MINUTES_MS = 285_000


@pytest.mark.parametrize("version", AT_10_000)
@pytest.mark.parametrize("seed", range(10))
def test_a_large_broker_that_is_new_has_its_depth_often_and_does_not_pay_for_what_is_dear(
    version: str, seed: int
) -> None:
    chance = Random(seed)
    abilities = NEW if version == NEW.version else OLD
    costs = AT_10_000[version]
    run = simulated(
        lambda tier, _: costs[tier] * chance.uniform(1.0, 1.3),
        60,
        Budget(),
        seed,
        abilities=abilities,
        definitions_s=0.8,
    )
    assert max(every for _, every in run.periods) <= 27_000
    first = [(tier, cost) for at, tier, cost in run.readings if at <= FIRST_MINUTES_MS]
    assert not {Tier.DETAILS, Tier.LISTS} & {tier for tier, _ in first}
    # Not a quarter more than what is in force: definitions are the other part of it.
    assert sum(cost for _, cost in first) * 1000 / FIRST_MINUTES_MS <= 1.25 * share_in_force(Budget(), Cost(9.0))
    # Then one after the other is tried, once, and the next time when that was paid for.
    for tier in (Tier.DETAILS, Tier.LISTS):
        tried = [at for at, one, _ in run.readings if one is tier]
        assert len(tried) <= 4
        assert tried == [] or tried[0] <= FIRST_MINUTES_MS + 60_000
    dear = [at for at, tier, _ in run.readings if tier in {Tier.DETAILS, Tier.LISTS}]
    assert len(dear) == len(set(dear))
    assert run.most(0) <= Budget().share


@pytest.mark.parametrize("dear_s", [4.0, 8.0, 20.0])
@pytest.mark.parametrize("seed", range(3))
def test_what_trials_take_does_not_make_depth_seldomer(dear_s: float, seed: int) -> None:
    """Whatever they took, and however wrong what was expected of them was."""
    chance = Random(seed)
    costs = {**AT_10_000["3.10.8"], Tier.DETAILS: dear_s, Tier.LISTS: dear_s}
    run = simulated(lambda tier, _: costs[tier] * chance.uniform(1.0, 1.3), 60, Budget(), seed, definitions_s=0.8)
    assert {Tier.DETAILS, Tier.LISTS} <= {tier for _, tier, _ in run.readings}
    assert max(every for _, every in run.periods) <= 27_000
    assert run.most(0) <= Budget().share


def test_depth_is_read_as_often_as_before_soon_after_a_busy_time() -> None:
    """In which each answer took less than twice as long."""
    costs = AT_10_000["4.3.6"]
    truth = changing(lambda tier, _: costs[tier], 1.6, 600_000, 1_200_000)
    run = simulated(truth, 30, Budget(), abilities=NEW, definitions_s=0.8)
    before, busy, after = (
        max(every for at, every in run.periods if begins <= at < begins + 300_000)
        for begins in (300_000, 900_000, 1_500_000)
    )
    assert busy >= 1.5 * before
    assert after <= 1.1 * before


def test_what_depth_will_take_in_ten_minutes_is_kept_for_it() -> None:
    budget, at_ms = Budget(), 1_800_000_000_000
    half = ((0.1, 2_000_000),) * 7
    tiers = {Tier.DEPTH: Held(10_000, at_ms - 10_000, half), Tier.COUNTERS: Held(20_000, at_ms - 20_000, half)}
    # Of twelve seconds depth takes six in ten minutes.
    for spent_s, borne in ((5.8, True), (5.95, False)):
        pace = Pace(tiers, spent=((at_ms // 60_000, spent_s),))
        assert (Tier.COUNTERS in due_tiers(plan(NEW, 10, CADENCE_MS, pace), pace, at_ms, budget)) is borne
    pace = Pace(tiers, spent=((at_ms // 60_000, 9.0),), spent_on_depth=((at_ms // 60_000, 4.0),))
    assert Tier.COUNTERS in due_tiers(plan(NEW, 10, CADENCE_MS, pace), pace, at_ms, budget)


def test_a_tier_that_is_slow_once_on_a_large_broker_is_not_left_out_for_that() -> None:
    """Where it took what was expected of it, it is believed at once; where it took far more, it is asked again."""
    seen = iter([1.0])

    def truth(tier: Tier, _: int) -> float:
        return next(seen, 0.06) if tier is Tier.COUNTERS else AT_10_000["4.3.6"].get(tier, 1.0)

    run = simulated(truth, 10, Budget(), abilities=NEW)
    asked = [at for at, tier, _ in run.readings if tier is Tier.COUNTERS]
    assert asked[1] - asked[0] <= 60_000
    assert not run.pace.of(Tier.COUNTERS).left_out


@pytest.mark.parametrize("spread", [0.1, 0.5, 1.5])
@pytest.mark.parametrize("seed", range(3))
def test_consumers_of_a_large_broker_on_a_busy_machine_are_read_every_some_minutes(spread: float, seed: int) -> None:
    """What decides their queues' states is the last to be given up, whatever the waiting makes it cost."""
    busy = {
        Tier.DEPTH: 0.09,
        Tier.COUNTERS: 0.2,
        Tier.CONSUMERS: 0.2,
        Tier.DETAILS: 0.6,
        Tier.CHANNELS: 0.008,
    }
    chance = Random(seed)
    run = simulated(
        lambda tier, _: busy[tier] * chance.uniform(1.0, 1.0 + spread),
        120,
        Budget(),
        seed,
        abilities=NEW,
        definitions_s=0.8,
    )
    asked = [at for at, tier, _ in run.readings if tier in {Tier.CONSUMERS, Tier.DETAILS}]
    assert max(b - a for a, b in pairwise(asked)) <= 1_200_000
    assert not run.pace.of(Tier.CONSUMERS).left_out
    assert run.most() <= Budget().share
