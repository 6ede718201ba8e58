"""`/measures`: what can be asked for over time. `/brokers/{id}/top`: the objects that have most of one."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Any

from django.http import Http404, HttpRequest
from ninja import Query, Router, Schema
from pydantic import Field

from brokers.lag.measures import Form, Measure, measures_of
from brokers.registry.models import Broker, BrokerObject
from brokers.series.metrics import Kind
from dashboard.accounts.guards import broker_or_404
from dashboard.accounts.rights import Rights
from dashboard.api.auth import rights
from dashboard.api.problems import ProblemError
from dashboard.api.series_asked import measures_wrong, span_of
from dashboard.api.series_objects import subject_of
from dashboard.api.shapes import Moment, Number, Text, figure_or_never, moment, refuse_unknown
from dashboard.queries import measured

router = Router(tags=["series"])
MOST_RANKED = 500


class MeasuresQuery(Schema):
    """Which measures."""

    kind: Kind | None = Field(None, description="Only those of this kind.")


class MeasureItem(Schema):
    """A measure: its name is the same on pages, in charts, in this API and in `/metrics`."""

    name: str
    label: str = Field(description="As pages write it.")
    kinds: list[Kind]
    unit: str = Field(description="messages, messages/s, messages/min, count, count/s, bytes, ratio, s, …")
    form: Form = Field(description="Whether it is stored (gauge, counter, state), read from a counter, or derived.")
    says: str
    formula: str
    source: str = Field(description="Where its numbers come from.")


class By(StrEnum):
    """What of an object's values between two moments it is ranked by."""

    MEAN = "mean"
    MAX = "max"
    MIN = "min"
    LAST = "last"


class TopQuery(Schema):
    """What is ranked."""

    kind: Kind = Field(Kind.QUEUE, description="Any but broker.")
    measure: str = Field(description="One of `/measures`.")
    n: int = Field(20, ge=1, le=MOST_RANKED, description=f"How many, at most {MOST_RANKED}.")
    by: By = By.MEAN
    vhost: list[Text] = Field([], max_length=500, description="Only in these vhosts; none: in all that you see.")
    from_: str = Field(
        "", alias="from", description="RFC 3339 or Unix seconds; an hour before `to` where it is not given."
    )
    to: str = Field("", description="RFC 3339 or Unix seconds; now where it is not given.")


class RankedItem(Schema):
    """One of the highest."""

    vhost: str | None
    name: str
    value: Number | str = Field(description="`never` for a time that does not end.")
    gone: bool = Field(description="The object is not there any more.")


class TopAnswer(Schema):
    """The highest first; what is unknown is not among them."""

    broker_id: int
    kind: Kind
    measure: str
    unit: str
    by: By
    from_: Moment = Field(alias="from")
    to: Moment
    items: list[RankedItem]


@router.get("/measures", response=list[MeasureItem], operation_id="list_measures", summary="List measures")
def list_measures(request: HttpRequest, query: Query[MeasuresQuery]) -> list[dict[str, Any]]:
    """Everything that Warren measures, stored and derived, with formula, unit and where the numbers come from."""
    refuse_unknown(request, MeasuresQuery)
    found: dict[tuple[str, str, str], tuple[Measure, list[Kind]]] = {}
    for kind in Kind:
        for one in measures_of(kind):
            key = (one.name, one.formula, one.says)
            found.setdefault(key, (one, []))[1].append(kind)
    return [_item(one, kinds) for one, kinds in found.values() if query.kind is None or query.kind in kinds]


@router.get(
    "/brokers/{int:broker_id}/top",
    response=TopAnswer,
    by_alias=True,
    operation_id="get_top",
    summary="The highest by a measure",
)
def get_top(request: HttpRequest, broker_id: int, query: Query[TopQuery]) -> dict[str, Any]:
    """The objects of a kind with the highest mean, greatest, least or last value of a measure between two moments."""
    refuse_unknown(request, TopQuery)
    person = rights(request)
    broker = broker_or_404(person, broker_id)
    start_ms, end_ms = _asked(query)
    ranked = measured.top(
        broker.pk,
        query.kind,
        query.measure,
        query.n,
        start_ms,
        end_ms,
        by=query.by.value,
        slots=_slots(person, broker, query),
    )
    rows = BrokerObject.objects.filter(broker=broker, kind=query.kind.value, slot__in=[one.slot for one in ranked])
    named = {row.slot: row for row in rows}
    inside = query.kind in {Kind.EXCHANGE, Kind.QUEUE}
    return {
        "broker_id": broker.pk,
        "kind": query.kind,
        "measure": query.measure,
        "unit": measured.unit(query.kind, query.measure),
        "by": query.by,
        "from": moment(start_ms),
        "to": moment(end_ms),
        "items": [
            {
                "vhost": named[one.slot].vhost if inside else None,
                "name": named[one.slot].name,
                "value": figure_or_never(one.value),
                "gone": named[one.slot].gone_ms is not None,
            }
            for one in ranked
            if one.slot in named
        ],
    }


def _item(one: Measure, kinds: list[Kind]) -> dict[str, Any]:
    return {
        "name": one.name,
        "label": one.label,
        "kinds": kinds,
        "unit": one.unit,
        "form": one.form,
        "says": one.says,
        "formula": one.formula,
        "source": one.source,
    }


def _asked(query: TopQuery) -> tuple[int, int]:
    start_ms, end_ms, errors = span_of(query.from_, query.to, time.time_ns() // 1_000_000)
    if query.kind is Kind.BROKER:
        errors["kind"] = "A broker is one: rank its nodes, vhosts, exchanges or queues."
    elif "," in query.measure or measures_wrong(query.kind, query.measure) or not query.measure.strip():
        errors["measure"] = measures_wrong(query.kind, query.measure) or "Name one measure."
    if query.vhost and query.kind not in {Kind.EXCHANGE, Kind.QUEUE}:
        errors["vhost"] = f"A {query.kind} is in no vhost."
    if errors:
        raise ProblemError(422, errors=errors)
    return start_ms, end_ms


def _slots(person: Rights, broker: Broker, query: TopQuery) -> list[int] | None:
    """Return what may be ranked, None for everything of the kind."""
    if person.sees_whole(broker.pk) and not query.vhost:
        return None
    if query.kind is Kind.NODE and not person.sees_whole(broker.pk):
        raise Http404(f"{broker.name} has no such node, or none that you may see.")
    return subject_of(person, broker, query.kind, query.vhost, ()).slots
