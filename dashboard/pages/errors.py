"""Pages for what went wrong on the way to a page: a sentence in the shell, never a bare status."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import requires_csrf_token

from dashboard.accounts.guards import RefusedError

# How Django's own shortcuts word a row that is not there: it names a model, which says nothing to a person.
_DJANGOS_OWN = "matches the given query."


@requires_csrf_token
def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Say that there is nothing at this address, in the sentence of whoever found that out."""
    said = exception.args[0] if exception.args else ""
    ours = isinstance(said, str) and not said.endswith(_DJANGOS_OWN)
    return render(request, "404.html", {"sentence": said if ours else ""}, status=404)


@requires_csrf_token
def refused(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Say which role is missing where."""
    said = str(exception) if isinstance(exception, RefusedError) else ""
    return render(request, "403.html", {"sentence": said}, status=403)
