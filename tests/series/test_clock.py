"""Our clock jumps: what was polled is told at every resolution, and nothing that is there is lost for it."""

from __future__ import annotations

import numpy as np
import pytest

from brokers.series import retention, spans, upkeep
from brokers.series.levels import Level
from brokers.series.metrics import Kind
from brokers.series.models import Snapshot, Span
from brokers.series.read import read
from brokers.series.retention import Retention
from tests.series.histories import BEGIN, Written
from tests.support.builders import make_broker

pytestmark = pytest.mark.django_db
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def poll(written: Written, start_ms: int, end_ms: int, ready: float = 1.0, every_ms: int = MINUTE) -> None:
    """Poll a broker of one queue."""
    for at in range(start_ms, end_ms, every_ms):
        written.poll(at, {0: {"ready": ready}}, cadence_ms=every_ms)


def keep(written: Written) -> None:
    upkeep.keep(written.broker.id, seconds=600)
    assert upkeep.keep(written.broker.id, seconds=600) == 0


def polls_told(written: Written, start_ms: int, end_ms: int, level: Level) -> int:
    """Return how many polls the roll-ups of a level stand for between two moments."""
    found = 0
    for span in spans.spans_between(written.broker.id, start_ms, end_ms, (level,)):
        ticks = span.ticks
        inside = (ticks.times_ms >= start_ms) & (ticks.times_ms < end_ms)
        found += int(ticks.polls[inside].sum())
    return found


def known(written: Written, start_ms: int, end_ms: int, step_ms: int) -> int:
    found = read(written.broker.id, Kind.QUEUE, [0], ["ready"], start_ms, end_ms - 1, step_ms=step_ms)
    return int((~np.isnan(found.values["ready"])).sum())


def test_what_came_late_into_a_time_without_any_polls_is_in_the_roll_ups() -> None:
    written = Written(make_broker())
    # Twenty minutes, an outage of twenty, forty more: the minutes of the hour are made.
    poll(written, BEGIN, BEGIN + 20 * MINUTE)
    poll(written, BEGIN + 40 * MINUTE, BEGIN + 80 * MINUTE)
    keep(written)
    assert polls_told(written, BEGIN, BEGIN + HOUR, Level.MINUTE) == 40
    # Our clock is set back into the outage for a while, and right again.
    poll(written, BEGIN + 20 * MINUTE, BEGIN + 40 * MINUTE, 7.0)
    poll(written, BEGIN + 80 * MINUTE, BEGIN + 95 * MINUTE)
    keep(written)
    assert polls_told(written, BEGIN, BEGIN + HOUR, Level.MINUTE) == 60
    found = read(written.broker.id, Kind.QUEUE, [0], ["ready"], BEGIN, BEGIN + HOUR - 1, step_ms=MINUTE)
    assert found.resolution_ms == MINUTE
    assert (found.values["ready"] == 7).sum() == 20


@pytest.mark.parametrize("ahead_ms", [3 * HOUR, 2 * DAY])
def test_what_a_clock_that_ran_ahead_left_hides_nothing_once_its_time_has_come(ahead_ms: int) -> None:
    written = Written(make_broker())
    poll(written, BEGIN, BEGIN + 90 * MINUTE)
    # For half an hour our clock is ahead; upkeep goes on meanwhile and after.
    ahead = BEGIN + 90 * MINUTE + ahead_ms
    poll(written, ahead, ahead + 30 * MINUTE, 5.0)
    keep(written)
    poll(written, BEGIN + 90 * MINUTE, BEGIN + 120 * MINUTE)
    keep(written)
    assert not Snapshot.objects.filter(at_ms__gte=ahead, at_ms__lt=ahead + 20 * MINUTE).exists()
    # The time comes: up to the first of those polls, and then through them.
    begin = ahead // HOUR * HOUR
    poll(written, begin - HOUR, ahead - 2 * MINUTE, 2.0)
    keep(written)
    for step in (1000, MINUTE, 10 * MINUTE, HOUR):
        expected = len(range(begin - HOUR, ahead - 2 * MINUTE, max(step, MINUTE)))
        assert known(written, begin - HOUR, ahead - 2 * MINUTE, step) == expected, step


def test_a_clock_that_stood_far_ahead_for_long_leaves_roll_ups_that_are_made_anew() -> None:
    written = Written(make_broker())
    poll(written, BEGIN, BEGIN + 30 * MINUTE)
    keep(written)
    # Five hours ahead for two and a half: hours' minutes are made there.
    ahead = BEGIN + 5 * HOUR + 30 * MINUTE
    poll(written, ahead, ahead + 150 * MINUTE, 5.0)
    keep(written)
    assert polls_told(written, ahead, ahead + 3 * HOUR, Level.MINUTE) > 0
    # Set right, it comes to the middle of the first of those hours.
    poll(written, BEGIN + 30 * MINUTE, BEGIN + 5 * HOUR + 25 * MINUTE)
    keep(written)
    begin, end = BEGIN + 5 * HOUR, BEGIN + 5 * HOUR + 25 * MINUTE
    for step in (1000, MINUTE, 10 * MINUTE):
        assert known(written, begin, end, step) == len(range(begin, end, max(step, MINUTE))), step


@pytest.mark.parametrize("back_ms", [2 * MINUTE, 20 * MINUTE])
def test_what_comes_late_into_a_time_whose_polls_were_let_go_takes_nothing_away(back_ms: int) -> None:
    written = Written(make_broker())
    retention.set_retention(written.broker.id, Retention(raw_h=3, minute_d=1, ten_minutes_d=3, hour_d=10))
    poll(written, BEGIN, BEGIN + 26 * HOUR)
    keep(written)
    noon = BEGIN + 12 * HOUR
    assert not Span.objects.filter(level=int(Level.RAW), start_ms__lte=noon + HOUR).exists()
    before = [polls_told(written, BEGIN, BEGIN + DAY, level) for level in (Level.MINUTE, Level.TEN_MINUTES)]
    assert before == [DAY // MINUTE] * 2
    # Our clock is set back by half a day, to where a window of minutes begins, and right again.
    poll(written, noon - back_ms + 1, noon - back_ms + 30 * MINUTE, 9.0)
    poll(written, BEGIN + 26 * HOUR, BEGIN + 26 * HOUR + 15 * MINUTE)
    keep(written)
    after = [polls_told(written, BEGIN, BEGIN + DAY, level) for level in (Level.MINUTE, Level.TEN_MINUTES)]
    assert all(one >= two for one, two in zip(after, before, strict=True)), after
    assert not Span.objects.filter(stale=True).exists()
    # Ten minutes go on to be rolled up: nothing waits for what can't be made anew.
    poll(written, BEGIN + 26 * HOUR + 15 * MINUTE, BEGIN + 49 * HOUR, every_ms=10 * MINUTE)
    keep(written)
    assert Span.objects.filter(level=int(Level.HOUR)).exists()
