"""Once traffic stops, totals are what the broker itself says: by Prometheus, by management alone, and in a cluster."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pika
import pytest

from brokers.collect import poll
from brokers.collect.models import PollState
from brokers.registry.models import Broker
from brokers.series.codec import Frame
from brokers.series.metrics import Kind
from tests.collect.conftest import Tick, directory, newest, register
from tests.support.brokers import TestBroker
from tests.support.local_cluster import LocalCluster

pytest_plugins = ["tests.support.local_cluster"]
pytestmark = pytest.mark.django_db(transaction=True)

Figures = dict[str, tuple[float, float, float]]


def traffic(broker: TestBroker, vhost: str, kinds: dict[str, str]) -> Figures:
    """Declare queues, leave messages in them, and return by queue what is ready, unacked and consumed there."""
    connection = broker.connect(vhost)
    channel = connection.channel()
    channel.confirm_delivery()
    left: Figures = {}
    for number, (name, kind) in enumerate(kinds.items()):
        channel.queue_declare(name, durable=True, arguments={"x-queue-type": kind})
        for _ in range(number + 3):
            channel.basic_publish("", name, b"x", mandatory=True)
        method, _, _ = _got(channel, name)
        channel.basic_ack(method.delivery_tag)
        method, _, _ = _got(channel, name)  # stays unacknowledged as long as the channel is open
        if kind == "quorum":  # which would count the fetching channel as a consumer
            channel.basic_ack(method.delivery_tag)
        left[name] = (number + 1, int(kind != "quorum"), 0)
    broker_connections.append(connection)
    return left


broker_connections: list[pika.BlockingConnection] = []


@pytest.fixture(autouse=True)
def _no_connection_left() -> Any:
    yield
    while broker_connections:
        connection = broker_connections.pop()
        with suppress(pika.exceptions.AMQPError):  # its vhost was deleted, or its node killed
            connection.close()


def _got(channel: Any, queue: str) -> Any:
    end = time.monotonic() + 10
    while True:
        found = channel.basic_get(queue)
        if found[0] is not None:
            return found
        assert time.monotonic() < end, f"Nothing came to {queue}."


def settled(row: Broker, tick: Tick, good: Callable[[Frame], bool]) -> Frame:
    """Tick until a snapshot is as it should be: statistics come every five seconds. The last one where none is."""
    end = time.monotonic() + 30
    while True:
        assert tick(row) == poll.Outcome.STORED, PollState.objects.get(broker=row).error_sentence
        frame = newest(row)
        if good(frame) or time.monotonic() > end:
            return frame
        time.sleep(0.5)


def queues_of(row: Broker, frame: Frame, vhost: str) -> Figures:
    slots = {name.name: slot for name, slot in directory(row).by_name[Kind.QUEUE].items() if name.vhost == vhost}
    table = frame.table(Kind.QUEUE)
    return {
        name: (table.value(slot, "ready"), table.value(slot, "unacked"), table.value(slot, "consumers"))
        for name, slot in slots.items()
    }


def of_vhost(row: Broker, frame: Frame, vhost: str, *names: str) -> list[float]:
    slot = directory(row).slot(Kind.VHOST, "", vhost)
    assert slot is not None
    return [frame.table(Kind.VHOST).value(slot, name) for name in names]


def test_it_tells_each_queue_and_its_vhost_as_the_broker_does(broker: TestBroker, vhost: str, tick: Tick) -> None:
    row = register(broker)
    left = traffic(broker, vhost, {"a": "classic", "b": "quorum", "c": "classic"})
    frame = settled(row, tick, lambda frame: queues_of(row, frame, vhost) == left)
    assert queues_of(row, frame, vhost) == left
    assert of_vhost(row, frame, vhost, "queues", "ready", "unacked", "consumers") == [3, 6, 2, 0]
    end = time.monotonic() + 20
    told: Figures = {}
    while told != left and time.monotonic() < end:
        told = {
            one["name"]: (one.get("messages_ready"), one.get("messages_unacknowledged"), one.get("consumers", 0))
            for one in broker.api("GET", f"queues/{vhost}")
        }
        time.sleep(0.2)
    assert told == left
    # The whole is the sum of its vhosts, whatever others do on this broker meanwhile.
    vhosts = frame.table(Kind.VHOST)
    for name in ("queues", "ready", "unacked", "consumers"):
        assert frame.table(Kind.BROKER).value(0, name) == float(vhosts.column(name).sum())


def test_it_counts_what_went_through_each_queue_and_vhost(broker: TestBroker, vhost: str, tick: Tick) -> None:
    row = register(broker)
    traffic(broker, vhost, {"a": "classic", "b": "quorum"})
    counted = ("published", "delivered", "acknowledged")

    def sums(frame: Frame) -> list[float]:
        return of_vhost(row, frame, vhost, *counted)

    frame = settled(row, tick, lambda frame: sums(frame) == [7, 4, 3])
    assert sums(frame) == [7, 4, 3]


def test_it_tells_the_same_of_every_version_where_prometheus_is_out_of_reach(
    broker: TestBroker, vhost: str, tick: Tick
) -> None:
    row = register(broker, prometheus=("http://127.0.0.1:9",))
    left = traffic(broker, vhost, {"a": "classic", "b": "quorum", "c": "classic"})
    frame = settled(row, tick, lambda frame: queues_of(row, frame, vhost) == left)
    assert queues_of(row, frame, vhost) == left
    assert of_vhost(row, frame, vhost, "queues", "ready", "unacked", "consumers") == [3, 6, 2, 0]
    state = PollState.objects.get(broker=row)
    assert "127.0.0.1:9" in state.unknown["broker.dead_lettered"]
    assert math.isnan(frame.table(Kind.BROKER).value(0, "dead_lettered"))


def test_it_tells_the_same_by_management_alone(local_cluster: LocalCluster, tick: Tick) -> None:
    broker = local_cluster.start(1, prometheus=False)
    vhost = broker.make_vhost()
    row = register(broker)
    left = traffic(broker, vhost, {"a": "classic", "b": "quorum", "c": "classic"})

    frame = settled(row, tick, lambda frame: queues_of(row, frame, vhost) == left)

    assert queues_of(row, frame, vhost) == left
    assert of_vhost(row, frame, vhost, "queues", "ready", "unacked", "consumers") == [3, 6, 2, 0]
    total = frame.table(Kind.BROKER)
    assert [total.value(0, name) for name in ("queues", "ready", "unacked")] == [3, 6, 2]
    assert listed(local_cluster, vhost) == left
    unknown = PollState.objects.get(broker=row).unknown
    assert "no Prometheus endpoint" in unknown["broker.dead_lettered"]
    assert math.isnan(total.value(0, "dead_lettered"))
    frame = settled(row, tick, lambda frame: of_vhost(row, frame, vhost, "published") == [12])
    assert of_vhost(row, frame, vhost, "published", "delivered", "acknowledged") == [12, 6, 4]


def test_it_adds_a_cluster_up_whose_queues_lead_on_different_nodes(local_cluster: LocalCluster, tick: Tick) -> None:
    broker = local_cluster.start(3)
    vhost = broker.make_vhost()
    row = register(broker)
    left: Figures = {}
    for number, node in enumerate(local_cluster.nodes):
        here = TestBroker(broker.version, node.amqp, node.management, "", node.username, node.password)
        names = {f"q{number}{letter}": kind for letter, kind in (("a", "classic"), ("b", "quorum"), ("c", "classic"))}
        left |= traffic(here, vhost, names)

    frame = settled(row, tick, lambda frame: queues_of(row, frame, vhost) == left)

    assert queues_of(row, frame, vhost) == left
    assert listed(local_cluster, vhost) == left
    ready, unacked = (sum(figures[at] for figures in left.values()) for at in (0, 1))
    assert of_vhost(row, frame, vhost, "queues", "ready", "unacked") == [9, ready, unacked]
    total = frame.table(Kind.BROKER)
    assert [total.value(0, name) for name in ("queues", "ready", "unacked", "nodes_running")] == [9, ready, unacked, 3]
    assert total.value(0, "connections") == 3
    nodes = frame.table(Kind.NODE)
    # Each node leads its own: every queue is counted once.
    assert sorted(nodes.column("leaders").tolist()) == [3, 3, 3]
    assert nodes.column("running").tolist() == [1, 1, 1]

    local_cluster.kill(3)
    lost = local_cluster.nodes[2].node

    def without_it(frame: Frame) -> bool:
        slot = directory(row).slot(Kind.NODE, "", lost)
        return slot is not None and frame.table(Kind.NODE).value(slot, "running") == 0

    frame = settled(row, tick, without_it)
    assert without_it(frame)
    assert frame.table(Kind.BROKER).value(0, "nodes_running") == 2
    # Its classic queues can't be served: they are there, and what is in them is unknown, not zero.
    figures = queues_of(row, frame, vhost)
    assert math.isnan(figures["q2a"][0])
    assert figures["q0a"] == left["q0a"]


def test_it_counts_once_what_each_node_of_a_broker_leads(broker: TestBroker, vhost: str, tick: Tick) -> None:
    row = register(broker)
    left: Figures = {}
    nodes = [node["amqp"] for node in broker.nodes] or [broker.amqp]
    for number, address in enumerate(nodes):
        here = replace(broker, amqp=address)
        left |= traffic(here, vhost, {f"q{number}{kind}": kind for kind in ("classic", "quorum")})

    frame = settled(row, tick, lambda frame: queues_of(row, frame, vhost) == left)

    assert queues_of(row, frame, vhost) == left
    ready, unacked = (sum(figures[at] for figures in left.values()) for at in (0, 1))
    assert of_vhost(row, frame, vhost, "queues", "ready", "unacked") == [len(left), ready, unacked]
    # Each classic queue stands on the node that it was declared through.
    leaders = frame.table(Kind.NODE).column("leaders")
    assert len(leaders) == len(nodes)
    assert (leaders >= 1).all()


def listed(cluster: LocalCluster, vhost: str) -> Figures:
    """Return what rabbitmqctl list_queues says."""
    columns = ("name", "messages_ready", "messages_unacknowledged", "consumers")
    printed = cluster.ctl("list_queues", "--vhost", vhost, "--no-table-headers", *columns)
    rows = [line.split("\t") for line in printed.splitlines() if line.strip()]
    return {name: (float(ready), float(unacked), float(consumers)) for name, ready, unacked, consumers in rows}
