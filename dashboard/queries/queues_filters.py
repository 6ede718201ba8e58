"""What can be chosen to narrow the list of queues: quick filters, vhosts, types, states, and what to loosen. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dashboard.queries.queues_columns import CHOOSABLE, COLUMNS, shown_columns
from dashboard.queries.queues_params import PAGE_SIZES, Params
from dashboard.queries.queues_states import SAYINGS, State
from dashboard.queries.queues_table import Rows

# More vhosts than this are typed, not chosen from a list.
VHOSTS_LISTED = 400


@dataclass(frozen=True, slots=True)
class Chip:
    """A quick filter. `key` is its parameter (`all` takes all of them away), `url` switches it."""

    key: str
    word: str
    icon: str
    tone: str
    tip: str
    url: str
    on: bool


@dataclass(frozen=True, slots=True)
class Option:
    """One entry of a choice."""

    value: str
    word: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Link:
    """A word and where it leads; `chosen`: one is there."""

    word: str
    url: str
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class Choices:
    """What the filter's fields offer. `vhosts` is None where there are too many to list."""

    vhosts: tuple[Option, ...] | None
    types: tuple[Option, ...]
    states: tuple[Option, ...]
    columns: tuple[Option, ...]


_QUICK = (
    ("backlog", "Backlog", "behind", "warning", "Messages are ready in it."),
    ("no_consumers", "No consumers", "stopped", "warning", "Nobody is subscribed to it."),
    ("dlq", "Dead-letter queues", "dead", "dead", "Letters of other queues come to it, or it is named as if they did."),
)
QUICK = tuple(key for key, *_ in _QUICK)


def chips(params: Params, base: str) -> tuple[Chip, ...]:
    """Return the quick filters, *all* first."""
    none = dict.fromkeys(QUICK, False)
    some = any(getattr(params, key) for key in QUICK)
    found = [Chip("all", "All", "", "", "", f"{base}{params.query(**none)}", not some)]
    for key, word, icon, tone, tip in _QUICK:
        on = bool(getattr(params, key))
        found.append(Chip(key, word, icon, tone, tip, f"{base}{params.query(**{key: not on})}", on))
    return tuple(found)


def choices(rows: Rows, params: Params, *, several: bool) -> Choices:
    """Return what there is to choose from among the queues that the person sees."""
    vhosts = _present(rows, "vhost")
    types = _present(rows, "type")
    shown = {column.key for column in shown_columns(params, several=several)}
    return Choices(
        vhosts=None if len(vhosts) > VHOSTS_LISTED else _options(vhosts, params.vhost),
        types=_options(types, params.type),
        states=tuple(Option(state.value, SAYINGS[state].word, params.state == state.value) for state in State),
        columns=tuple(
            Option(key, COLUMNS[key].head, key in shown) for key in CHOOSABLE if several or not COLUMNS[key].several
        ),
    )


def sizes(params: Params, base: str) -> tuple[Link, ...]:
    """Return how many rows a page may have."""
    return tuple(
        Link(str(size), f"{base}{params.query(page_size=size)}", size == params.page_size) for size in PAGE_SIZES
    )


def loosenings(params: Params, base: str) -> tuple[Link, ...]:
    """Return what would widen a list in which nothing is: a link for each filter, and one for all."""
    found = []
    words = {
        "name": "Any name",
        "vhost": "All vhosts",
        "type": "All types",
        "state": "Any state",
        "backlog": "With or without a backlog",
        "no_consumers": "With or without consumers",
        "dlq": "Not only dead-letter queues",
    }
    for key, word in words.items():
        if getattr(params, key):
            plain: dict[str, object] = {key: False if key in QUICK else ""}
            if key == "name":
                plain["regex"] = False
            found.append(Link(word, f"{base}{params.query(**plain)}"))
    if len(found) > 1:
        found.append(Link("Show all", base))
    return tuple(found)


def _present(rows: Rows, name: str) -> list[str]:
    column = rows.text(name)
    return [column.values[code] for code in np.unique(column.codes).tolist() if code >= 0]


def _options(values: list[str], chosen: str) -> tuple[Option, ...]:
    """Return the values to choose from; one that is asked for and not there stands first, so that it is seen."""
    missing = [chosen] if chosen and chosen not in values else []
    return tuple(Option(value, value, value == chosen) for value in [*missing, *values])
