"""What answering Warren may take of a broker, and what its answers cost: the budget. Pure.

A broker has a *budget*: the share of its time that answering Warren may take, and bytes a second on the wire. Each
tier of the plan has a cost (`Cost`), smoothed over its last answers; brokers.collect.allot divides the budget by them.

- Where a reading of depth takes longer than `LIGHT_S` the share falls with the square of that time, to `HEAVY` of it at
  most: one long answer holds up a scheduler of the broker, and its memory, longer than many short ones. An answer of
  less than `SMALL` bytes is no long one, however long it took.
- Where a reading of depth is no short one, what the dear tiers will take follows from it (`EXPECTED`), so that a large
  broker does not pay for finding out. What is not expected to be borne is left out from the beginning and tried some
  minutes later; what took about what was expected of it is believed at once, the rest after `ENOUGH` answers.

What counts as the broker's time is the time until the whole answer was there, without that in which our own machine was
what it waited for (our CPU, and our waiting for a CPU; brokers.rabbitmq.http measures both): from 4.1 on the head of
an answer is sent before it is computed, so that time to first byte says nothing [measured on 4.3]. Transfer over a slow
line is counted in: erring that way asks less. Nobody tells how long a broker waited for a CPU of a busy machine, but
some answers waited and others did not, and what an answer takes at least is the broker's own work: so the cost is one
of the cheapest of the last answers. And where a broker sends while it computes, as 4.3 does, our own time hides some of
its: so an answer counts as its bytes take it at least (`S_PER_BYTE`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
# For so long a line that was slow is believed to be.
SLOW_LINE_MS = 1_800_000
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


# What a dear answer takes as a multiple of one of depth, with Prometheus [measured at 10,000 queues on 3.10 and 4.3].
EXPECTED: Mapping[Tier, float] = {Tier.DETAILS: 7, Tier.LISTS: 40}
# One that takes up to so many times what was expected is believed at once.
AS_EXPECTED = 2

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
    # Looking at what the broker can be asked: brokers.collect.known.
    look: Held = Held()

    def of(self, tier: Tier) -> Held:
        """Return what is remembered of a tier."""
        return self.tiers.get(tier, Held())


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


def anew(pace: Pace, source: str) -> Pace:
    """Return the pace where `source` is asked from now on: what another one cost is forgotten, depth's period is not.

    So a broker whose Prometheus is out of reach is not asked for its dear lists as often as for its cheap figures.
    """
    if pace.source in {"", source}:
        return msgspec.structs.replace(pace, source=source)
    every_ms = pace.of(Tier.DEPTH).every_ms
    look = pace.look if pace.source.rpartition(" ")[2] == source.rpartition(" ")[2] else Held()
    tiers = {str(Tier.DEPTH): Held(every_ms)} if every_ms else {}
    return msgspec.structs.replace(pace, tiers=tiers, over="", source=source, look=look)


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


def share_in_force(budget: Budget, depth: Cost | None) -> float:
    """Return the share of its time that a broker may be asked for, from how long a reading of depth takes."""
    if depth is None or light(depth):
        return budget.share
    return budget.share * max(HEAVY, (LIGHT_S / depth.seconds) ** 2)


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
