"""`/brokers/{id}/queues`: the queues of a broker as a list, and one queue by its vhost and name."""

from __future__ import annotations

import math
import time
from enum import StrEnum
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from ninja import Query, Router, Schema
from pydantic import Field

from brokers.lag.measures import Form, measure, measures_of
from brokers.lag.present import column
from brokers.registry.slots import KnownObject
from brokers.series.metrics import Kind
from dashboard.accounts.rights import Rights
from dashboard.api.auth import rights
from dashboard.api.problems import ProblemError
from dashboard.api.shapes import (
    Figures,
    Moment,
    Page,
    PageQuery,
    Text,
    Unknown,
    cut,
    figures,
    moment,
    next_page,
    plain,
    reasons,
    refuse_unknown,
)
from dashboard.api.undecoded import decoded
from dashboard.queries.broker_facts import BrokerFacts, facts_of
from dashboard.queries.queue_readers import readers_of
from dashboard.queries.queues import rows_of
from dashboard.queries.queues_params import Params
from dashboard.queries.queues_select import select
from dashboard.queries.queues_states import State, ranks, state_at
from dashboard.queries.queues_table import Part, Rows, detail_of

router = Router(tags=["queues"])
FIGURES = (
    *("ready", "unacked", "total", "consumers", "publish_rate", "deliver_rate", "ack_rate", "redeliver_rate"),
    *("time_lag", "lag_source", "growth", "drain_time", "consumer_state", "redeliver_ratio", "prefetch_used"),
)
_EVERY_FIGURE = tuple(dict.fromkeys((*FIGURES, *(one.name for one in measures_of(Kind.QUEUE)))))
# What ends a sentence about an expression on a page, where the list is then shown unfiltered.
_ON_A_PAGE = " The list is not filtered by name."
_NAMES_LONGEST = 500


class Order(StrEnum):
    """Which way a list is ordered; what is unknown stands last both ways."""

    ASCENDING = "asc"
    DESCENDING = "desc"


class Sort(StrEnum):
    """What a list is ordered by: a field of its items or one of their figures. Equal ones follow by name."""

    NAME = "name"
    VHOST = "vhost"
    TYPE = "type"
    STATE = "state"
    POLICY = "policy"
    READY = "ready"
    UNACKED = "unacked"
    TOTAL = "total"
    CONSUMERS = "consumers"
    PUBLISH_RATE = "publish_rate"
    DELIVER_RATE = "deliver_rate"
    ACK_RATE = "ack_rate"
    REDELIVER_RATE = "redeliver_rate"
    TIME_LAG = "time_lag"
    GROWTH = "growth"
    DRAIN_TIME = "drain_time"
    REDELIVER_RATIO = "redeliver_ratio"
    PREFETCH_USED = "prefetch_used"


class QueuesQuery(PageQuery):
    """Which queues, in what order."""

    vhost: Text = Field("", description="The whole name of a vhost.")
    name: Text = Field("", max_length=_NAMES_LONGEST, description="Part of a queue's name, whatever its case.")
    regex: bool = Field(False, description="Take `name` for a regular expression (RE2, without case).")
    type: Text = Field("", description="classic, quorum, stream or another type that the broker names.")
    state: State | None = Field(None, description="As it stands in the items.")
    has_backlog: bool = Field(False, description="Only queues with messages ready.")
    no_consumers: bool = Field(False, description="Only queues that nobody consumes.")
    dlq: bool = Field(False, description="Only dead-letter queues, by topology or by name.")
    sort: Sort = Sort.NAME
    order: Order = Order.ASCENDING


class QueueItem(Schema):
    """A queue in a list."""

    broker_id: int
    vhost: str
    name: str
    state: State
    type: str | None = Field(description="Null is unknown, as with all that follows of the definition.")
    durable: bool | None
    auto_delete: bool | None
    exclusive: bool | None
    policy: str | None
    is_dlq: bool = Field(description="Letters of other queues are routed here, as the topology says.")
    named_like_dlq: bool = Field(description="It is named like a dead-letter queue.")
    at: Moment = Field(description="The moment of the figures; in state `stale` they are the last there were.")
    figures: Figures
    unknown: Unknown


class StreamReader(Schema):
    """A consumer of a stream that reads by the stream protocol. Null is unknown."""

    group: str = Field(description="The name that consumers of a group share; empty for none.")
    connection: str
    subscription: int | None
    active: bool | None = Field(description="False: it waits for its turn in its group.")
    offset: int | None = Field(description="Of the last message that was sent to it.")
    behind: int | None = Field(description="Messages between that and the end of the stream.")
    behind_s: float | None = Field(description="Seconds since the next message that it gets came in.")
    at_least: bool = Field(description="That message is older than what is known of the stream.")


class StreamReaders(Schema):
    """Who read a stream at a moment, by group, those furthest behind first."""

    at: Moment | None = Field(description="When the broker told it; null: it did not.")
    readers: list[StreamReader]
    why: str = Field(description="Why it is not known, where it is not.")


class QueueFull(QueueItem):
    """A queue with its definition, all its measures and its counters."""

    operator_policy: str | None
    arguments: dict[str, Any]
    effective_policy: dict[str, Any] = Field(description="What the policies that apply set together.")
    dead_letters_of: list[str] = Field(description="Queues whose letters are routed here, the first of them by name.")
    dead_letter_sources: int = Field(description="How many queues these are in all.")
    waits: bool = Field(description="Messages only wait here for their time, as in a retry: nobody is to consume it.")
    node: str | None = Field(description="The node that leads it; null also for who does not see the whole broker.")
    members: list[str] | None = Field(description="Nodes that hold it; null for who does not see the whole broker.")
    online: list[str] | None
    first_seen: Moment | None
    broker_state: str | None = Field(description="The broker's own word for the queue's state.")
    stream_readers: StreamReaders | None = Field(
        description="Consumers by the stream protocol; null where it is no stream."
    )


@router.get(
    "/brokers/{int:broker_id}/queues",
    response=Page[QueueItem],
    operation_id="list_queues",
    summary="List queues",
)
def list_queues(request: HttpRequest, broker_id: int, query: Query[QueuesQuery]) -> HttpResponse:
    """The queues of a broker that you may see, filtered and in order. All filters must match."""
    refuse_unknown(request, QueuesQuery)
    person = rights(request)
    facts = _facts(person, broker_id)
    rows = rows_of(person, [facts])
    found = select(rows, _params(query))
    if found.name_error:
        raise ProblemError(422, errors={"name": found.name_error.removesuffix(_ON_A_PAGE)})
    ordered = found.ordered.tolist()
    worst = ranks(rows)
    return plain(
        {
            "items": [_item(facts, rows, row, state_at(int(worst[row]))) for row in cut(ordered, query)],
            "total": len(ordered),
            "page": query.page,
            "page_size": query.page_size,
            "next": next_page(request, query, len(ordered)),
        }
    )


@router.get(
    "/brokers/{int:broker_id}/queues/{vhost}/{name}",
    response=QueueFull,
    operation_id="get_queue",
    summary="Get a queue",
)
def get_queue(request: HttpRequest, broker_id: int, vhost: str, name: str) -> QueueFull:
    """One queue by its vhost and name, both percent-encoded: the queue `a/b` of the vhost `/` is `%2F/a%2Fb`."""
    refuse_unknown(request)
    person = rights(request)
    facts = _facts(person, broker_id)
    rows = rows_of(person, [facts])
    row = _row(rows, decoded(vhost), decoded(name))
    if row is None:
        raise Http404(f"{facts.name} has no such queue now, or none that you may see.")
    known = _known(rows, row)
    detail = detail_of(known.detail)
    told = _item(facts, rows, row, state_at(int(ranks(rows)[row])), _EVERY_FIGURE)
    return QueueFull(
        **told,
        operator_policy=detail.operator_policy,
        arguments=detail.arguments,
        effective_policy=detail.effective_policy,
        dead_letters_of=list(detail.dead_letters_of),
        dead_letter_sources=detail.dead_letter_sources,
        waits=detail.waits,
        node=detail.node if facts.whole else None,
        members=list(detail.members) if facts.whole else None,
        online=list(detail.online) if facts.whole else None,
        first_seen=moment(known.first_seen_ms or None),
        broker_state=detail.state,
        stream_readers=_readers(facts.id, known) if detail.type == "stream" else None,
    )


def _readers(broker_id: int, known: KnownObject) -> StreamReaders:
    told, found = readers_of(broker_id, known.vhost, known.name)
    fields = StreamReader.model_fields
    return StreamReaders(
        at=moment(told.at_ms),
        readers=[StreamReader(**{name: getattr(one, name) for name in fields}) for one in found],
        why=told.why,
    )


def _facts(person: Rights, broker_id: int) -> BrokerFacts:
    found = facts_of(person, time.time_ns() // 1_000_000, [broker_id])
    if not found:
        raise Http404("There is no such broker, or none that you may see.")
    return found[0]


def _params(query: QueuesQuery) -> Params:
    """Return the question as the pages' own list of queues takes it."""
    key = query.sort.value.removesuffix("_rate")
    return Params(
        name=query.name,
        regex=query.regex,
        vhost=query.vhost,
        type=query.type,
        state=query.state.value if query.state else "",
        backlog=query.has_backlog,
        no_consumers=query.no_consumers,
        dlq=query.dlq,
        sort=f"-{key}" if query.order is Order.DESCENDING else key,
    )


def _row(rows: Rows, vhost: str, name: str) -> int | None:
    """Return the row of a queue, None where the person sees no such queue."""
    matching = rows.text("name").where(name.__eq__) & rows.text("vhost").where(vhost.__eq__)
    found = matching.nonzero()[0]
    return int(found[0]) if len(found) else None


def _known(rows: Rows, row: int) -> KnownObject:
    part = rows.parts[int(rows.part[row])]
    return part.table.objects[int(rows.local[row])]


def _item(facts: BrokerFacts, rows: Rows, row: int, state: State, names: tuple[str, ...] = FIGURES) -> dict[str, Any]:
    part = rows.parts[int(rows.part[row])]
    known = _known(rows, row)
    detail = detail_of(known.detail)
    values = {name: _value(part, int(rows.local[row]), name) for name in names}
    found = figures(values, names)
    return {
        "broker_id": facts.id,
        "vhost": known.vhost,
        "name": known.name,
        "state": state,
        "type": detail.type,
        "durable": detail.durable,
        "auto_delete": detail.auto_delete,
        "exclusive": detail.exclusive,
        "policy": detail.policy,
        "is_dlq": bool(detail.dead_letters_of),
        "named_like_dlq": detail.named_like_dlq,
        "at": moment(facts.at_ms) or "",
        "figures": found,
        "unknown": reasons(found, Kind.QUEUE, part.unknown, part.why),
    }


def _value(part: Part, row: int, name: str) -> float:
    """Return a measure of a queue; of a broker that is silent only its last stocks are known."""
    one = measure(Kind.QUEUE, name)
    if part.shown is None or one is None:
        return math.nan
    if not part.fresh and one.form not in {Form.GAUGE, Form.COUNTER} and name != "total":
        return math.nan
    return float(column(part.shown, Kind.QUEUE, name)[row])
