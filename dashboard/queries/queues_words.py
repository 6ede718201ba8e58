"""The sentences of the list of queues. Pure."""

from __future__ import annotations

import numpy as np

from dashboard import formats
from dashboard.queries.queues_params import Params
from dashboard.queries.queues_select import Selection
from dashboard.queries.queues_states import State, rank_of, ranks
from dashboard.queries.queues_table import Rows


def matching(rows: Rows, selection: Selection, params: Params, where: str) -> str:
    """Say how many queues match and what they hold: `1,204 of 10,000 queues on shop, 32,949 ready.`

    Queues of brokers that are silent are not in the sum, unless all are: what they held is not what they hold.
    """
    found = selection.ordered
    number = several_queues(len(rows))
    said = f"{formats.count(len(found))} of {number}" if params.filtered else number
    said += f" on {where}" if where else ""
    fresh = rows.flag("fresh")[found]
    counted = found[fresh] if fresh.any() else found
    ready = rows.figure("ready")[counted]
    unknown = int(np.isnan(ready).sum())
    if len(counted) == unknown:
        return f"{said}."
    said += f", {formats.count(float(np.nansum(ready)))} ready"
    if unknown:
        said += f" in those that tell, {formats.count(unknown)} unknown"
    left_out = len(found) - len(counted)
    if left_out:
        said += f", without {formats.count(left_out)} that {'is' if left_out == 1 else 'are'} stale"
    return f"{said}."


def waiting(rows: Rows, selection: Selection) -> str:
    """Say how many of the queues that match have a backlog, and how many of these nobody consumes.

    Queues of brokers that are silent count in neither, as in what `matching` sums.
    """
    fresh = rows.flag("fresh")[selection.ordered]
    counted = selection.ordered[fresh] if fresh.any() else selection.ordered
    with np.errstate(invalid="ignore"):
        backlog = int((rows.figure("ready")[counted] > 0).sum())
    if not backlog:
        return ""
    lonely = int((ranks(rows)[counted] == rank_of(State.STOPPED)).sum())
    has = "has" if backlog == 1 else "have"
    said = f"{formats.count(backlog)} {has} a backlog"
    if lonely == backlog:
        return f"{said} and no consumer."
    return f"{said}, {formats.count(lonely)} of them no consumer." if lonely else f"{said}."


def range_shown(page: int, params: Params, matches: int) -> str:
    """Say which rows of how many a page shows: `51–100 of 214`."""
    if not matches:
        return "none"
    first = (page - 1) * params.page_size + 1
    last = min(matches, page * params.page_size)
    return f"{formats.count(first)}–{formats.count(last)} of {formats.count(matches)}"


def several_queues(number: int) -> str:
    """Say how many queues: `1 queue`, `10,000 queues`."""
    return f"{formats.count(number)} queue{'' if number == 1 else 's'}"
