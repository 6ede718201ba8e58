"""How a broker is polled and what that costs it, from the measures that collecting left behind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from brokers.collect.budget import decode_pace
from brokers.collect.measures import health_of
from brokers.collect.models import PollState
from brokers.collect.pace import budget_of
from brokers.series.metrics import RATES, Kind
from brokers.series.present import Present
from dashboard import formats
from dashboard.cells import Cell, Cells
from dashboard.queries.poll_ledger import spent_cell
from dashboard.queries.poll_tiers import TiersShown, tiers_shown

# The share of a broker's time that watching it may take before a page says so.
DEAR = 0.02


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the last poll. What it took is in cells: `KEY.time`, `KEY.size`."""

    key: str
    what: str
    node: str
    error: str


@dataclass(frozen=True, slots=True)
class Missing:
    """Figures that can't be had now, and why: those with one reason together."""

    names: str
    reason: str


@dataclass(frozen=True, slots=True)
class Polled:
    """What the card *How it is polled* and the collector's page show of one broker."""

    plan: tuple[str, ...]
    # Why there is no plan, where there is none.
    unplanned: str
    calls: tuple[Call, ...]
    missing: tuple[Missing, ...]
    definitions_error: str
    tiers: TiersShown
    cells: Cells


def polled(poll: PollState, now_ms: int, shown: Present | None) -> Polled:
    """Return how a broker is polled; `poll.broker` is read, so select it along. `shown` is its present."""
    health = health_of(poll, poll.broker.cadence_s)
    tick = health.tick
    asked_s, used_s = poll.broker.cadence_s, health.cadence_ms / 1000
    # Cadences are found by measuring: what reads as what was asked for is no stretched one.
    shown_s = max(asked_s, round(used_s))
    often = f"every {formats.duration(shown_s)}"
    if shown_s > asked_s:
        often += f"; {formats.duration(asked_s)} were asked for, and "
        often += "it does not answer" if poll.failures else "would take more than its budget"
    key = f"b.{poll.broker_id}.poll"
    body = sum(call.bytes for call in tick.calls)
    polled_once = bool(tick.calls)
    none = "The last poll got no answer." if poll.last_ok_ms else "No poll has ended yet."
    cells: Cells = {
        f"{key}.often": Cell(text=often),
        f"{key}.cost": Cell(
            text=f"{formats.percent(health.share)} of its time" if polled_once else "—",
            share=min(1.0, health.share / DEAR) if polled_once else None,
            state="warning" if health.share > DEAR else "",
            exact=f"The bar is full at {formats.percent(DEAR)}.",
            unknown="" if polled_once else none,
        ),
        f"{key}.share": Cell(text=formats.percent(health.share))
        if polled_once
        else Cell(text=formats.UNKNOWN, unknown=none),
        f"{key}.last": Cell(
            text=", ".join(
                [
                    formats.seconds(tick.broker_s),
                    _sizes(body, tick.wire_bytes),
                    *(f"{formats.count(tick.rows['queue'])} queues" for _ in [0] if "queue" in tick.rows),
                ]
            )
            if polled_once
            else "—",
            unknown="" if polled_once else none,
        ),
        f"{key}.row": Cell(
            text="—" if tick.answer_to_row_ms is None else formats.seconds(tick.answer_to_row_ms / 1000),
            unknown="The last poll stored no row." if tick.answer_to_row_ms is None else "",
        ),
        **{
            f"{key}.{name}": Cell(text=text) if polled_once else Cell(text=formats.UNKNOWN, unknown=none)
            for name, text in (
                ("cpu", formats.seconds(tick.cpu_s)),
                ("bytes", formats.size(tick.wire_bytes)),
                ("time", formats.seconds(tick.broker_s)),
            )
        },
        f"{key}.definitions": Cell(since_ms=poll.definitions_ms or None, text="" if poll.definitions_ms else "never"),
    }
    for at, call in enumerate(tick.calls):
        cells[f"{key}.call.{at}.time"] = Cell(text=formats.seconds(call.seconds))
        cells[f"{key}.call.{at}.size"] = Cell(text=_sizes(call.bytes, call.wire_bytes))
    pace, budget = decode_pace(poll.pace), budget_of(poll.broker)
    aside = health.definitions.broker_s * 1000 / health.definitions_every_ms
    cells[f"{key}.spent"] = spent_cell(pace.spent, budget, aside, now_ms)
    tiers = tiers_shown(pace, budget, asked_s * 1000, key, now_ms)
    cells |= tiers.cells
    return Polled(
        tiers=tiers,
        plan=tick.plan,
        unplanned=none if poll.last_ok_ms else "Not decided before the first answer.",
        calls=tuple(
            Call(f"{key}.call.{at}", call.what.replace("%2C", ","), call.node, call.error)
            for at, call in enumerate(tick.calls)
        ),
        missing=missing({name: why for name, why in health.unknown.items() if not _is_known(shown, name)}),
        definitions_error=health.definitions_error,
        cells=cells,
    )


def _is_known(shown: Present | None, name: str) -> bool:
    """Tell whether a figure (`kind.metric`) is known of any object now: just read, or held from a reading before."""
    kind, _, metric = name.partition(".")
    if shown is None or kind not in set(Kind):
        return False
    rate = next((rate for rate, counter in RATES.items() if counter == metric), "")
    table = shown.table(Kind(kind))
    return any(bool(np.isfinite(table.column(one)).any()) for one in (metric, rate))


def missing(unknown: dict[str, str]) -> tuple[Missing, ...]:
    """Put figures that are unknown for the same reason together; names as `kind.metric`."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in unknown.items():
        by_reason.setdefault(reason, []).append(name.replace("_", " ").replace(".", ": ", 1))
    return tuple(Missing(", ".join(sorted(names)), reason) for reason, names in by_reason.items())


def _sizes(body: int, wire: int) -> str:
    whole, sent = formats.size(body), formats.size(wire)
    return whole if wire >= body or not wire or sent == whole else f"{whole} ({sent} on the wire)"
