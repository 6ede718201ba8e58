"""Who may hold what, who waits for confirms, who asks for none: from what channels and consumers tell."""

from __future__ import annotations

import math
import time

import pytest
from pika import spec

from brokers.collect import channels
from brokers.collect.channels import KEPT, Publishers, prefetches, publishers
from brokers.collect.models import PollState
from brokers.rabbitmq.channels import Channel, ChannelStats, ConnectionRef, Rate
from brokers.rabbitmq.structs import Consumer, QueueRef
from brokers.registry.slots import ObjectName
from brokers.series.metrics import Kind
from tests.collect.conftest import Tick, detail, directory, newest, register
from tests.support.brokers import TestBroker
from tests.support.wire import Wire

FIGURES = {"prefetch", "capacity", "message_bytes", "memory", "unconfirmed"}


def consumer(limit: int | None, *, queue: str = "q", acks: bool = True, status: str = "up") -> Consumer:
    return Consumer(
        queue=QueueRef(vhost="/", name=queue), prefetch_count=limit, ack_required=acks, activity_status=status
    )


def channel(number: int, *, confirm: bool, published: int | None, waiting: int = 0, rate: float = 0.0) -> Channel:
    return Channel(
        name=f"here ({number})",
        vhost="/",
        user="guest",
        confirm=confirm,
        transactional=False,
        messages_unconfirmed=waiting,
        connection_details=ConnectionRef(name="here"),
        message_stats=ChannelStats(publish=published, publish_details=Rate(rate=rate)),
    )


def test_it_adds_up_what_the_consumers_of_a_queue_may_hold() -> None:
    told = [consumer(10), consumer(5), consumer(3, queue="other")]
    assert prefetches(told) == {ObjectName("/", "q"): (15, 2), ObjectName("/", "other"): (3, 1)}


@pytest.mark.parametrize("other", [consumer(0), consumer(None), consumer(5, acks=False)])
def test_one_consumer_without_a_limit_leaves_the_queue_without_one(other: Consumer) -> None:
    for told in ([consumer(10), other], [other, consumer(10)]):
        assert prefetches(told) == {ObjectName("/", "q"): (None, 2)}


def test_a_consumer_that_waits_for_its_turn_holds_nothing() -> None:
    assert prefetches([consumer(10), consumer(7, status="waiting")]) == {ObjectName("/", "q"): (10, 2)}


def test_it_keeps_the_channels_that_wait_for_most_confirms_most_first() -> None:
    told = [channel(number, confirm=True, published=9, waiting=number) for number in range(30)]
    found = publishers(told, 1000)
    assert [one.unconfirmed for one in found.waiting] == list(range(29, 29 - KEPT, -1))
    assert (found.at_ms, found.channels, found.without_confirms_count) == (1000, 30, 0)
    assert (found.waiting[0].channel, found.waiting[0].connection) == ("here (29)", "here")


def test_a_publisher_without_confirms_is_one_that_published_and_asked_for_none() -> None:
    told = [
        channel(1, confirm=False, published=100, rate=1.0),
        channel(2, confirm=False, published=5, rate=8.0),
        channel(3, confirm=False, published=None),
        channel(4, confirm=True, published=7),
        Channel(name="tx", confirm=False, transactional=True, message_stats=ChannelStats(publish=3)),
        Channel(name="new", message_stats=[]),
    ]
    found = publishers(told, 1000)
    assert [one.channel for one in found.without_confirms] == ["here (2)", "here (1)"]
    assert found.without_confirms_count == 2


def test_it_is_read_back_as_it_was_stored_and_knows_nothing_of_what_was_not_told() -> None:
    found = publishers([channel(1, confirm=False, published=3)], 5)
    assert channels.decode(channels.encode(found)) == found
    assert channels.decode(b"") == channels.decode(b"broken") == Publishers()
    assert publishers(None, 5, "Too many.") == Publishers(why="Too many.")


@pytest.mark.django_db(transaction=True)
def test_a_real_broker_tells_who_may_hold_what_and_who_asks_for_no_confirms(
    broker: TestBroker, vhost: str, read: Tick, tick: Tick
) -> None:
    row = register(broker)
    wire = Wire(broker.amqp, vhost)
    wire.open(1)
    wire.ask(1, spec.Queue.Declare(0, "held"), spec.Queue.DeclareOk)
    for _ in range(5):
        wire.publish(1, "", "held")
    for number, limit in ((2, 7), (3, 4)):
        wire.open(number)
        wire.ask(number, spec.Basic.Qos(0, limit), spec.Basic.QosOk)
        wire.ask(number, spec.Basic.Consume(0, "held", f"c{number}"), spec.Basic.ConsumeOk)
    end = time.monotonic() + 60
    bare: list[channels.Publisher] = []
    held: int | None = None
    # Statistics of channels and of consumers come every five seconds each, at beats of their own.
    while time.monotonic() < end and not (bare and held == 11):
        read(row)
        held = detail(row, Kind.QUEUE, vhost, "held").prefetch
        found = channels.decode(PollState.objects.get(broker=row).publishers)
        bare = [one for one in found.without_confirms if one.vhost == vhost]
        time.sleep(0.5)
    assert [(one.published, one.user) for one in bare] == [(5, broker.username)]
    assert bare[0].channel.startswith(bare[0].connection)
    assert held == 11
    told: dict[str, float] = {}
    while time.monotonic() < end and not told.keys() >= FIGURES:  # not every tick asks for all of them
        tick(row)
        frame = newest(row)
        slot = directory(row).slot(Kind.QUEUE, vhost, "held")
        values = {name: frame.table(Kind.QUEUE).value(slot or 0, name) for name in FIGURES - {"unconfirmed"}}
        values["unconfirmed"] = frame.table(Kind.BROKER).value(0, "unconfirmed")
        told |= {name: value for name, value in values.items() if not math.isnan(value)}
        time.sleep(0.5)
    wire.close()
    assert told.keys() >= FIGURES
    assert (told["prefetch"], told["message_bytes"]) == (11, 5)
    assert told["memory"] > 0
    assert 0 <= told["capacity"] <= 1
    assert told["unconfirmed"] >= 0
