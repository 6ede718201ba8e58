"""Addresses of dashboard.api."""

from __future__ import annotations

from django.urls.resolvers import URLPattern

app_name = "api"
urlpatterns: list[URLPattern] = []
