"""How long a broker's history is kept: what each resolution takes now and will take, and what shortening deletes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise

from django.db.models import Min, Sum
from django.db.models.functions import Length

from brokers.registry.models import Broker
from brokers.series.levels import Level
from brokers.series.models import Snapshot, Span
from brokers.series.retention import (
    LEAST_RAW_H,
    MOST_DAYS,
    Retention,
    RetentionError,
    check,
    predicted_bytes,
    retention_of,
    used_bytes,
)


@dataclass(frozen=True, slots=True)
class Field:
    """A resolution as people name it, and the field that says how long it is kept; `unit_ms` is what it counts."""

    level: Level
    name: str
    label: str
    unit: str
    unit_ms: int

    @property
    def most(self) -> int:
        """How many of its units any history can be kept."""
        return MOST_DAYS * _DAY_MS // self.unit_ms


_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000
FIELDS = (
    Field(Level.RAW, "raw_h", "Every poll", "hours", _HOUR_MS),
    Field(Level.MINUTE, "minute_d", "1 minute", "days", _DAY_MS),
    Field(Level.TEN_MINUTES, "ten_minutes_d", "10 minutes", "days", _DAY_MS),
    Field(Level.HOUR, "hour_d", "1 hour", "days", _DAY_MS),
)


@dataclass(frozen=True, slots=True)
class Kept:
    """One resolution. Bytes on disk, Unix milliseconds.

    `deleted_bytes` is stored now and older than it would be kept, between `deleted_from_ms` and `deleted_to_ms`.
    """

    field: Field
    value: int
    used_bytes: int
    predicted_bytes: int
    oldest_ms: int | None
    deleted_bytes: int = 0
    deleted_from_ms: int | None = None
    deleted_to_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a retention means for one broker. `stored` is the one in force."""

    broker: Broker
    retention: Retention
    stored: Retention
    levels: tuple[Kept, ...]
    used_bytes: int
    predicted_bytes: int

    @property
    def deleted(self) -> tuple[Kept, ...]:
        """Return the resolutions of which history would be deleted."""
        return tuple(one for one in self.levels if one.deleted_bytes)

    @property
    def deletes(self) -> bool:
        """It shortens something, and there is history beyond what would be kept."""
        return bool(self.deleted)


def plan(broker: Broker, retention: Retention) -> Plan:
    """Return what a retention means for a broker. A few queries, and one snapshot read."""
    stored = retention_of(broker.pk)
    predicted = predicted_bytes(broker.pk, retention)
    polls = Snapshot.objects.filter(broker=broker)
    newest = polls.order_by("-id").values_list("at_ms", flat=True).first()
    levels = tuple(_kept(broker, one, retention, stored, newest, predicted.by_level) for one in FIELDS)
    # The polls of the last minutes are not in blocks yet. They are single polls as those are.
    lately = polls.aggregate(size=Sum(Length("payload")), oldest=Min("at_ms"))
    oldest = min((at for at in (levels[0].oldest_ms, lately["oldest"]) if at is not None), default=None)
    raw = replace(levels[0], used_bytes=levels[0].used_bytes + int(lately["size"] or 0), oldest_ms=oldest)
    return Plan(broker, retention, stored, (raw, *levels[1:]), used_bytes(broker.pk), predicted.total)


def entered(given: Mapping[str, object], otherwise: Retention) -> tuple[Retention, dict[str, str]]:
    """Return the retention in fields, and a sentence for each that can't be used; what is not given stays. Pure."""
    values = asdict(otherwise)
    errors: dict[str, str] = {}
    for one in FIELDS:
        text = str(given.get(one.name, values[one.name])).strip()
        if not (text.isascii() and text.isdecimal()) or not 0 < int(text[:20]) <= one.most:
            errors[one.name] = f"Enter whole {one.unit}, 1 to {one.most:,}."
        else:
            values[one.name] = int(text)
    retention = Retention(**values)
    if not errors:
        try:
            check(retention)
        except RetentionError as error:
            errors[_meant(retention)] = str(error)
    return retention, errors


def _meant(retention: Retention) -> str:
    """Return the field that a sentence about the whole belongs to: one out of bounds, or shorter than a finer one."""
    if retention.raw_h < LEAST_RAW_H:
        return FIELDS[0].name
    for finer, coarser in pairwise(FIELDS):
        if retention.lasts_ms(coarser.level) < retention.lasts_ms(finer.level):
            return coarser.name
    return "ten_minutes_d"


def _kept(
    broker: Broker,
    one: Field,
    retention: Retention,
    stored: Retention,
    newest_ms: int | None,
    predicted: Mapping[Level, int],
) -> Kept:
    rows = Span.objects.filter(broker=broker, level=int(one.level))
    every = rows.aggregate(size=Sum("stored_bytes"), oldest=Min("start_ms"))
    kept = Kept(
        one,
        asdict(retention)[one.name],
        int(every["size"] or 0),
        predicted[one.level],
        every["oldest"],
    )
    if newest_ms is None or retention.lasts_ms(one.level) >= stored.lasts_ms(one.level):
        return kept
    ends_ms = newest_ms - retention.lasts_ms(one.level)
    gone = rows.filter(end_ms__lte=ends_ms).aggregate(size=Sum("stored_bytes"), oldest=Min("start_ms"))
    if not gone["size"]:
        return kept
    return Kept(
        one,
        kept.value,
        kept.used_bytes,
        kept.predicted_bytes,
        kept.oldest_ms,
        int(gone["size"]),
        gone["oldest"],
        ends_ms,
    )
