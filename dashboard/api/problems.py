"""Errors of the API as problem details (RFC 9457): one shape for every status, with a sentence for whoever reads it."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI, Schema
from ninja.errors import HttpError, ValidationError
from pydantic import Field

from brokers.registry.services import InvalidBrokerError
from dashboard.accounts.audit import ActRefusedError

CONTENT_TYPE = "application/problem+json"

# What is said where nothing more exact is known.
SENTENCES: dict[int, str] = {
    400: "The request can't be read.",
    401: "Send a token (`Authorization: Bearer wrn_…`), or sign in. Your account's page makes tokens.",
    403: "Your role does not reach.",
    404: "There is nothing here, or nothing that you may see.",
    405: "This address does not take this method.",
    409: "This can't be done as things stand.",
    413: "The request is too large.",
    422: "Part of the request can't be used; `errors` says of each field why.",
    429: "Too many requests; wait for as long as Retry-After says.",
    500: "Warren failed at this. Its log says why.",
    503: "Warren can't answer now.",
}


class Problem(Schema):
    """What went wrong (RFC 9457)."""

    type: str = Field("about:blank", description="Always about:blank: the status says which kind of problem it is.")
    title: str = Field(description="The status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="A sentence that says what is wrong and what to do.")
    errors: dict[str, str] | None = Field(
        None, description="With 409 and 422: a sentence for each field or parameter that can't be used."
    )


class ProblemError(Exception):
    """Ends a request with problem details; `errors` is a sentence a field."""

    def __init__(
        self,
        status: int,
        detail: str = "",
        errors: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers


def problem(
    status: int,
    detail: str = "",
    errors: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    """Return problem details as an answer. Without `detail` it is the one error's sentence, or the status' own."""
    if not detail:
        alone = next(iter(errors.values())) if errors and len(errors) == 1 else ""
        detail = alone or SENTENCES.get(status, "The request failed.")
    body = Problem(
        type="about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        errors=dict(errors) if errors else None,
    )
    answer = HttpResponse(
        body.model_dump_json(exclude_none=True), status=status, content_type=CONTENT_TYPE, headers=dict(headers or {})
    )
    if status == HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="Warren"'
    return answer


def install(api: NinjaAPI) -> None:
    """Make the API answer every exception that it knows with problem details.

    What it does not know goes on to Django, which logs it; the middleware then answers 500 without internals.
    """
    api.exception_handler(ProblemError)(_problem_error)
    api.exception_handler(Http404)(_not_found)
    api.exception_handler(PermissionDenied)(_refused)
    api.exception_handler(ActRefusedError)(_as_things_stand)
    api.exception_handler(InvalidBrokerError)(_invalid_broker)
    api.exception_handler(ValidationError)(_invalid)
    api.exception_handler(HttpError)(_http_error)
    api.exception_handler(Exception)(_unknown)


def _problem_error(_request: HttpRequest, error: ProblemError) -> HttpResponse:
    return problem(error.status, error.detail, error.errors, error.headers)


def _not_found(_request: HttpRequest, error: Http404) -> HttpResponse:
    return problem(404, str(error))


def _refused(_request: HttpRequest, error: PermissionDenied) -> HttpResponse:
    return problem(403, str(error))


def _as_things_stand(_request: HttpRequest, error: ActRefusedError) -> HttpResponse:
    return problem(409, str(error))


def _invalid_broker(_request: HttpRequest, error: InvalidBrokerError) -> HttpResponse:
    return problem(422, errors=error.errors)


def _http_error(_request: HttpRequest, error: HttpError) -> HttpResponse:
    # Ninja's own: a missing sign-in, a body that is not JSON.
    return problem(error.status_code, "The body is not JSON." if error.status_code == 400 else "")


def _invalid(_request: HttpRequest, error: ValidationError) -> HttpResponse:
    errors: dict[str, str] = {}
    for one in error.errors:
        place, *path = one["loc"]
        name = _name(str(place), [str(part) for part in path])
        errors.setdefault(name, sentence_of(one))
    return problem(422, errors=errors)


def _name(place: str, path: list[str]) -> str:
    """Return the field or parameter as it was sent: the name of the function's argument says nothing to who sent it."""
    if place == "body":
        return ".".join(path[1:]) or "body"
    # A parameter that is given several times has a number behind its name.
    return next((part for part in path if part != place), place)


def _unknown(_request: HttpRequest, error: Exception) -> HttpResponse:
    raise error


def sentence_of(error: Mapping[str, Any]) -> str:
    """Return a sentence for one of pydantic's errors."""
    context: Mapping[str, Any] = error.get("ctx") or {}
    kind = str(error["type"])
    if kind in {"literal_error", "enum"}:
        return f"One of these is possible: {context['expected']}."
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**{name: _plain(bound) for name, bound in context.items()})
    if kind == "value_error":
        return str(context.get("error") or error["msg"])
    return _KINDS.get(kind, f"This can't be used: {error['msg']}.")


def _plain(bound: object) -> object:
    """Write a bound as people do: `2,678,400` for 2678400.0."""
    return f"{bound:,.10g}" if isinstance(bound, float) else bound


_KINDS = {
    "missing": "This is needed.",
    "extra_forbidden": "There is no such field.",
    "int_type": "Enter a whole number.",
    "int_parsing": "Enter a whole number.",
    "int_parsing_size": "The number is too large.",
    "int_from_float": "Enter a whole number.",
    "float_type": "Enter a number.",
    "float_parsing": "Enter a number.",
    "finite_number": "Enter a finite number.",
    "bool_type": "Enter true or false.",
    "bool_parsing": "Enter true or false.",
    "string_type": "Enter text.",
    "string_unicode": "The text has characters that are none (a lone surrogate).",
    "list_type": "Enter a list.",
    "dict_type": "Enter a JSON object.",
    "model_type": "Enter a JSON object.",
    "model_attributes_type": "Enter a JSON object.",
}
_BOUNDS = {
    "greater_than_equal": "The least is {ge}.",
    "less_than_equal": "The most is {le}.",
    "greater_than": "It must be more than {gt}.",
    "string_too_long": "At most {max_length} characters are possible.",
    "string_too_short": "At least {min_length} characters are needed.",
    "too_long": "At most {max_length} are possible.",
}
