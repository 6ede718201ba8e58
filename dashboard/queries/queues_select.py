"""Which queues match, in what order, and which of them a page shows. Pure; vectorised over all rows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import re2
from numpy.typing import NDArray

from dashboard.queries.queues_columns import COLUMNS
from dashboard.queries.queues_params import Params
from dashboard.queries.queues_states import rank_of, ranks
from dashboard.queries.queues_table import Coded, Flags, Indices, Rows

# RE2 takes time in proportion to a name's length, times its expression's size: the product may still be large.
_EXPRESSION_LONGEST = 250
_EXPRESSION_MEMORY = 1 << 20
_EXPRESSION_SECONDS = 0.25


class ExpressionError(Exception):
    """An expression can't be used; its text is the sentence for the person."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What a question found: `ordered` is the rows that match, in order.

    `counts` is how many rows match all filters but the quick ones, and each quick one beside these: `all`, `backlog`,
    `no_consumers`, `dlq`, and of the last the `named` ones. `name_error` is the sentence on an expression that can't
    be used: the list is then not filtered by name.
    """

    ordered: Indices
    counts: Mapping[str, int] = field(default_factory=dict)
    name_error: str = ""


def select(rows: Rows, params: Params) -> Selection:
    """Filter and order."""
    kept = np.ones(len(rows), dtype=np.bool_)
    error = ""
    if params.name:
        try:
            kept &= named(rows.text("name"), params.name, expression=params.regex)
        except ExpressionError as found:
            error = str(found)
    for name in ("vhost", "type"):
        wanted = getattr(params, name)
        if wanted:
            kept &= rows.text(name).where(wanted.__eq__)
    if params.state:
        kept &= ranks(rows) == (rank_of(params.state) or 0)
    quick = quick_flags(rows)
    counts = {"all": int(kept.sum()), **{name: int((kept & flags).sum()) for name, flags in quick.items()}}
    counts["named"] = int((kept & rows.flag("named")).sum())
    for name, flags in quick.items():
        if getattr(params, name):
            kept &= flags
    return Selection(ordered(rows, np.flatnonzero(kept), params), counts, error)


def quick_flags(rows: Rows) -> dict[str, Flags]:
    """Return the quick filters. A figure that is unknown passes none: nothing is claimed that is not known."""
    with np.errstate(invalid="ignore"):
        return {
            "backlog": rows.figure("ready") > 0,
            "no_consumers": rows.figure("consumers") == 0,
            "dlq": rows.flag("dead") | rows.flag("named"),
        }


def named(names: Coded, wanted: str, *, expression: bool) -> Flags:
    """Tell which names contain a text, or match an expression, whatever their case. Raises ExpressionError."""
    if not expression:
        folded = wanted.casefold()
        return names.where(lambda name: folded in name.casefold())
    found = compiled(wanted)
    ends = time.monotonic() + _EXPRESSION_SECONDS
    asked = 0

    def test(name: str) -> bool:
        nonlocal asked
        asked += 1
        if asked % 32 == 0 and time.monotonic() > ends:
            raise ExpressionError(
                f"This expression takes too long over {len(names.values):,} names. The list is not filtered by name."
            )
        return found.search(name) is not None

    return names.where(test)


def compiled(text: str) -> re2._Regexp:
    """Compile an expression in RE2's language, without case. Raises ExpressionError with a sentence."""
    if len(text) > _EXPRESSION_LONGEST:
        raise ExpressionError(
            f"An expression may have {_EXPRESSION_LONGEST} characters. The list is not filtered by name."
        )
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = _EXPRESSION_MEMORY
    try:
        return re2.compile(text, options)
    except re2.error as error:
        what = error.args[0] if error.args else ""
        what = what.decode("utf-8", "replace") if isinstance(what, bytes) else str(what)
        raise ExpressionError(
            f"This is no regular expression: {_in_words(what)}. The list is not filtered by name."
        ) from error


def _in_words(what: str) -> str:
    kind, _, where = what.partition(": ")
    known = {
        "missing )": "a bracket is not closed",
        "unexpected )": "a bracket is closed that was not opened",
        "missing ]": f"the set {where} is not closed",
        "no argument for repetition operator": f"{where} has nothing to repeat",
        "bad repetition operator": f"{where} repeats a repetition",
        "invalid perl operator": f"{where} is not known here (no looking ahead or behind)",
        "invalid escape sequence": f"{where} is not known here"
        + (" (no references back)" if where[1:].isdigit() else ""),
        "invalid repetition size": f"{where} repeats too often",
        "trailing \\": "it ends with a backslash",
    }
    return known.get(kind, what)


def ordered(rows: Rows, kept: Indices, params: Params) -> Indices:
    """Return the rows in the order asked for; unknown ones stand last both ways, equal ones by name, vhost, broker."""
    order = COLUMNS[params.sort_key].order
    primary = np.zeros(len(kept)) if order is None else order(rows)[kept]
    if params.descending:
        primary = -primary
    # Infinity is known: what never empties stands before what is unknown.
    unknown = np.isnan(primary)
    keys: list[NDArray[Any]] = [rows.part[kept], rows.text("vhost").codes[kept], rows.text("name").codes[kept]]
    if params.sort_key == "state":
        ready = rows.figure("ready")[kept]
        keys.append(np.where(np.isnan(ready), np.inf, -ready))
    return kept[np.lexsort((*keys, primary, unknown))]


def page_of(total: int, params: Params) -> tuple[int, int]:
    """Return the page that is shown, from 1, and how many there are; a list of none has one, empty page."""
    pages = max(1, -(-total // params.page_size))
    return min(params.page, pages), pages
