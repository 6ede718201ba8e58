"""Celery's beat, in memory, which keeps to itself what nobody needs to hear.

Twice a second the moment comes to look whether a broker is due. Mostly none is: to ask the database that here takes a
tenth of what a message to a worker takes, which would ask it there.
"""

from __future__ import annotations

import logging
from typing import Any

import django
from celery import beat

django.setup()

from django.db import DatabaseError, close_old_connections  # noqa: E402 - settings come first

from brokers.collect import tasks  # noqa: E402 - as above
from brokers.collect.poll import now_ms  # noqa: E402 - as above
from brokers.collect.waiting import anything_due  # noqa: E402 - as above

logger = logging.getLogger(__name__)


class Scheduler(beat.Scheduler):
    """Remembers nothing: what it sends says only that a moment has come."""

    def apply_entry(self, entry: beat.ScheduleEntry, producer: Any = None) -> None:
        """Send an entry's task, where it may find anything to do."""
        if entry.task != tasks.dispatch.name or _may_be_due():
            super().apply_entry(entry, producer=producer)


def _may_be_due() -> bool:
    close_old_connections()
    try:
        return anything_due(now_ms())
    except DatabaseError as error:
        # The worker says what is the matter, and what it means.
        logger.debug("Whether a broker is due can't be told: %s", error)
        return True
