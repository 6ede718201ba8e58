"""Addresses of dashboard.api. Every one of them answers in JSON, also where there is nothing."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.urls import re_path
from django.urls.resolvers import URLPattern
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI
from ninja.router import Router

from dashboard.api import brokers, measures, openapi, queues, retention, series
from dashboard.api.annotations import router as annotations_router
from dashboard.api.auth import Person
from dashboard.api.problems import ProblemError, install, problem

app_name = "api"


def build() -> NinjaAPI:
    """Make the API of its rooms' routers."""
    made = NinjaAPI(
        title="Warren",
        version="1",
        description=openapi.DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        urls_namespace="api",
        auth=Person(),
    )
    install(made)
    routers: tuple[Router, ...] = (
        *(brokers.router, retention.router, queues.router, series.router, measures.router, annotations_router),
        openapi.room(made),
    )
    for router in routers:
        made.add_router("", router)
    return made


@csrf_exempt
def nothing_here(request: HttpRequest) -> HttpResponse:
    """Answer 404 for addresses that there are not; 401 where nobody is known, so that addresses can't be probed."""
    try:
        known = Person()(request)
    except ProblemError as error:
        return problem(error.status, error.detail, error.errors)
    if known is None:
        return problem(401)
    return problem(404, "There is no such address; /api/v1/openapi.json lists those there are.")


def _patterns() -> list[URLPattern]:
    found: list[URLPattern] = []
    for pattern in api.urls[0]:
        # Ninja's home page leads to pages of documentation, which are not served here.
        if not isinstance(pattern, URLPattern) or pattern.name == "api-root":
            continue
        # The API answers 401 by itself where pages lead to the sign-in.
        pattern.callback = login_not_required(pattern.callback)
        found.append(pattern)
    return found


api = build()
urlpatterns: list[URLPattern] = [*_patterns(), re_path("", login_not_required(nothing_here), name="nothing_here")]
