"""`/openapi.json`: the API's own description, with its errors as problem details."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import Any

from django.http import HttpRequest, JsonResponse
from ninja import NinjaAPI, Router

from dashboard.api.problems import CONTENT_TYPE, SENTENCES, Problem
from dashboard.api.shapes import refuse_unknown

DESCRIPTION = (
    "Brokers, queues and their history as Warren collects them. Figures that are unknown are null, and `unknown` says "
    "why. Times are RFC 3339 in UTC. Errors are problem details (RFC 9457)."
)

# Errors that any request may meet, and those that hang on its kind.
_ALWAYS = (400, 401, 403, 422, 500)
_OF_AN_OBJECT = (404,)
_OF_A_CHANGE = (409, 413)


def room(api: NinjaAPI) -> Router:
    """Return the router of the description of an API."""
    router = Router(tags=["description"])

    @router.get("/openapi.json", operation_id="get_openapi", summary="This description", response=dict[str, Any])
    def get_openapi(request: HttpRequest) -> JsonResponse:
        """The OpenAPI document of this API."""
        refuse_unknown(request)
        return JsonResponse(document(api))

    return router


@cache
def document(api: NinjaAPI) -> dict[str, Any]:
    """Return the OpenAPI document: ninja's, with the errors that every operation may answer."""
    found: dict[str, Any] = deepcopy(dict(api.get_openapi_schema(path_prefix="/api/v1/")))
    found["components"]["schemas"]["Problem"] = Problem.model_json_schema()
    for path, item in found["paths"].items():
        for method, operation in item.items():
            # What is sent may name an object too, as a note does its broker.
            names = "{" in path or method == "post"
            statuses = {*_ALWAYS, *(_OF_AN_OBJECT if names else ()), *(() if method == "get" else _OF_A_CHANGE)}
            operation["responses"] = {str(status): answer for status, answer in operation["responses"].items()}
            for status in sorted(statuses):
                operation["responses"].setdefault(str(status), problem_answer(status))
    return found


def content(kinds: Mapping[str, str]) -> dict[str, Any]:
    """Return what an answer may be beside JSON, by media type with what it says, for ninja's `openapi_extra`."""
    return {"content": {kind: {"schema": {"type": "string", "description": says}} for kind, says in kinds.items()}}


def problem_answer(status: int) -> dict[str, Any]:
    """Return the description of an error."""
    return {
        "description": SENTENCES[status],
        "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
