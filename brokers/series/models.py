"""The time-series tables: one row a poll."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from brokers.registry.models import Broker


class Snapshot(models.Model):
    """All objects × metrics of one broker at one moment, as encoded by brokers.series.codec.

    `at_ms` is when the broker answered (our clock, Unix milliseconds), `stored_ms` when the row was written, so that
    their difference is the time from answer to row. Ids grow in the order of commits on one database, which
    lets the tails of the web processes follow the log by the highest id.
    """

    broker = models.ForeignKey(Broker, on_delete=models.CASCADE, related_name="snapshots")
    at_ms = models.BigIntegerField()
    stored_ms = models.BigIntegerField()
    # The cadence in force when it was taken; a distance of more than 2.5 of these to the next is a gap.
    cadence_ms = models.PositiveIntegerField()
    # False when part of the broker could not be asked (a node did not answer): what is missing is unknown.
    complete = models.BooleanField(default=True)
    payload = models.BinaryField()

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["broker", "at_ms"], name="snapshot_broker_at"),
            models.Index(fields=["at_ms"], name="snapshot_at"),
        ]
