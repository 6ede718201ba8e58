"""What is remembered of a broker's pace: from a poll's measures to the next periods. Pure but for the rows it reads."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from brokers.collect.budget import (
    Budget,
    Pace,
    Tier,
    decode_pace,
    due,
    encode_pace,
    packing,
    remember,
    silent,
)
from brokers.collect.measures import CallMeasure
from brokers.collect.models import PollState
from brokers.collect.plan import Plan, repaced
from brokers.rabbitmq.errors import ErrorKind
from brokers.registry.models import Broker


def budget_of(broker: Broker) -> Budget:
    """Return what answering Warren may take of a broker."""
    return Budget(broker.budget_percent / 100, broker.budget_kb_s * 1000)


def due_tiers(chosen: Plan, pace: Pace, at_ms: int) -> frozenset[Tier]:
    """Return the tiers that are asked in a tick at a moment; depth always is."""
    depth_ms = chosen.every_ms[Tier.DEPTH]
    return frozenset(tier for tier in chosen.tiers if tier is Tier.DEPTH or due(pace.of(tier), at_ms, depth_ms))


def after(
    chosen: Plan,
    pace: Pace,
    asked: Collection[Tier],
    measures: Sequence[CallMeasure],
    at_ms: int,
    budget: Budget,
    cadence_ms: int,
    definitions_s: float = 0.0,
    *,
    near: bool = False,
) -> Pace:
    """Return the pace after a tick in which these tiers were asked; `near`: the line to the broker is short."""
    tiers = dict(pace.tiers)
    for tier in asked:
        if tier is Tier.CONSUMERS and Tier.DETAILS in asked:
            # Details told of the consumers; what asking for them alone costs is not known from that.
            tiers[tier] = msgspec.structs.replace(pace.of(tier), asked_ms=at_ms)
            continue
        calls = [call for call in measures if call.tier == tier]
        if not calls:
            continue  # what stands before it failed, so nobody was asked
        seconds, size, failed = _cost(calls)
        tiers[tier] = remember(pace.of(tier), seconds, size, at_ms, failed, sum(call.bytes for call in calls))
    now = repaced(chosen, msgspec.structs.replace(pace, tiers=tiers), budget, cadence_ms, definitions_s)
    every = {tier: now.of(tier).every_ms for tier in chosen.tiers}
    return packing(now, every, budget, near=near, at_ms=at_ms)


def _cost(calls: Sequence[CallMeasure]) -> tuple[float, int, str]:
    """Return seconds of the node that was kept busy longest, bytes of all, and why a call brought nothing.

    Calls of the management API are answered by some node, so they count as that one's.
    """
    by_node: dict[str, float] = {}
    for call in calls:
        by_node[call.node] = by_node.get(call.node, 0.0) + call.broker_s
    managed = by_node.pop("", 0.0)
    failed = next((call.error for call in calls if call.error), "")
    return managed + max(by_node.values(), default=0.0), sum(call.wire_bytes for call in calls), failed


def after_failure(broker: Broker, state: PollState, kind: str, began_ms: int, ended_ms: int) -> dict[str, object]:
    """Return what of a PollState changes with a poll that brought nothing: a broker that is too slow is asked seldomer.

    One that refuses connections, or is nowhere to be found, is not kept busy by that: it is asked as before.
    """
    if kind != ErrorKind.TOO_SLOW:
        return {}
    waited_s = max(0, ended_ms - began_ms) / 1000
    pace = silent(decode_pace(state.pace), waited_s, began_ms, budget_of(broker), broker.cadence_s * 1000)
    return {"pace": encode_pace(pace), "cadence_ms": pace.of(Tier.DEPTH).every_ms}
