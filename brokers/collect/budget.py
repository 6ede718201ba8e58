"""How often each part of a plan may be asked, from what its answers cost: the budget. Pure.

A broker has a *budget*: the share of its time that answering Warren may take, and bytes a second on the wire. Each
tier of the plan has a cost (`Cost`), smoothed over its last answers, a weight and a period that is wanted; `allot`
divides the share and gives each tier the period that its part of the budget bears:

- A tier that is satisfied with less than its part takes what it needs; the rest is divided among the others by weight.
  Depth comes first: more than half of the ticks' part is its own, whatever else is asked for.
- Where a reading of depth takes longer than `LIGHT_S` the share falls with the square of that time, to `HEAVY` of it at
  most: one long answer holds up a scheduler of the broker, and its memory, longer than many short ones. An answer of
  less than `SMALL` bytes is no long one, however long it took.
- Periods grow at once and shrink only when little more than half would do, depth's when three quarters would, so that
  noise does not move them. Depth at most doubles its period at a time: one slow answer must not silence a broker for
  minutes.
- An optional tier whose period would pass its slowest is *left out*: its figures are unknown. It is tried again, soon
  at first, since a broker that starts or is busy looks dear, then seldomer (`RETRY_MS`), and never so often that trying
  takes more than `RETRY_PART` of the share. Depth never is; where even `SLOWEST_MS` passes the budget, that is said.
- Where a reading of depth is no short one, what the dear tiers will take follows from it (`EXPECTED`), so that a large
  broker does not pay for finding out. What is not expected to be borne is left out from the beginning and tried first
  after `FIRST_MS`; what took about what was expected of it is believed at once, the rest after `ENOUGH` answers.

What counts as the broker's time is the time until the whole answer was there, without that in which our own machine was
what it waited for (our CPU, and our waiting for a CPU; brokers.rabbitmq.http measures both): from 4.1 on the head of
an answer is sent before it is computed, so that time to first byte says nothing [measured on 4.3]. Transfer over a slow
line is counted in: erring that way asks less. Nobody tells how long a broker waited for a CPU of a busy machine, but
some answers waited and others did not, and what an answer takes at least is the broker's own work: so the cost is one
of the cheapest of the last answers. And where a broker sends while it computes, as 4.3 does, our own time hides some of
its: so an answer counts as its bytes take it at least (`S_PER_BYTE`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

import msgspec

from brokers.registry.services import BYTES_PER_S, SHARE

# A reading of depth up to this long may have the whole share, longer ones less, down to this part of it.
LIGHT_S = 0.020
HEAVY = 0.3
# Bytes on the wire: a hundred queues, or two thousand in an answer that is compressed. Either is milliseconds of work.
SMALL = 50_000
# A broker spends at least so long on a byte of an answer, before it is compressed [measured: 7 to 20 ns].
S_PER_BYTE = 8e-9
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
# For so long a line that was slow is believed to be.
SLOW_LINE_MS = 1_800_000
# Periods shrink only where they can by this factor; depth's sooner, since it is what is waited for.
RELAX = 1.75
RELAX_DEPTH = 1.35
# A line that carries fewer bytes a second than this in an answer of `LONG` bytes or more is spared.
FAST_LINE = 10_000_000
LONG = 300_000
# Answers that a cost is smoothed over: the second cheapest of so many.
REMEMBERED = 7
# So many answers tell what a tier costs.
ENOUGH = 3
# The part of the budget that readings of definitions may take, and that of a share which is less than the budget.
DEFINITIONS_PART = 0.2
DEFINITIONS_MOST = 0.4


class Tier(StrEnum):
    """Parts of a plan that have a cadence of their own."""

    DEPTH = "depth"  # messages in each queue: the tick
    COUNTERS = "counters"  # what was counted: of the broker, its nodes and, since 4.0, of each queue and exchange
    CONSUMERS = "consumers"  # consumers of each queue
    DETAILS = "details"  # capacity, bytes, memory, age of the head of each queue
    CHANNELS = "channels"  # unconfirmed and prefetch of each channel; consumers of streams
    LISTS = "lists"  # counters of each queue and exchange from the management API's long lists


# What part of the budget each gets where all want more than there is.
WEIGHTS: Mapping[Tier, float] = {
    Tier.DEPTH: 100,
    Tier.COUNTERS: 50,
    Tier.CONSUMERS: 12,
    Tier.DETAILS: 12,
    Tier.CHANNELS: 6,
    Tier.LISTS: 30,
}
# What a dear answer takes as a multiple of one of depth, with Prometheus [measured at 10,000 queues on 3.10 and 4.3].
EXPECTED: Mapping[Tier, float] = {Tier.DETAILS: 7, Tier.LISTS: 40}
# One that takes up to so many times what was expected is believed at once.
AS_EXPECTED = 2
# A tier that costs nearly nothing rides in every tick; these have figures that move slowly, and want no more than this.
WANTED_MS: Mapping[Tier, int] = {Tier.DETAILS: 10_000, Tier.CHANNELS: 10_000}


Name = TypeVar("Name", bound=str)


@dataclass(frozen=True, slots=True)
class Budget:
    """`share` of the broker's time (0 to 1) and bytes a second on the wire."""

    share: float = SHARE
    bytes_per_s: int = BYTES_PER_S


@dataclass(frozen=True, slots=True)
class Cost:
    """What one reading of a tier costs: seconds of the node that it keeps busy longest, bytes of all on the wire."""

    seconds: float
    bytes: int = 0


class Held(msgspec.Struct, frozen=True):
    """What is remembered of a tier. `recent`: seconds and bytes of the last answers, the newest last; times in ms.

    `failed` is the sentence of the last answer where it brought nothing.
    """

    every_ms: int = 0
    asked_ms: int = 0
    recent: tuple[tuple[float, int], ...] = ()
    # Length of the last answer as it is unpacked.
    body: int = 0
    # So many of the last polls brought nothing, since the broker had not answered at their deadline.
    late: int = 0
    failed: str = ""
    left_out: bool = False
    # How often it was tried since it was left out; forgotten once it was borne for `REMEMBERED` answers.
    tries: int = 0

    @property
    def cost(self) -> Cost | None:
        """The smoothed cost; None where there was no answer yet. Two deadlines in a row are no noise any more."""
        return smoothed(self.recent[-self.late :] if self.late >= 2 else self.recent)


class Pace(msgspec.Struct, frozen=True):
    """How often each tier is asked, by its name, and by what cost: kept in PollState as JSON."""

    tiers: dict[str, Held] = {}
    # A sentence where even the slowest cadence passes the budget.
    over: str = ""
    # Let answers be compressed: dearer for the broker, cheaper for the line. So they begin, until the line is known.
    packed: bool = True
    # When the line was last seen to be slow, Unix milliseconds.
    slow_ms: int = 0
    # Of whom it tells, and by which way: what another address or another source cost says nothing of this one.
    source: str = ""
    # Seconds that the broker really spent, by minute: brokers.collect.ledger.
    spent: tuple[tuple[int, float], ...] = ()
    # Of those, the ones that readings of depth took.
    spent_on_depth: tuple[tuple[int, float], ...] = ()

    def of(self, tier: Tier) -> Held:
        """Return what is remembered of a tier."""
        return self.tiers.get(tier, Held())


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


def smoothed(recent: Iterable[tuple[float, int]]) -> Cost | None:
    """Return what the last answers cost: the lower quartile of their seconds, the median of their bytes.

    Waiting for a CPU makes some answers slow; of a tier that became dear by its own work none is cheap.
    """
    found = list(recent)[-REMEMBERED:]
    if not found:
        return None
    quartile, middle = (len(found) - 1) // 4, (len(found) - 1) // 2
    return Cost(sorted(seconds for seconds, _ in found)[quartile], sorted(size for _, size in found)[middle])


def remember(held: Held, seconds: float, size: int, at_ms: int, failed: str = "", body: int = 0) -> Held:
    """Return what is remembered after one more answer. One that brought nothing cost its time all the same."""
    # What was left out was last asked long ago: only what it costs now counts.
    before = () if held.left_out else held.recent
    tries = held.tries + held.left_out
    # So it is with a broker that answers again: how long it was silent says nothing of what an answer takes.
    before = before[: -held.late] if held.late >= 2 else before
    recent = (*before, (round(seconds, 6), size))[-REMEMBERED:]
    tries = 0 if len(recent) == REMEMBERED else tries
    return msgspec.structs.replace(held, recent=recent, asked_ms=at_ms, failed=failed, body=body, late=0, tries=tries)


def silent(pace: Pace, seconds: float, at_ms: int, budget: Budget, cadence_ms: int) -> Pace:
    """Return the pace after a poll that brought nothing since the broker took too long: it kept it busy all the same.

    `seconds` is how long it was waited for. Depth is what is asked next, so its period is what grows: it doubles.
    """
    held = pace.of(Tier.DEPTH)
    recent = (*held.recent, (round(seconds, 6), 0))[-REMEMBERED:]
    late = min(held.late + 1, REMEMBERED)
    held = msgspec.structs.replace(held, recent=recent, asked_ms=at_ms, late=late)
    found = allot({Tier.DEPTH: held.cost or Cost(seconds)}, budget, cadence_ms, {Tier.DEPTH: held.every_ms})
    held = msgspec.structs.replace(held, every_ms=found.every_ms[Tier.DEPTH])
    return msgspec.structs.replace(pace, tiers={**pace.tiers, str(Tier.DEPTH): held}, over=found.over)


def anew(pace: Pace, source: str) -> Pace:
    """Return the pace where `source` is asked from now on: what another one cost is forgotten, depth's period is not.

    So a broker whose Prometheus is out of reach is not asked for its dear lists as often as for its cheap figures.
    """
    if pace.source in {"", source}:
        return msgspec.structs.replace(pace, source=source)
    every_ms = pace.of(Tier.DEPTH).every_ms
    tiers = {str(Tier.DEPTH): Held(every_ms)} if every_ms else {}
    return msgspec.structs.replace(pace, tiers=tiers, over="", source=source)


def packing(pace: Pace, every_ms: Mapping[Tier, int], budget: Budget, *, near: bool, at_ms: int) -> Pace:
    """Return the pace with the decision whether answers are to be compressed.

    They are where the broker is not `near` (on this machine or in a private network), for an hour where the line was
    seen to be slow, and where they would use up more than the bound on bytes; once they are compressed half the bound
    must do before they come as they are, so that the two do not change places for ever.
    """
    a_second = sum(pace.of(tier).body * 1000 / every for tier, every in every_ms.items() if every)
    much = a_second > budget.bytes_per_s * (0.5 if pace.packed else 1.0)
    depth = pace.of(Tier.DEPTH)
    slow_ms = pace.slow_ms
    if not pace.packed and depth.cost and depth.body >= LONG and depth.body < FAST_LINE * depth.cost.seconds:
        slow_ms = at_ms
    slow = bool(slow_ms) and at_ms - slow_ms < SLOW_LINE_MS
    return msgspec.structs.replace(pace, packed=much or slow or not near, slow_ms=slow_ms)


def light(depth: Cost) -> bool:
    """Tell whether a reading of depth is a short one: then so are those of the other tiers."""
    return depth.seconds <= LIGHT_S or 0 < depth.bytes < SMALL


def expected(tier: Tier, depth: Cost | None) -> Cost | None:
    """Return what an answer of a dear tier will take beside Prometheus, from what a reading of depth takes.

    None for the others, and where depth is short: what those cost is found out soon, and costs little.
    """
    if depth is None or light(depth) or tier not in EXPECTED:
        return None
    return Cost(depth.seconds * EXPECTED[tier])


def definitions_share(budget: Budget, depth: Cost | None) -> float:
    """Return the share of a broker's time (0 to 1) that readings of its definitions may take."""
    return min(DEFINITIONS_PART * budget.share, DEFINITIONS_MOST * share_in_force(budget, depth))


def retry_ms(tries: int, cost: Cost, budget: Budget, among: int = 1, share: float | None = None) -> int:
    """Return how long after it was asked last a tier is tried again that is left out and was tried so often already.

    It is one `among` so many that are left out. `share` is the share in force; None: the budget's.
    """
    by_time = cost.seconds * 1000 / (budget.share if share is None else share)
    by_size = cost.bytes * 1000 / budget.bytes_per_s
    dear = max(by_time, by_size) * among / RETRY_PART
    return int(max(RETRY_MS[min(tries, len(RETRY_MS) - 1)], min(SLOWEST_RETRY_MS, dear)))


def share_in_force(budget: Budget, depth: Cost | None) -> float:
    """Return the share of its time that a broker may be asked for, from how long a reading of depth takes."""
    if depth is None or light(depth):
        return budget.share
    return budget.share * max(HEAVY, (LIGHT_S / depth.seconds) ** 2)


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

    `before` are the periods in force, `reserved` the share that definitions take, `answers` how many answers each cost
    stands on (None: enough): before there are `ENOUGH`, nothing is left out, and periods only double. None at all: the
    cost is what is expected, and what is left out by it is tried first after `FIRST_MS`. `left_out` are the tiers that
    are it now, `tries` how often each was tried. Periods of tiers other than depth are whole multiples of depth's.
    """
    share = share_in_force(budget, costs.get(Tier.DEPTH))
    left = share - min(reserved, share * DEFINITIONS_MOST)
    held = before or {}
    # What is left out comes back only where there is room to spare, so that noise moves nothing; what was tried often
    # enough is borne or it is not.
    kept_out = {tier for tier in left_out if (tries or {}).get(tier, 0) < len(RETRY_MS)}
    out: set[Tier] = set()
    while True:
        asked = {tier: cost for tier, cost in costs.items() if tier not in out}
        needed, by_bytes = _needed(asked, left, budget.bytes_per_s, cadence_ms)
        if answers is not None:
            few = {tier: count for tier, count in answers.items() if tier in needed and 0 < count < ENOUGH}
            for tier, count in few.items():
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
    return Allotment(every, frozenset(out), share, _over(needed.get(Tier.DEPTH, 0.0), share), by_bytes)


def encode_pace(pace: Pace) -> bytes:
    """Return the pace as JSON."""
    return msgspec.json.encode(pace)


def decode_pace(stored: bytes | memoryview) -> Pace:
    """Return a stored pace, an empty one where there is none or it is of another version."""
    try:
        return msgspec.json.decode(bytes(stored), type=Pace) if stored else Pace()
    except msgspec.MsgspecError:
        return Pace()


def spent(costs: Mapping[Name, Cost], every_ms: Mapping[Name, int]) -> Cost:
    """Return what periods cost a second: the share of time, and bytes a second."""
    return Cost(
        sum(cost.seconds * 1000 / every_ms[tier] for tier, cost in costs.items() if every_ms.get(tier)),
        int(sum(cost.bytes * 1000 / every_ms[tier] for tier, cost in costs.items() if every_ms.get(tier))),
    )


def due(held: Held, at_ms: int, depth_ms: int) -> bool:
    """Tell whether a tier is due in a tick. Ticks are late by a bit: half a cadence is not waited for."""
    if held.every_ms <= depth_ms or not held.asked_ms or held.asked_ms > at_ms:
        return True  # in every tick; or never yet, or our clock was set back
    return at_ms - held.asked_ms >= held.every_ms - depth_ms // 2


def _needed(
    costs: Mapping[Tier, Cost], share: float, bytes_per_s: int, cadence_ms: int
) -> tuple[dict[Tier, float], frozenset[Tier]]:
    """Return the period that each tier can have, milliseconds, and those whose bytes decide it."""
    wanted = {tier: float(max(cadence_ms, WANTED_MS.get(tier, 0))) for tier in costs}
    by_time = _divided({tier: cost.seconds * 1000 for tier, cost in costs.items()}, wanted, share)
    by_size = _divided({tier: cost.bytes * 1000.0 for tier, cost in costs.items()}, wanted, float(bytes_per_s))
    return (
        {tier: max(by_time[tier], by_size[tier]) for tier in costs},
        frozenset(tier for tier in costs if by_size[tier] > max(by_time[tier], wanted[tier])),
    )


def _divided(costs: Mapping[Tier, float], wanted: Mapping[Tier, float], total: float) -> dict[Tier, float]:
    """Fill the tiers like vessels: who needs less than its part takes what it needs, the others share the rest."""
    periods: dict[Tier, float] = {}
    open_tiers = set(costs)
    left = total
    while open_tiers:
        weights = sum(WEIGHTS[tier] for tier in open_tiers)
        part = {tier: left * WEIGHTS[tier] / weights for tier in open_tiers}
        content = {tier for tier in open_tiers if costs[tier] <= part[tier] * wanted[tier]}
        if not content:
            return periods | {tier: costs[tier] / part[tier] if part[tier] > 0 else math.inf for tier in open_tiers}
        for tier in content:
            periods[tier] = wanted[tier]
        left -= sum(costs[tier] / wanted[tier] for tier in content)
        open_tiers -= content
    return periods


def _slowest(tier: Tier, *, out: bool = False) -> float:
    most = SLOWEST_MS if tier is Tier.COUNTERS else SLOWEST_OPTIONAL_MS
    return most / RELAX if out else float(most)


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


def _over(depth_ms: float, share: float) -> str:
    if depth_ms <= SLOWEST_MS:
        return ""
    return (
        f"Even at one reading in {SLOWEST_MS // 60_000} min answering takes the broker more than the "
        f"{share * 100:.2g} % of its time that it may."
    )
