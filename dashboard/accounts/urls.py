"""Addresses of dashboard.accounts."""

from __future__ import annotations

from django.urls import path
from django.urls.resolvers import URLPattern

from dashboard.accounts import views

app_name = "accounts"
urlpatterns: list[URLPattern] = [
    path("sign-in", views.sign_in, name="sign_in"),
    path("sign-out", views.sign_out, name="sign_out"),
    path("password", views.password, name="password"),
    path("tokens", views.own_tokens, name="tokens"),
    path("tokens/<int:pk>/revoke", views.revoke_token, name="revoke_token"),
]
