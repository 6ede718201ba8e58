"""The exchanges of a broker that something is published to: what of it is confirmed, and what leads to no queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from brokers.lag.measures import measure
from brokers.lag.present import column
from brokers.series.metrics import Kind
from dashboard.cells import Cell, Cells
from dashboard.charts.address import Asked, Source, Top
from dashboard.queries import broker_cells as cell
from dashboard.queries.broker_facts import BrokerFacts
from dashboard.queries.explore import page_url
from dashboard.queries.held import held, read_ms
from dashboard.queries.keys import exchange_key
from dashboard.queries.queue_measures import why_measure

# Exchanges that the page lists; more are counted.
EXCHANGES_SHOWN = 20
# The columns of figures: measure and head, and the class by which a narrow page leaves it out.
COLUMNS = (
    ("publish_rate", "Published", ""),
    ("confirm_rate", "Confirmed", "m0"),
    ("confirm_gap", "Gap", "m0"),
    ("return_rate", "Returned", ""),
    ("drop_rate", "Dropped", ""),
)
_NAME = "name"
_LOST = frozenset({"return_rate", "drop_rate"})
_COUNTED = ("published", "returned", "dropped")
# What an exchange's chart shows at once.
_CHARTED = ("publish_rate", "confirm_rate", "return_rate", "drop_rate")


@dataclass(frozen=True, slots=True)
class ExchangeRow:
    """One exchange: `name` is empty for the default exchange, `url` its chart."""

    key: str
    name: str
    vhost: str
    url: str


@dataclass(frozen=True, slots=True)
class Exchanges:
    """What the table shows. `why` says why nothing is known of exchanges, where it is not."""

    rows: tuple[ExchangeRow, ...] = ()
    more: int = 0
    why: str = ""
    # The chart of those that most is published to.
    url: str = ""


@dataclass(frozen=True, slots=True)
class Head:
    """A column's head: where it orders the table, and how it does now (`ascending`, `descending` or nothing)."""

    label: str
    unit: str
    tip: str
    url: str
    direction: str
    css: str


def exchanges(facts: BrokerFacts, sort: str = "") -> tuple[Exchanges, Cells]:
    """Return the exchanges of what a person sees of a broker, and their cells.

    Listed is what anything was published to since the broker began to count. `sort` is a measure's name or `name`,
    with a minus before it for descending; by itself the table begins with what leads nowhere, then with most published.
    """
    if facts.shown is None:
        return Exchanges(), {}
    table = facts.shown.table(Kind.EXCHANGE)
    counted = [table.column(name) for name in _COUNTED]
    used = np.flatnonzero(np.any([np.nan_to_num(values) > 0 for values in counted], axis=0))
    if not facts.whole:
        seen = {vhost.name for vhost in facts.vhosts}
        used = np.array([row for row in used.tolist() if table.objects[row].vhost in seen], dtype=np.intp)
    figures = {name: column(facts.shown, Kind.EXCHANGE, name)[used] for name, _, _ in COLUMNS}
    named = [(table.objects[row].name.casefold(), table.objects[row].vhost.casefold()) for row in used.tolist()]
    order = _order(figures, named, sort)
    rows, cells = [], Cells()
    for place in order[:EXCHANGES_SHOWN]:
        known = table.objects[int(used[place])]
        key = exchange_key(facts.id, known.slot)
        rows.append(ExchangeRow(key, known.name, known.vhost, _chart(facts.id, known.vhost, known.name)))
        for name, values in figures.items():
            cells[f"{key}.{name}"] = _cell(facts, name, float(values[place]))
    unknown = len(table.slots) > 0 and all(np.isnan(values).all() for values in counted)
    return (
        Exchanges(
            tuple(rows),
            max(0, len(order) - EXCHANGES_SHOWN),
            (why_measure(Kind.EXCHANGE, "publish_rate", facts.unknown) or cell.why_unknown(facts)) if unknown else "",
            page_url(Asked(tops=(Top(10, "publish_rate", "mean", Kind.EXCHANGE, facts.id),))),
        ),
        cells,
    )


def heads(sort: str, address: Mapping[str, str]) -> tuple[Head, ...]:
    """Return the heads of the table's columns, the name first; `address` has the page's other parameters."""
    found = [_head(_NAME, "Exchange", "", "", "", sort, address)]
    for name, label, css in COLUMNS:
        known = measure(Kind.EXCHANGE, name)
        found.append(_head(name, label, "/s", known.says if known else "", f"num {css}".strip(), sort, address))
    return tuple(found)


def _head(name: str, label: str, unit: str, tip: str, css: str, sort: str, address: Mapping[str, str]) -> Head:
    first, second = (name, f"-{name}") if name == _NAME else (f"-{name}", name)
    direction = {name: "ascending", f"-{name}": "descending"}.get(sort, "")
    query = urlencode({**address, "exchanges": second if sort == first else first})
    return Head(label, unit, tip, f"?{query}#exchanges", direction, css)


def _order(figures: Mapping[str, NDArray[np.float64]], named: list[tuple[str, str]], sort: str) -> list[int]:
    """Return the places in their order; what is unknown stands last, what is alike goes by name."""
    by_name = sorted(range(len(named)), key=named.__getitem__, reverse=sort == f"-{_NAME}")
    key = sort.removeprefix("-")
    if key == _NAME:
        return by_name
    if key in figures:
        weights = [-figures[key] if sort.startswith("-") else figures[key]]
    else:
        weights = [
            -(np.nan_to_num(figures["return_rate"]) + np.nan_to_num(figures["drop_rate"])),
            -figures["publish_rate"],
        ]
    ranked = np.array(by_name, dtype=np.intp)
    for values in reversed(weights):
        ranked = ranked[np.argsort(values[ranked], kind="stable")]
    return [int(place) for place in ranked]


def _cell(facts: BrokerFacts, name: str, value: float) -> Cell:
    why = why_measure(Kind.EXCHANGE, name, facts.unknown) or cell.why_unknown(facts)
    # A gap of rates that were read a moment apart is as often a little below zero as above.
    value = cell.NAN if not facts.fresh else max(value, 0.0) if name == "confirm_gap" else value
    made = cell.lost(value, why) if name in _LOST else cell.rate(value, why, unit=False)
    return held(made, read_ms(facts.shown, Kind.EXCHANGE, name))


def _chart(broker_id: int, vhost: str, name: str) -> str:
    return page_url(Asked(tuple(Source(one, Kind.EXCHANGE, broker_id, vhost, name) for one in _CHARTED)))
