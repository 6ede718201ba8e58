"""The collector's page says what polls really took in the last ten minutes, beside what the budget allows."""

from __future__ import annotations

import time

import pytest
from django.test import Client

from brokers.collect.budget import Budget, Pace, encode_pace
from brokers.collect.ledger import noted
from brokers.collect.models import PollState
from dashboard.accounts.models import Role
from dashboard.queries.poll_ledger import spent_cell
from tests.support.builders import make_broker, make_user

NOW_MS = 1_800_000_000_000
MINUTE_MS = 60_000


def test_it_counts_the_minutes_of_the_window_and_no_older_ones() -> None:
    spent = noted(noted((), 1.5, NOW_MS - 9 * MINUTE_MS), 1.5, NOW_MS)
    cell = spent_cell(spent, Budget(0.02, 1_000_000), 0.0, NOW_MS)
    assert cell.text == "3.0 s of 12 s in the last 10 min"
    assert cell.share == pytest.approx(0.25)
    assert cell.state == ""
    later = spent_cell(spent, Budget(0.02, 1_000_000), 0.0, NOW_MS + 5 * MINUTE_MS)
    assert later.text == "1.5 s of 12 s in the last 10 min"


def test_it_sets_aside_what_definitions_take_and_warns_beyond_the_budget() -> None:
    cell = spent_cell(((NOW_MS // MINUTE_MS, 13.0),), Budget(0.02, 1_000_000), 0.004, NOW_MS)
    assert cell.text == "13 s of 9.6 s in the last 10 min"
    assert (cell.share, cell.state) == (1.0, "warning")
    assert "less what its definitions take" in cell.exact


@pytest.mark.django_db
def test_the_page_shows_it_beside_the_budget() -> None:
    broker = make_broker("shop")
    now_ms = time.time_ns() // 1_000_000
    pace = Pace({}, packed=False, spent=noted((), 2.25, now_ms))
    PollState.objects.filter(broker=broker).update(pace=encode_pace(pace), last_tick_ms=now_ms, last_ok_ms=now_ms)
    client = Client()
    client.force_login(make_user("v", Role.VIEWER))
    page = client.get("/settings/collector").content.decode()
    assert "<dt>Spent</dt>" in page
    assert "2.2 s of 12 s in the last 10 min" in page
