"""The list of queues, over all brokers that a person sees or one: what its pages draw and live frames carry."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from brokers.collect.models import PollState
from brokers.rabbitmq.errors import grant_command
from brokers.series.metrics import Kind
from dashboard import formats
from dashboard.accounts.rights import Rights
from dashboard.cells import Cell, Cells, View, shape_of
from dashboard.queries import broker_cells as cell
from dashboard.queries.attention_shown import queues_url
from dashboard.queries.broker_facts import BrokerFacts, facts_of
from dashboard.queries.broker_polled import polled
from dashboard.queries.queues_columns import CHOOSABLE, SORTABLE, Column, shown_columns
from dashboard.queries.queues_filters import Chip, Choices, Link, chips, choices, loosenings, sizes
from dashboard.queries.queues_params import Params, parse, unread
from dashboard.queries.queues_rows import QueueRow, lines_of, row_of
from dashboard.queries.queues_select import Selection, page_of, select
from dashboard.queries.queues_states import State
from dashboard.queries.queues_table import Part, Rows, traits_of
from dashboard.queries.queues_words import matching, range_shown, several_queues, waiting


@dataclass(frozen=True, slots=True)
class Head:
    """A column's head. `sort` is what a click asks for, empty where the column has no order."""

    column: Column
    sort: str
    url: str
    direction: str


@dataclass(frozen=True, slots=True)
class Closed:
    """Vhosts that Warren may not look into: their queues are not in the list. `command` opens the first of them."""

    number: int
    broker: str
    names: str
    command: str


@dataclass(frozen=True, slots=True)
class QueueList:
    """All that the page shows. `one` is the broker, None where the list is over all; times in the viewer's zone.

    `blank` says why there are no rows: `no_broker`, `new`, `no_vhost`, `closed`, `empty`, `nothing`.
    """

    one: BrokerFacts | None
    all_facts: tuple[BrokerFacts, ...]
    params: Params
    total: int
    selection: Selection
    page: int
    pages: int
    columns: tuple[Column, ...]
    heads: tuple[Head, ...]
    rows: tuple[QueueRow, ...]
    chips: tuple[Chip, ...]
    choices: Choices
    sizes: tuple[Link, ...]
    loosen: tuple[Link, ...]
    closed: tuple[Closed, ...]
    silent: tuple[BrokerFacts, ...]
    blank: str
    cells: Cells
    at: dt.datetime | None
    since: dt.datetime | None
    polled: bool = False

    @property
    def base(self) -> str:
        """The list's address without its question."""
        return queues_url(self.one.id if self.one else None)

    @property
    def stale(self) -> bool:
        """The one broker's figures are not of now."""
        return self.one is not None and self.one.lags

    @property
    def sees_whole(self) -> bool:
        """The person sees the whole of every broker that the list is over."""
        return all(facts.whole for facts in self.all_facts)

    @property
    def has_figures(self) -> bool:
        """At least one broker has told something, however old."""
        return any(facts.at_ms for facts in self.all_facts)

    @property
    def partly(self) -> bool:
        """Some brokers are silent and others answer."""
        return bool(self.silent) and any(facts.fresh for facts in self.all_facts)

    @property
    def age_key(self) -> str:
        """The key of the cell that says how old the one broker's figures are."""
        return f"b.{self.one.id}.age" if self.one else "page.age"

    @property
    def often_key(self) -> str:
        """The key of the cell that says how often the one broker is polled."""
        return f"b.{self.one.id}.poll.often" if self.one else ""

    @property
    def share_key(self) -> str:
        """The key of the cell that says what polling costs the one broker."""
        return f"b.{self.one.id}.poll.share" if self.one else ""

    @property
    def here(self) -> Params:
        """The question, on the page that is shown."""
        return replace(self.params, page=self.page)

    @property
    def rows_url(self) -> str:
        """The address of this page's rows alone."""
        query = self.here.query(page=self.page)
        return f"{self.base}{query}{'&' if query else '?'}part=rows"

    @property
    def previous_url(self) -> str:
        """The page before, empty on the first."""
        return f"{self.base}{self.params.query(page=self.page - 1)}" if self.page > 1 else ""

    @property
    def next_url(self) -> str:
        """The page after, empty on the last."""
        return f"{self.base}{self.params.query(page=self.page + 1)}" if self.page < self.pages else ""

    @property
    def subscription(self) -> dict[str, Any]:
        """What the page subscribes to."""
        asked: dict[str, Any] = dict(self.here.plain())
        return {**asked, "broker": self.one.id} if self.one else asked

    @property
    def shape(self) -> str:
        """What the page draws that is no cell and no row."""
        return shape_of(
            self.blank,
            self.pages,
            self.page,
            self.selection.name_error,
            self.stale,
            [facts.id for facts in self.silent],
            [(one.broker, one.number) for one in self.closed],
            [chip.key for chip in self.chips],
            [(row.key, row.edge) for row in self.rows if row.edge],
        )

    def view(self) -> View:
        """Return what a live subscription gets."""
        newest = max((facts.at_ms or 0 for facts in self.all_facts), default=0)
        return View(cells=self.cells, order=[row.key for row in self.rows], at_ms=newest, shape=self.shape)


def read_params(data: Any) -> Params:
    """Read a question from an address (`dict(QueryDict.lists())`) or a subscription's parameters."""
    return parse(data, CHOOSABLE, SORTABLE, tuple(State))


def unread_params(data: dict[str, list[str]]) -> tuple[str, ...]:
    """Say what of an address `read_params` could not use, and what is shown instead."""
    return unread(data, CHOOSABLE, SORTABLE, tuple(State))


def queue_list(
    rights: Rights, params: Params, zone: dt.tzinfo, now_ms: int, broker_id: int | None = None
) -> QueueList | None:
    """Return the list as the person sees it, None where they do not see the broker or it is not there.

    Queries: brokers, their events, one a broker, and of one broker how it is polled.
    """
    found = facts_of(rights, now_ms, None if broker_id is None else [broker_id])
    if broker_id is not None and not found:
        return None
    rows = rows_of(rights, found)
    one = found[0] if broker_id is not None else None
    made = assemble(found, rows, params, zone, one=one)
    if one is not None and one.whole:
        poll = PollState.objects.select_related("broker").filter(broker_id=one.id).first()
        if poll is not None:
            made.cells.update(polled(poll, now_ms, one.shown).cells)
            return replace(made, polled=True)
    return made


def rows_of(rights: Rights, all_facts: Sequence[BrokerFacts]) -> Rows:
    """Return every queue of some brokers that the person sees."""
    parts = []
    for facts in all_facts:
        if facts.shown is None:
            continue
        table = facts.shown.table(Kind.QUEUE)
        known = traits_of(facts.id, table)
        seen = (
            np.arange(len(table.slots))
            if facts.whole
            else np.flatnonzero(known.texts["vhost"].where(rights.vhost_test(facts.id)))
        )
        parts.append(
            Part(
                broker_id=facts.id,
                broker=facts.name,
                table=table,
                traits=known,
                seen=seen,
                fresh=facts.fresh,
                whole=facts.whole,
                why=cell.why_unknown(facts),
                unknown=dict(facts.unknown),
                shown=facts.shown,
            )
        )
    return Rows(parts)


def assemble(
    all_facts: Sequence[BrokerFacts], rows: Rows, params: Params, zone: dt.tzinfo, *, one: BrokerFacts | None
) -> QueueList:
    """Make the page of facts and rows."""
    several = one is None and len(all_facts) > 1
    columns = shown_columns(params, several=several)
    usual = shown_columns(replace(params, cols=()), several=several)
    if [column.key for column in columns] == [column.key for column in usual]:
        # What a form with the usual boxes ticked asks for.
        params, columns = replace(params, cols=()), usual
    selection = select(rows, params)
    page, pages = page_of(len(selection.ordered), params)
    chosen = selection.ordered[(page - 1) * params.page_size : page * params.page_size]
    lines = lines_of(rows, chosen)
    base = queues_url(one.id if one else None)
    cells = _page_cells(all_facts, rows, params, selection, page, one)
    shown = []
    for line in lines:
        row, own = row_of(line, columns, several=several)
        shown.append(row)
        cells.update(own)
    closed = tuple(found for facts in all_facts if (found := _closed(facts)) is not None)
    return QueueList(
        one=one,
        all_facts=tuple(all_facts),
        params=params,
        total=len(rows),
        selection=selection,
        page=page,
        pages=pages,
        columns=columns,
        heads=tuple(_head(column, params, base) for column in columns),
        rows=tuple(shown),
        chips=chips(params, base),
        choices=choices(rows, params, several=several),
        sizes=sizes(params, base),
        loosen=loosenings(params, base) if not shown and len(rows) else (),
        closed=closed,
        silent=tuple(facts for facts in all_facts if one is None and facts.shown is not None and not facts.fresh),
        blank=_blank(all_facts, rows, shown, closed),
        cells=cells,
        at=formats.moment(one.at_ms, zone) if one else None,
        since=formats.moment(one.failing_since_ms, zone) if one else None,
    )


def _blank(all_facts: Sequence[BrokerFacts], rows: Rows, shown: Sequence[QueueRow], closed: Sequence[Closed]) -> str:
    if shown:
        return ""
    if len(rows):
        return "nothing"
    if not all_facts:
        return "no_broker"
    if all(facts.shown is None for facts in all_facts):
        return "new"
    if not any(facts.vhosts for facts in all_facts):
        return "no_vhost"
    return "closed" if closed else "empty"


def _closed(facts: BrokerFacts) -> Closed | None:
    found = [vhost.name for vhost in facts.vhosts if vhost.readable is False]
    if not found:
        return None
    names = ", ".join(found[:3]) + (f" and {formats.count(len(found) - 3)} more" if len(found) > 3 else "")
    command = grant_command(found[0], facts.username) if facts.whole else ""
    return Closed(len(found), facts.name, names, command)


def _head(column: Column, params: Params, base: str) -> Head:
    if column.order is None:
        return Head(column, "", "", "")
    active = params.sort_key == column.key
    falls = not params.descending if active else column.falls
    sort = f"-{column.key}" if falls else column.key
    direction = ("descending" if params.descending else "ascending") if active else ""
    return Head(column, sort, f"{base}{params.query(sort=sort)}", direction)


def _page_cells(
    all_facts: Sequence[BrokerFacts],
    rows: Rows,
    params: Params,
    selection: Selection,
    page: int,
    one: BrokerFacts | None,
) -> Cells:
    where = one.name if one else ""
    cells: Cells = {
        "page.matching": Cell(text=matching(rows, selection, params, where)),
        "page.waiting": Cell(text=waiting(rows, selection)),
        "page.total": Cell(text=several_queues(len(rows))),
        "page.range": Cell(text=range_shown(page, params, len(selection.ordered))),
    }
    for name in ("all", "backlog", "no_consumers", "dlq"):
        cells[f"page.{name}"] = Cell(text=formats.count(selection.counts[name]))
    moments = [facts.at_ms for facts in all_facts if facts.at_ms]
    fresh = [facts.at_ms for facts in all_facts if facts.at_ms and facts.fresh]
    if one is not None:
        cells[f"b.{one.id}.age"] = cell.age(one)
        cells["page.reason"] = cell.reason(one)
    elif moments:
        # Of brokers that are silent a note says how old their figures are.
        cells["page.age"] = Cell(since_ms=min(fresh or moments), state="" if fresh else "stale")
        for facts in all_facts:
            if facts.at_ms and not facts.fresh:
                cells[f"b.{facts.id}.last"] = Cell(since_ms=facts.at_ms)
    return cells
