"""Throttled sign-in: django-axes counts failures in the database, so that restarts and other processes know of them.

Two limits hold together: a name from one address (AXES_FAILURE_LIMIT), and one address whatever the names, which may
fail ADDRESS_FACTOR times as often, since many people can sit behind one address. Tries during a lock are
not counted, so the time that the page names stays true.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.helpers import get_cool_off
from axes.models import AccessAttempt
from django.conf import settings
from django.db.models import Max, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from dashboard.accounts.address import client_address

ADDRESS_FACTOR = 5


class ThrottleHandler(AxesDatabaseHandler):  # type: ignore[misc] # axes has no types
    """Axes' counting in the database, with the second limit."""

    def get_failures(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        """Return the failures that count against AXES_FAILURE_LIMIT."""
        of_name = int(super().get_failures(request, credentials))
        since = timezone.now() - cool_off()
        attempts = AccessAttempt.objects.filter(ip_address=client_address(request), attempt_time__gte=since)
        of_address = attempts.aggregate(total=Sum("failures_since_start"))["total"] or 0
        return max(of_name, of_address // ADDRESS_FACTOR)


def cool_off() -> timedelta:
    """Return how long a lock lasts after the last counted failure."""
    return get_cool_off() or timedelta(0)


def locked_out(request: HttpRequest, *_: Any) -> HttpResponse:
    """Answer 429 with a page that says for how long. Axes calls this in place of the sign-in page.

    What axes passes besides the request differs between its synchronous and asynchronous middleware; none of it is
    needed.
    """
    name = request.POST.get("username", "")
    seconds = max(0, math.ceil((_locked_until(request, name) - timezone.now()).total_seconds()))
    context = {"wait": wait_in_words(seconds), "limit": settings.AXES_FAILURE_LIMIT}
    answer = render(request, "accounts/locked_out.html", context, status=429)
    answer.headers["Retry-After"] = str(seconds)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def wait_in_words(seconds: int) -> str:
    """Return a wait in words, rounded up: `14 min`, or `40 s` below one minute."""
    return f"{seconds} s" if seconds < 60 else f"{math.ceil(seconds / 60)} min"


def _locked_until(request: HttpRequest, name: str) -> datetime:
    of_address = AccessAttempt.objects.filter(ip_address=client_address(request))
    of_name = of_address.filter(username=name).aggregate(failures=Sum("failures_since_start"), at=Max("attempt_time"))
    newest: datetime | None = of_name["at"]
    if (of_name["failures"] or 0) < settings.AXES_FAILURE_LIMIT:
        newest = of_address.aggregate(at=Max("attempt_time"))["at"]
    return (newest or timezone.now()) + cool_off()
