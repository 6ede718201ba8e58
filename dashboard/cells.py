"""A cell: one figure, state, sparkline or bar as a page shows it, made once and used by first paint and live frames.

A query builds `Cells` (key → Cell). The page's template draws them by `{% live cells key %}`, which puts the key into
`data-live`; the websocket sends the same cells again when they change, and live.js sets them on the same elements.
So a figure is formatted in one place, on the server, and a live value looks just like a first one. The client sets
text, never markup: what a broker sends cannot become an element.
"""

from __future__ import annotations

import hashlib

import msgspec


class Spark(msgspec.Struct, frozen=True, omit_defaults=True):
    """A sparkline as SVG path data in a view box of 100 × 20 (dashboard.charts.sparkline makes it)."""

    line: str = ""
    area: str = ""
    dot: str = ""
    # Second line, drawn dashed.
    line2: str = ""


class Cell(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an element shows. Fields that are empty are left as they are by the template and absent in JSON."""

    # Text, formatted (dashboard.formats), with its unit where the unit is not in the head.
    text: str = ""
    # The small unit after a large figure (KPI tiles).
    unit: str = ""
    # Set: the figure is unknown and this sentence says why; `text` is then "—".
    unknown: str = ""
    # The exact figure or full time, for hover and focus, where `text` is rounded.
    exact: str = ""
    # A state by its icon's name (ok, notice, warning, critical, unknown, stale, dead, idle, …); `text` is its word.
    state: str = ""
    # The figure is zero: drawn in the third text colour.
    zero: bool = False
    spark: Spark | None = None
    # A bar's filled part, 0 to 1.
    share: float | None = None
    # Unix milliseconds: the element shows how long ago that is, and counts on by itself.
    since_ms: int | None = None
    # Unix milliseconds: when the figure was read, where that was before the newest poll. Hover and focus say how long
    # ago that is.
    read_ms: int | None = None
    # The element is not shown now.
    hidden: bool = False


Cells = dict[str, Cell]


class ChartPoints(msgspec.Struct, frozen=True, omit_defaults=True):
    """Points of one chart: `times` in Unix milliseconds, one list of values a trace, None for *unknown*.

    In a first state `times` is the whole window; in a change it is what is newer than what was sent before.
    """

    times: list[int]
    values: dict[str, list[float | None]]


class View(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that a subscription shows at one moment.

    `order` is the keys of a table's rows in their order, where the topic is a table. `at_ms` is the figures' time.
    `shape` stands for all that the page draws and that is no cell (which rows, notes and warnings there are): when it
    changes, the browser asks for the page again and takes over what differs (`shape_of` makes one).
    """

    cells: Cells
    order: list[str] | None = None
    charts: dict[str, ChartPoints] = {}
    at_ms: int = 0
    shape: str = ""


def shape_of(*parts: object) -> str:
    """Return a short text that changes when any of the parts does; they are compared by their repr."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()
