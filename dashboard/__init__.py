"""Warren: the dashboard, all that a person touches."""

from dashboard.celery import app as celery_app

__all__ = ["celery_app"]
