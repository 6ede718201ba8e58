"""The time-series tables: snapshots, one row a poll; spans and their blocks, by level; what upkeep is due."""

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


class Span(models.Model):
    """A window of time of one broker at one level: the samples that all its blocks share.

    The window is [start_ms, end_ms), as long as the level's windows are (brokers.series.levels). A span and its blocks
    are written in one transaction, and never changed: what comes later makes a new span in place of the old one.
    """

    broker = models.ForeignKey(Broker, on_delete=models.CASCADE, related_name="spans")
    level = models.PositiveSmallIntegerField()
    start_ms = models.BigIntegerField()
    end_ms = models.BigIntegerField()
    # The samples, as encoded by brokers.series.blocks.encode_ticks.
    ticks = models.BinaryField()
    # A late snapshot changed the finer level since this was rolled up from it.
    stale = models.BooleanField(default=False)
    # What it holds and takes: its samples, known values in all blocks, bytes with rows and index.
    samples = models.PositiveIntegerField()
    known = models.BigIntegerField()
    stored_bytes = models.BigIntegerField()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["broker", "level", "start_ms"], name="span_window"),
        ]


class Block(models.Model):
    """All metrics of 64 neighbouring objects (slots 64 × `group` on) over a span, encoded by brokers.series.blocks."""

    # The constraint below begins with the span: an index of its own would say the same.
    span = models.ForeignKey(Span, on_delete=models.CASCADE, related_name="blocks", db_index=False)
    kind = models.CharField(max_length=10)
    group = models.PositiveIntegerField()
    payload = models.BinaryField()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["span", "kind", "group"], name="block_place"),
        ]


class Upkeep(models.Model):
    """Who compacts, rolls up and expires a broker's history at present: a claim that ends by itself."""

    broker = models.OneToOneField(Broker, on_delete=models.CASCADE, primary_key=True, related_name="upkeep")
    claim = models.CharField(max_length=16, blank=True, default="")
    claimed_until_ms = models.BigIntegerField(default=0)
    # How long each level is kept; null: as the settings say (brokers.series.retention).
    raw_h = models.PositiveIntegerField(null=True)
    minute_d = models.PositiveIntegerField(null=True)
    ten_minutes_d = models.PositiveIntegerField(null=True)
    hour_d = models.PositiveIntegerField(null=True)
