"""The pages at /queues and /brokers/<id>/queues: every queue that the person sees, filtered, ordered, page by page."""

from __future__ import annotations

import time

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.urls.resolvers import URLPattern
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from dashboard.accounts.rights import Role, rights_for
from dashboard.queries.queues import queue_list, read_params, unread_params

# What htmx swaps when the list is filtered, ordered or turned over.
TARGET = "queues-table"


@never_cache
@require_safe
def queues_page(request: HttpRequest, broker_id: int | None = None) -> HttpResponse:
    """Show the list; 404 for a broker that the person does not see, the same as for one that is not there.

    Asked by htmx for the table, answer with it and what else depends on the question. `part=rows` gives the rows alone.
    """
    rights = rights_for(request)
    asked = dict(request.GET.lists())
    params = read_params(asked)
    shown = queue_list(rights, params, timezone.get_current_timezone(), time.time_ns() // 1_000_000, broker_id)
    if shown is None:
        raise Http404("There is no such broker, or none that you may see.")
    context = {
        "list": shown,
        "page": shown,
        "unread": unread_params(asked),
        "facts": shown.one,
        "live": shown.cells,
        "rights": rights,
        "may": {"operator": shown.one is not None and rights.may(Role.OPERATOR, shown.one.id)},
    }
    if request.GET.get("part") == "rows":
        return render(request, "pages/queues_rows.html", context)
    swapped = request.headers.get("HX-Target") == TARGET and "HX-History-Restore-Request" not in request.headers
    answer = render(request, "pages/queues_swap.html" if swapped else "pages/queues.html", context)
    if swapped:
        answer["HX-Push-Url"] = f"{shown.base}{shown.params.query(page=shown.page)}"
    patch_vary_headers(answer, ["HX-Target"])
    return answer


urlpatterns: list[URLPattern] = [
    path("queues", queues_page, name="queues"),
    path("brokers/<int:broker_id>/queues", queues_page, name="broker_queues"),
]
