"""Django's handle on this package."""

from django.apps import AppConfig


class RegistryConfig(AppConfig):
    """The tables of brokers.registry."""

    name = "brokers.registry"
    label = "registry"
