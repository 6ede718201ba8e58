"""When a figure was read that is not of the newest poll: what is read seldom holds until it is read again."""

from __future__ import annotations

import msgspec

from brokers.lag.measures import measure
from brokers.series.metrics import Kind
from brokers.series.present import Present
from dashboard.cells import Cell


def read_ms(shown: Present | None, kind: Kind, name: str) -> int | None:
    """Return when a measure was read, in Unix milliseconds; None where it is of the newest snapshot, or not known.

    What is computed from several figures is as old as the oldest of them.
    """
    if shown is None:
        return None
    table = shown.table(kind)
    found = measure(kind, name)
    names = (name, *(found.needs if found else ()))
    return min((table.read_ms[one] for one in names if one in table.read_ms), default=None)


def held(cell: Cell, at_ms: int | None) -> Cell:
    """Return a cell that says on hover when its figure was read, where that was before the newest poll."""
    return cell if at_ms is None or cell.unknown else msgspec.structs.replace(cell, read_ms=at_ms)
