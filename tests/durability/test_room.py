"""Whether there is room: told from the disk, from the database's own free pages, and from its errors."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import psycopg
import pytest
from django.db import OperationalError, connection
from django.test import Client

from brokers.collect import room as rooms
from brokers.collect import tasks
from brokers.collect.models import PollState
from brokers.collect.room import LOG_BYTES, Room, is_full, room, unstored
from brokers.collect.state import Condition, PollFacts, decide, state_of
from brokers.registry.models import Broker
from dashboard.accounts.models import Role
from dashboard.queries.collector import whether_it_runs
from tests.support.builders import make_broker, make_user

NOW = 1_800_000_000_000
MIB = 2**20
# A server's disk can't be looked at from here: that it is full shows in its errors, which the tests below hold.
ON_OUR_DISK = pytest.mark.skipif(
    "connection.vendor != 'sqlite'", reason="Free space is looked at where the database is a file of ours: SQLite."
)


@pytest.fixture(autouse=True)
def _looked_at_anew() -> Iterator[None]:
    rooms.forget()
    yield
    rooms.forget()


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _path: SimpleNamespace(f_bavail=5, f_frsize=MIB))


def test_it_is_short_below_what_is_left_for_what_frees_room() -> None:
    assert not Room("/data", 64 * MIB, 0, 64 * MIB).short
    assert Room("/data", 64 * MIB - 1, 0, 64 * MIB).short
    assert Room("/data", 40 * MIB, 10 * MIB, 64 * MIB).short
    # The database fills its own free pages before it grows, but writes to its log first.
    assert not Room("/data", 40 * MIB, 30 * MIB, 64 * MIB).short
    assert Room("/data", LOG_BYTES - 1, 500 * MIB, 64 * MIB).short
    assert not Room().short


def test_it_says_where_and_how_much() -> None:
    sentence = Room("/data", 12 * MIB, 0, 64 * MIB).sentence
    assert "/data is nearly full (12 MiB free; 64 MiB" in sentence
    assert Room("/data", 80 * MIB, 0, 64 * MIB).sentence == ""


@pytest.mark.django_db
def test_pages_ask_nothing_of_the_database_while_there_is_room(django_assert_num_queries: object) -> None:
    with django_assert_num_queries(0):  # type: ignore[operator]
        assert not room().short


@pytest.mark.django_db
@pytest.mark.usefixtures("full_disk")
@ON_OUR_DISK
def test_nothing_is_polled_while_the_disk_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = make_broker()
    PollState.objects.filter(broker=broker).update(next_due_ms=0)
    monkeypatch.setattr(tasks, "_send", lambda *_: pytest.fail("a poll was sent"))
    assert tasks.dispatch() == 0
    assert PollState.objects.get(broker=broker).claim == ""


@pytest.mark.django_db
@pytest.mark.usefixtures("full_disk")
@ON_OUR_DISK
def test_a_person_sees_what_is_the_matter_and_what_to_do(client: Client) -> None:
    broker = make_broker("shop")
    long_ago = rooms.time.time_ns() // 1_000_000 - 600_000
    PollState.objects.filter(broker=broker).update(last_tick_ms=long_ago, last_ok_ms=long_ago)
    client.force_login(make_user("ann", Role.VIEWER))
    fleet = client.get("/").content.decode()
    assert "is not polled, since Warren&#x27;s disk is full" in fleet
    assert "5 MiB free" in fleet
    collector = client.get("/settings/collector").content.decode()
    assert "Disk full" in collector
    assert "Free space there" in collector
    checks = {check["name"]: check for check in client.get("/readyz").json()["checks"]}
    assert not checks["storage"]["ok"]
    assert "/" not in checks["storage"]["sentence"]  # anybody may ask
    assert checks["collector"]["sentence"] == "Collecting: disk full."


def test_it_is_late_for_want_of_room_only_once_a_poll_is_missing() -> None:
    facts = PollFacts("shop", False, 5000, NOW, last_tick_ms=NOW - 3000, last_ok_ms=NOW - 3000, no_room="No room.")
    assert decide(facts, NOW).condition is Condition.LIVE
    late = decide(replace(facts, last_tick_ms=NOW - 13_000), NOW)
    assert (late.condition, late.reason, late.no_room) == (Condition.LATE, "No room.", True)
    assert "Free space there" in late.remedy
    assert not decide(replace(facts, last_tick_ms=NOW - 13_000, no_room=""), NOW).no_room


@pytest.mark.django_db
def test_a_poll_that_a_servers_full_disk_refused_is_told_in_its_row() -> None:
    broker = make_broker("shop")
    PollState.objects.filter(broker=broker).update(claim="mine", claimed_until_ms=NOW + 5000, last_ok_ms=NOW - 9000)
    unstored(broker.id, "mine", _refused(), NOW)
    unstored(broker.id, "mine", _refused(), NOW + 5000)  # not its claim any more
    state = state_of(Broker.objects.select_related("poll_state").get(id=broker.id), NOW)
    assert state.condition is Condition.LATE
    assert state.no_room
    assert "could not be stored" in state.reason
    assert "Free space" in state.remedy
    word, sentence = whether_it_runs([state], NOW)
    assert (word.text, "goes on by itself" in sentence) == ("Disk full", True)
    assert PollState.objects.get(broker=broker).last_tick_ms == NOW


@pytest.mark.django_db
def test_another_error_is_no_full_disk() -> None:
    broker = make_broker()
    PollState.objects.filter(broker=broker).update(claim="mine")
    unstored(broker.id, "mine", OperationalError("database is locked"), NOW)
    assert PollState.objects.get(broker=broker).claim == "mine"
    assert not is_full(OperationalError("database is locked"))
    assert is_full(_from(OSError(errno.ENOSPC, "No space left on device")))


def _refused() -> OperationalError:
    return _from(psycopg.errors.DiskFull("could not extend file"))


def _from(cause: Exception) -> OperationalError:
    error = OperationalError(str(cause))
    error.__cause__ = cause
    return error


def test_sqlites_own_error_is_known() -> None:
    import sqlite3  # noqa: PLC0415

    database = sqlite3.connect(":memory:")
    database.execute("PRAGMA max_page_count = 2")
    with pytest.raises(sqlite3.OperationalError, match="full") as raised:
        database.execute("CREATE TABLE one (content)").execute("CREATE TABLE two (content)")
    database.close()
    assert is_full(_from(raised.value))
    assert connection.vendor in {"sqlite", "postgresql"}
