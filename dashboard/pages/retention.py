"""`/settings/brokers/<id>/retention`: how long a broker's history is kept, what it takes and what goes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.urls.resolvers import URLPattern
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from brokers.registry.models import Broker
from brokers.series.retention import retention_of
from dashboard import formats
from dashboard.accounts.audit import by_request
from dashboard.accounts.guards import broker_or_404, require
from dashboard.accounts.rights import Role, rights_for
from dashboard.acting import retention as acting
from dashboard.queries.retention import FIELDS, Kept, Plan, entered, plan


@never_cache
@require_http_methods(["GET", "POST"])
def retention(request: HttpRequest, broker_id: int) -> HttpResponse:
    """Show how long history is kept; keep it for as long as was entered."""
    broker = _mine(request, broker_id)
    stored = retention_of(broker.pk)
    if request.method != "POST":
        return _page(request, broker, plan(broker, stored), asdict(stored))
    wanted, errors = entered(request.POST, stored)
    if errors:
        return _page(request, broker, plan(broker, stored), request.POST, errors)
    planned = plan(broker, wanted)
    try:
        acting.keep(by_request(request), planned, request.POST.get("confirm", ""))
    except acting.UnconfirmedError:
        return _page(request, broker, planned, request.POST, unconfirmed=True)
    messages.success(request, f"The history of {broker.name} is kept as said.")
    return redirect("pages:broker_retention", broker.pk)


@never_cache
@require_POST
def preview(request: HttpRequest, broker_id: int) -> HttpResponse:
    """Show what the fields mean, as they are typed, and change nothing."""
    broker = _mine(request, broker_id)
    wanted, errors = entered(request.POST, retention_of(broker.pk))
    context = _context(broker, None if errors else plan(broker, wanted), errors)
    return render(request, "pages/retention_plan.html", context)


def _mine(request: HttpRequest, broker_id: int) -> Broker:
    rights = rights_for(request)
    broker = broker_or_404(rights, broker_id)
    require(rights, Role.ADMINISTRATOR, broker)
    return broker


def _page(
    request: HttpRequest,
    broker: Broker,
    planned: Plan,
    values: Any,
    errors: dict[str, str] | None = None,
    *,
    unconfirmed: bool = False,
) -> HttpResponse:
    fields = [
        {"field": one, "value": values.get(one.name, ""), "error": (errors or {}).get(one.name, "")} for one in FIELDS
    ]
    context = _context(broker, None if errors else planned, errors or {})
    status = 422 if errors or unconfirmed else 200
    return render(
        request, "pages/retention.html", {**context, "fields": fields, "unconfirmed": unconfirmed}, status=status
    )


def _context(broker: Broker, planned: Plan | None, errors: dict[str, str]) -> dict[str, Any]:
    context: dict[str, Any] = {"broker": broker, "errors": errors, "plan": planned}
    if planned is not None:
        context |= {
            "levels": [_row(one) for one in planned.levels],
            "used": formats.size(planned.used_bytes),
            "predicted": formats.size(planned.predicted_bytes),
            "changed": planned.retention != planned.stored,
            "deleted": formats.size(sum(one.deleted_bytes for one in planned.deleted)),
        }
    return context


def _row(one: Kept) -> dict[str, Any]:
    zone = timezone.get_current_timezone()
    return {
        "kept": one,
        "used": formats.size(one.used_bytes),
        "predicted": formats.size(one.predicted_bytes),
        "since": formats.moment(one.oldest_ms, zone),
        "deleted": formats.size(one.deleted_bytes) if one.deleted_bytes else "",
        "from": formats.moment(one.deleted_from_ms, zone),
        "to": formats.moment(one.deleted_to_ms, zone),
    }


urlpatterns: list[URLPattern] = [
    path("settings/brokers/<int:broker_id>/retention", retention, name="broker_retention"),
    path("settings/brokers/<int:broker_id>/retention/plan", preview, name="broker_retention_plan"),
]
