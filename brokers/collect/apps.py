"""Django's handle on this package."""

from django.apps import AppConfig


class CollectConfig(AppConfig):
    """The tables of brokers.collect."""

    name = "brokers.collect"
    label = "collect"
