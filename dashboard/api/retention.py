"""`/brokers/{id}/retention`: how long each resolution of a broker's history is kept, and the disk that takes."""

from __future__ import annotations

from dataclasses import asdict

from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import ConfigDict, Field

from brokers.registry.models import Broker
from brokers.series.retention import retention_of
from dashboard.accounts.guards import broker_or_404, require
from dashboard.accounts.rights import Role
from dashboard.acting import retention as acting
from dashboard.api.auth import actor, rights
from dashboard.api.problems import ProblemError
from dashboard.api.shapes import Moment, Text, moment, refuse_unknown
from dashboard.queries.retention import Kept, Plan, entered, plan

router = Router(tags=["brokers"])


class RetentionFields(Schema):
    """How long each resolution is kept; each at least as long as the one before it. What is not sent stays."""

    raw_h: int | None = Field(None, description="Every poll, hours.")
    minute_d: int | None = Field(None, description="One minute (mean, least, greatest), days.")
    ten_minutes_d: int | None = Field(None, description="Ten minutes, days.")
    hour_d: int | None = Field(None, description="One hour, days.")


class RetentionChange(RetentionFields):
    """A retention to be kept from now on."""

    model_config = ConfigDict(extra="forbid")

    confirm: Text = Field("", description="The broker's name: needed where history is deleted by it.")


class LevelKept(Schema):
    """One resolution."""

    field: str = Field(description="raw_h, minute_d, ten_minutes_d or hour_d.")
    kept: int = Field(description="In the field's own unit.")
    used_bytes: int = Field(description="What is stored of it now.")
    predicted_bytes: int = Field(description="What it will take once it is as old as it may become.")
    oldest: Moment | None
    deleted_bytes: int = Field(description="What is stored now and would be deleted.")
    deleted_until: Moment | None


class RetentionAnswer(Schema):
    """What is kept, what it takes now, and what it will take."""

    broker_id: int
    raw_h: int
    minute_d: int
    ten_minutes_d: int
    hour_d: int
    used_bytes: int
    predicted_bytes: int = Field(
        description="Once the history is as long as it may become, as large and as busy as the broker was lately."
    )
    levels: list[LevelKept]


@router.get(
    "/brokers/{int:broker_id}/retention",
    response=RetentionAnswer,
    operation_id="get_retention",
    summary="How long history is kept",
)
def get_retention(request: HttpRequest, broker_id: int, query: Query[RetentionFields]) -> RetentionAnswer:
    """How long a broker's history is kept, and the disk that takes. Takes an administrator of the broker.

    With fields in the address: what it would be with these, before anything is changed.
    """
    refuse_unknown(request, RetentionFields)
    return _answer(_plan(request, broker_id, query.model_dump(exclude_none=True)))


@router.put(
    "/brokers/{int:broker_id}/retention",
    response=RetentionAnswer,
    operation_id="set_retention",
    summary="Keep history for so long",
)
def set_retention(request: HttpRequest, broker_id: int, given: RetentionChange) -> RetentionAnswer:
    """Keep a broker's history for so long from now on. Takes an administrator of the broker.

    What is older is deleted within the hour. Where there is such history, `confirm` must be the broker's name: 409 says
    what would go.
    """
    refuse_unknown(request)
    planned = _plan(request, broker_id, given.model_dump(exclude_none=True, exclude={"confirm"}))
    try:
        acting.keep(actor(request), planned, given.confirm)
    except acting.UnconfirmedError as error:
        raise ProblemError(409, str(error), {"confirm": f"Send the broker's name: {planned.broker.name}"}) from error
    return _answer(plan(planned.broker, planned.retention))


def _plan(request: HttpRequest, broker_id: int, given: dict[str, object]) -> Plan:
    person = rights(request)
    broker = broker_or_404(person, broker_id)
    require(person, Role.ADMINISTRATOR, broker)
    return planned(broker, given)


def planned(broker: Broker, given: dict[str, object]) -> Plan:
    """Return what fields mean for a broker. Raises ProblemError (422)."""
    retention, errors = entered(given, retention_of(broker.pk))
    if errors:
        raise ProblemError(422, errors=errors)
    return plan(broker, retention)


def _answer(shown: Plan) -> RetentionAnswer:
    return RetentionAnswer(
        broker_id=shown.broker.pk,
        **asdict(shown.retention),
        used_bytes=shown.used_bytes,
        predicted_bytes=shown.predicted_bytes,
        levels=[_level(one) for one in shown.levels],
    )


def _level(one: Kept) -> LevelKept:
    return LevelKept(
        field=one.field.name,
        kept=one.value,
        used_bytes=one.used_bytes,
        predicted_bytes=one.predicted_bytes,
        oldest=moment(one.oldest_ms),
        deleted_bytes=one.deleted_bytes,
        deleted_until=moment(one.deleted_to_ms),
    )
