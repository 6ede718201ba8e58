"""How long each resolution is kept, what disk that takes, and letting go of what is older."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db.models import Avg, Sum
from django.db.models.functions import Length

from brokers.series import codec
from brokers.series.codec import CorruptSnapshotError
from brokers.series.compact import KEEP_MS, Log
from brokers.series.levels import Level
from brokers.series.models import Snapshot, Span, Upkeep
from brokers.series.spans import SpanRow

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
LEAST_RAW_H = 3
MOST_DAYS = 3660

# Bytes a known value until this broker's own are measured: single polls, and roll-ups with their five figures.
# [benchmarks/series_read.py, 10,000 queues with mixed traffic]
_USUAL_BYTES = {Level.RAW: 0.2, Level.MINUTE: 1.5, Level.TEN_MINUTES: 2.5, Level.HOUR: 4.0}
# What follows a hole of this length is believed only when there is this much of it: our clock may have jumped.
_HOLE_MS = _DAY_MS
_BELIEVED_MS = _HOUR_MS


class RetentionError(ValueError):
    """A retention that can't be; the message is a sentence for the person who asked for it."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the history of a broker is kept: single polls in hours, roll-ups in days."""

    raw_h: int = 48
    minute_d: int = 14
    ten_minutes_d: int = 90
    hour_d: int = 400

    def lasts_ms(self, level: Level) -> int:
        """Return how long a level is kept."""
        return {
            Level.RAW: self.raw_h * _HOUR_MS,
            Level.MINUTE: self.minute_d * _DAY_MS,
            Level.TEN_MINUTES: self.ten_minutes_d * _DAY_MS,
            Level.HOUR: self.hour_d * _DAY_MS,
        }[level]


@dataclass(frozen=True, slots=True)
class Prediction:
    """Bytes on disk once the history is as long as it may become."""

    total: int
    by_level: Mapping[Level, int]


def usual_retention() -> Retention:
    """Return what holds where a broker has none of its own: WARREN_HISTORY_HOURS for single polls."""
    raw_h = max(LEAST_RAW_H, int(settings.WARREN_HISTORY_HOURS))
    days = -(-raw_h // 24)
    usual = Retention()
    return Retention(raw_h, max(usual.minute_d, days), max(usual.ten_minutes_d, days), max(usual.hour_d, days))


def retention_of(broker_id: int) -> Retention:
    """Return how long a broker's history is kept."""
    usual = usual_retention()
    row = Upkeep.objects.filter(broker_id=broker_id).first()
    if row is None or None in {row.raw_h, row.minute_d, row.ten_minutes_d, row.hour_d}:
        return usual
    return Retention(row.raw_h or 0, row.minute_d or 0, row.ten_minutes_d or 0, row.hour_d or 0)


def set_retention(broker_id: int, retention: Retention) -> None:
    """Keep a broker's history so long from now on. Raises RetentionError."""
    check(retention)
    Upkeep.objects.update_or_create(
        broker_id=broker_id,
        defaults={
            "raw_h": retention.raw_h,
            "minute_d": retention.minute_d,
            "ten_minutes_d": retention.ten_minutes_d,
            "hour_d": retention.hour_d,
        },
    )


def check(retention: Retention) -> None:
    """Raise RetentionError where a retention can't be. Pure."""
    if retention.raw_h < LEAST_RAW_H:
        raise RetentionError(
            f"Single polls must be kept for at least {LEAST_RAW_H} hours: the minutes are made of them."
        )
    if retention.minute_d < 1:
        raise RetentionError("Minutes must be kept for at least a day: the ten minutes are made of them.")
    if retention.ten_minutes_d < 3:
        raise RetentionError("Ten minutes must be kept for at least 3 days: the hours are made of them.")
    names = {
        Level.RAW: "single polls",
        Level.MINUTE: "minutes",
        Level.TEN_MINUTES: "ten minutes",
        Level.HOUR: "hours",
    }
    for level in (Level.MINUTE, Level.TEN_MINUTES, Level.HOUR):
        if retention.lasts_ms(level) < retention.lasts_ms(level.finer):
            raise RetentionError(f"The {names[level]} must be kept at least as long as the {names[level.finer]}.")
    if retention.hour_d > MOST_DAYS:
        raise RetentionError(f"History can be kept for at most {MOST_DAYS:,} days.")


def predicted_bytes(broker_id: int, retention: Retention) -> Prediction:
    """Return the disk that a broker's history will take, as large and as busy as the broker was lately.

    From the values of a sample and what a value took in its own blocks so far; where there are none yet, from its
    newest snapshot and what a value usually takes.
    """
    values, cadence_ms = _newest(broker_id)
    by_level: dict[Level, int] = {}
    for level in Level:
        rows = Span.objects.filter(broker_id=broker_id, level=int(level)).order_by("-end_ms")
        sizes = [
            row for row in rows.values_list("end_ms", "start_ms", "stored_bytes", "known", "samples")[:40] if row[3]
        ]
        if sizes and level in {Level.RAW, Level.MINUTE}:
            # Some polls read more than others; every minute knows what is read seldom, and so do coarser samples.
            values = sizes[0][3] / sizes[0][4]
        # Long spans tell what remains; short ones are only there until they are merged.
        longest = max((end - start for end, start, *_ in sizes), default=0)
        long = [row for row in sizes if row[0] - row[1] == longest]
        known = sum(row[3] for row in long)
        per_value = sum(row[2] for row in long) / known if known else _USUAL_BYTES[level]
        samples = retention.lasts_ms(level) / (level.resolution_ms or cadence_ms)
        by_level[level] = round(samples * values * per_value)
    # Until they are old enough, polls are snapshots.
    usual = Snapshot.objects.filter(broker_id=broker_id).aggregate(bytes=Avg(Length("payload")))["bytes"] or 0
    by_level[Level.RAW] += round(usual * (KEEP_MS + Level.RAW.first_ms) / cadence_ms)
    return Prediction(sum(by_level.values()), by_level)


def used_bytes(broker_id: int) -> int:
    """Return the disk that a broker's history takes now, rows and index included."""
    spans = Span.objects.filter(broker_id=broker_id)
    stored = spans.aggregate(blocks=Sum("stored_bytes"), ticks=Sum(Length("ticks")))
    rows = Snapshot.objects.filter(broker_id=broker_id).aggregate(size=Sum(Length("payload")))
    return int(stored["blocks"] or 0) + int(stored["ticks"] or 0) + int(rows["size"] or 0)


def _newest(broker_id: int) -> tuple[float, int]:
    """Return of a broker's newest snapshot how many values it has, and its cadence."""
    row = Snapshot.objects.filter(broker_id=broker_id).order_by("-id").values_list("payload", "cadence_ms").first()
    if row is None:
        return 0, 5_000
    try:
        frame = codec.decode(row[0])
    except CorruptSnapshotError:
        return 0, max(1, row[1])
    values = sum(
        int((column == column).sum())  # noqa: PLR0124 # NaN is the one that differs from itself
        for table in frame.tables.values()
        for column in table.columns.values()
    )
    return values, max(1, row[1])


def believed_ms(log: Log, spans: Sequence[SpanRow]) -> int:
    """Return the end of the history from which ages count. Pure.

    It is the newest snapshot's time, not the clock's: what a broker did last stays while it is silent. Where a hole of
    a day comes before the newest hour, the end of what was before the hole: should our clock have jumped
    ahead, nothing is let go until it has been there for an hour.
    """
    ends = sorted(
        [row.at_ms for row in log.rows if row.at_ms <= log.newest_ms]
        + [min(span.end_ms, log.newest_ms) for span in spans if span.level is Level.RAW]
    )
    believed = log.newest_ms
    for later, earlier in zip(reversed(ends), reversed(ends[:-1]), strict=False):
        if log.newest_ms - later > _BELIEVED_MS:
            break
        if later - earlier > _HOLE_MS:
            believed = earlier
            break
    return believed


def expired(spans: Sequence[SpanRow], retention: Retention, now_ms: int) -> list[int]:
    """Return the ids of the spans that are older than their level is kept. Pure.

    A span that the coarser level is still to be made of stays, as long as that one is kept itself.
    """
    due: list[int] = []
    for span in spans:
        if span.end_ms > now_ms - retention.lasts_ms(span.level):
            continue
        if span.level is not Level.HOUR:
            coarser = Level(span.level + 1)
            wanted = span.end_ms > now_ms - retention.lasts_ms(coarser)
            if wanted and not _is_rolled(span, coarser, spans):
                continue
        due.append(span.id)
    return due


def _is_rolled(span: SpanRow, coarser: Level, spans: Sequence[SpanRow]) -> bool:
    over = [one for one in spans if one.level is coarser and one.end_ms > span.start_ms and one.start_ms < span.end_ms]
    covered = sum(min(one.end_ms, span.end_ms) - max(one.start_ms, span.start_ms) for one in over)
    return covered == span.end_ms - span.start_ms and not any(one.stale for one in over)
