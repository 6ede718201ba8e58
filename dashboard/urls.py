"""Every address of the dashboard, by room."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [
    path("", include("dashboard.pages.urls")),
    path("account/", include("dashboard.accounts.urls")),
    path("api/v1/", include("dashboard.api.urls")),
]

handler403 = "dashboard.pages.errors.refused"
handler404 = "dashboard.pages.errors.not_found"
