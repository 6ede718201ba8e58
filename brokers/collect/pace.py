"""What is remembered of a broker's pace: from a poll's measures to the next periods. Pure but for the rows it reads."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from brokers.collect import ledger
from brokers.collect.allot import SLOWEST_MS, allot
from brokers.collect.budget import (
    LIGHT_S,
    REMEMBERED,
    S_PER_BYTE,
    Budget,
    Cost,
    Held,
    Pace,
    Tier,
    due,
    light,
    packing,
    remember,
    share_in_force,
    smoothed,
)
from brokers.collect.known import LOOK_BLIND_MS, look_every_ms
from brokers.collect.measures import CallMeasure
from brokers.collect.plan import Plan, repaced, reserved_share
from brokers.rabbitmq.errors import ErrorKind
from brokers.registry.models import Broker

# What was asked last more than so many periods ago is asked as if for the first time.
COLD = 3
# Depth that took so many times what it was to take in ten minutes costs more than is known yet.
JUMPED = 1.5
# Nobody was reached, so nobody was kept busy.
_IDLE = frozenset(
    {
        ErrorKind.DNS,
        ErrorKind.REFUSED,
        ErrorKind.NO_ROUTE,
        ErrorKind.CONNECT_TIMEOUT,
        *(kind for kind in ErrorKind if kind.name.startswith("TLS")),
    }
)
# So long after its first reading of depth a broker of which that was short is asked for the rest.
SOON_MS = 1000


def budget_of(broker: Broker) -> Budget:
    """Return what answering Warren may take of a broker."""
    return Budget(broker.budget_percent / 100, broker.budget_kb_s * 1000)


def due_tiers(
    chosen: Plan, pace: Pace, at_ms: int, budget: Budget | None = None, definitions_s: float = 0.0
) -> frozenset[Tier]:
    """Return the tiers that are asked in a tick at a moment; depth always is.

    Those that were never asked, or not for long (the broker is new, was paused, or nobody polled), are not all asked at
    once: the first reading of depth stands alone, and where it is no short one each tick after it asks for one more.
    What would pass what the budget allows in ten minutes waits for a later tick; what depth takes in them is its own.
    """
    held = pace.of(Tier.DEPTH)
    depth_ms = chosen.every_ms[Tier.DEPTH]
    found = [tier for tier in chosen.tiers if tier is not Tier.DEPTH and due(pace.of(tier), at_ms, depth_ms)]
    cold = [tier for tier in found if _cold(pace.of(tier), at_ms)]
    if held.cost is None:
        # Without Prometheus the broker's own sums are depth, too; they are cheap.
        put_off = [tier for tier in cold if chosen.prometheus or tier is not Tier.COUNTERS]
    else:
        put_off = [] if _light(held) else cold[1:]
    asked = [tier for tier in found if tier not in put_off]
    most = ledger.allowed(budget or Budget(), reserved_share(chosen, definitions_s))
    awaited = _need(held, depth_ms) - ledger.spent(pace.spent_on_depth, at_ms)
    so_far = ledger.spent(pace.spent, at_ms) + max(ledger.counted(held.cost), awaited)
    borne = [Tier.DEPTH]
    for tier in asked:
        cost = ledger.counted(pace.of(tier).cost)
        if ledger.bears(cost, so_far, most):
            borne.append(tier)
            so_far += cost
    return frozenset(borne)


def _need(depth: Held, every_ms: int) -> float:
    """Return the seconds that readings of depth take in a window, by what they cost and how often they come."""
    return ledger.counted(depth.cost) * ledger.WINDOW_S * 1000 / every_ms


def unfinished(chosen: Plan, before: Pace, now: Pace, asked: Collection[Tier]) -> bool:
    """Tell whether the rest of the plan is to be asked soon: after a first reading of depth alone that was short."""
    held = now.of(Tier.DEPTH)
    first = before.of(Tier.DEPTH).cost is None
    return first and _light(held) and not set(chosen.tiers) <= set(asked)


def _light(depth: Held) -> bool:
    return depth.cost is not None and light(depth.cost)


def _cold(held: Held, at_ms: int) -> bool:
    return not held.recent or at_ms - held.asked_ms > COLD * held.every_ms


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
    spent, on_depth, now_s = pace.spent, pace.spent_on_depth, 0.0
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
        took = ledger.counted(Cost(seconds, size), pace.of(tier).cost)
        spent = ledger.noted(spent, took, at_ms)
        if tier is Tier.DEPTH:
            on_depth, now_s = ledger.noted(on_depth, took, at_ms), took
    paid = msgspec.structs.replace(pace, tiers=tiers, spent=spent, spent_on_depth=on_depth)
    now = repaced(chosen, paid, budget, cadence_ms, definitions_s, at_ms)
    # Depth gives way to itself alone: after a long answer of another tier nothing but depth is asked for a while. One
    # long answer of its own is no reason.
    own = ledger.spent(on_depth, at_ms) - now_s
    half = ledger.allowed(budget, reserved_share(chosen, definitions_s)) / 2
    if own > max(half, JUMPED * _need(pace.of(Tier.DEPTH), chosen.every_ms[Tier.DEPTH])):
        now = _seldomer(now, chosen.every_ms[Tier.DEPTH])
    every = {tier: now.of(tier).every_ms for tier in chosen.tiers}
    return packing(now, every, budget, near=near, at_ms=at_ms)


def _seldomer(pace: Pace, before_ms: int) -> Pace:
    """Return the pace where depth took far more than it was to take: it is asked half as often as before."""
    depth = pace.of(Tier.DEPTH)
    every_ms = max(depth.every_ms, min(SLOWEST_MS, 2 * before_ms))
    return msgspec.structs.replace(
        pace, tiers={**pace.tiers, str(Tier.DEPTH): msgspec.structs.replace(depth, every_ms=every_ms)}
    )


def _cost(calls: Sequence[CallMeasure]) -> tuple[float, int, str]:
    """Return seconds of the node that was kept busy longest, bytes of all, and why a call brought nothing.

    Calls of the management API are answered by some node, so they count as that one's.
    """
    by_node: dict[str, float] = {}
    for call in calls:
        took = max(call.broker_s, call.bytes * S_PER_BYTE)
        by_node[call.node] = by_node.get(call.node, 0.0) + took
    managed = by_node.pop("", 0.0)
    failed = next((call.error for call in calls if call.error), "")
    return managed + max(by_node.values(), default=0.0), sum(call.wire_bytes for call in calls), failed


def silent(pace: Pace, seconds: float, at_ms: int, budget: Budget, cadence_ms: int) -> Pace:
    """Return the pace after a poll that brought nothing and kept the broker busy for so many seconds all the same.

    Depth is what is asked next, so its period is what grows: it doubles at most, and never shrinks.
    """
    held = pace.of(Tier.DEPTH)
    recent = (*held.recent, (round(seconds, 6), 0))[-REMEMBERED:]
    late = min(held.late + 1, REMEMBERED)
    held = msgspec.structs.replace(held, recent=recent, asked_ms=at_ms, late=late)
    found = allot({Tier.DEPTH: held.cost or Cost(seconds)}, budget, cadence_ms, {Tier.DEPTH: held.every_ms})
    held = msgspec.structs.replace(held, every_ms=max(held.every_ms, found.every_ms[Tier.DEPTH]))
    return msgspec.structs.replace(pace, tiers={**pace.tiers, str(Tier.DEPTH): held}, over=found.over)


def looked(
    pace: Pace, calls: Sequence[CallMeasure], at_ms: int, budget: Budget, *, overview: bool, blind: bool = False
) -> Pace:
    """Return the pace after calls that told what the broker can be asked; `overview`: that was among them.

    `blind`: nothing shows when that is to be asked for again. To say who it is takes a node a millisecond, however long
    the line is: finding out who answers where counts nothing.
    """
    if not overview:
        return pace
    asked = [call for call in calls if call.what.startswith("/api/")]
    seconds = sum(call.broker_s for call in asked)
    size, body = sum(call.wire_bytes for call in asked), sum(call.bytes for call in asked)
    look = remember(pace.look, seconds, size, at_ms, body=body)
    share = share_in_force(budget, pace.of(Tier.DEPTH).cost)
    every_ms = LOOK_BLIND_MS if blind else look_every_ms(look.cost.seconds if look.cost else 0.0, share)
    look = msgspec.structs.replace(look, every_ms=every_ms)
    return msgspec.structs.replace(pace, spent=ledger.noted(pace.spent, seconds, at_ms), look=look)


def after_failure(
    broker: Broker, pace: Pace, kind: str, calls: Sequence[CallMeasure], began_ms: int, ended_ms: int
) -> Pace:
    """Return the pace after a poll that brought nothing: a broker that was kept busy all the same is asked seldomer.

    `calls` are those that the poll made for figures. One that refuses connections, or is nowhere to be found, is not
    kept busy by that: it is asked as before.
    """
    budget, cadence_ms, held = budget_of(broker), broker.cadence_s * 1000, pace.of(Tier.DEPTH)
    if kind == ErrorKind.TOO_SLOW:
        return silent(pace, max(0, ended_ms - began_ms) / 1000, began_ms, budget, cadence_ms)
    if kind in _IDLE:
        return pace
    # An answer that was cut off, or is no use, took as long as one that is.
    seconds = _cost([call for call in calls if call.tier in {"", Tier.DEPTH}])[0]
    usual = smoothed(held.recent[: len(held.recent) - held.late])
    if seconds <= max(LIGHT_S, usual.seconds if usual else 0.0):
        return pace
    # What depth takes is held against it when it is answered; this is over then.
    paid = msgspec.structs.replace(pace, spent=ledger.noted(pace.spent, seconds, began_ms))
    return silent(paid, seconds, began_ms, budget, cadence_ms)
