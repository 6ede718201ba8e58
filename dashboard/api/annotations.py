"""`/annotations`: notes in time on charts, such as deploys and incidents."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Any, Literal

from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from ninja import Query, Router, Schema, Status
from pydantic import ConfigDict, Field

from dashboard.acting import annotations as acting
from dashboard.annotations.entered import Entered, problems
from dashboard.annotations.models import LONGEST, Annotation
from dashboard.annotations.seen import ids_seen, sees
from dashboard.api import moments
from dashboard.api.auth import actor, rights
from dashboard.api.problems import ProblemError
from dashboard.api.shapes import Moment, Page, PageQuery, Text, cut, moment, next_page, refuse_unknown

router = Router(tags=["annotations"])
Kind = Literal["deploy", "incident", "note"]
_WHEN = "RFC 3339 or Unix seconds"


class Note(Schema):
    """A note in time. Without `end` it is about a moment."""

    id: int
    kind: str = Field(json_schema_extra={"enum": list(Annotation.Kind.values)})
    text: str
    at: Moment
    end: Moment | None
    broker_id: int | None = Field(description="Null: on all brokers.")
    vhost: str | None = Field(description="Null: on the whole broker.")
    who: str = Field(description="Who wrote it.")


class NewNote(Schema):
    """A note to write."""

    model_config = ConfigDict(extra="forbid")

    text: Text = Field(max_length=4 * LONGEST, description=f"One line, at most {LONGEST} characters.")
    kind: Kind = "note"
    at: str = Field("", max_length=40, description=f"{_WHEN}; now where it is not given.")
    end: str | None = Field(None, max_length=40, description=f"{_WHEN}, where it is about a span of time.")
    broker_id: int | None = Field(None, strict=True, ge=1, le=2**63 - 1, description="Null: on all brokers.")
    vhost: Text | None = Field(None, max_length=255, description="Null: on the whole broker.")


class NotesQuery(PageQuery):
    """Which notes."""

    from_: str = Field("", alias="from", description=f"Only what ended no earlier. {_WHEN}.")
    to: str = Field("", description=f"Only what began no later. {_WHEN}.")
    kind: Kind | None = None
    broker_id: int | None = Field(None, ge=1, le=2**63 - 1, description="Those of one broker, and of all brokers.")


@router.get("/annotations", response=Page[Note], operation_id="list_annotations", summary="List notes")
def list_annotations(request: HttpRequest, query: Query[NotesQuery]) -> dict[str, Any]:
    """The notes that you may see, newest first: those on all brokers, on brokers and on vhosts that you see."""
    refuse_unknown(request, NotesQuery)
    found = Annotation.objects.all()
    start_ms, end_ms = _moment("from", query.from_), _moment("to", query.to)
    if start_ms is not None and end_ms is not None and start_ms > end_ms:
        raise ProblemError(422, errors={"from": "The span is empty: `from` must not lie after `to`."})
    if start_ms is not None:
        found = found.filter(Q(at_ms__gte=start_ms) | Q(end_ms__gte=start_ms))
    if end_ms is not None:
        found = found.filter(at_ms__lte=end_ms)
    if query.kind is not None:
        found = found.filter(kind=query.kind)
    if query.broker_id is not None:
        found = found.filter(Q(broker=None) | Q(broker=query.broker_id))
    seen = ids_seen(rights(request), found)
    shown = cut(seen, query)
    notes = Annotation.objects.in_bulk(shown)
    return {
        "items": [_note(notes[pk]) for pk in shown if pk in notes],
        "total": len(seen),
        "page": query.page,
        "page_size": query.page_size,
        "next": next_page(request, query, len(seen)),
    }


@router.post("/annotations", response={201: Note}, operation_id="add_annotation", summary="Write a note")
def add_annotation(request: HttpRequest, response: HttpResponse, given: NewNote) -> Status[Note]:
    """Write a note on all brokers, on one broker or on one vhost of it. Takes an operator of that scope.

    Everybody who sees the broker (or the vhost) sees it, and reads its text.
    """
    refuse_unknown(request)
    now_ms = time.time_ns() // 1_000_000
    at_ms = _moment("at", given.at)
    entered = Entered(
        kind=given.kind,
        text=given.text,
        at_ms=now_ms if at_ms is None else at_ms,
        end_ms=_moment("end", given.end or ""),
        broker_id=given.broker_id,
        vhost=given.vhost,
    )
    wrong = problems(entered, now_ms)
    if wrong:
        raise ProblemError(422, errors=wrong)
    note = acting.add(actor(request), entered)
    response.headers["Location"] = f"/api/v1/annotations/{note.pk}"
    return Status(HTTPStatus.CREATED, _note(note))


@router.get("/annotations/{int:annotation_id}", response=Note, operation_id="get_annotation", summary="Get a note")
def get_annotation(request: HttpRequest, annotation_id: int) -> Note:
    """One note."""
    refuse_unknown(request)
    return _note(_seen(request, annotation_id))


@router.delete(
    "/annotations/{int:annotation_id}",
    response={204: None},
    operation_id="remove_annotation",
    summary="Remove a note",
)
def remove_annotation(request: HttpRequest, annotation_id: int) -> Status[None]:
    """Remove a note. Takes an operator of its scope."""
    refuse_unknown(request)
    acting.remove(actor(request), _seen(request, annotation_id))
    return Status(HTTPStatus.NO_CONTENT, None)


def _seen(request: HttpRequest, annotation_id: int) -> Annotation:
    known = annotation_id < 2**63
    note = Annotation.objects.select_related("broker").filter(pk=annotation_id).first() if known else None
    if note is None or not sees(rights(request), note):
        raise Http404("There is no such note, or none that you may see.")
    return note


def _moment(field: str, text: str) -> int | None:
    try:
        return moments.parse(text) if text else None
    except ValueError as error:
        raise ProblemError(422, errors={field: str(error)}) from error


def _note(note: Annotation) -> Note:
    return Note(
        id=note.pk,
        kind=note.kind,
        text=note.text,
        at=moment(note.at_ms) or "",
        end=moment(note.end_ms),
        broker_id=note.broker_id,
        vhost=note.vhost,
        who=note.who,
    )
