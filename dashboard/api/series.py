"""`/brokers/{id}/series`: figures of one object over time."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
from django.http import Http404, HttpRequest, HttpResponse
from ninja import Query, Router, Schema
from pydantic import Field

from brokers.collect.models import PollState
from brokers.registry.models import Broker, BrokerObject
from brokers.series.metrics import METRICS, RATES, Kind, readable_names
from brokers.series.read import DEFAULT_POINTS, Series, read
from dashboard.accounts.guards import broker_or_404
from dashboard.accounts.rights import Rights
from dashboard.api import moments
from dashboard.api.auth import rights
from dashboard.api.broker_shapes import shown_names
from dashboard.api.problems import ProblemError
from dashboard.api.shapes import Moment, Number, Text, figure, moment, plain, refuse_unknown

router = Router(tags=["series"])
MOST_POINTS = 3_000
USUAL_SPAN_MS = 3_600_000
_LONGEST_STEP_S = 31 * 86_400


class SeriesQuery(Schema):
    """What is asked for."""

    kind: Kind = Field(description="What the series belong to.")
    vhost: Text | None = Field(None, description="With kind vhost, exchange and queue.")
    name: Text | None = Field(None, description="With kind node, exchange and queue.")
    metrics: str = Field(
        "",
        description="Gauges, counters and rates, separated by commas (`ready,publish_rate`). "
        "Empty: all gauges and rates of the kind.",
    )
    from_: str = Field(
        "", alias="from", description="RFC 3339 or Unix seconds; an hour before `to` where it is not given."
    )
    to: str = Field("", description="RFC 3339 or Unix seconds; now where it is not given.")
    step: float | None = Field(
        None,
        ge=1,
        le=_LONGEST_STEP_S,
        allow_inf_nan=False,
        description=f"Seconds between two points; as is fit for about {DEFAULT_POINTS} points where it is not given. "
        f"At most {MOST_POINTS} points are possible.",
    )


class SeriesAnswer(Schema):
    """Series that share their times. A gap shows as one time at which every value is null.

    Rates are per second, read from counters that only grow: null where the counter restarted.
    """

    broker_id: int
    kind: Kind
    vhost: str | None
    name: str | None
    from_: Moment = Field(alias="from")
    to: Moment
    step: float = Field(description="Seconds.")
    times: list[Moment]
    values: dict[str, list[Number | None]] = Field(description="By metric, as long as `times`; null is unknown.")
    units: dict[str, str] = Field(description="By metric: messages, bytes, count, s, flag; rates end in /s.")
    unknown: dict[str, str] = Field(description="Why a metric has no value at all in this span.")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that can be answered. Milliseconds."""

    metrics: tuple[str, ...]
    start_ms: int
    end_ms: int
    step_ms: int


@router.get(
    "/brokers/{int:broker_id}/series",
    response=SeriesAnswer,
    by_alias=True,
    operation_id="get_series",
    summary="Figures over time",
)
def get_series(request: HttpRequest, broker_id: int, query: Query[SeriesQuery]) -> HttpResponse:
    """Gauges, counters and rates of a broker, node, vhost, exchange or queue between two moments.

    Of a broker, a person limited to vhosts gets the sums over those vhosts; what only the broker as a whole has
    is unknown to them. Objects that are gone keep their history.
    """
    refuse_unknown(request, SeriesQuery)
    person = rights(request)
    broker = broker_or_404(person, broker_id)
    asked = ask(query, time.time_ns() // 1_000_000)
    kind, slots = _subject(person, broker, query)
    possible = readable_names(kind)
    series = read(
        broker.pk,
        kind,
        slots,
        [name for name in asked.metrics if name in possible],
        asked.start_ms,
        asked.end_ms,
        step_ms=asked.step_ms,
    )
    return _answer(person, broker, query, asked, kind, series)


def ask(query: SeriesQuery, now_ms: int) -> Asked:
    """Return what is asked for in numbers. Raises ProblemError (422) with a sentence for each parameter. Pure."""
    errors = _names_missing(query)
    end_ms, start_ms = now_ms, None
    try:
        end_ms = moments.parse(query.to) if query.to else now_ms
    except ValueError as error:
        errors["to"] = str(error)
    try:
        start_ms = moments.parse(query.from_) if query.from_ else max(0, end_ms - USUAL_SPAN_MS)
    except ValueError as error:
        errors["from"] = str(error)
    metrics = tuple(dict.fromkeys(filter(None, map(str.strip, query.metrics.split(",")))))
    possible = readable_names(query.kind)
    strange = [name for name in metrics if name not in possible]
    if strange:
        few = ", ".join(name[:40] for name in strange[:5])
        errors["metrics"] = f"A {query.kind} has no {few}. These are possible: {', '.join(possible)}."
    if start_ms is not None and not errors and start_ms >= end_ms:
        errors["from"] = "The span is empty: `from` must lie before `to`."
    if errors or start_ms is None:
        raise ProblemError(422, errors=errors)
    span_ms = end_ms - start_ms
    if query.step is None:
        step_ms = max(1, span_ms // DEFAULT_POINTS)
    else:
        step_ms = round(query.step * 1000)
        points = math.ceil(span_ms / step_ms)
        if points > MOST_POINTS:
            least = math.ceil(span_ms / MOST_POINTS / 1000)
            raise ProblemError(
                422,
                errors={
                    "step": f"This asks for {points:,} points; {MOST_POINTS:,} are possible. "
                    f"Ask for a step of at least {least:,} s, or for a shorter span."
                },
            )
    return Asked(metrics or shown_names(query.kind), start_ms, end_ms, step_ms)


def _names_missing(query: SeriesQuery) -> dict[str, str]:
    needs = {
        Kind.BROKER: (),
        Kind.NODE: ("name",),
        Kind.VHOST: ("vhost",),
        Kind.EXCHANGE: ("vhost", "name"),
        Kind.QUEUE: ("vhost", "name"),
    }[query.kind]
    errors: dict[str, str] = {}
    for field in ("vhost", "name"):
        given = getattr(query, field)
        if field in needs and given is None:
            errors[field] = f"A series of kind {query.kind} needs a {field}."
        elif field not in needs and given is not None:
            errors[field] = f"A series of kind {query.kind} takes no {field}."
    return errors


def _subject(person: Rights, broker: Broker, query: SeriesQuery) -> tuple[Kind, list[int]]:
    """Return whose figures are read, or summed. Raises Http404 alike for what is hidden and what is not there."""
    kind, whole = query.kind, person.sees_whole(broker.pk)
    if kind is Kind.BROKER and whole:
        return Kind.BROKER, [0]
    objects = BrokerObject.objects.filter(broker=broker)
    if kind is Kind.BROKER:
        sees = person.vhost_test(broker.pk)
        rows = objects.filter(kind=Kind.VHOST.value).values_list("slot", "name")
        return Kind.VHOST, [slot for slot, name in rows if sees(name)]
    vhost, name = query.vhost or "", query.name or ""
    seen = whole if kind is Kind.NODE else person.sees_vhost(broker.pk, vhost)
    # The registry names a vhost as an object without a vhost.
    place = ("", vhost) if kind is Kind.VHOST else ("", name) if kind is Kind.NODE else (vhost, name)
    slot = None
    if seen:
        row = objects.filter(kind=kind.value, vhost=place[0], name=place[1])
        slot = row.values_list("slot", flat=True).first()
    if slot is None:
        raise Http404(f"{broker.name} has no such {kind}, or none that you may see.")
    return kind, [slot]


def _answer(
    person: Rights, broker: Broker, query: SeriesQuery, asked: Asked, kind: Kind, series: Series
) -> HttpResponse:
    times = [moment(at) or "" for at in series.times_ms.tolist()]
    values: dict[str, list[float | None]] = {}
    unknown: dict[str, str] = {}
    possible = readable_names(kind)
    told = _told(broker) if person.sees_whole(broker.pk) else {}
    for name in asked.metrics:
        if name not in possible:
            values[name] = [None] * len(times)
            unknown[name] = "This belongs to the broker as a whole; you see some of its vhosts."
            continue
        column = series.values[name]
        values[name] = [figure(value) for value in column.tolist()]
        if not len(column) or np.isnan(column).all():
            counter = RATES.get(name, name)
            unknown[name] = (
                told.get(f"{kind}.{name}") or told.get(f"{kind}.{counter}") or "Warren has no value of it in this span."
            )
    return plain(
        {
            "broker_id": broker.pk,
            "kind": query.kind,
            "vhost": query.vhost,
            "name": query.name,
            "from": moment(asked.start_ms),
            "to": moment(asked.end_ms),
            "step": asked.step_ms / 1000,
            "times": times,
            "values": values,
            "units": {name: unit(query.kind, name) for name in asked.metrics},
            "unknown": unknown,
        }
    )


def _told(broker: Broker) -> dict[str, str]:
    stored = PollState.objects.filter(broker=broker).values_list("unknown", flat=True).first()
    return dict(stored or {})


def unit(kind: Kind, name: str) -> str:
    """Return the unit of a metric or a rate; a rate's ends in /s."""
    units = {metric.name: metric.unit for metric in METRICS[kind]}
    counter = RATES.get(name)
    return f"{units[counter]}/s" if counter else units[name]
