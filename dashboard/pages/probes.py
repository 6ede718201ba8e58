"""/healthz, /readyz and /metrics: whether the process lives, whether it can serve, and how Warren itself is."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.urls.resolvers import URLPattern


@login_not_required
def healthz(_request: HttpRequest) -> HttpResponse:
    """Answer 200: this process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


urlpatterns: list[URLPattern] = [path("healthz", healthz, name="healthz")]
