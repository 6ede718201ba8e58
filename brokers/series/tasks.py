"""Celery's side of the history's upkeep. Messages only say that a moment has come; what is due stands in the tables."""

from __future__ import annotations

import logging

from celery import shared_task
from django.db import OperationalError

from brokers.registry.models import Broker
from brokers.series import upkeep

logger = logging.getLogger(__name__)


@shared_task(name="brokers.series.tasks.keep_all", ignore_result=True)
def keep_all() -> None:
    """Send one message a broker."""
    for broker_id in Broker.objects.order_by("id").values_list("id", flat=True):
        keep.apply_async((broker_id,), expires=50)


@shared_task(name="brokers.series.tasks.keep", ignore_result=True)
def keep(broker_id: int) -> int:
    """Compact, roll up and let go what is due for one broker."""
    try:
        return upkeep.keep(broker_id)
    except OperationalError as error:
        # A full disk, or a database that is away: nothing was changed, and the next message finds the same due.
        logger.warning("The history of broker %s is not compacted for now: %s. It goes on by itself.", broker_id, error)
        return 0
