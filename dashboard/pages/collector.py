"""The page at /settings/collector: whether polling goes on, and what it costs each broker."""

from __future__ import annotations

import time

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.urls.resolvers import URLPattern
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from dashboard.accounts.rights import rights_for
from dashboard.queries.collector import collector


@never_cache
@require_safe
def collector_page(request: HttpRequest) -> HttpResponse:
    """Show the health of collecting from the brokers whose whole the person sees."""
    rights = rights_for(request)
    shown = collector(rights, time.time_ns() // 1_000_000)
    return render(request, "pages/collector.html", {"collector": shown, "live": shown.cells, "rights": rights})


urlpatterns: list[URLPattern] = [path("settings/collector", collector_page, name="collector")]
