"""Around every request to the API: the undecoded path for the router, and problem details for whatever else answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from dashboard.api.problems import CONTENT_TYPE, problem
from dashboard.api.undecoded import encoded_path, is_api, sent_path

_KEPT = ("Allow", "Retry-After", "WWW-Authenticate")


class ApiMiddleware:
    """Routes requests to the API by the path as it was sent, and keeps pages' error pages out of its answers."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if not is_api(request.path_info):
            return self.get_response(request)
        if self.is_async:
            return self._later(request)
        request.path_info = sent_path(request) or encoded_path(request.path_info)
        return _finished(cast("HttpResponseBase", self.get_response(request)))

    async def _later(self, request: HttpRequest) -> HttpResponseBase:
        request.path_info = sent_path(request) or await sync_to_async(encoded_path)(request.path_info)
        return _finished(await cast("Awaitable[HttpResponseBase]", self.get_response(request)))


def _finished(answer: HttpResponseBase) -> HttpResponseBase:
    """Return the answer, as problem details where it is an error in another shape; nobody may keep it."""
    if answer.status_code >= 400 and answer.headers.get("Content-Type") != CONTENT_TYPE:
        kept = {name: answer.headers[name] for name in _KEPT if name in answer.headers}
        answer = problem(answer.status_code, headers=kept)
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Vary"] = "Authorization, Cookie"
    return answer
