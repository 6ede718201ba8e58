"""What the API's answers have in common: moments, figures with their reasons, pages of lists."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from django.http import HttpRequest, HttpResponse
from ninja import Schema
from pydantic import AfterValidator, Field, WithJsonSchema

from brokers.lag.measures import measure
from brokers.series.metrics import Kind
from dashboard.api.problems import ProblemError

Item = TypeVar("Item")
MOST_A_PAGE = 500
USUAL_A_PAGE = 100

Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-24T18:05:10.250Z"])]
# Whole figures stay whole: 5, not 5.0.
Number = Annotated[int | float, WithJsonSchema({"type": "number"})]
# A time that does not end: how long a queue takes to empty that grows.
NEVER = "never"
Shown = dict[str, Number | Literal["never"] | None]
Figures = Annotated[
    Shown,
    Field(
        description="Figures by name; null is unknown, and `unknown` says why. `never` is a time that does not end "
        "(`drain_time` of a queue that grows)."
    ),
]
Unknown = Annotated[dict[str, str], Field(description="For each figure that is null the sentence that says why.")]


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("A NUL character is possible in no name; Warren knows names with one by U+FFFD in its place.")
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("The text has characters that are none (a lone surrogate).")
    return text


# Text that a person sends: PostgreSQL stores no NUL, UTF-8 has no half of a surrogate pair, and no name that Warren
# knows has either (see brokers.rabbitmq.decoding).
Text = Annotated[str, AfterValidator(_storable)]


class PageQuery(Schema):
    """Which page of a list."""

    page: int = Field(1, ge=1, le=1_000_000, description="Counts from 1.")
    page_size: int = Field(USUAL_A_PAGE, ge=1, le=MOST_A_PAGE, description=f"At most {MOST_A_PAGE}.")


class Page(Schema, Generic[Item]):
    """One page of a list. `total` counts the whole list as far as the person sees it."""

    items: list[Item]
    total: int
    page: int
    page_size: int
    next: str | None = Field(description="The next page's address, null on the last.")


def next_page(request: HttpRequest, query: PageQuery, total: int) -> str | None:
    """Return the address of the page after this one, None where this is the last. Without scheme and host."""
    if query.page * query.page_size >= total:
        return None
    asked = request.GET.copy()
    asked["page"] = str(query.page + 1)
    return f"{request.META.get('SCRIPT_NAME', '')}{request.path_info}?{asked.urlencode()}"


def plain(body: Mapping[str, Any]) -> HttpResponse:
    """Return an answer that is encoded as it is.

    For long answers: ninja would look at every field of every item twice, which takes two thirds of the time [measured,
    500 queues]. That they keep to their schema is held by the tests, which check every answer against the document.
    """
    return HttpResponse(msgspec.json.encode(body), content_type="application/json; charset=utf-8")


def refuse_unknown(request: HttpRequest, *known: type[Schema] | str) -> None:
    """Raise ProblemError (422) for a query parameter that there is not: a misspelt filter would answer everything."""
    names = {name for one in known for name in ([one] if isinstance(one, str) else _aliases(one))}
    strange = [name for name in request.GET if name not in names]
    if strange:
        possible = f"These are possible: {', '.join(sorted(names))}." if names else "None is possible here."
        raise ProblemError(
            422, errors={name[:80]: f"There is no such parameter. {possible}" for name in sorted(strange)[:10]}
        )


def moment(ms: float | None) -> str | None:
    """Return Unix milliseconds as RFC 3339 in UTC, None for none."""
    if ms is None:
        return None
    at = dt.datetime.fromtimestamp(ms / 1000, dt.UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def figure(value: float) -> float | None:
    """Return a figure as JSON has it: None for *unknown*, whole numbers without a fraction, others to a millionth."""
    if math.isnan(value) or math.isinf(value):
        return None
    return int(value) if value == int(value) and abs(value) < 2**53 else round(value, 6)


def figure_or_never(value: float) -> float | Literal["never"] | None:
    """Return a figure that may be a time without end."""
    return "never" if value == math.inf else figure(value)


def figures(values: Mapping[str, float], names: Iterable[str]) -> Shown:
    """Return named figures; what is not in `values` is unknown."""
    return {
        name: (figure_or_never if name.startswith("drain_time") else figure)(values.get(name, math.nan))
        for name in names
    }


def reasons(
    found: Mapping[str, float | str | None], kind: Kind, told: Mapping[str, str], otherwise: str
) -> dict[str, str]:
    """Return why each figure that is null is unknown.

    `told` has sentences by `kind.metric`; a rate is unknown for the reason of its counter, and what is derived for that
    of the first of its parts that has one.
    """
    return {name: reason(kind, name, told) or otherwise for name, value in found.items() if value is None}


def reason(kind: Kind, name: str, told: Mapping[str, str]) -> str:
    """Return why a measure is unknown, empty where nothing is told of it or of what it is made of."""
    said = told.get(f"{kind}.{name}")
    if said:
        return said
    one = measure(kind, name)
    parts = (reason(kind, need, told) for need in (one.needs if one is not None else ()))
    return next(filter(None, parts), "")


def cut(items: Sequence[Item], query: PageQuery) -> Sequence[Item]:
    """Return the items of a page, none beyond the end."""
    return items[(query.page - 1) * query.page_size : query.page * query.page_size]


def _aliases(schema: type[Schema]) -> list[str]:
    return [field.alias or name for name, field in schema.model_fields.items()]
