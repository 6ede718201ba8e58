"""What is asked of a broker, how, and how often: chosen from what it can do and from its size. Pure.

Prometheus first: `/metrics/detailed` costs the broker about a seventieth of `/api/queues` at 10,000 queues
[measured on 3.10.8]. What is asked stands in *tiers*, each with a cadence of its own that brokers.collect.budget finds
from what its answers cost. What can't be had is named with its reason, metric by metric.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

import msgspec

from brokers.collect.allot import allot
from brokers.collect.basis import Reading
from brokers.collect.budget import (
    AS_EXPECTED,
    DEFINITIONS_PART,
    ENOUGH,
    Budget,
    Cost,
    Held,
    Pace,
    Tier,
    definitions_share,
    expected,
)
from brokers.collect.reasons import EXCHANGES, NODES, OVERVIEW, QUEUES, VHOSTS
from brokers.registry.services import SHARE

# How often definitions are read, and how soon after new names appeared; milliseconds.
DEFINITIONS_EVERY_MS = 60_000
DEFINITIONS_SOON_MS = 15_000
_SLOWEST_DEFINITIONS_MS = 600_000

# Families of `/metrics/detailed` by tier. One that a version does not know adds nothing to its answer [measured: 3.10].
_FAMILIES: Mapping[Tier, tuple[str, ...]] = {
    Tier.DEPTH: ("queue_coarse_metrics",),
    # Its answer has the same consumers as `queue_metrics`, at a third of the cost [measured on 3.10 and 4.3].
    Tier.CONSUMERS: ("queue_consumer_count",),
    Tier.DETAILS: ("queue_metrics",),
    Tier.CHANNELS: ("channel_metrics", "stream_consumer_metrics"),
}
# Since 4.0, and beside them `/metrics` itself, which alone has the global counters.
_COUNTER_FAMILIES = ("queue_delivery_metrics", "queue_exchange_metrics", "exchange_metrics")


class Source(StrEnum):
    """Who counts; see brokers.collect.counters."""

    PROMETHEUS = "prometheus"
    MIXED = "prometheus and management"
    MANAGEMENT = "management"


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a broker can be asked, as far as the plan needs it.

    `prometheus` has the address of each node's Prometheus endpoint by node name, `prometheus_missing` says why there is
    none. `counts` is False where the broker was set not to count messages (management rates mode none).
    """

    version: str
    prometheus: Mapping[str, str]
    prometheus_missing: str = ""
    counters_exposed: bool = False
    counts: bool = True
    # Why what has no count yet is not known to have none; empty where `counts`.
    counts_missing: str = ""
    remarks: tuple[str, ...] = ()
    # Calls of the management API that were refused or are not known there, with the reason, by the call's path.
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """The calls of a tick, by tier. `queues`, `exchanges`, `vhosts` and `overview` name the tier in which that call of
    the management API is made; None: not at all. `every_ms` has the period of each tier that asks for something.
    """

    source: Source
    prometheus: Mapping[str, str]
    families: Mapping[Tier, tuple[str, ...]]
    # `/metrics` itself.
    plain: Tier | None
    nodes: bool
    overview: Tier | None
    # Per-queue figures, or counters alone, from the management API.
    queues: Tier | None
    exchanges: Tier | None
    vhosts: Tier | None
    every_ms: Mapping[Tier, int]
    left_out: frozenset[Tier]
    definitions_every_ms: int
    reading: Reading
    # Tiers of which nobody knows yet how long an answer takes.
    untried: frozenset[Tier] = frozenset()
    # Let Prometheus' answers be compressed.
    packed: bool = True
    sentences: tuple[str, ...] = ()
    # Why a figure can't be had, by `kind.metric`; both are written by brokers.collect.plan_words.
    unknown: Mapping[str, str] = field(default_factory=dict)

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """The tiers that ask for something, the most urgent first."""
        calls = {self.plain, self.overview, self.queues, self.exchanges, self.vhosts}
        return tuple(tier for tier in Tier if tier is Tier.DEPTH or tier in calls or self.families.get(tier))


def plan(
    abilities: Abilities,
    objects: int,
    cadence_ms: int,
    pace: Pace | None = None,
    definitions_s: float = 0.0,
    budget: Budget | None = None,
) -> Plan:
    """Choose the plan for a broker with so many queues and exchanges, of which a tick every `cadence_ms` is wanted.

    `pace` is how often each tier is asked now, `definitions_s` how long the last reading of definitions kept it busy.
    """
    budget = budget or Budget()
    held = pace or Pace()
    part = definitions_share(budget, held.of(Tier.DEPTH).cost)
    exposed = bool(abilities.prometheus)
    source = source_of(abilities)
    managed = source is not Source.PROMETHEUS
    found = Plan(
        source=source,
        prometheus=dict(abilities.prometheus),
        families=_families(source),
        plain=Tier.COUNTERS if exposed else None,
        nodes=NODES not in abilities.refused,
        overview=Tier.COUNTERS if not exposed and OVERVIEW not in abilities.refused else None,
        queues=_unless(QUEUES in abilities.refused or not managed, Tier.LISTS if exposed else Tier.DEPTH),
        exchanges=_unless(EXCHANGES in abilities.refused or not managed, Tier.LISTS),
        vhosts=_unless(VHOSTS in abilities.refused or not managed, Tier.COUNTERS),
        every_ms={},
        left_out=frozenset(),
        definitions_every_ms=definitions_every_ms(objects, definitions_s, part),
        reading=Reading(str(source), counters_exposed=source is Source.PROMETHEUS, counted=abilities.counts),
    )
    every = {tier: held.of(tier).every_ms or cadence_ms for tier in found.tiers}
    untried = frozenset(tier for tier in found.tiers if not held.of(tier).recent)
    out = frozenset(tier for tier in found.tiers if held.of(tier).left_out)
    return replace(found, every_ms=every, left_out=out, packed=held.packed, untried=untried)


def source_of(abilities: Abilities) -> Source:
    """Return who counts."""
    if not abilities.prometheus:
        return Source.MANAGEMENT
    return Source.PROMETHEUS if abilities.counters_exposed else Source.MIXED


def repaced(
    chosen: Plan, pace: Pace, budget: Budget, cadence_ms: int, definitions_s: float = 0.0, at_ms: int = 0
) -> Pace:
    """Return the periods at a moment that follow from what the tiers of a plan have cost up to now.

    What is remembered of tiers that the plan has no more is dropped.
    """
    costs, answers = _costs(chosen, pace)
    before = {tier: pace.of(tier).every_ms for tier in chosen.tiers}
    reserved = reserved_share(chosen, definitions_s) + look_share(pace)
    # What was left out and was tried again begins anew.
    out = [tier for tier in costs if pace.of(tier).left_out]
    answers |= {tier: ENOUGH for tier in out if pace.of(tier).recent}
    tries = {tier: pace.of(tier).tries for tier in costs}
    found = allot(costs, budget, cadence_ms, before, reserved=reserved, answers=answers, left_out=out, tries=tries)
    tiers: dict[str, Held] = {}
    for tier in chosen.tiers:
        held, left_out = pace.of(tier), tier in found.left_out
        every_ms = found.every_ms.get(tier, cadence_ms)
        # What is left out before it was ever asked waits from now on.
        asked_ms = held.asked_ms or (at_ms if left_out else 0)
        tiers[str(tier)] = msgspec.structs.replace(held, every_ms=every_ms, left_out=left_out, asked_ms=asked_ms)
    return msgspec.structs.replace(pace, tiers=tiers, over=found.over)


def _costs(chosen: Plan, pace: Pace) -> tuple[dict[Tier, Cost], dict[Tier, int]]:
    """Return what each tier costs, as far as that is known or expected, and how many answers that stands on."""
    costs: dict[Tier, Cost] = {}
    answers: dict[Tier, int] = {}
    for tier in chosen.tiers:
        cost, count = pace.of(tier).cost, len(pace.of(tier).recent)
        awaited = expected(tier, pace.of(Tier.DEPTH).cost) if chosen.prometheus else None
        if cost is None:
            if awaited is not None:
                costs[tier], answers[tier] = awaited, 0
            continue
        costs[tier] = cost
        believed = awaited is not None and cost.seconds <= AS_EXPECTED * awaited.seconds
        answers[tier] = ENOUGH if believed else count
    return costs, answers


def reserved_share(chosen: Plan, definitions_s: float) -> float:
    """Return the share of the broker's time that its definitions take."""
    return definitions_s * 1000 / chosen.definitions_every_ms


def look_share(pace: Pace) -> float:
    """Return the share of the broker's time that looking at what it can be asked takes."""
    cost = pace.look.cost
    return cost.seconds * 1000 / pace.look.every_ms if cost and pace.look.every_ms else 0.0


def _families(source: Source) -> dict[Tier, tuple[str, ...]]:
    if source is Source.MANAGEMENT:
        return {}
    return {**_FAMILIES, **({Tier.COUNTERS: _COUNTER_FAMILIES} if source is Source.PROMETHEUS else {})}


def _unless(missing: bool, tier: Tier) -> Tier | None:
    return None if missing else tier


def definitions_every_ms(objects: int, broker_s: float = 0.0, part: float = DEFINITIONS_PART * SHARE) -> int:
    """Return how often definitions are read: a minute, and longer where the lists are long or the broker is slow.

    `broker_s` is how long the last reading kept the broker busy, `part` the share of its time that readings may take:
    that holds as far as ten minutes allow.
    """
    busy_ms = int(broker_s * 1000 / part)
    return min(_SLOWEST_DEFINITIONS_MS, max(DEFINITIONS_EVERY_MS, objects * 12, busy_ms))


def definitions_soon_ms(broker_s: float, share: float = SHARE) -> int:
    """Return how long after the last reading they are read again where names appeared that have none yet.

    A broker whose queues come and go all the time has such names in every tick: even then readings take no more than
    `share` of its time, the one in force.
    """
    return min(_SLOWEST_DEFINITIONS_MS, max(DEFINITIONS_SOON_MS, int(broker_s * 1000 / share)))
