"""The pages under /settings/brokers: add, edit, test, pause and remove brokers.

Adding and removing is for administrators of all brokers, the rest for administrators of that broker.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.urls.resolvers import URLPattern
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from brokers.collect.state import state_of
from brokers.registry import services
from brokers.registry.credentials import Secrets
from brokers.registry.models import Broker
from brokers.series.read import history_starts_ms
from dashboard import formats
from dashboard.accounts.audit import by_request
from dashboard.accounts.guards import RefusedError, broker_or_404, require
from dashboard.accounts.rights import Role, rights_for
from dashboard.acting import broker_form as form
from dashboard.acting import brokers as acting
from dashboard.acting.connection import StepShown
from dashboard.cells import Cell
from dashboard.queries.collector import STATES

_any_method = require_http_methods(["GET", "POST"])
_secret = sensitive_post_parameters("password", "token", "client_key_pem", "prometheus_password")


@dataclass(frozen=True, slots=True)
class Listed:
    """One broker of the list."""

    broker: Broker
    state: Cell
    reason: str


@never_cache
@require_safe
def broker_list(request: HttpRequest) -> HttpResponse:
    """List the brokers that the person administers."""
    rights = rights_for(request)
    now_ms = time.time_ns() // 1_000_000
    listed = []
    for broker in Broker.objects.select_related("poll_state").order_by("name"):
        if rights.may(Role.ADMINISTRATOR, broker.id):
            state = state_of(broker, now_ms)
            word, icon = STATES[state.condition]
            listed.append(Listed(broker, Cell(text=word, state=icon), f"{state.reason} {state.remedy}".strip()))
    if not listed and not rights.administers_all:
        raise RefusedError("This needs the role administrator on a broker. An administrator can grant it.")
    return render(request, "pages/broker_settings.html", {"listed": listed, "may_add": rights.administers_all})


@never_cache
@_secret
@_any_method
def broker_add(request: HttpRequest) -> HttpResponse:
    """Add a broker."""
    require(rights_for(request), Role.ADMINISTRATOR)
    if request.method != "POST":
        return _form(request, form.Entered())
    entered = form.read(request.POST)
    errors = form.problems(entered)
    if errors:
        return _form(request, entered, errors=errors)
    try:
        broker = acting.add(by_request(request), entered)
    except services.InvalidBrokerError as error:
        return _form(request, entered, errors=error.errors)
    messages.success(request, f"{broker.name} is added; its first figures come within seconds.")
    return redirect("pages:broker", broker.pk)


@never_cache
@_secret
@_any_method
def broker_edit(request: HttpRequest, broker_id: int) -> HttpResponse:
    """Edit a broker; secrets that are left blank stay as they are, as long as they go nowhere new."""
    broker = _mine(request, broker_id)
    stored, lost = acting.stored_secrets(broker)
    if request.method != "POST":
        return _form(request, form.from_stored(broker, stored), broker=broker, stored=stored, problem=lost)
    entered = form.read(request.POST)
    errors = form.problems(entered, broker, stored)
    if errors:
        return _form(request, entered, broker=broker, stored=stored, errors=errors, problem=lost)
    try:
        acting.edit(by_request(request), broker, entered, stored)
    except services.InvalidBrokerError as error:
        return _form(request, entered, broker=broker, stored=stored, errors=error.errors)
    messages.success(request, f"{entered.name} is saved.")
    return redirect("pages:brokers")


@never_cache
@_secret
@require_POST
def broker_test(request: HttpRequest, broker_id: int | None = None) -> HttpResponse:
    """Test the connection with what is entered, step by step, and change nothing."""
    broker = _mine(request, broker_id) if broker_id is not None else None
    if broker is None:
        require(rights_for(request), Role.ADMINISTRATOR)
    stored = acting.stored_secrets(broker)[0] if broker else Secrets()
    entered = form.read(request.POST)
    errors = form.problems(entered, broker, stored)
    # A name is not needed to connect.
    errors.pop("name", None)
    steps: list[StepShown] = []
    if not errors:
        steps = acting.test(by_request(request), broker, entered, stored)
    context: dict[str, Any] = {"steps": steps, "errors": errors, "tested": True}
    if getattr(request, "htmx", False):
        return render(request, "pages/broker_settings_steps.html", context)
    return _form(request, entered, broker=broker, stored=stored, **context)


@require_POST
def broker_pause(request: HttpRequest, broker_id: int) -> HttpResponse:
    """Stop asking a broker, or go on."""
    broker = _mine(request, broker_id)
    pausing = request.POST.get("do") != "resume"
    (acting.pause if pausing else acting.resume)(by_request(request), broker)
    messages.success(request, f"Polling of {broker.name} is {'paused' if pausing else 'resumed'}.")
    return redirect("pages:brokers")


@never_cache
@_any_method
def broker_remove(request: HttpRequest, broker_id: int) -> HttpResponse:
    """Remove a broker with its history, once its name is typed."""
    rights = rights_for(request)
    broker = broker_or_404(rights, broker_id)
    require(rights, Role.ADMINISTRATOR)
    problem = ""
    if request.method == "POST":
        if request.POST.get("name", "").strip() == broker.name.strip():
            acting.remove(by_request(request), broker)
            messages.success(request, f"{broker.name} is removed. On the broker itself nothing changed.")
            return redirect("pages:brokers")
        problem = "This is not its name. Nothing was removed."
    began_ms = history_starts_ms(broker.pk)
    context = {
        "broker": broker,
        "problem": problem,
        "history": formats.duration(time.time() - began_ms / 1000) if began_ms else "",
        "snapshots": formats.count(broker.snapshots.count()),
        "events": formats.count(broker.events.count()),
        "grants": formats.count(broker.grants.count()),
    }
    return render(request, "pages/broker_settings_remove.html", context, status=422 if problem else 200)


def _mine(request: HttpRequest, broker_id: int) -> Broker:
    """Return a broker that the person administers; 404 where they do not see it, 403 where they may not edit it."""
    rights = rights_for(request)
    broker = broker_or_404(rights, broker_id)
    require(rights, Role.ADMINISTRATOR, broker)
    return broker


def _form(
    request: HttpRequest,
    entered: form.Entered,
    *,
    broker: Broker | None = None,
    stored: Secrets | None = None,
    errors: dict[str, str] | None = None,
    **more: Any,
) -> HttpResponse:
    held = stored or Secrets()
    kept = {name: bool(getattr(held, name)) for name in Secrets.__struct_fields__}
    context = {
        "entered": form.without_secrets(entered),
        "broker": broker,
        "errors": errors or {},
        "kept": kept,
        "may_remove": broker is not None and rights_for(request).administers_all,
        **more,
    }
    return render(request, "pages/broker_settings_form.html", context, status=422 if errors else 200)


urlpatterns: list[URLPattern] = [
    path("settings/brokers", broker_list, name="brokers"),
    path("settings/brokers/add", broker_add, name="broker_add"),
    path("settings/brokers/test", broker_test, name="broker_test_new"),
    path("settings/brokers/<int:broker_id>", broker_edit, name="broker_edit"),
    path("settings/brokers/<int:broker_id>/test", broker_test, name="broker_test"),
    path("settings/brokers/<int:broker_id>/pause", broker_pause, name="broker_pause"),
    path("settings/brokers/<int:broker_id>/remove", broker_remove, name="broker_remove"),
]
