"""The page at /find: brokers, vhosts, queues, exchanges and nodes by name."""

from __future__ import annotations

import time

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.urls.resolvers import URLPattern
from django.utils.cache import patch_vary_headers
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from dashboard.accounts.rights import rights_for
from dashboard.queries.find import find

# What htmx swaps while somebody types.
TARGET = "found"


@never_cache
@require_safe
def find_page(request: HttpRequest) -> HttpResponse:
    """Show what answers `q`; a queue that is exactly meant, and nothing else with it, is gone to at once.

    While somebody types (htmx asks), nothing is gone to: only Enter goes.
    """
    rights = rights_for(request)
    typing = request.headers.get("HX-Target") == TARGET
    found = find(rights, request.GET.get("q", ""), time.time_ns() // 1_000_000)
    if found.meant_url and not typing:
        return redirect(found.meant_url)
    context = {"found": found, "rights": rights}
    answer = render(request, "pages/found.html" if typing else "pages/find.html", context)
    patch_vary_headers(answer, ["HX-Target"])
    return answer


urlpatterns: list[URLPattern] = [path("find", find_page, name="find")]
