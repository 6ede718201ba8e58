"""The tiers of a broker's plan as people see them: how often each is read, what that costs, and why not more often."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from brokers.collect.budget import Budget, Cost, Held, Pace, Tier, share_in_force, spent
from dashboard import formats
from dashboard.cells import Cell, Cells

NAMES = {
    Tier.DEPTH: "Messages in queues",
    Tier.COUNTERS: "Counters, nodes",
    Tier.CONSUMERS: "Consumers",
    Tier.DETAILS: "Capacity, bytes, memory",
    Tier.CHANNELS: "Channels, streams",
    Tier.LISTS: "Counters of each queue",
}
LOOK = "Version, plugins, addresses"


@dataclass(frozen=True, slots=True)
class TierShown:
    """One tier; the rest is in cells: KEY with `.every`, `.why`, `.age`, `.last`, `.cost`, `.size`, `.share`."""

    key: str
    name: str


@dataclass(frozen=True, slots=True)
class TiersShown:
    """All tiers of a broker. What they take together, and of what budget, is in the cell `KEY.budget`."""

    rows: tuple[TierShown, ...]
    cells: Cells


def tiers_shown(pace: Pace, budget: Budget, asked_ms: int, key: str, now_ms: int) -> TiersShown:
    """Return the tiers of a pace. `asked_ms` is the cadence that was asked for, `key` what keys of cells begin with."""
    held = [(tier, pace.of(tier)) for tier in Tier if pace.of(tier).every_ms]
    costs = {tier: cost for tier, one in held if (cost := one.cost) is not None}
    every = {tier: one.every_ms for tier, one in held}
    share = share_in_force(budget, costs.get(Tier.DEPTH))
    cells: Cells = {f"{key}.budget": Cell(text=" ".join(_sentences(pace, budget, share, costs, every)))}
    rows = []
    for tier, one in held:
        at = f"{key}.tier.{tier}"
        rows.append(TierShown(at, NAMES[tier]))
        why = " ".join(filter(None, (_why(tier, _as_read(one), share, asked_ms), one.failed)))
        cells |= {f"{at}.why": Cell(text=why)} | _cells(at, one, costs.get(tier), share, now_ms)
    if pace.look.recent:
        at = f"{key}.tier.look"
        rows.append(TierShown(at, LOOK))
        why = "It is asked soon where a node restarts, its plugins change or a poll fails, and else seldom."
        cells |= {f"{at}.why": Cell(text=why)} | _cells(at, pace.look, pace.look.cost, share, now_ms)
    return TiersShown(tuple(rows), cells)


def _cells(at: str, held: Held, cost: Cost | None, share: float, now_ms: int) -> Cells:
    none = "It has not been answered yet."
    last_s, last_bytes = held.recent[-1] if held.recent else (0.0, 0)
    part = cost.seconds * 1000 / held.every_ms if cost else 0.0
    stale = bool(held.asked_ms) and now_ms - held.asked_ms > 2.5 * held.every_ms
    often = "left out" if held.left_out else formats.duration(held.every_ms / 1000)
    return {
        f"{at}.every": Cell(text=often, state="warning" if held.left_out else ""),
        f"{at}.age": Cell(since_ms=held.asked_ms, state="stale" if stale else "")
        if held.asked_ms and held.recent
        else Cell(text="—", unknown=none),
        f"{at}.last": Cell(text=formats.seconds(last_s)) if held.recent else Cell(text="—", unknown=none),
        f"{at}.cost": Cell(
            text=formats.seconds(cost.seconds), exact=f"One of the cheapest of {len(held.recent)} answers."
        )
        if cost
        else Cell(text="—", unknown=none),
        f"{at}.size": Cell(text=formats.size(last_bytes)) if held.recent else Cell(text="—", unknown=none),
        f"{at}.share": Cell(
            text=formats.percent(part / share),
            share=min(1.0, part / share),
            exact=f"{formats.percent(part)} of the broker's time.",
        )
        if cost
        else Cell(text="—", unknown=none),
    }


def _why(tier: Tier, held: Held, share: float, asked_ms: int) -> str:
    cost = held.cost
    after = formats.duration(held.every_ms / 1000)
    if cost is None and held.left_out:
        return f"It is expected to take more than the budget bears. It is tried {after} after the first reading."
    if cost is None or held.every_ms <= asked_ms:
        return ""
    took = formats.seconds(cost.seconds)
    allowed = _percent(share)
    if held.left_out:
        return f"An answer takes {took}; the budget does not bear that. It is tried again {after} after the last time."
    if tier in {Tier.DETAILS, Tier.CHANNELS} and held.every_ms <= 10_000:
        return "It moves slowly: no more is wanted."
    return f"An answer takes {took}, and all together may take {allowed} of the broker's time."


def _as_read(held: Held) -> Held:
    """Return what is held with its period in whole seconds: 5.08 s read as the 5 s that were asked for."""
    return msgspec.structs.replace(held, every_ms=max(1, round(held.every_ms / 1000)) * 1000)


def _percent(share: float) -> str:
    # To two digits: a share of 0.35 % is no 0.3 %.
    return f"{100 * share:.2g} %"


def _sentences(pace: Pace, budget: Budget, share: float, costs: dict[Tier, Cost], every: dict[Tier, int]) -> list[str]:
    if not costs:
        return ["Nothing was answered yet."]
    asked = spent(costs, every)
    took, line = _percent(asked.seconds), formats.size(asked.bytes)
    allowed = f"{_percent(share)} and {formats.size(budget.bytes_per_s)}"
    said = [f"Its ticks take {took} of the broker's time and {line} a second; {allowed} are allowed."]
    if share < budget.share:
        long = formats.seconds(costs[Tier.DEPTH].seconds)
        why = "one long answer holds a broker up for longer than many short ones"
        said.append(f"{_percent(budget.share)} were set, but a reading of depth takes {long}, and {why}.")
    said.append(
        "Answers are compressed: the line is long, or carries too many bytes otherwise."
        if pace.packed
        else "Answers come uncompressed: the line is short, and to compress them costs the broker more."
    )
    if pace.over:
        said.append(pace.over)
    return said


__all__ = ["NAMES", "TierShown", "TiersShown", "tiers_shown"]
