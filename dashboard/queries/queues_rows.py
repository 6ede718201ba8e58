"""The rows of the list of queues that a page shows, with their cells, tags and links."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from brokers.series.metrics import Kind
from dashboard import formats
from dashboard.cells import Cells
from dashboard.queries.attention_shown import queue_url, queues_url
from dashboard.queries.queues_columns import COLUMNS, Column, Line
from dashboard.queries.queues_states import SAYINGS, State, ranks, state_at
from dashboard.queries.queues_table import Indices, Rows, detail_of, features

# A longer name is cut off on most screens, and shown whole in its tip.
LONG_NAME = 36


@dataclass(frozen=True, slots=True)
class Tag:
    """A small tag beside a name or in the features' column; `tip` says what it means."""

    text: str
    tip: str
    css: str = ""


@dataclass(frozen=True, slots=True)
class ShownCell:
    """One cell of a row: a live one by its key, or a plain text, or tags."""

    css: str
    key: str = ""
    text: str = ""
    url: str = ""
    tags: tuple[Tag, ...] = ()


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One queue as the table draws it."""

    key: str
    name: str
    url: str
    vhost: str
    broker: str
    edge: str
    stale: bool
    tags: tuple[Tag, ...]
    cells: tuple[ShownCell, ...]

    @property
    def state_key(self) -> str:
        """The key of the cell of its state."""
        return f"{self.key}.state"

    @property
    def word(self) -> str:
        """Its name as a link's text: one of which nothing can be seen is spelled in code points."""
        return visible(self.name)

    @property
    def long(self) -> bool:
        """Its name may be cut off, or is not what the link says."""
        return len(self.name) > LONG_NAME or self.word != self.name


def visible(name: str) -> str:
    """Return a name, or its code points where it has nothing that can be seen and clicked."""
    if any(unicodedata.category(letter)[0] in "LMNPS" for letter in name):
        return name
    points = " ".join(f"U+{ord(letter):04X}" for letter in name[:12])
    return f"{points} …" if len(name) > 12 else points or "(no name)"


def lines_of(rows: Rows, chosen: Indices) -> list[Line]:
    """Return the rows to be shown, with their hour of backlog."""
    sparks = np.full((len(chosen), 1), np.nan)
    by_part: dict[int, Any] = {}
    for number in np.unique(rows.part[chosen]).tolist():
        part = rows.parts[number]
        mine = np.flatnonzero(rows.part[chosen] == number)
        if part.shown is not None:
            slots = part.table.slots[rows.local[chosen[mine]]]
            by_part[number] = (mine, part.shown.sparklines(Kind.QUEUE, slots, "ready"))
    if by_part:
        sparks = np.full((len(chosen), next(iter(by_part.values()))[1].shape[1]), np.nan)
        for mine, values in by_part.values():
            sparks[mine] = values
    rank = ranks(rows)
    return [
        Line(
            rows=rows,
            row=row,
            state=state_at(int(rank[row])),
            detail=detail_of(rows.parts[int(rows.part[row])].table.objects[int(rows.local[row])].detail),
            spark=sparks[number],
        )
        for number, row in enumerate(chosen.tolist())
    ]


def row_of(line: Line, columns: Sequence[Column], *, several: bool) -> tuple[QueueRow, Cells]:
    key = line.rows.key(line.row)
    part = line.part
    name, vhost = line.text("name"), line.text("vhost")
    state = COLUMNS["state"]
    cells: Cells = {} if state.cell is None else {f"{key}.state": state.cell(line)}
    shown = []
    for column in columns:
        if column.key == "name":
            continue
        if column.cell is not None:
            field = f"{key}.{column.field(line)}"
            if field not in cells:
                cells[field] = column.shown(line)
            shown.append(ShownCell(column.css, key=field))
        elif column.key == "features":
            shown.append(ShownCell(column.css, tags=feature_tags(line)))
        elif column.text is not None:
            url = queues_url(part.broker_id) if column.key == "broker" else ""
            shown.append(ShownCell(column.css, text=column.text(line), url=url))
    row = QueueRow(
        key=key,
        name=name,
        url=queue_url(part.broker_id, vhost, name),
        vhost=vhost,
        broker=part.broker if several else "",
        edge=SAYINGS[line.state].edge,
        stale=line.state is State.STALE,
        tags=_tags(line),
        cells=tuple(shown),
    )
    return row, cells


_FEATURES = {
    "D": "Durable: it survives a restart of the broker.",
    "AD": "Auto-delete: it goes when its last consumer does.",
    "Excl": "Exclusive: it belongs to one connection and goes with it.",
}


def feature_tags(line: Line) -> tuple[Tag, ...]:
    """Return a queue's features; arguments are listed in the tip."""
    arguments = ", ".join(f"{name}: {value}" for name, value in list(line.detail.arguments.items())[:12])
    return tuple(Tag(text, _FEATURES.get(text, arguments)) for text in features(line.detail))


def _tags(line: Line) -> tuple[Tag, ...]:
    if not line.detail.holds_letters:
        return ()
    found = line.detail.dead_letters_of
    if not found:
        return (Tag("named DLQ", "Only its name says so: no queue that Warren knows dead-letters to it.", "tag--dlq"),)
    others = line.detail.dead_letter_sources - len(found[:5])
    more = f" and {formats.count(others)} more" if others > 0 else ""
    return (Tag("DLQ", f"Letters of {', '.join(found[:5])}{more} come here.", "tag--dlq"),)
