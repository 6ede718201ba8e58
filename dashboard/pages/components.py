"""Every component in every state: what a page is built from, to be looked at."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path


def components(request: HttpRequest) -> HttpResponse:
    """Show the components."""
    return render(request, "pages/components.html")


urlpatterns = [path("components", components, name="components")]
