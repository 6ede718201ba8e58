"""Django's handle on the dashboard itself: its template tags and commands."""

import importlib

from django.apps import AppConfig


class DashboardConfig(AppConfig):
    """The dashboard has no tables of its own; those of people are in dashboard.accounts."""

    name = "dashboard"
    label = "dashboard"

    def ready(self) -> None:
        """Make the Celery application, so that every process with Django in it sends its tasks through it.

        Here and not on importing the package, since the supervisor and the demo are processes without Django.
        """
        importlib.import_module("dashboard.celery")
