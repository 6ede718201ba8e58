"""The columns of the list of queues: the one registry. A new measure is a new entry here, and nothing else.

A column is ordered by `order` (unknown is NaN), and shows either a live `cell` or a plain `text` of the definition,
which changes so seldom that only a redrawn row brings it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from brokers.registry.details import QueueDetail
from brokers.series.metrics import RATES
from dashboard.cells import Cell
from dashboard.queries import broker_cells as cell
from dashboard.queries.queues_params import Params
from dashboard.queries.queues_states import SAYINGS, State, ranks
from dashboard.queries.queues_table import Floats, Part, Rows


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
        """Say why a figure is unknown."""
        stored = RATES.get(metric, metric)
        return self.part.unknown.get(f"queue.{stored}") or self.part.why


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
    text: Callable[[Line], str] | None = None
    unit: str = ""
    css: str = ""
    usual: bool = True
    several: bool = False
    # Descending is what one asks for first.
    falls: bool = False

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
    plain = line.state in {State.RUNNING, State.IDLE}
    exact = f"The broker says: {word}." if plain and word else said.says
    return Cell(text=said.word, state=said.icon, exact=exact)


def _count(name: str, line: Line) -> Cell:
    return cell.count(line.figure(name), line.why(name))


def _rate(name: str, line: Line) -> Cell:
    return cell.rate(line.figure(name), line.why(name), unit=False)


def _spark(line: Line) -> Cell:
    return cell.spark(line.spark, floor=50)


def _count_column(key: str, head: str, says: str, **more: object) -> Column:
    return Column(
        key,
        head,
        says,
        order=_by_figure(key),
        cell=partial(_count, key),
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
    _rate_column("redeliver", "Redeliver", "Messages delivered once more, a second", css="p4", usual=False),
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
