"""The tail: what it looks at, what counts as news, that it ends with the last socket and outlives a silent database."""

from __future__ import annotations

import asyncio
import time

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError
from pytest_django import DjangoAssertNumQueries

from brokers.collect.models import BrokerEvent, PollState
from brokers.series.metrics import Kind
from brokers.series.models import Snapshot
from dashboard.accounts.models import Role
from dashboard.accounts.rights import bump_epoch
from dashboard.live import tail as tail_module
from dashboard.live.tail import Look, Tail, look, news
from tests.support.builders import append_snapshot, make_broker, make_user, seen_queue

NOW_MS = time.time_ns() // 1_000_000


def queue(ready: float) -> dict[Kind, list[object]]:
    return {Kind.QUEUE: [seen_queue("/", "orders", ready=ready)]}


@pytest.mark.django_db
def test_it_asks_few_queries_however_many_brokers_there_are(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for _ in range(4):
        append_snapshot(make_broker(), queue(1))  # type: ignore[arg-type]
    with django_assert_num_queries(6):
        first = look(Look(), NOW_MS)
    with django_assert_num_queries(5):
        second = look(first, NOW_MS)
    assert news(first, second) == frozenset()


@pytest.mark.django_db
def test_it_tells_of_which_broker_there_is_a_snapshot() -> None:
    one, two = make_broker(), make_broker()
    append_snapshot(one, queue(1))  # type: ignore[arg-type]
    first = look(Look(), NOW_MS)
    append_snapshot(two, queue(1))  # type: ignore[arg-type]
    second = look(first, NOW_MS)
    assert news(first, second) == frozenset({two.pk})
    assert second.highest > first.highest


@pytest.mark.django_db
def test_it_tells_of_a_snapshot_whose_transaction_ended_after_one_with_a_higher_id() -> None:
    one, two = make_broker(), make_broker()
    append_snapshot(one, queue(1))  # type: ignore[arg-type]
    late = append_snapshot(two, queue(1))  # type: ignore[arg-type]
    append_snapshot(one, queue(2))  # type: ignore[arg-type]
    payload = Snapshot.objects.filter(id=late.id).values().get()
    late.delete()
    first = look(Look(), NOW_MS)
    Snapshot.objects.create(**payload)
    second = look(first, NOW_MS)
    assert news(first, second) == frozenset({two.pk})
    assert news(second, look(second, NOW_MS)) == frozenset()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change",
    [
        {"failures": 1},
        {"last_tick_ms": NOW_MS + 1},
        {"definitions_ms": 5},
        {"error_sentence": "It hangs up.", "failures": 2},
    ],
)
def test_it_tells_of_a_poll_that_left_no_snapshot(change: dict[str, object]) -> None:
    one, two = make_broker(), make_broker()
    for broker in (one, two):
        append_snapshot(broker, queue(1))  # type: ignore[arg-type]
    first = look(Look(), NOW_MS)
    PollState.objects.filter(broker=one).update(**change)
    assert news(first, look(first, NOW_MS)) == frozenset({one.pk})


@pytest.mark.django_db
def test_it_tells_of_a_broker_that_becomes_late_as_time_passes() -> None:
    broker = make_broker(cadence_s=5)
    append_snapshot(broker, queue(1), at_ms=NOW_MS)  # type: ignore[arg-type]
    first = look(Look(), NOW_MS)
    assert news(first, look(first, NOW_MS + 12_000)) == frozenset()
    assert news(first, look(first, NOW_MS + 13_000)) == frozenset({broker.pk})


@pytest.mark.django_db
def test_it_takes_an_event_and_brokers_that_come_and_go_for_news_of_any() -> None:
    broker = make_broker()
    first = look(Look(), NOW_MS)
    BrokerEvent.objects.create(
        broker=broker, at_ms=1, kind="node_down", severity="critical", sentence="A node is down."
    )
    second = look(first, NOW_MS)
    assert news(first, second) is None
    other = make_broker()
    third = look(second, NOW_MS)
    assert news(second, third) is None
    other.delete()
    assert news(third, look(third, NOW_MS)) is None


@pytest.mark.django_db
def test_it_sees_the_rights_epoch_grow() -> None:
    first = look(Look(), NOW_MS)
    bump_epoch()
    assert look(first, NOW_MS).epoch > first.epoch


@pytest.mark.django_db
def test_it_sees_a_snapshot_whose_transaction_ended_after_one_with_a_higher_id() -> None:
    one, two = make_broker(), make_broker()
    late = append_snapshot(one, queue(1))  # type: ignore[arg-type]
    append_snapshot(two, queue(1))  # type: ignore[arg-type]
    everything = look(Look(), NOW_MS)
    before = Look(
        snapshots={two.pk: everything.snapshots[two.pk]},
        highest=everything.highest,
        brokers=everything.brokers,
        event=everything.event,
        epoch=everything.epoch,
    )
    append_snapshot(two, queue(2))  # type: ignore[arg-type]
    found = look(before, NOW_MS)
    assert found.snapshots[one.pk] == late.pk
    assert one.pk in (news(before, found) or ())


class Woken:
    """Counts how often it is woken."""

    def __init__(self) -> None:
        self.woken: list[tuple[frozenset[int] | None, int]] = []
        self.event = asyncio.Event()

    def wake(self, brokers: frozenset[int] | None, epoch: int) -> None:
        self.woken.append((brokers, epoch))
        self.event.set()

    async def next(self) -> tuple[frozenset[int] | None, int]:
        self.event.clear()
        await asyncio.wait_for(self.event.wait(), 20)
        return self.woken[-1]


@pytest.mark.usefixtures("live_db")
async def test_it_wakes_for_what_is_new_and_ends_with_the_last_that_waits() -> None:
    broker = await sync_to_async(make_broker)()
    tail, one, two = Tail(), Woken(), Woken()
    tail.join(one)
    assert (await one.next())[0] is None
    tail.join(two)
    await sync_to_async(append_snapshot)(broker, queue(1))  # type: ignore[arg-type]
    brokers, epoch = await two.next()
    assert brokers == frozenset({broker.pk})
    await sync_to_async(make_user)(None, Role.VIEWER)
    while epoch == (grown := await one.next())[1]:
        pass
    assert grown[0] == frozenset()
    await tail.leave(one)
    running = [task for task in asyncio.all_tasks() if task.get_name() == "live tail"]
    assert len(running) == 1
    await tail.leave(two)
    assert running[0].done()


@pytest.mark.usefixtures("live_db")
@pytest.mark.parametrize("failure", [OperationalError("database is locked"), ValueError("a fault of ours")])
async def test_it_outlives_a_database_that_does_not_answer(
    failure: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = True

    def looked(before: Look, now_ms: int) -> Look:
        if broken:
            raise failure
        return look(before, now_ms)

    monkeypatch.setattr(tail_module, "look", looked)
    monkeypatch.setattr(tail_module, "_FAILED_INTERVAL_S", 0.05)
    tail, one = Tail(), Woken()
    tail.join(one)
    await asyncio.sleep(0.3)
    assert not one.woken
    assert caplog.text.count("get no news") == 1
    broken = False
    assert (await one.next())[0] is None
    await tail.leave(one)
