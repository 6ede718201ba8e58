"""The page at /charts: any measures of any objects on one chart. Its address is all that it shows."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.urls.resolvers import URLPattern
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from dashboard import formats
from dashboard.accounts.rights import rights_for
from dashboard.charts.address import BYS, COMPARES, Asked, asked_of, top_of
from dashboard.charts.table import rows
from dashboard.pages import chart_notes
from dashboard.queries.broker_facts import facts_of
from dashboard.queries.explore import Explored, asked_points, charts_of, columns_of, explored, page_url
from dashboard.queries.explore_page import series_rows, stale, starters, top_places
from dashboard.queries.explore_pick import grouped, pick, ranked_measures
from dashboard.queries.explore_tops import words


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def charts_view(request: HttpRequest) -> HttpResponse:
    """Show a chart, what is on it, and what can be added to it; a POST writes a note onto it."""
    rights, now_ms, zone = rights_for(request), _now_ms(), timezone.get_current_timezone()
    asked = _asked(request)
    added, problem = top_of(request.GET)
    if added is not None:
        return redirect(page_url(asked.having_top(added)))
    if problem:
        asked = asked.saying(problem)
    shown = explored(rights, asked, zone, now_ms)
    facts = {one.id: one for one in facts_of(rights, now_ms)}
    form = chart_notes.blank_form(rights, list(facts.values()))
    if request.method == "POST":
        sent = chart_notes.add(request, list(facts.values()))
        if sent is None:
            return redirect(chart_notes.chart_of(request.GET))
        form = sent
    context: dict[str, Any] = {
        "form": form,
        "address": request.GET.urlencode(),
        "shown": shown,
        "charts": charts_of(shown, timezone.get_current_timezone_name()),
        "rows": series_rows(shown),
        "stale": stale(shown, zone, now_ms),
        "params": {"address": shown.resolved.query(shown.window.query)},
        "rights": rights,
        "brokers": list(facts.values()),
        "picked": pick(rights, facts, asked, request.GET.get("measure", ""), request.GET.get("q", "")),
        "measures": grouped(),
        "ranked": ranked_measures(),
        "places": top_places(list(facts.values())),
        "tops": _tops(shown),
        "ranked_at": formats.moment(now_ms, zone),
        "bys": BYS,
        "starters": starters(list(facts.values()), asked) if not asked.sources else [],
        "compares": _compares(asked),
        "then": COMPARES[asked.compare][0] if asked.compare else "",
        "hidden": _hidden(asked),
    }
    return render(request, "pages/charts.html", context, status=422 if form.errors else 200)


@never_cache
@require_safe
def charts_pick(request: HttpRequest) -> HttpResponse:
    """Answer what can be added, while somebody types."""
    rights = rights_for(request)
    facts = {one.id: one for one in facts_of(rights, _now_ms())}
    name, text = request.GET.get("measure", ""), request.GET.get("q", "")
    picked = pick(rights, facts, _asked(request), name, text)
    return render(request, "pages/charts_picked.html", {"picked": picked})


@never_cache
@require_safe
def charts_points(request: HttpRequest) -> HttpResponse:
    """Answer the chart's points as JSON, for the window that the address names."""
    return JsonResponse(asked_points(_explored(request)))


@never_cache
@require_safe
def charts_csv(request: HttpRequest) -> HttpResponse:
    """Answer the chart's series as a file: exact values at the times at which they were read.

    A window that makes no sense gets a sentence, since a file has no place to say that it holds another.
    """
    shown = _explored(request)
    if shown.window.problem:
        return HttpResponse(f"{shown.window.problem.partition(',')[0]}.\n", content_type="text/plain", status=422)
    answer = HttpResponse(rows(columns_of(shown)), content_type="text/csv; charset=utf-8")
    span = "-".join(f"{dt.datetime.fromtimestamp(at / 1000, dt.UTC):%Y%m%dT%H%M%SZ}" for at in _ends(shown))
    answer.headers["Content-Disposition"] = f'attachment; filename="warren-{span}.csv"'
    return answer


def _ends(shown: Explored) -> tuple[int, int]:
    return shown.window.start_ms, shown.window.end_ms


def _explored(request: HttpRequest) -> Explored:
    return explored(rights_for(request), _asked(request), timezone.get_current_timezone(), _now_ms())


def _asked(request: HttpRequest) -> Asked:
    return asked_of(dict(request.GET.lists()), timezone.get_current_timezone())


def _compares(asked: Asked) -> list[dict[str, object]]:
    """Return what the chart can be compared with, as links."""
    words = {"": "Nothing", **{name: word.capitalize() for name, (word, _) in COMPARES.items()}}
    return [
        {"word": word, "url": page_url(asked.compared(name)), "chosen": name == asked.compare}
        for name, word in words.items()
    ]


def _tops(shown: Explored) -> list[tuple[str, str]]:
    """Return the chart's top lists in words, each with the chart without it."""
    names = {one.id: one.name for one in shown.brokers}
    return [
        (words(top, names[top.broker_id], shown.window), page_url(shown.asked.without_top(top)))
        for top in shown.asked.tops
        if top.broker_id in names
    ]


def _hidden(asked: Asked) -> list[tuple[str, str]]:
    """Return the address's parameters as a form's hidden fields."""
    return [*asked.pairs, *asked.times.items()]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


urlpatterns: list[URLPattern] = [
    path("charts", charts_view, name="charts"),
    path("charts/pick", charts_pick, name="charts_pick"),
    path("charts/csv", charts_csv, name="charts_csv"),
    path("charts/points", charts_points, name="charts_points"),
]
