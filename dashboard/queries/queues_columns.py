"""The columns of the list of queues: the one registry. A new measure is a new entry here, and nothing else.

A column is ordered by `order` (unknown is NaN), and shows either a live `cell` or a plain `text` of the definition,
which changes so seldom that only a redrawn row brings it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from brokers.lag.evidence import Seen
from brokers.registry.details import QueueDetail
from brokers.series.metrics import Kind
from dashboard import formats
from dashboard.cells import Cell
from dashboard.queries import broker_cells as cell
from dashboard.queries.held import held, read_ms
from dashboard.queries.queue_full import full
from dashboard.queries.queue_measures import drain_cell, growth_cell, lag_cell, why_measure
from dashboard.queries.queue_state import seen_from
from dashboard.queries.queues_params import Params
from dashboard.queries.queues_states import JUDGED, SAYINGS, State, ranks
from dashboard.queries.queues_table import Floats, Part, Rows

# What the evidence of a state is taken from.
EVIDENCE = tuple(Seen.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Line:
    """One row that is shown: where it stands, its state, its definition, an hour of its backlog."""

    rows: Rows
    row: int
    state: State
    detail: QueueDetail
    spark: Floats

    @property
    def part(self) -> Part:
        """The broker's share of the list that the row is in."""
        return self.rows.parts[int(self.rows.part[self.row])]

    def figure(self, name: str) -> float:
        """Return a gauge or rate of the queue."""
        return float(self.rows.figure(name)[self.row])

    def text(self, name: str) -> str:
        """Return a text of the queue, empty where it is unknown."""
        return self.rows.text(name).at(self.row)

    def why(self, metric: str) -> str:
        """Say why a measure is unknown: what is said of it, or of what it is computed from."""
        return why_measure(Kind.QUEUE, metric, self.part.unknown) or self.part.why

    @property
    def evidence(self) -> str:
        """What the state of its consumers was seen from."""
        seen = Seen(**{name: self.figure(name) for name in EVIDENCE})
        no_more = full(self.detail, "", seen.ready, seen.publish_rate)
        return seen_from(self.figure("consumer_state"), seen, self.detail, no_more)


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `css` is the classes by which it leaves on narrow screens; `several`: only where brokers are several.

    `spark` is set where its cell is a sparkline: the words that its key ends with.
    """

    key: str
    head: str
    says: str
    order: Callable[[Rows], Floats] | None = None
    cell: Callable[[Line], Cell] | None = None
    # What the cell is a figure of (brokers.lag.measures).
    measure: str = ""
    text: Callable[[Line], str] | None = None
    unit: str = ""
    css: str = ""
    usual: bool = True
    several: bool = False
    # Descending is what one asks for first.
    falls: bool = False

    def shown(self, line: Line) -> Cell:
        """Return the cell of a row. Raises ValueError where the column has none."""
        if self.cell is None:
            raise ValueError(f"The column {self.key} has no cells")
        made = self.cell(line)
        return held(made, read_ms(line.part.shown, Kind.QUEUE, self.measure)) if self.measure else made

    def field(self, line: Line) -> str:
        """Return what the key of its cell ends with, after the row's."""
        if self.key != "spark":
            return self.key
        return "dead.spark" if line.detail.holds_letters else "ready.spark"


def _by_text(name: str) -> Callable[[Rows], Floats]:
    return lambda rows: rows.text(name).ranks()


def _by_figure(name: str) -> Callable[[Rows], Floats]:
    return lambda rows: rows.figure(name)


def _state(line: Line) -> Cell:
    said = SAYINGS[line.state]
    word = line.detail.state
    plain = line.state in {State.OK, State.IDLE}
    exact = line.evidence if line.state in JUDGED else said.says
    if plain and word and word != "running":
        exact = f"{exact} The broker says: {word}."
    return Cell(text=said.word, state=said.icon, exact=exact)


def _count(name: str, line: Line) -> Cell:
    return cell.count(line.figure(name), line.why(name))


def _rate(name: str, line: Line) -> Cell:
    return cell.rate(line.figure(name), line.why(name), unit=False)


def _lag(line: Line) -> Cell:
    return lag_cell(line.figure("time_lag"), line.figure("lag_source"), line.why("time_lag"))


def _drain(line: Line) -> Cell:
    return drain_cell(line.figure("drain_time"), line.why("drain_time"))


def _growth(line: Line) -> Cell:
    return growth_cell(line.figure("growth"), line.why("growth"))


def _share(name: str, line: Line) -> Cell:
    value = line.figure(name)
    if np.isnan(value):
        return Cell(text=formats.UNKNOWN, unknown=_unknown_share(name, line))
    return Cell(text=formats.percent(value), zero=value == 0)


def _unknown_share(name: str, line: Line) -> str:
    if name == "redeliver_ratio" and line.figure("deliver_rate") == 0:
        return "Nothing is delivered at the moment."
    if name == "prefetch_used" and line.figure("consumers") == 0:
        return "Nobody is subscribed."
    if name == "prefetch_used" and np.isnan(line.figure("prefetch")) and not line.part.unknown.get("queue.prefetch"):
        return "Its consumers have no limit, or have only just come."
    return line.why(name)


def _size(name: str, line: Line) -> Cell:
    value = line.figure(name)
    if np.isnan(value):
        return Cell(text=formats.UNKNOWN, unknown=line.why(name))
    return Cell(text=formats.size(value), exact=formats.exact_size(value), zero=value == 0)


def _measured(
    key: str, head: str, says: str, cell_of: Callable[[Line], Cell], *, measure: str = "", **more: object
) -> Column:
    name = measure or key
    more = _num({**more, "measure": name})
    return Column(key, head, says, order=_by_figure(name), cell=cell_of, falls=True, **more)  # type: ignore[arg-type]


def _spark(line: Line) -> Cell:
    return cell.spark(line.spark, floor=50)


def _count_column(key: str, head: str, says: str, **more: object) -> Column:
    return Column(
        key,
        head,
        says,
        order=_by_figure(key),
        cell=partial(_count, key),
        measure=key,
        falls=True,
        **_num(more),  # type: ignore[arg-type]
    )


def _rate_column(key: str, head: str, says: str, **more: object) -> Column:
    name = f"{key}_rate"
    return Column(
        key,
        head,
        says,
        order=_by_figure(name),
        cell=partial(_rate, name),
        measure=name,
        unit="/s",
        falls=True,
        **_num(more),  # type: ignore[arg-type]
    )


def _text_column(key: str, head: str, says: str, **more: object) -> Column:
    return Column(key, head, says, order=_by_text(key), text=lambda line: line.text(key), **more)  # type: ignore[arg-type]


def _num(more: dict[str, object]) -> dict[str, object]:
    return {**more, "css": f"num {more.get('css', '')}".strip()}


_ALL = (
    Column("name", "Queue", "The queue’s name", order=_by_text("name")),
    _text_column("vhost", "Vhost", "The vhost that it is in", css="m0"),
    _text_column("broker", "Broker", "The broker that it is on", css="p2", several=True),
    _text_column("type", "Type", "Classic, quorum or stream", css="p2"),
    _text_column(
        "features", "Features", "D durable, AD auto-delete, Excl exclusive, args: declared with arguments", css="p4"
    ),
    _text_column("policy", "Policy", "The policy that applies to it", css="p4", usual=False),
    _text_column(
        "node", "Node", "The node that leads it; of a classic queue the one that holds it", css="p4", usual=False
    ),
    Column(
        "state",
        "State",
        "The worst comes first",
        ranks,
        _state,
        css="m0",
        falls=True,
    ),
    _count_column("ready", "Ready", "Messages ready to be delivered"),
    Column("spark", "Ready, 1 h", "Messages ready, over the last hour", cell=_spark, css="m0"),
    _count_column("unacked", "Unacked", "Messages delivered and not acknowledged yet", css="p3"),
    _count_column("total", "Total", "Ready and unacknowledged together", css="p4", usual=False),
    _count_column("consumers", "Consumers", "Consumers subscribed", css="p3"),
    _rate_column("publish", "In", "Messages that enter, a second", css="m0"),
    _rate_column("deliver", "Deliver", "Messages delivered or fetched, a second, redeliveries included", css="p4"),
    _rate_column("ack", "Out", "Messages acknowledged, a second", css="m0"),
    _measured("time_lag", "Lag", "Age of the oldest message that is not acknowledged", _lag, css="p3"),
    _measured("growth", "Growth", "How fast the backlog grew over the last minute", _growth, unit="/min", usual=False),
    _measured("drain_time", "Empty in", "Until it is empty, at the pace of the last minute", _drain, css="p4"),
    _rate_column("redeliver", "Redeliver", "Messages delivered once more, a second", css="p4", usual=False),
    _measured(
        "redeliver_ratio",
        "Redelivered",
        "Share of the deliveries that were not a message’s first",
        partial(_share, "redeliver_ratio"),
        usual=False,
    ),
    _measured(
        "prefetch_used",
        "Prefetch",
        "Share of what the consumers may hold that they do hold; at 100 % they get no more",
        partial(_share, "prefetch_used"),
        usual=False,
    ),
    _measured(
        "capacity",
        "Capacity",
        "Share of the time in which the queue could deliver at once",
        partial(_share, "capacity"),
        usual=False,
    ),
    _measured("message_bytes", "Bytes", "Bodies of the messages in it", partial(_size, "message_bytes"), usual=False),
    _measured("memory", "Memory", "Memory of the queue’s process", partial(_size, "memory"), usual=False),
)
COLUMNS: dict[str, Column] = {column.key: column for column in _ALL}
# What may be left out, and what may be ordered by.
CHOOSABLE = tuple(key for key in COLUMNS if key != "name")
SORTABLE = tuple(key for key, column in COLUMNS.items() if column.order is not None)


def shown_columns(params: Params, *, several: bool) -> tuple[Column, ...]:
    """Return the columns to show, in the registry's order: those chosen, else the usual ones; the name always.

    The usual ones leave as the screen narrows. One that somebody chose stays, save on a phone: the table scrolls.
    """
    if params.cols:
        return tuple(_staying(column) for column in _ALL if column.key == "name" or column.key in params.cols)
    return tuple(column for column in _ALL if column.usual and (several or not column.several))


def _staying(column: Column) -> Column:
    return replace(column, css=" ".join("m0" if word in {"p2", "p3", "p4"} else word for word in column.css.split()))
