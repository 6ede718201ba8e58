"""What `/brokers/{id}/series` can be asked, and how far: parameters in, numbers out. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from ninja import Schema
from pydantic import Field

from brokers.series.metrics import Kind
from dashboard.api import moments
from dashboard.api.problems import ProblemError
from dashboard.api.shapes import Text
from dashboard.queries import measured

MOST_POINTS = 3_000
MOST_VALUES = 20_000_000
MOST_NAMED = 500
USUAL_SPAN_MS = 3_600_000
_LONGEST_STEP_S = 31 * 86_400


class Form(StrEnum):
    """How an answer is written."""

    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


# What a client may say it accepts, in the order in which a client that accepts several gets one.
_ACCEPTED = {
    "application/json": Form.JSON,
    "application/x-ndjson": Form.JSONL,
    "application/jsonl": Form.JSONL,
    "text/csv": Form.CSV,
}


class SeriesQuery(Schema):
    """What is asked for."""

    kind: Kind = Field(description="What the series belong to.")
    vhost: list[Text] = Field(
        [],
        max_length=MOST_NAMED,
        description="With kind vhost, exchange and queue. As JSON one; a stream takes several, or none for all "
        "that you see.",
    )
    name: list[Text] = Field(
        [],
        max_length=MOST_NAMED,
        description="With kind node, exchange and queue. As JSON one; a stream takes several of one vhost, or none "
        "for all.",
    )
    metrics: str = Field(
        "",
        description="Measures, separated by commas (`ready,publish_rate`); `/measures` lists them. Empty: all of the "
        "kind but cumulative counters.",
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
        description=f"Seconds between two points; as is fit for about {measured.DEFAULT_POINTS} points where it is not "
        f"given. As JSON at most {MOST_POINTS} points are possible; a stream has at most {MOST_VALUES:,} values.",
    )
    format: Form | None = Field(
        None,
        description="`json` is one object whole. `jsonl` and `csv` stream a row for each object and time, and may be "
        "of many objects. Where it is not given the header Accept decides, and JSON without that.",
    )
    spread: bool = Field(
        False,
        description="Of a stream: beside each measure the least and the greatest within the step, as `ready_low` and "
        "`ready_high`. JSON has them always.",
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that can be answered. Milliseconds."""

    metrics: tuple[str, ...]
    start_ms: int
    end_ms: int
    step_ms: int

    @property
    def points(self) -> int:
        """How many points an object can have."""
        return math.ceil((self.end_ms - self.start_ms) / self.step_ms)


def form_of(query: SeriesQuery, accept: str) -> Form:
    """Return how the answer is to be written: as the parameter says, else as the header does."""
    if query.format is not None:
        return query.format
    wanted = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return next((_ACCEPTED[kind] for kind in wanted if kind in _ACCEPTED), Form.JSON)


def ask(query: SeriesQuery, now_ms: int, form: Form = Form.JSON) -> Asked:
    """Return what is asked for in numbers. Raises ProblemError (422) with a sentence for each parameter."""
    errors = _names_wrong(query, form)
    strange = measures_wrong(query.kind, query.metrics)
    if strange:
        errors["metrics"] = strange
    start_ms, end_ms, wrong = span_of(query.from_, query.to, now_ms)
    errors |= wrong
    if errors:
        raise ProblemError(422, errors=errors)
    span_ms = end_ms - start_ms
    step_ms = max(1, span_ms // measured.DEFAULT_POINTS) if query.step is None else round(query.step * 1000)
    asked = Asked(measures_in(query.metrics) or measured.shown(query.kind), start_ms, end_ms, step_ms)
    if form is Form.JSON and asked.points > MOST_POINTS and query.step is not None:
        least = math.ceil(span_ms / MOST_POINTS / 1000)
        raise ProblemError(
            422,
            errors={
                "step": f"This asks for {asked.points:,} points; {MOST_POINTS:,} are possible. "
                f"Ask for a step of at least {least:,} s, or for a shorter span."
            },
        )
    return asked


def check_amount(asked: Asked, kind: Kind, objects: int) -> None:
    """Raise ProblemError (422) where a stream of so many objects would have more values than are possible."""
    values = objects * asked.points * len(asked.metrics)
    if values <= MOST_VALUES:
        return
    least = math.ceil(values / MOST_VALUES * asked.step_ms / 1000)
    raise ProblemError(
        422,
        errors={
            "step": f"This asks for {values:,} values ({objects:,} of kind {kind} at {asked.points:,} moments, "
            f"{len(asked.metrics)} measures each); {MOST_VALUES:,} are possible in one answer. Ask for fewer measures, "
            f"a shorter span, or a step of at least {least:,} s."
        },
    )


def measures_in(text: str) -> tuple[str, ...]:
    """Return the measures that a parameter names, each once."""
    return tuple(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))


def measures_wrong(kind: Kind, text: str) -> str:
    """Return a sentence about measures that a kind does not have, empty where it has all of them."""
    possible = measured.names(kind)
    strange = [name for name in measures_in(text) if name not in possible]
    if not strange:
        return ""
    few = ", ".join(name[:40] for name in strange[:5])
    return f"A {kind} has no {few}. These are possible: {', '.join(possible)}."


def span_of(from_: str, to: str, now_ms: int, usual_ms: int = USUAL_SPAN_MS) -> tuple[int, int, dict[str, str]]:
    """Return the two moments that parameters name, and a sentence for each that can't be used."""
    errors: dict[str, str] = {}
    end_ms = start_ms = now_ms
    try:
        end_ms = moments.parse(to) if to else now_ms
    except ValueError as error:
        errors["to"] = str(error)
    try:
        start_ms = moments.parse(from_) if from_ else max(0, end_ms - usual_ms)
    except ValueError as error:
        errors["from"] = str(error)
    if not errors and start_ms >= end_ms:
        errors["from"] = "The span is empty: `from` must lie before `to`."
    return start_ms, end_ms, errors


_TAKES: dict[Kind, tuple[str, ...]] = {
    Kind.BROKER: (),
    Kind.NODE: ("name",),
    Kind.VHOST: ("vhost",),
    Kind.EXCHANGE: ("vhost", "name"),
    Kind.QUEUE: ("vhost", "name"),
}


def _names_wrong(query: SeriesQuery, form: Form) -> dict[str, str]:
    errors: dict[str, str] = {}
    for field in ("vhost", "name"):
        given: list[str] = getattr(query, field)
        if field not in _TAKES[query.kind]:
            if given:
                errors[field] = f"A series of kind {query.kind} takes no {field}."
        elif form is Form.JSON and not given:
            errors[field] = f"A series of kind {query.kind} needs a {field}."
        elif form is Form.JSON and len(given) > 1:
            errors[field] = f"As JSON this takes one {field}. Ask for format=jsonl or format=csv to get several."
    if not errors and query.name and "vhost" in _TAKES[query.kind] and len(query.vhost) != 1:
        errors["vhost"] = "Names belong to one vhost: name it too."
    return errors
