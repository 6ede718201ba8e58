"""The page at /brokers/<id>/queue: one queue, its charts, its definition, its bindings and consumers."""

from __future__ import annotations

import time
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import path
from django.urls.resolvers import URLPattern
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from dashboard.accounts.rights import Rights, Role, rights_for
from dashboard.charts.figures import queue_figures
from dashboard.queries import queue_asked
from dashboard.queries.attention_shown import queues_url
from dashboard.queries.broker_facts import facts_of
from dashboard.queries.charts import asked_points
from dashboard.queries.marks import marks
from dashboard.queries.queue import Known, find_queue, queue_charts, queue_page
from dashboard.queries.queue_definition import rows
from dashboard.queries.queue_missing import nearest
from dashboard.queries.queue_readers import Reading, reading

_NO_BROKER = "There is no such broker, or none that you may see."


@never_cache
@require_safe
def queue_view(request: HttpRequest, broker_id: int) -> HttpResponse:
    """Show a queue; 404 with the nearest names where there is none that the person may see."""
    rights, now_ms, zone = rights_for(request), _now_ms(), timezone.get_current_timezone()
    vhost, name = request.GET.get("vhost", ""), request.GET.get("name", "")
    known = find_queue(rights, broker_id, vhost, name, now_ms)
    if known is None:
        return _missing(request, rights, broker_id, vhost, name)
    noted = marks(rights, [(broker_id, vhost)], zone, now_ms)
    page = queue_page(known, zone, now_ms, noted)
    charts = queue_charts(known, request.GET.dict(), now_ms, timezone.get_current_timezone_name(), noted)
    context = {
        "page": page,
        "queue": known,
        "facts": known.facts,
        "live": page.cells,
        "charts": charts,
        "params": {"broker": broker_id, "vhost": vhost, "name": name, "range": charts.window.range},
        "rights": rights,
        "may": {Role.OPERATOR.value: rights.may(Role.OPERATOR, broker_id)},
        "address": urlencode({"vhost": vhost, "name": name}),
        "queues_url": queues_url(broker_id, vhost=vhost),
        "all_queues_url": queues_url(broker_id),
        "definition": page.definition,
        "settings": page.settings,
        "asked": None,
        "readers": _readers(known),
    }
    return render(request, "pages/queue.html", context)


def _readers(known: Known) -> Reading | None:
    if known.detail.type != "stream":
        return None
    return reading(known.facts.id, known.vhost, known.name, timezone.get_current_timezone())


@never_cache
@require_safe
def queue_asked_view(request: HttpRequest, broker_id: int) -> HttpResponse:
    """Answer what the broker itself is asked for: consumers, bindings, where settings come from."""
    known = _known(request, broker_id)
    asked = queue_asked.for_person(queue_asked.ask(known), known)
    detail = queue_asked.detail_with(known.detail, asked.queue)
    context = {
        "queue": known,
        "facts": known.facts,
        "asked": asked,
        "readers": _readers(known),
        "definition": rows(detail, whole=known.facts.whole, why="The broker does not tell it."),
        "settings": queue_asked.settings_of(asked, detail, known.facts.version.split(" ")[0]),
        "at_ms": _now_ms(),
    }
    return render(request, "pages/queue_asked.html", context)


@never_cache
@require_safe
def queue_points(request: HttpRequest, broker_id: int) -> HttpResponse:
    """Answer the points of the queue's charts as JSON, for the window that the address names."""
    known = _known(request, broker_id)
    return JsonResponse(
        asked_points(known.subject, queue_figures(), request.GET.dict(), _now_ms(), int(known.facts.cadence_s * 1000))
    )


def _known(request: HttpRequest, broker_id: int) -> Known:
    vhost, name = request.GET.get("vhost", ""), request.GET.get("name", "")
    known = find_queue(rights_for(request), broker_id, vhost, name, _now_ms())
    if known is None:
        raise Http404("There is no such queue, or none that you may see.")
    return known


def _missing(request: HttpRequest, rights: Rights, broker_id: int, vhost: str, name: str) -> HttpResponse:
    found = facts_of(rights, _now_ms(), [broker_id])
    if not found:
        raise Http404(_NO_BROKER)
    [facts] = found
    context = {
        "facts": facts,
        "vhost": vhost,
        "name": name,
        "near": nearest(rights, facts, vhost, name),
        "queues_url": queues_url(broker_id),
        "rights": rights,
    }
    return render(request, "pages/queue_missing.html", context, status=404)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


urlpatterns: list[URLPattern] = [
    path("brokers/<int:broker_id>/queue", queue_view, name="queue"),
    path("brokers/<int:broker_id>/queue/asked", queue_asked_view, name="queue_asked"),
    path("brokers/<int:broker_id>/queue/points", queue_points, name="queue_points"),
]
