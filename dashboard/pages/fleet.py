"""The page at /: every broker at a glance, what needs somebody, what happened."""

from __future__ import annotations

import time

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.urls.resolvers import URLPattern
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from dashboard.accounts.rights import rights_for
from dashboard.queries.fleet import fleet


@never_cache
@require_safe
def fleet_page(request: HttpRequest) -> HttpResponse:
    """Show the fleet as the person sees it."""
    rights = rights_for(request)
    shown = fleet(rights, timezone.get_current_timezone(), time.time_ns() // 1_000_000)
    return render(request, "pages/fleet.html", {"fleet": shown, "live": shown.cells, "rights": rights})


urlpatterns: list[URLPattern] = [path("", fleet_page, name="fleet")]
