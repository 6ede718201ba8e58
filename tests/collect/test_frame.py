"""From answers to a snapshot: sums over nodes, gaps where a node did not answer, counters that go on."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from brokers.collect.answers import Figures, NodeSeen, Samples, Scrape
from brokers.collect.basis import Base, Reading
from brokers.collect.frame import Built, build
from brokers.collect.labels import LabelCache
from brokers.registry.slots import Directory, KnownObject, ObjectName
from brokers.series.metrics import METRICS, Kind

PROMETHEUS = Reading("prometheus", counters_exposed=True)
MANAGEMENT = Reading("management", counters_exposed=False)
READY = "rabbitmq_detailed_queue_messages_ready"
UNACKED = "rabbitmq_detailed_queue_messages_unacked"
CONSUMERS = "rabbitmq_detailed_queue_consumers"
DELIVERED = "rabbitmq_detailed_queue_messages_delivered_ack_total"
FETCHED = "rabbitmq_detailed_queue_get_ack_total"
INTO = "rabbitmq_detailed_queue_exchange_messages_published_total"
RECEIVED = "rabbitmq_global_messages_received_total"


def world(
    queues: list[tuple[str, str]], nodes: tuple[str, ...] = ("a", "b"), details: Mapping[str, bytes] | None = None
) -> LabelCache:
    """A registry that knows these queues, their vhosts and the nodes; slots in the order given."""
    directory = Directory(1, revision=1)
    vhosts = list(dict.fromkeys(vhost for vhost, _ in queues))
    names = {
        Kind.QUEUE: [ObjectName(*queue) for queue in queues],
        Kind.VHOST: [ObjectName("", vhost) for vhost in vhosts],
        Kind.NODE: [ObjectName("", node) for node in nodes],
        Kind.EXCHANGE: [ObjectName("/", "amq.topic")],
    }
    for kind, found in names.items():
        directory.by_name[kind] = {name: slot for slot, name in enumerate(found)}
        directory.by_slot[kind] = {
            slot: KnownObject(slot, name.vhost, name.name, (details or {}).get(name.name, b"{}"), 0, None)
            for slot, name in enumerate(found)
        }
    return LabelCache(directory)


def series(values: Mapping[str, float], vhost: str = "/") -> Samples:
    return [f'vhost="{vhost}",queue="{name}"'.encode() for name in values], np.array(list(values.values()), dtype=float)


def node(
    ready: Mapping[str, float], delivered: Mapping[str, float] | None = None, received: float = 0.0
) -> dict[str, Samples]:
    return {
        READY: series(ready),
        UNACKED: series(dict.fromkeys(ready, 1.0)),
        CONSUMERS: series(dict.fromkeys(ready, 2.0)),
        DELIVERED: series(delivered or {}),
        RECEIVED: ([b'protocol="amqp091"', b'protocol="stream"'], np.array([received, 0.0])),
        "rabbitmq_connections": ([b""], np.array([3.0])),
    }


RUNNING = (NodeSeen("a", running=True), NodeSeen("b", running=True))


def made(scrape: Scrape, labels: LabelCache, base: Base | None = None, reading: Reading = PROMETHEUS) -> Built:
    return build(scrape, labels, base or Base(), reading, "4.0.5")


def following(built: Built) -> Base:
    return Base(built.frame, built.parts, built.frame)


def test_it_adds_what_nodes_tell_of_their_own_queues() -> None:
    labels = world([("/", "q0"), ("/", "q1")])
    scrape = Scrape(1000, RUNNING, {"a": node({"q0": 5}, {"q1": 4}, 10), "b": node({"q1": 7}, {"q1": 6}, 20)})
    frame = made(scrape, labels).frame
    assert frame.complete
    assert frame.table(Kind.QUEUE).column("ready").tolist() == [5, 7]
    # Channels of both nodes delivered from q1; nobody from q0, and that is zero.
    assert frame.table(Kind.QUEUE).column("delivered").tolist() == [0, 10]
    assert frame.table(Kind.VHOST).column("ready").tolist() == [12]
    broker = frame.table(Kind.BROKER)
    assert (broker.value(0, "ready"), broker.value(0, "unacked"), broker.value(0, "consumers")) == (12, 2, 4)
    assert (broker.value(0, "published"), broker.value(0, "connections"), broker.value(0, "queues")) == (30, 6, 2)
    assert frame.table(Kind.NODE).column("leaders").tolist() == [1, 1]


def test_it_names_no_column_that_is_not_in_the_metrics() -> None:
    labels = world([("/", "q0")])
    frame = made(Scrape(1000, RUNNING, {"a": node({"q0": 5}), "b": node({})}), labels).frame
    for kind, table in frame.tables.items():
        assert set(table.columns) <= {metric.name for metric in METRICS[kind]}, kind


def test_what_lives_on_a_silent_node_is_unknown_and_stays_listed() -> None:
    labels = world([("/", "q0"), ("/", "q1")])
    whole = made(Scrape(1000, RUNNING, {"a": node({"q0": 5}, received=10), "b": node({"q1": 7}, received=20)}), labels)
    part = made(Scrape(6000, RUNNING, {"a": node({"q0": 6}, received=11)}, silent=("b",)), labels, following(whole))
    frame = part.frame
    assert not frame.complete
    queues = frame.table(Kind.QUEUE)
    assert queues.slots.tolist() == [0, 1]
    assert queues.value(0, "ready") == 6
    for slot, metric in ((1, "ready"), (1, "consumers"), (0, "delivered"), (1, "delivered")):
        assert math.isnan(queues.value(slot, metric)), (slot, metric)
    for metric in ("ready", "published", "connections", "queues"):
        assert math.isnan(frame.table(Kind.BROKER).value(0, metric)), metric
    assert math.isnan(frame.table(Kind.VHOST).value(0, "ready"))
    # The base stays the last whole snapshot, so nothing is lost when the node answers again.
    again = made(
        Scrape(11_000, RUNNING, {"a": node({"q0": 6}, received=15), "b": node({"q1": 9}, received=26)}),
        labels,
        Base(whole.frame, whole.parts, frame),
    )
    assert again.frame.table(Kind.BROKER).value(0, "published") == 41
    assert again.frame.table(Kind.BROKER).value(0, "ready") == 15


def test_queues_of_a_node_that_is_down_are_unknown_and_the_rest_still_adds_up() -> None:
    labels = world([("/", "q0"), ("/", "q1")])
    whole = made(Scrape(1000, RUNNING, {"a": node({"q0": 5}, received=10), "b": node({"q1": 7}, received=20)}), labels)
    nodes = (NodeSeen("a", running=True), NodeSeen("b", running=False))
    down = made(Scrape(6000, nodes, {"a": node({"q0": 6}, received=12)}), labels, following(whole)).frame
    assert down.complete
    assert down.table(Kind.QUEUE).slots.tolist() == [0, 1]
    assert math.isnan(down.table(Kind.QUEUE).value(1, "ready"))
    broker = down.table(Kind.BROKER)
    assert (broker.value(0, "ready"), broker.value(0, "published"), broker.value(0, "nodes_running")) == (6, 32, 1)


def test_a_queue_that_no_node_tells_of_is_gone() -> None:
    labels = world([("/", "q0"), ("/", "q1")])
    whole = made(Scrape(1000, RUNNING, {"a": node({"q0": 5}), "b": node({"q1": 7})}), labels)
    then = made(Scrape(6000, RUNNING, {"a": node({"q0": 5}), "b": node({})}), labels, following(whole)).frame
    assert then.table(Kind.QUEUE).slots.tolist() == [0]
    assert then.table(Kind.BROKER).value(0, "ready") == 5


def test_vhost_counters_neither_fall_with_a_deleted_queue_nor_leap_with_a_restarted_node() -> None:
    labels = world([("/", "q0"), ("/", "q1")])
    first = made(Scrape(1000, RUNNING, {"a": node({"q0": 0, "q1": 0}, {"q0": 100, "q1": 50}), "b": node({})}), labels)
    assert first.frame.table(Kind.VHOST).value(0, "delivered") == 150
    deleted = made(Scrape(6000, RUNNING, {"a": node({"q0": 0}, {"q0": 110}), "b": node({})}), labels, following(first))
    assert deleted.frame.table(Kind.VHOST).value(0, "delivered") == 160
    restarted = made(
        Scrape(11_000, RUNNING, {"a": node({"q0": 0}, {"q0": 3}), "b": node({})}), labels, following(deleted)
    )
    assert restarted.frame.table(Kind.VHOST).value(0, "delivered") == 163


def test_a_queue_that_two_nodes_tell_of_counts_by_its_leader() -> None:
    labels = world([("/", "q0"), ("/", "q1")], details={"q0": b'{"node":"b"}'})
    built = made(Scrape(1000, RUNNING, {"a": node({"q0": 5, "q1": 1}), "b": node({"q0": 7, "q1": 1})}), labels)
    queues = built.frame.table(Kind.QUEUE)
    assert queues.value(0, "ready") == 7
    assert math.isnan(queues.value(1, "ready"))
    assert built.contested == (0, 1)


def test_it_reads_the_management_api_alone() -> None:
    labels = world([("/", "q0"), ("v2", "q1")])
    figures = Figures(
        [("v2", "q1"), ("/", "q0"), ("v2", "q1")],
        {
            "ready": np.array([7.0, 5.0, 7.0]),
            "unacked": np.array([0.0, 1.0, 0.0]),
            "published": np.array([9.0, 8.0, 9.0]),
        },
    )
    vhosts = Figures([("", "/"), ("", "v2")], {"published": np.array([80.0, 90.0])})
    scrape = Scrape(
        1000, RUNNING, None, queues=figures, vhosts=vhosts, overview={"published": 170.0, "connections": 4.0}
    )
    first = made(scrape, labels, reading=MANAGEMENT)
    assert first.frame.table(Kind.QUEUE).column("ready").tolist() == [5, 7]
    assert first.frame.table(Kind.BROKER).value(0, "ready") == 12
    assert first.frame.table(Kind.BROKER).value(0, "connections") == 4
    assert first.frame.table(Kind.BROKER).value(0, "published") == 170
    assert first.frame.table(Kind.VHOST).column("published").tolist() == [80, 90]
    assert math.isnan(first.frame.table(Kind.BROKER).value(0, "dead_lettered"))
    # Statistics that started anew (a restart) add what they count since.
    again = Scrape(
        6000,
        RUNNING,
        None,
        queues=figures,
        vhosts=Figures([("", "/"), ("", "v2")], {"published": np.array([3.0, 91.0])}),
        overview={"published": 4.0},
    )
    second = made(again, labels, following(first), MANAGEMENT).frame
    assert second.table(Kind.VHOST).column("published").tolist() == [83, 91]
    assert second.table(Kind.BROKER).value(0, "published") == 174


def test_a_change_of_who_counts_does_not_make_a_sum_leap() -> None:
    labels = world([("/", "q0")])
    first = made(Scrape(1000, RUNNING, {"a": node({"q0": 0}, {"q0": 100}, 100), "b": node({})}), labels)
    figures = Figures([("/", "q0")], {"delivered": np.array([5e6])})
    other = Scrape(
        6000,
        RUNNING,
        None,
        queues=figures,
        vhosts=Figures([("", "/")], {"delivered": np.array([5e6])}),
        overview={"published": 5e6},
    )
    second = made(other, labels, following(first), MANAGEMENT).frame
    assert second.table(Kind.VHOST).value(0, "delivered") == 100
    assert second.table(Kind.BROKER).value(0, "published") == 100


def test_a_vhost_that_cannot_be_looked_into_has_unknown_figures() -> None:
    labels = world([("/", "q0"), ("closed", "q1")], details={"closed": b'{"readable":false}'})
    figures = Figures([("/", "q0")], {"ready": np.array([5.0])})
    frame = made(
        Scrape(1000, RUNNING, None, queues=figures, overview={"ready": 20.0}), labels, reading=MANAGEMENT
    ).frame
    assert math.isnan(frame.table(Kind.VHOST).value(1, "ready"))
    # The overview counts every vhost.
    assert frame.table(Kind.BROKER).value(0, "ready") == 20


def test_letters_that_were_dropped_for_want_of_an_exchange_are_not_dead_letters() -> None:
    labels = world([("/", "q0")], nodes=("a",))
    one = node({"q0": 5})
    for reason in ("maxlen", "expired", "rejected", "delivery_limit"):
        one[f"rabbitmq_global_messages_dead_lettered_{reason}_total"] = (
            [
                b'queue_type="rabbit_classic_queue",dead_letter_strategy="at_most_once"',
                b'queue_type="rabbit_classic_queue",dead_letter_strategy="disabled"',
            ],
            np.array([2.0, 100.0]),
        )
    frame = made(Scrape(1000, (NodeSeen("a", running=True),), {"a": one}), labels).frame
    assert frame.table(Kind.BROKER).value(0, "dead_lettered") == 8


def test_it_has_an_empty_broker_where_there_is_nothing() -> None:
    labels = LabelCache(Directory(1))
    frame = made(Scrape(1000, (), {}), labels).frame
    assert frame.table(Kind.BROKER).value(0, "ready") == 0
    assert len(frame.table(Kind.QUEUE).slots) == 0
