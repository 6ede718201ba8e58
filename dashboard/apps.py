"""Django's handle on the dashboard itself: its template tags and commands."""

from django.apps import AppConfig


class DashboardConfig(AppConfig):
    """The dashboard has no tables of its own; those of people are in dashboard.accounts."""

    name = "dashboard"
    label = "dashboard"
