"""Each person reads times in their own zone: the browser says which, in the cookie `tz`."""

from __future__ import annotations

import zoneinfo
from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone


class ZoneMiddleware:
    """Activates the zone named in the cookie `tz`; UTC where there is none or it names no zone."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        timezone.activate(zone_named(request.COOKIES.get("tz", "")))
        return self.get_response(request)


def zone_named(name: str) -> zoneinfo.ZoneInfo:
    """Return the IANA zone `name`, or UTC: a cookie can hold anything."""
    try:
        return zoneinfo.ZoneInfo(name) if name else zoneinfo.ZoneInfo("UTC")
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return zoneinfo.ZoneInfo("UTC")
