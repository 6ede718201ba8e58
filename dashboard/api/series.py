"""`/brokers/{id}/series`: figures over time, of one object as JSON or of many as a stream."""

from __future__ import annotations

import re
import time

import numpy as np
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from ninja import Query, Router, Schema
from numpy.typing import NDArray
from pydantic import Field

from brokers.collect.models import PollState
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from dashboard.accounts.guards import broker_or_404
from dashboard.accounts.rights import Rights
from dashboard.api.auth import rights
from dashboard.api.openapi import content, problem_answer
from dashboard.api.series_asked import Asked, Form, SeriesQuery, ask, check_amount, form_of
from dashboard.api.series_objects import Subject, subject_of
from dashboard.api.series_rows import Wanted, content_type, rows
from dashboard.api.shapes import Moment, Number, figure_or_never, moment, plain, reason, refuse_unknown
from dashboard.api.streaming import going_on, stream
from dashboard.queries import measured
from dashboard.queries.measured import Series

router = Router(tags=["series"])
Values = dict[str, list[Number | str | None]]


class SeriesAnswer(Schema):
    """Series that share their times. A gap shows as one time at which every value is null.

    Rates are per second, read from counters that only grow: null where the counter restarted. A time that does not end
    (`drain_time` of a queue that grows) is the word `never`.
    """

    broker_id: int
    kind: Kind
    vhost: str | None
    name: str | None
    from_: Moment = Field(alias="from")
    to: Moment
    step: float = Field(description="Seconds between two points.")
    resolution: float = Field(
        description="Seconds that the stored values stand for: longer than `step` nowhere, and 0 where every poll is "
        "kept. What is older is kept more coarsely."
    )
    times: list[Moment]
    values: Values = Field(description="By measure, as long as `times`; null is unknown.")
    low: Values = Field(description="The least within each step, so that no spike is lost; as `values`.")
    high: Values = Field(description="The greatest within each step; as `values`.")
    units: dict[str, str] = Field(description="By measure, as `/measures` has them; rates end in /s.")
    unknown: dict[str, str] = Field(description="Why a measure has no value at all in this span.")


@router.get(
    "/brokers/{int:broker_id}/series",
    response=SeriesAnswer,
    by_alias=True,
    operation_id="get_series",
    summary="Figures over time",
    openapi_extra={
        "responses": {
            200: content(
                {
                    "application/x-ndjson": "A line for each object and time, between one that says what follows and "
                    "one that says that it is whole (`end`: true) or why it is not.",
                    "text/csv": "A row for each object and time under a line of names; unknown is an empty field, a "
                    "time that does not end is `inf`. It is whole where the transfer ends as it should.",
                }
            ),
            429: problem_answer(429),
        }
    },
)
def get_series(request: HttpRequest, broker_id: int, query: Query[SeriesQuery]) -> HttpResponseBase:
    """Any measures of a broker, node, vhost, exchange or queue between two moments.

    As JSON of one object. As JSON lines or CSV (`format`, or the header Accept) of as many as are named, or of all that
    you see: all queues of a vhost, all vhosts; they are streamed, and rows ascend by time.

    Of a broker, a person limited to vhosts gets the sums over those vhosts; what only the broker as a whole has
    is unknown to them. Objects that are gone keep their history.
    """
    refuse_unknown(request, SeriesQuery)
    person = rights(request)
    broker = broker_or_404(person, broker_id)
    form = form_of(query, request.headers.get("Accept", ""))
    asked = ask(query, time.time_ns() // 1_000_000, form)
    subject = subject_of(person, broker, query.kind, query.vhost, query.name)
    if form is not Form.JSON:
        return _streamed(request, person, broker, query, asked, subject, form)
    possible = measured.names(subject.kind)
    series = measured.read(
        broker.pk,
        subject.kind,
        subject.slots,
        [name for name in asked.metrics if name in possible],
        asked.start_ms,
        asked.end_ms,
        step_ms=asked.step_ms,
    )
    return _answer(person, broker, query, asked, subject, series)


def _streamed(
    request: HttpRequest, person: Rights, broker: Broker, query: SeriesQuery, asked: Asked, subject: Subject, form: Form
) -> HttpResponseBase:
    check_amount(asked, query.kind, len(subject.objects))
    wanted = Wanted(broker.pk, query.kind, subject, asked, form, query.spread)
    plain_name = re.sub(r"[^A-Za-z0-9-]+", "-", broker.name).strip("-")[:40] or "broker"
    name = f"{plain_name}-{query.kind}-{asked.start_ms // 1000}-{asked.end_ms // 1000}.{form}"
    return stream(request, person, rows(wanted, going_on(request, person)), content_type(form), name)


def _answer(
    person: Rights, broker: Broker, query: SeriesQuery, asked: Asked, subject: Subject, series: Series
) -> HttpResponse:
    times = [moment(at) or "" for at in series.times_ms.tolist()]
    nothing: list[Number | str | None] = [None] * len(times)
    values: Values = {}
    low: Values = {}
    high: Values = {}
    unknown: dict[str, str] = {}
    possible = measured.names(subject.kind)
    told = _told(broker) if person.sees_whole(broker.pk) else {}
    for name in asked.metrics:
        if name not in possible:
            values[name] = low[name] = high[name] = nothing
            unknown[name] = "This belongs to the broker as a whole; you see some of its vhosts."
            continue
        column = series.values[name]
        values[name] = _shown(column)
        low[name], high[name] = _shown(series.low[name]), _shown(series.high[name])
        if not len(column) or np.isnan(column).all():
            unknown[name] = reason(subject.kind, name, told) or "Warren has no value of it in this span."
    return plain(
        {
            "broker_id": broker.pk,
            "kind": query.kind,
            "vhost": next(iter(query.vhost), None),
            "name": next(iter(query.name), None),
            "from": moment(asked.start_ms),
            "to": moment(asked.end_ms),
            "step": asked.step_ms / 1000,
            "resolution": series.resolution_ms / 1000,
            "times": times,
            "values": values,
            "low": low,
            "high": high,
            "units": {name: measured.unit(query.kind, name) for name in asked.metrics},
            "unknown": unknown,
        }
    )


def _shown(column: NDArray[np.float64]) -> list[Number | str | None]:
    return [figure_or_never(value) for value in column.tolist()]


def _told(broker: Broker) -> dict[str, str]:
    stored = PollState.objects.filter(broker=broker).values_list("unknown", flat=True).first()
    return dict(stored or {})
