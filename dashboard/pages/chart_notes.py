"""Notes in time, written and removed from the page of charts. The address stays that of the chart."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import path, reverse
from django.urls.resolvers import URLPattern
from django.utils import timezone
from django.views.decorators.http import require_POST

from dashboard.accounts.audit import ActRefusedError, by_request
from dashboard.accounts.rights import Rights, rights_for
from dashboard.acting import annotations as acting
from dashboard.annotations.entered import Entered, problems
from dashboard.annotations.models import Annotation
from dashboard.annotations.seen import may_change, sees
from dashboard.charts.address import moment_ms
from dashboard.queries.broker_facts import BrokerFacts
from dashboard.queries.queues_rows import visible

# So many vhosts of a broker stand in the form.
_VHOSTS = 200


@dataclass(frozen=True, slots=True)
class NoteForm:
    """The form as it is drawn: what was entered, what is wrong with it, and the scopes that the person may write on."""

    entered: Mapping[str, str]
    errors: Mapping[str, str]
    scopes: Sequence[tuple[str, str]]
    kinds: Sequence[tuple[str, str]]


def blank_form(rights: Rights, brokers: Sequence[BrokerFacts]) -> NoteForm:
    """Return the form before anything was entered."""
    return NoteForm({}, {}, scopes(rights, brokers), Annotation.Kind.choices)


def scopes(rights: Rights, brokers: Sequence[BrokerFacts]) -> list[tuple[str, str]]:
    """Return what a person may write notes on: the form's value (`all`, `3`, `3:%2F`) and its words."""
    found = [("all", "all brokers")] if may_change(rights, None, None) else []
    for broker in brokers:
        if may_change(rights, broker.id, None):
            found.append((str(broker.id), broker.name))
        found += [
            (f"{broker.id}:{quote(vhost.name, safe='')}", f"vhost {visible(vhost.name)} of {broker.name}")
            for vhost in broker.vhosts[:_VHOSTS]
            if may_change(rights, broker.id, vhost.name)
        ]
    return found


def add(request: HttpRequest, brokers: Sequence[BrokerFacts]) -> NoteForm | None:
    """Write the note that a form sent; return the form with what is wrong in it, None where the note is written."""
    fields = {name: request.POST.get(name, "") for name in ("kind", "text", "at", "end", "scope")}
    now_ms = time.time_ns() // 1_000_000
    entered = _entered(fields, now_ms)
    errors = problems(entered, now_ms)
    if not errors:
        try:
            acting.add(by_request(request), entered)
        except ActRefusedError as error:
            errors = {"scope": str(error)}
        else:
            return None
    return NoteForm(fields, errors, scopes(rights_for(request), brokers), Annotation.Kind.choices)


@require_POST
def remove(request: HttpRequest, note_id: int) -> HttpResponse:
    """Remove a note and show the chart again."""
    note = Annotation.objects.select_related("broker").filter(pk=note_id).first() if note_id < 2**63 else None
    if note is None or not sees(rights_for(request), note):
        raise Http404("There is no such note, or none that you may see.")
    acting.remove(by_request(request), note)
    messages.info(request, f"Removed: {note.text}")
    return redirect(chart_of(request.GET))


def chart_of(query: QueryDict) -> str:
    """Return the address of the chart that a form belongs to."""
    return f"{reverse('pages:charts')}?{query.urlencode()}" if query else reverse("pages:charts")


def _entered(fields: Mapping[str, str], now_ms: int) -> Entered:
    zone = timezone.get_current_timezone()
    broker, _, vhost = fields["scope"].partition(":")
    known = broker.isascii() and broker.isdigit() and len(broker) < 19
    at_ms = _number(moment_ms(fields["at"], zone)) if fields["at"] else now_ms
    # A scope that can't be read is of a broker that there is not.
    broker_id = None if broker == "all" else int(broker) if known else 0
    end_ms = (_number(moment_ms(fields["end"], zone)) or 0) if fields["end"] else None
    text = fields["text"].replace("\x00", " ")
    vhost_name = unquote(vhost).replace("\x00", " ") if ":" in fields["scope"] else None
    return Entered(fields["kind"], text, at_ms, end_ms, broker_id, vhost_name)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


urlpatterns: list[URLPattern] = [path("charts/notes/<int:note_id>/remove", remove, name="charts_note_remove")]
