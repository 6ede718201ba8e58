"""The present in memory: the newest snapshot with names and current rates, and one query where nothing is new."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from brokers.series.models import Snapshot
from brokers.series.present import present
from brokers.series.read import read
from tests.support.builders import append_snapshot, make_broker, seen_queue

pytestmark = pytest.mark.django_db
START = 1_700_000_000_000


def polled(broker: Broker, at_s: int, **published: float) -> None:
    queues = [seen_queue("/", name, ready=1, published=count) for name, count in published.items()]
    append_snapshot(broker, {Kind.QUEUE: queues}, whole={"ready": len(queues)}, at_ms=START + at_s * 1000)


def rate(broker: Broker, name: str) -> float:
    now = present(broker.id)
    assert now is not None
    table = now.table(Kind.QUEUE)
    row = next(index for index, known in enumerate(table.objects) if known.name == name)
    return float(table.column("publish_rate")[row])


def test_it_has_none_before_the_first_snapshot() -> None:
    assert present(make_broker().id) is None


def test_it_names_what_is_in_the_newest_snapshot() -> None:
    broker = make_broker()
    polled(broker, 0, orders=5, parcels=6)
    now = present(broker.id)
    assert now is not None
    table = now.table(Kind.QUEUE)
    assert [(known.vhost, known.name) for known in table.objects] == [("/", "orders"), ("/", "parcels")]
    assert table.value(1, "published") == 6
    assert math.isnan(table.value(1, "unacked"))
    assert table.row(9) is None
    assert now.table(Kind.BROKER).value(0, "ready") == 2
    assert len(now.table(Kind.NODE).slots) == 0


def test_it_asks_the_database_once_where_nothing_is_new(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    broker = make_broker()
    polled(broker, 0, orders=5)
    first = present(broker.id)
    with django_assert_num_queries(1) as asked:
        assert isinstance(asked, CaptureQueriesContext)
        assert present(broker.id) is first


def test_it_computes_current_rates() -> None:
    broker = make_broker()
    polled(broker, 0, orders=0)
    assert math.isnan(rate(broker, "orders"))
    polled(broker, 10, orders=50)
    assert rate(broker, "orders") == 5
    polled(broker, 20, orders=50)
    assert rate(broker, "orders") == 0


def test_it_knows_no_rate_of_a_counter_that_fell_until_it_has_grown_again() -> None:
    broker = make_broker()
    polled(broker, 0, orders=100)
    polled(broker, 10, orders=3)
    assert math.isnan(rate(broker, "orders"))
    polled(broker, 20, orders=23)
    assert rate(broker, "orders") == 2


def test_it_gives_the_same_rate_to_a_process_that_starts_now_and_to_one_that_watched() -> None:
    broker = make_broker()
    for second, count in ((0, 0), (10, 40), (20, 80)):
        polled(broker, second, orders=count)
        watched = rate(broker, "orders")
    from brokers.series import present as module  # noqa: PLC0415

    module.forget(broker.id)
    assert rate(broker, "orders") == watched == 4


def test_it_keeps_what_was_handed_out_as_it_was() -> None:
    broker = make_broker()
    polled(broker, 0, orders=5)
    before = present(broker.id)
    polled(broker, 10, orders=7)
    after = present(broker.id)
    assert before is not None
    assert after is not None
    assert (before.table(Kind.QUEUE).value(0, "published"), after.table(Kind.QUEUE).value(0, "published")) == (5, 7)


def test_it_takes_a_snapshot_that_cannot_be_read_for_a_gap(caplog: pytest.LogCaptureFixture) -> None:
    broker = make_broker()
    now_ms = time.time_ns() // 1_000_000
    for ago_s, ready in ((600, 1.0), (300, 2.0), (10, 3.0)):
        append_snapshot(broker, {Kind.QUEUE: [seen_queue("/", "q", ready=ready)]}, at_ms=now_ms - ago_s * 1000)
    last = append_snapshot(broker, {Kind.QUEUE: [seen_queue("/", "q", ready=4)]}, at_ms=now_ms)
    cut = Snapshot.objects.order_by("at_ms").filter(broker=broker)
    for row in (cut[1], last):
        Snapshot.objects.filter(pk=row.pk).update(payload=bytes(row.payload)[:20])
    shown = present(broker.pk)
    assert shown is not None
    assert shown.table(Kind.QUEUE).value(0, "ready") == 3
    assert shown.at_ms == now_ms - 10_000
    assert "can't be read" in caplog.text
    hour = read(broker.pk, Kind.QUEUE, [0], ["ready"], now_ms - 700_000, now_ms + 1)
    known = hour.values["ready"][~np.isnan(hour.values["ready"])]
    assert known.tolist() == [1, 3]


def test_it_shows_nothing_where_no_snapshot_can_be_read() -> None:
    broker = make_broker()
    row = append_snapshot(broker, {Kind.QUEUE: [seen_queue("/", "q", ready=1)]})
    Snapshot.objects.filter(pk=row.pk).update(payload=b"\0" * 30)
    assert present(broker.pk) is None
