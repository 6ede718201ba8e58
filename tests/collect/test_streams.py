"""Who reads a stream by the stream protocol, and how far behind its end in messages and in time."""

from __future__ import annotations

import json
import time

import pika
import pytest

from brokers.collect import streams
from brokers.collect.models import PollState
from brokers.rabbitmq.decoding import decode_list
from brokers.rabbitmq.streams import StreamConsumer
from tests.collect.conftest import Tick, register
from tests.support.brokers import TestBroker
from tests.support.builders import make_broker
from tests.support.misbehaving import Behaviour, answers, by_path, misbehaving
from tests.support.stream_reader import stalled


def told(**fields: object) -> bytes:
    consumer = {"queue": {"vhost": "/", "name": "events"}, "offset": 9, "offset_lag": 4, "subscription_id": 1}
    return json.dumps([consumer | fields]).encode()


def one(body: bytes, age: tuple[float, bool] | None = (12.34, False)) -> streams.Reader:
    found = streams.readers(decode_list(body, StreamConsumer), 1000, lambda asked: [age] * len(asked))
    return streams.decode(streams.encode(found)).of("/", "events")[0]


def test_it_keeps_group_offset_and_how_far_behind() -> None:
    found = one(told(properties={"name": "billing"}, connection_details={"name": "a -> b"}, active=True))
    assert (found.group, found.connection, found.active) == ("billing", "a -> b", True)
    assert (found.offset, found.behind, found.behind_s, found.at_least) == (9, 4, 12.3, False)


def test_before_the_first_message_nothing_is_known() -> None:
    found = one(told(offset="first", offset_lag=0, properties=[], connection_details=[]))
    assert (found.offset, found.behind, found.behind_s, found.group, found.connection) == (None, None, None, "", "")


def test_without_a_past_the_time_is_unknown_and_the_messages_are_not() -> None:
    found = one(told(), age=None)
    assert (found.behind, found.behind_s) == (4, None)


def test_it_keeps_those_furthest_behind_and_says_how_many_there_are() -> None:
    consumers = [
        one
        for many in range(streams.KEPT + 5)
        for one in decode_list(told(offset_lag=many, subscription_id=many), StreamConsumer)
    ]
    found = streams.readers(consumers, 1000, lambda asked: [None] * len(asked))
    assert (found.many, len(found.readers)) == (streams.KEPT + 5, streams.KEPT)
    assert min(one.behind or 0 for one in found.readers) == 5


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("queues", "there"),
    [(answers([{"name": "a", "vhost": "/", "type": "classic"}]), False), (answers("", 500), None)],
)
def test_it_notes_that_there_are_no_streams_only_where_the_queues_were_told(
    queues: Behaviour, there: bool | None, read: Tick, tick: Tick
) -> None:
    paths = {"/api/overview": answers({"rabbitmq_version": "4.0.5"}), "/api/queues": queues}
    with misbehaving(by_path(paths)) as server:
        row = make_broker(management_url=server.url)
        tick(row)
        read(row)
        assert streams.decode(PollState.objects.get(broker=row).stream_readers).streams is there
        tick(row)
    told = PollState.objects.get(broker=row).unknown["queue.stream_lag"]
    assert (told == "The broker has no streams.") is (there is False)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("status", [404, 406])
def test_it_names_the_plugin_that_is_not_enabled(status: int, read: Tick, tick: Tick) -> None:
    paths = {
        "/api/overview": answers({"rabbitmq_version": "3.10.8"}),
        "/api/queues": answers([{"name": "events", "vhost": "/", "type": "stream"}]),
        "/api/stream/consumers": answers("", status),
    }
    with misbehaving(by_path(paths)) as server:
        row = make_broker(management_url=server.url)
        tick(row)
        read(row)
    state = PollState.objects.get(broker=row)
    why = "its plugin rabbitmq_stream_management is not enabled"
    assert why in streams.decode(state.stream_readers).why
    # That it is not there is no fault of the broker's.
    assert "consumers of its streams" not in state.definitions_error


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(180)
def test_a_consumer_that_stalls_falls_behind_in_messages_and_in_time(
    broker: TestBroker, vhost: str, amqp: pika.BlockingConnection, tick: Tick, read: Tick
) -> None:
    row = register(broker)
    with stalled(broker, vhost, "events", "billing") as stream:
        # A consumer by AMQP is not among those that the broker tells of.
        channel = amqp.channel()
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume("events", lambda *_: None, arguments={"x-stream-offset": "first"})
        read(row)
        tick(row)
        began = time.time()
        stream.publish(60)
        ends = began + 90
        found: tuple[streams.Reader, ...] = ()
        while time.time() < ends:
            tick(row)
            read(row)
            known = streams.decode(PollState.objects.get(broker=row).stream_readers)
            assert known.streams
            found = known.of(vhost, "events")
            if found and (found[0].behind or 0) >= 60 and (found[0].behind_s or 0) >= 12:
                break
            amqp.sleep(1)
        age = time.time() - began
    assert [(one.group, bool(one.connection)) for one in found] == [("billing", True)]
    assert 60 <= (found[0].behind or 0) <= 70
    assert found[0].behind_s is not None
    # One beat of the broker's statistics and one tick, on either side.
    assert 12 <= found[0].behind_s <= age + 12
