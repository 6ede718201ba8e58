"""Beat says that a moment has come to look for brokers that are due, where there may be one."""

from __future__ import annotations

from typing import Any

import pytest
from celery import beat
from django.db import connection

from brokers.collect import claims, poll
from brokers.collect.models import PollState
from brokers.registry import services
from dashboard.beat import Scheduler
from dashboard.celery import app

DISPATCH, KEEP = "brokers.collect.tasks.dispatch", "brokers.series.tasks.keep_all"


class Heard(Scheduler):
    """Beat's scheduler with an ear on what it sends."""

    def apply_async(self, entry: beat.ScheduleEntry, producer: Any = None, advance: bool = True, **_: Any) -> None:
        heard.append(entry.task)


heard: list[str] = []


@pytest.fixture
def scheduler() -> Heard:
    """All that is scheduled, nothing sent yet."""
    heard.clear()
    made = Heard(app=app, lazy=True)
    made.setup_schedule()
    made.merge_inplace(app.conf.beat_schedule)
    return made


def sent(scheduler: Heard) -> list[str]:
    heard.clear()
    for entry in scheduler.schedule.values():
        if entry.task in {DISPATCH, KEEP}:
            scheduler.apply_entry(entry)
    return sorted(heard)


def test_it_sends_for_a_broker_that_is_due_and_not_for_one_that_is_not(
    transactional_db: None, scheduler: Heard
) -> None:
    assert sent(scheduler) == [KEEP]
    services.add(services.BrokerInput(name="shop", management_url="http://127.0.0.1:1", cadence_s=5))
    assert sent(scheduler) == [DISPATCH, KEEP]
    claims.due(poll.now_ms())
    later = poll.now_ms() + 60_000
    PollState.objects.update(next_due_ms=later, definitions_due_ms=later)
    assert sent(scheduler) == [KEEP]


def test_it_sends_where_the_database_does_not_tell(transactional_db: None, scheduler: Heard) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE collect_pollstate RENAME TO elsewhere")
        try:
            assert sent(scheduler) == [DISPATCH, KEEP]
        finally:
            cursor.execute("ALTER TABLE elsewhere RENAME TO collect_pollstate")
    assert sent(scheduler) == [KEEP]
