"""The Django app `annotations`."""

from __future__ import annotations

from django.apps import AppConfig


class AnnotationsConfig(AppConfig):
    """Tables of dashboard.annotations."""

    name = "dashboard.annotations"
    label = "annotations"
