"""How long each resolution is kept, what that takes, and that nothing goes before the coarser level has it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from django.conf import LazySettings

from brokers.series import retention, upkeep
from brokers.series.compact import Log
from brokers.series.levels import Level
from brokers.series.metrics import Kind
from brokers.series.models import Span
from brokers.series.read import read
from brokers.series.retention import (
    Retention,
    RetentionError,
    believed_ms,
    expired,
    predicted_bytes,
    retention_of,
    set_retention,
    used_bytes,
)
from brokers.series.snapshots import SnapshotRow
from brokers.series.spans import SpanRow
from tests.series.histories import BEGIN, Written, walk
from tests.support.builders import make_broker

HOUR, DAY = 3_600_000, 86_400_000


def span(row_id: int, level: Level, start_h: float, end_h: float, *, stale: bool = False) -> SpanRow:
    return SpanRow(row_id, level, round(start_h * HOUR), round(end_h * HOUR), stale, 100)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (Retention(raw_h=2), "at least 3 hours"),
        (Retention(minute_d=0), "at least a day"),
        (Retention(ten_minutes_d=2), "at least 3 days"),
        (Retention(raw_h=24 * 15), "The minutes must be kept at least as long as the single polls."),
        (Retention(minute_d=91), "The ten minutes must be kept at least as long as the minutes."),
        (Retention(hour_d=89), "The hours must be kept at least as long as the ten minutes."),
        (Retention(hour_d=3661), "at most 3,660 days"),
    ],
)
def test_it_refuses_what_can_not_be_with_a_sentence(asked: Retention, says: str) -> None:
    with pytest.raises(RetentionError, match=says):
        retention.check(asked)


@pytest.mark.django_db
def test_it_is_as_the_settings_say_until_a_broker_has_its_own(settings: LazySettings) -> None:
    broker = make_broker()
    assert retention_of(broker.id) == Retention(48, 14, 90, 400)
    settings.WARREN_HISTORY_HOURS = 24 * 30
    assert retention_of(broker.id) == Retention(720, 30, 90, 400)
    set_retention(broker.id, Retention(6, 2, 30, 60))
    assert retention_of(broker.id) == Retention(6, 2, 30, 60)
    with pytest.raises(RetentionError):
        set_retention(broker.id, Retention(6, 2, 1, 60))
    assert retention_of(broker.id) == Retention(6, 2, 30, 60)


def test_it_lets_go_what_is_old_and_rolled_up() -> None:
    kept = Retention(raw_h=4, minute_d=1, ten_minutes_d=3, hour_d=4)
    polls = [span(1, Level.RAW, 0, 2), span(2, Level.RAW, 2, 4), span(3, Level.RAW, 4, 6)]
    minutes = [span(4, Level.MINUTE, 0, 1), span(5, Level.MINUTE, 1, 2), span(6, Level.MINUTE, 2, 3)]
    # The second is not rolled up whole yet, the third is young.
    assert expired([*polls, *minutes], kept, 9 * HOUR) == [1]
    assert expired([*polls, *minutes, span(7, Level.MINUTE, 3, 4)], kept, 9 * HOUR) == [1, 2]
    stale = [span(5, Level.MINUTE, 1, 2, stale=True)]
    assert expired([*polls, minutes[0], *stale], kept, 9 * HOUR) == []
    # Where minutes of that time are not kept any more either, nothing waits for them.
    assert expired(polls[:1], kept, 40 * HOUR) == [1]
    assert expired([span(8, Level.HOUR, 0, 48)], kept, (48 + 96) * HOUR) == [8]
    assert expired([span(8, Level.HOUR, 0, 48)], kept, (48 + 96) * HOUR - 1) == []


def log(*at_ms: int) -> Log:
    rows = [SnapshotRow(number, at, at, 5000, True) for number, at in enumerate(at_ms)]
    return Log(sorted(rows, key=lambda row: row.at_ms), at_ms[-1], frozenset())


def test_it_does_not_believe_a_clock_that_jumped_ahead_at_once() -> None:
    spans = [span(1, Level.RAW, 0, 2), span(2, Level.RAW, 2, 4)]
    end = 4 * HOUR
    assert believed_ms(log(end, end + 5000), spans) == end + 5000
    ahead = end + 365 * DAY
    assert believed_ms(log(end, end + 5000, ahead), spans) == end + 5000
    assert believed_ms(log(end, *range(ahead, ahead + HOUR // 2, 60_000)), spans) == end
    # After an hour it is what the time is.
    assert believed_ms(log(end, *range(ahead, ahead + 2 * HOUR, 60_000)), spans) > ahead
    # Set back again: the newest is the last written.
    assert believed_ms(log(end, ahead, end + 10_000), spans) == end + 10_000


@pytest.mark.django_db
def test_it_keeps_each_level_as_long_as_told_and_reads_on_from_coarser_ones() -> None:
    written = Written(make_broker())
    walk(written, 2, BEGIN, BEGIN + 30 * HOUR, cadence_ms=120_000, slots=[0, 1])
    set_retention(written.broker.id, Retention(raw_h=3, minute_d=1, ten_minutes_d=3, hour_d=3))
    upkeep.keep(written.broker.id, seconds=600)
    ends = dict(Span.objects.order_by("-start_ms").values_list("level", "start_ms"))
    assert ends[int(Level.RAW)] == BEGIN + 26 * HOUR
    assert ends[int(Level.MINUTE)] == BEGIN
    found = read(written.broker.id, Kind.QUEUE, [0], ["ready"], BEGIN, BEGIN + 30 * HOUR, step_ms=1000)
    assert found.resolution_ms == 60_000
    # Nothing of the range is missing: where single polls were let go, minutes tell of it.
    times = [at for at in written.polls if at < BEGIN + 30 * HOUR]
    assert (found.times_ms[0], found.times_ms[-1]) == (min(times), max(times))
    polls = written.values(0, "ready", BEGIN, BEGIN + 30 * HOUR)[1]
    assert np.nanmax(found.high["ready"]) == np.nanmax(polls)


@pytest.mark.django_db
def test_it_predicts_from_what_the_broker_took_so_far() -> None:
    written = Written(make_broker())
    walk(written, 4, BEGIN, BEGIN + 5 * HOUR, cadence_ms=60_000, slots=range(30))
    usual = predicted_bytes(written.broker.id, Retention())
    assert usual.total == sum(usual.by_level.values()) > 0
    upkeep.keep(written.broker.id, seconds=600)
    found = predicted_bytes(written.broker.id, Retention())
    spans = Span.objects.filter(broker=written.broker, level=int(Level.RAW), end_ms=BEGIN + 4 * HOUR).get()
    per_hour = spans.stored_bytes / 2
    # 48 hours of the same, and the polls that are in no block yet.
    assert found.by_level[Level.RAW] == pytest.approx(48 * per_hour, rel=0.4)
    twice = predicted_bytes(written.broker.id, Retention(raw_h=96))
    assert twice.by_level[Level.RAW] == pytest.approx(2 * found.by_level[Level.RAW], rel=0.2)
    assert used_bytes(written.broker.id) > spans.stored_bytes
    nothing: Callable[[int], object] = lambda broker_id: predicted_bytes(broker_id, Retention())  # noqa: E731
    assert nothing(make_broker().id).total == 0
    assert used_bytes(make_broker().id) == 0


@pytest.mark.django_db
def test_it_predicts_the_same_whether_the_newest_poll_read_what_is_read_seldom_or_not() -> None:
    written = Written(make_broker())
    found = []
    for tick in range(600):
        rows = {slot: {"ready": float(tick * slot % 7)} for slot in range(30)}
        if tick % 6 == 0:
            for slot, row in rows.items():
                row |= {"memory": 15_000.0 + tick % (slot + 1), "capacity": 1.0, "prefetch": 20.0}
        written.poll(BEGIN + tick * 10_000, rows, cadence_ms=10_000)
        if tick in {597, 598, 599}:
            upkeep.keep(written.broker.id, seconds=600)
            found.append(predicted_bytes(written.broker.id, Retention()))
    rows = {slot: {"ready": 1.0, "memory": 15_000.0, "capacity": 1.0, "prefetch": 20.0} for slot in range(30)}
    written.poll(BEGIN + 600 * 10_000, rows, cadence_ms=10_000)
    found.append(predicted_bytes(written.broker.id, Retention()))
    assert {one.by_level[Level.MINUTE] for one in found} == {found[0].by_level[Level.MINUTE]}
    assert [one.total for one in found] == pytest.approx([found[0].total] * 4, rel=0.02)
    # A poll has one figure, and one in six four; a minute has all.
    spans = Span.objects.filter(broker=written.broker, level=int(Level.RAW)).order_by("-end_ms").first()
    assert spans is not None
    assert spans.known / spans.samples == pytest.approx(30 * 1.5, rel=0.01)
