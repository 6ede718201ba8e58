"""Django's handle on this package."""

from django.apps import AppConfig


class SeriesConfig(AppConfig):
    """The tables of brokers.series."""

    name = "brokers.series"
    label = "series"
