"""Addresses of dashboard.accounts."""

from __future__ import annotations

from django.urls.resolvers import URLPattern

app_name = "accounts"
urlpatterns: list[URLPattern] = []
