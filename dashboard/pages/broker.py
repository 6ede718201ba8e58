"""The page at /brokers/<id>: one broker's flow, backlog, nodes, vhosts, and how it is polled."""

from __future__ import annotations

import time

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.urls.resolvers import URLPattern
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from brokers.collect.models import PollState
from dashboard.accounts.audit import act, by_request
from dashboard.accounts.guards import broker_or_404
from dashboard.accounts.rights import Role, rights_for
from dashboard.queries.attention_shown import queues_url
from dashboard.queries.broker import broker_page
from dashboard.queries.broker_charts import broker_charts, broker_points
from dashboard.queries.broker_exchanges import heads
from dashboard.queries.broker_facts import facts_of


@never_cache
@require_safe
def broker_view(request: HttpRequest, broker_id: int) -> HttpResponse:
    """Show a broker; 404 for one that the person does not see, the same as for one that is not there."""
    rights = rights_for(request)
    order = request.GET.get("exchanges", "")
    shown = broker_page(rights, broker_id, timezone.get_current_timezone(), time.time_ns() // 1_000_000, order)
    if shown is None:
        raise Http404("There is no such broker, or none that you may see.")
    charts = None
    if shown.facts.at_ms:
        zone_name = timezone.get_current_timezone_name()
        now_ms = time.time_ns() // 1_000_000
        charts = broker_charts(shown.facts, request.GET.dict(), now_ms, zone_name, shown.marks)
    may = {role.value: rights.may(role, broker_id) for role in (Role.OPERATOR, Role.ADMINISTRATOR)}
    context = {
        "page": shown,
        "facts": shown.facts,
        "live": shown.cells,
        "charts": charts,
        "params": {**shown.params, "range": charts.window.range if charts else "", "exchanges": order[:40]},
        "exchange_heads": heads(order, request.GET.dict()),
        "rights": rights,
        "may": may,
        "queues_url": queues_url(broker_id),
    }
    return render(request, "pages/broker.html", context)


@never_cache
@require_safe
def broker_points_view(request: HttpRequest, broker_id: int) -> HttpResponse:
    """Answer the points of a broker's charts as JSON, for the window that the address names."""
    now_ms = time.time_ns() // 1_000_000
    found = facts_of(rights_for(request), now_ms, [broker_id])
    if not found:
        raise Http404("There is no such broker, or none that you may see.")
    return JsonResponse(broker_points(found[0], request.GET.dict(), now_ms))


@require_POST
def try_now(request: HttpRequest, broker_id: int) -> HttpResponse:
    """Make a broker due at once, instead of at its next cadence."""
    broker = broker_or_404(rights_for(request), broker_id)
    with act(by_request(request), "broker.poll_now", needs=Role.OPERATOR, broker=broker) as done:
        PollState.objects.filter(broker=broker).update(next_due_ms=0)
        done.sentence = "It is due at once."
    messages.info(request, f"{broker.name} is asked now.")
    return redirect("pages:broker", broker_id)


urlpatterns: list[URLPattern] = [
    path("brokers/<int:broker_id>", broker_view, name="broker"),
    path("brokers/<int:broker_id>/points", broker_points_view, name="broker_points"),
    path("brokers/<int:broker_id>/try-now", try_now, name="broker_try_now"),
]
