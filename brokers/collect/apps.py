"""Django's handle on this package."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_save


class CollectConfig(AppConfig):
    """The tables of brokers.collect."""

    name = "brokers.collect"
    label = "collect"

    def ready(self) -> None:
        """Give every new broker its PollState: the registry, which makes brokers, knows nothing of collecting."""
        from brokers.registry.models import Broker  # noqa: PLC0415 (models exist from here on)

        post_save.connect(_give_state, sender=Broker, dispatch_uid="collect.give_state")


def _give_state(sender: object, instance: Any, created: bool, raw: bool = False, **_: object) -> None:  # noqa: ARG001
    from brokers.collect.models import PollState  # noqa: PLC0415

    if created and not raw:
        PollState.objects.get_or_create(broker=instance)
