"""Divides a broker's budget among the tiers of its plan: how often each is asked, and what is left out. Pure.

- A tier that is satisfied with less than its part takes what it needs; the rest is divided among the others by weight.
  Depth comes first: half of the ticks' part is its own, whatever else is asked for.
- What the states of queues hang on (`NEEDED`: counters, consumers) is read at its slowest rather than not at all: where
  its weight gives it less than that, it gets that much, and the others share what remains. Only where not even that
  goes beside depth's half is it left out, consumers before counters.
- Any other tier whose period would pass its slowest is *left out*: its figures are unknown. It is tried again, soon at
  first, since a broker that starts or is busy looks dear, then seldomer (`RETRY_MS`), and never so often that trying
  takes more than `RETRY_PART` of the share. Depth never is; where even `SLOWEST_MS` passes the budget, that is said.
- Periods grow at once and shrink only when little more than half would do, depth's when three quarters would, so that
  noise does not move them. Depth at most doubles its period at a time: one slow answer must not silence a broker for
  minutes.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from brokers.collect.budget import DEFINITIONS_MOST, ENOUGH, Budget, Cost, Tier, share_in_force
from brokers.registry.services import SHARE

# Nothing is asked less often than this, save what is left out.
SLOWEST_MS = 300_000
SLOWEST_OPTIONAL_MS = 600_000
# What is left out is tried so long after it was asked last: the first, second, third time, and any later one.
RETRY_MS = (120_000, 300_000, 900_000, 1_800_000)
SLOWEST_RETRY_MS = 21_600_000
# The part of the share that trying may take, all that is left out together.
RETRY_PART = 0.25
# What is not expected to be borne is tried first so long after the first reading of depth.
FIRST_MS = 300_000
# Periods shrink only where they can by this factor; depth's sooner, since it is what is waited for.
RELAX = 1.75
RELAX_DEPTH = 1.35
# What part of the budget each gets where all want more than there is.
WEIGHTS: Mapping[Tier, float] = {
    Tier.DEPTH: 100,
    Tier.COUNTERS: 50,
    Tier.CONSUMERS: 12,
    Tier.DETAILS: 12,
    Tier.CHANNELS: 6,
    Tier.LISTS: 30,
}
# The part of what ticks may take that is depth's own.
DEPTH_PART = 0.5
# What consumers' states and lags are told from, the most important first.
NEEDED = (Tier.COUNTERS, Tier.CONSUMERS)
# A tier that costs nearly nothing rides in every tick; these have figures that move slowly, and want no more than this.
WANTED_MS: Mapping[Tier, int] = {Tier.DETAILS: 10_000, Tier.CHANNELS: 10_000}


@dataclass(frozen=True, slots=True)
class Allotment:
    """`every_ms` by tier; `left_out` the tiers that the budget does not bear; `share` what was divided (0 to 1).

    `over` is a sentence where even the slowest cadence of depth passes the budget, else empty.
    """

    every_ms: Mapping[Tier, int]
    left_out: frozenset[Tier] = frozenset()
    share: float = SHARE
    over: str = ""
    # Tiers whose period the bytes decide, not the time.
    by_bytes: frozenset[Tier] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class _Bounds:
    """The period that a tier wants and, where it is to be read at any rate, the longest it may have; milliseconds."""

    wanted: float
    longest: float = math.inf


@dataclass(frozen=True, slots=True)
class _Want:
    """One tier and one of the two things that are short, time or bytes: what an answer takes of it, and its bounds.

    Rates are what it takes a millisecond.
    """

    cost: float
    bounds: _Bounds

    @property
    def most(self) -> float:
        """The rate at which it wants no more."""
        return self.cost / self.bounds.wanted

    @property
    def least(self) -> float:
        """The rate that it is to have at any rate."""
        return min(self.most, self.cost / self.bounds.longest)

    def period(self, rate: float) -> float:
        """Return the period at a rate: a bound that is met is met exactly."""
        if rate >= self.most:
            return self.bounds.wanted
        if rate <= self.least:
            return self.bounds.longest
        return self.cost / rate


def retry_ms(tries: int, cost: Cost, budget: Budget, among: int = 1, share: float | None = None) -> int:
    """Return how long after it was asked last a tier is tried again that is left out and was tried so often already.

    It is one `among` so many that are left out. `share` is the share in force; None: the budget's.
    """
    by_time = cost.seconds * 1000 / (budget.share if share is None else share)
    by_size = cost.bytes * 1000 / budget.bytes_per_s
    dear = max(by_time, by_size) * among / RETRY_PART
    return int(max(RETRY_MS[min(tries, len(RETRY_MS) - 1)], min(SLOWEST_RETRY_MS, dear)))


def allot(
    costs: Mapping[Tier, Cost],
    budget: Budget,
    cadence_ms: int,
    before: Mapping[Tier, int] | None = None,
    *,
    reserved: float = 0.0,
    answers: Mapping[Tier, int] | None = None,
    left_out: Collection[Tier] = (),
    tries: Mapping[Tier, int] | None = None,
) -> Allotment:
    """Divide the budget. `costs` has every tier whose cost is known, `cadence_ms` is the cadence that is asked for.

    `before` are the periods in force, `reserved` the share that is set aside, `answers` how many answers each cost
    stands on (None: enough): before there are `ENOUGH`, nothing is left out, and periods only double. None at all: the
    cost is what is expected, and what is left out by it is tried first after `FIRST_MS`. `left_out` are the tiers that
    are it now, `tries` how often each was tried. Periods of tiers other than depth are whole multiples of depth's.
    """
    share = share_in_force(budget, costs.get(Tier.DEPTH))
    left = (share - min(reserved, share * DEFINITIONS_MOST), budget.bytes_per_s / 1000)
    held = before or {}
    # What is left out comes back only where there is room to spare, so that noise moves nothing; what was tried often
    # enough is borne or it is not.
    kept_out = {tier for tier in left_out if (tries or {}).get(tier, 0) < len(RETRY_MS)}
    few = {tier: count for tier, count in (answers or {}).items() if tier in costs and 0 < count < ENOUGH}
    longest, out = _assured(costs, left, cadence_ms, kept_out, few)
    while True:
        asked = {tier: cost for tier, cost in costs.items() if tier not in out}
        needed, by_bytes = _needed(asked, left, cadence_ms, longest)
        for tier, count in few.items():
            if tier in needed:
                so_far = min(held.get(tier, 0), _slowest(tier))
                needed[tier] = min(needed[tier], max(cadence_ms * 2.0**count, so_far))
        # Those that the budget does not bear go one by one: the share of one may be what another needs.
        worst = max(
            (tier for tier in asked if tier is not Tier.DEPTH and needed[tier] > _slowest(tier, out=tier in kept_out)),
            key=lambda tier: needed[tier] / _slowest(tier),
            default=None,
        )
        if worst is None:
            break
        out.add(worst)
    depth_ms = _depth(needed.get(Tier.DEPTH, cadence_ms), held.get(Tier.DEPTH, 0), cadence_ms)
    every = {Tier.DEPTH: depth_ms} if Tier.DEPTH in costs else {}
    for tier in asked:
        if tier is not Tier.DEPTH:
            every[tier] = _whole(_steady(needed[tier], 0 if tier in left_out else held.get(tier, 0)), depth_ms)
    for tier in out:
        untried = answers is not None and not answers.get(tier, ENOUGH)
        again = retry_ms((tries or {}).get(tier, 0), costs[tier], budget, len(out), share)
        every[tier] = max(cadence_ms, FIRST_MS if untried else again)
    return Allotment(every, frozenset(out), share, _over(costs.get(Tier.DEPTH), left, share), by_bytes)


def _assured(
    costs: Mapping[Tier, Cost],
    left: tuple[float, float],
    cadence_ms: int,
    kept_out: Collection[Tier],
    few: Collection[Tier],
) -> tuple[dict[Tier, float], set[Tier]]:
    """Return the longest period of each tier that is to be read at any rate, and those for which there is no room.

    One with too few answers yet is neither: nobody knows what it takes.
    """
    longest: dict[Tier, float] = {}
    out: set[Tier] = set()
    depth = costs.get(Tier.DEPTH)
    if depth is not None:
        own = max(_costs(depth)[at] / (DEPTH_PART * left[at]) for at in (0, 1))
        longest[Tier.DEPTH] = max(cadence_ms, min(SLOWEST_MS, own))
    for tier in (one for one in NEEDED if one in costs and one not in few):
        tried = {**longest, tier: max(cadence_ms, _slowest(tier, out=tier in kept_out))}
        if all(sum(one.least for one in _wants(costs, tried, at, cadence_ms).values()) <= left[at] for at in (0, 1)):
            longest = tried
        else:
            out.add(tier)
    return longest, out


def _needed(
    costs: Mapping[Tier, Cost], left: tuple[float, float], cadence_ms: int, longest: Mapping[Tier, float]
) -> tuple[dict[Tier, float], frozenset[Tier]]:
    """Return the period that each tier can have, milliseconds, and those whose bytes decide it."""
    by_time, by_size = (_divided(_wants(costs, longest, at, cadence_ms), left[at]) for at in (0, 1))
    return (
        {tier: max(by_time[tier], by_size[tier]) for tier in costs},
        frozenset(tier for tier in costs if by_size[tier] > max(by_time[tier], _wanted(tier, cadence_ms))),
    )


def _wants(costs: Mapping[Tier, Cost], longest: Mapping[Tier, float], at: int, cadence_ms: int) -> dict[Tier, _Want]:
    """Return what each tier wants of the broker's time (`at` 0) or of bytes (1)."""
    return {
        tier: _Want(_costs(cost)[at], _Bounds(_wanted(tier, cadence_ms), longest.get(tier, math.inf)))
        for tier, cost in costs.items()
    }


def _costs(cost: Cost) -> tuple[float, float]:
    """Return milliseconds of the broker, and bytes."""
    return cost.seconds * 1000, float(cost.bytes)


def _wanted(tier: Tier, cadence_ms: int) -> float:
    return float(max(cadence_ms, WANTED_MS.get(tier, 0)))


def _divided(wants: Mapping[Tier, _Want], total: float) -> dict[Tier, float]:
    """Fill the tiers like vessels, by weight: none beyond what it wants, none less than what it is to have at any rate.

    Returns the period of each. Only where what they are to have is more than there is, it passes the total.
    """
    periods: dict[Tier, float] = {}
    open_tiers = set(wants)
    while open_tiers:
        weights = sum(WEIGHTS[tier] for tier in open_tiers)
        part = {tier: max(0.0, total) * WEIGHTS[tier] / weights for tier in open_tiers}
        rates = {tier: min(wants[tier].most, max(wants[tier].least, part[tier])) for tier in open_tiers}
        # Where that is more than there is, who was lifted up to its least stays there, else who has what it wants.
        much = sum(rates.values()) > total
        settled = {tier for tier in open_tiers if (rates[tier] > part[tier] if much else rates[tier] < part[tier])}
        for tier in settled or set(open_tiers):
            periods[tier] = wants[tier].period(rates[tier])
            total -= rates[tier]
            open_tiers.remove(tier)
    return periods


def slowest_ms(tier: Tier) -> int:
    """Return the longest period that a tier may have; what would have to be read less often is left out."""
    return SLOWEST_MS if tier in {Tier.DEPTH, Tier.COUNTERS} else SLOWEST_OPTIONAL_MS


def _slowest(tier: Tier, *, out: bool = False) -> float:
    return slowest_ms(tier) / RELAX if out else float(slowest_ms(tier))


def _steady(needed_ms: float, before_ms: int, relax: float = RELAX) -> float:
    if before_ms and needed_ms <= before_ms < needed_ms * relax:
        return before_ms
    return needed_ms


def _depth(needed_ms: float, before_ms: int, cadence_ms: int) -> int:
    most = max(cadence_ms, SLOWEST_MS)
    limit = min(most, 2 * max(before_ms, cadence_ms))
    steady = _steady(min(needed_ms, limit), before_ms, RELAX_DEPTH)
    return max(cadence_ms, min(most, math.ceil(steady / 100) * 100))


def _whole(period_ms: float, depth_ms: int) -> int:
    # A millionth is no further tick: a period that is a whole number of ticks stays one.
    return max(1, math.ceil(period_ms / depth_ms - 1e-6)) * depth_ms


def _over(depth: Cost | None, left: tuple[float, float], share: float) -> str:
    if depth is None or all(_costs(depth)[at] <= left[at] * SLOWEST_MS for at in (0, 1)):
        return ""
    return (
        f"Even at one reading in {SLOWEST_MS // 60_000} min answering takes the broker more than the "
        f"{share * 100:.2g} % of its time that it may."
    )
