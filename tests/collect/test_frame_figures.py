"""The figures beside depth and flow: what consumers may hold, what waits for confirms, why letters died, by vhost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import msgspec
import numpy as np

from brokers.collect.answers import Figures, NodeSeen, Samples, Scrape
from brokers.collect.basis import Base
from brokers.registry.details import QueueDetail
from brokers.registry.slots import KnownObject, ObjectName
from brokers.series.metrics import Kind
from tests.collect.test_frame import (
    CONSUMERS,
    MANAGEMENT,
    READY,
    RUNNING,
    UNACKED,
    following,
    made,
    node,
    series,
    world,
)

CAPACITY = "rabbitmq_detailed_queue_consumer_capacity"
HEAD = "rabbitmq_detailed_queue_head_message_timestamp"
STREAM_LAG = "rabbitmq_detailed_stream_consumer_max_offset_lag"
UNCONFIRMED = "rabbitmq_detailed_channel_messages_unconfirmed"
CHANNELS = "rabbitmq_channels"


def one(families: Mapping[str, Samples]) -> Scrape:
    return Scrape(1000, RUNNING[:1], {"a": families})


def channels(*waiting: float) -> Samples:
    return [f'channel="<0.{number}.0>"'.encode() for number in range(len(waiting))], np.array(waiting)


def published(values: Mapping[str, float], vhost: str = "/", what: str = "published") -> dict[str, Samples]:
    raw = [f'vhost="{vhost}",exchange="{name}"'.encode() for name in values]
    return {f"rabbitmq_detailed_exchange_messages_{what}_total": (raw, np.array(list(values.values()), dtype=float))}


def test_the_prefetch_of_a_queue_is_what_its_consumers_may_hold_together() -> None:
    detail = msgspec.json.encode(QueueDetail(prefetch=30, prefetch_consumers=2))
    labels = world([("/", "q0"), ("/", "q1"), ("/", "q2")], details={"q0": detail, "q1": detail})
    told = node({"q0": 1, "q1": 1, "q2": 1})
    told[CONSUMERS] = series({"q0": 2, "q1": 3, "q2": 0})

    table = made(one(told), labels).frame.table(Kind.QUEUE)

    assert table.value(0, "prefetch") == 30
    # A consumer came since the definitions told: nobody knows what they may hold now.
    assert math.isnan(table.value(1, "prefetch"))
    assert math.isnan(table.value(2, "prefetch"))


def test_it_reads_the_prefetch_anew_when_the_definitions_changed() -> None:
    labels = world([("/", "q0")])
    told = one(node({"q0": 1}))
    assert math.isnan(made(told, labels).frame.table(Kind.QUEUE).value(0, "prefetch"))
    known = labels.directory.by_slot[Kind.QUEUE][0]
    detail = msgspec.json.encode(QueueDetail(prefetch=8, prefetch_consumers=2))
    labels.directory.by_slot[Kind.QUEUE][0] = replace(known, detail=detail)
    labels.directory.revision += 1
    assert made(told, labels).frame.table(Kind.QUEUE).value(0, "prefetch") == 8


def test_what_a_tick_did_not_ask_for_has_no_column_in_it() -> None:
    labels = world([("/", "q0")])
    bare = made(one(node({"q0": 1})), labels)
    asked = made(one(node({"q0": 1}) | {CAPACITY: series({"q0": 0.5}), STREAM_LAG: series({"q0": 12})}), labels)
    assert not {"capacity", "memory", "stream_lag"} & set(bare.frame.table(Kind.QUEUE).columns)
    assert asked.frame.table(Kind.QUEUE).value(0, "capacity") == 0.5
    assert asked.frame.table(Kind.QUEUE).value(0, "stream_lag") == 12
    assert "memory" not in asked.frame.table(Kind.QUEUE).columns


def test_counters_that_a_tick_did_not_ask_for_are_unknown_and_go_on_afterwards() -> None:
    labels = world([("/", "q0"), ("/", "q1")])
    counting = one(node({"q0": 1, "q1": 0}, {"q0": 100}, 50) | published({"amq.topic": 70}))
    first = made(counting, labels)
    bare = node({"q0": 1, "q1": 0})
    depth_only = {name: bare[name] for name in (READY, UNACKED)}
    second = made(replace(one(depth_only), asked_counters=False), labels, following(first))
    for kind, name in ((Kind.VHOST, "delivered"), (Kind.VHOST, "published"), (Kind.BROKER, "published")):
        assert math.isnan(second.frame.table(kind).value(0, name)), (kind, name)
    assert math.isnan(second.frame.table(Kind.QUEUE).value(1, "delivered"))
    assert math.isnan(second.frame.table(Kind.EXCHANGE).value(0, "published"))
    assert "consumers" not in second.frame.table(Kind.QUEUE).columns
    assert second.frame.table(Kind.VHOST).value(0, "ready") == 1
    # The base stays where everything was counted.
    more = one(node({"q0": 1, "q1": 0}, {"q0": 130}, 60) | published({"amq.topic": 75}))
    third = made(more, labels, Base(first.frame, first.parts, second.frame)).frame
    assert third.table(Kind.VHOST).value(0, "delivered") == 130
    assert third.table(Kind.VHOST).value(0, "published") == 75
    assert third.table(Kind.BROKER).value(0, "published") == 60


def test_the_slowest_consumer_of_a_stream_is_told_by_whichever_node_it_is_on() -> None:
    labels = world([("/", "q0"), ("/", "q1")])
    nodes = {
        "a": node({"q0": 5, "q1": 0}) | {STREAM_LAG: series({"q0": 3})},
        "b": node({}) | {STREAM_LAG: series({"q0": 40})},
    }
    table = made(Scrape(1000, RUNNING, nodes), labels).frame.table(Kind.QUEUE)
    assert table.value(0, "stream_lag") == 40
    assert math.isnan(table.value(1, "stream_lag"))


def test_the_time_in_a_queues_oldest_message_goes_on_to_who_wants_it_and_is_not_stored() -> None:
    labels = world([("/", "q0"), ("/", "q1")])
    built = made(one(node({"q0": 1, "q1": 1}) | {HEAD: series({"q0": 1_700_000_000, "q1": math.nan})}), labels)
    assert built.heads == {0: 1_700_000_000}
    assert made(one(node({"q0": 1})), labels).heads == {}


def test_what_waits_for_confirms_is_the_sum_of_all_channels_and_the_highest_of_them() -> None:
    labels = world([("/", "q0")])
    nodes = {"a": node({"q0": 5}) | {UNCONFIRMED: channels(3, 40)}, "b": node({}) | {UNCONFIRMED: channels(7)}}
    table = made(Scrape(1000, RUNNING, nodes), labels).frame.table(Kind.BROKER)
    assert (table.value(0, "unconfirmed"), table.value(0, "unconfirmed_highest")) == (50, 40)


def test_what_waits_for_confirms_is_unknown_where_it_was_not_asked_and_zero_without_a_channel() -> None:
    labels = world([("/", "q0")])
    busy = made(one(node({"q0": 1}) | {CHANNELS: ([b""], np.array([4.0]))}), labels).frame.table(Kind.BROKER)
    idle = made(one(node({"q0": 1}) | {CHANNELS: ([b""], np.array([0.0]))}), labels).frame.table(Kind.BROKER)
    assert math.isnan(busy.value(0, "unconfirmed"))
    assert idle.value(0, "unconfirmed") == 0


def test_letters_are_counted_by_the_reason_why_they_died() -> None:
    labels = world([("/", "q0")])
    told = node({"q0": 1})
    for number, reason in enumerate(("rejected", "expired", "maxlen", "delivery_limit"), 1):
        told[f"rabbitmq_global_messages_dead_lettered_{reason}_total"] = (
            [b'queue_type="c",dead_letter_strategy="at_most_once"', b'queue_type="c",dead_letter_strategy="disabled"'],
            np.array([10.0 * number, 7.0]),
        )
    table = made(one(told), labels).frame.table(Kind.BROKER)
    assert table.value(0, "dead_lettered") == 100
    assert table.value(0, "dead_lettered_rejected") == 10
    assert table.value(0, "dead_lettered_delivery_limit") == 40


def test_what_a_vhosts_publishers_sent_is_the_sum_of_its_exchanges_and_never_falls() -> None:
    labels = world([("/", "q0")])
    known = labels.directory.by_slot[Kind.EXCHANGE]
    known[1] = KnownObject(1, "/", "orders", b"{}", 0, None)
    labels.directory.by_name[Kind.EXCHANGE][ObjectName("/", "orders")] = 1

    def tick(counts: Mapping[str, float], base: Base | None = None) -> tuple[Base, float, float]:
        told = node({"q0": 1}) | published(counts) | published(counts, what="confirmed")
        built = made(one(told), labels, base)
        table = built.frame.table(Kind.VHOST)
        return following(built), table.value(0, "published"), table.value(0, "confirmed")

    base, *first = tick({"amq.topic": 5, "orders": 100})
    base, *second = tick({"amq.topic": 8, "orders": 120}, base)
    # Deleted and declared anew: it counts from zero.
    base, *third = tick({"amq.topic": 8, "orders": 4}, base)
    known[1] = replace(known[1], gone_ms=1)
    labels.directory.revision += 1
    base, *fourth = tick({"amq.topic": 9}, base)
    assert [first, second, third, fourth] == [[105, 105], [128, 128], [132, 132], [133, 133]]


def test_a_vhosts_confirms_and_unroutable_messages_come_from_the_management_api_too() -> None:
    labels = world([("/", "q0")])
    told = {"published": 9.0, "confirmed": 4.0, "returned": 1.0, "dropped": 2.0, "delivered": 3.0}
    vhosts = Figures([("", "/")], {name: np.array([value]) for name, value in told.items()})
    table = made(Scrape(1000, RUNNING[:1], vhosts=vhosts), labels, reading=MANAGEMENT).frame.table(Kind.VHOST)
    assert {name: table.value(0, name) for name in told} == told


def runs(seconds: float) -> dict[str, Samples]:
    return {"rabbitmq_erlang_uptime_seconds": ([b""], np.array([seconds]))}


def test_a_node_that_began_anew_is_counted_whole_even_where_it_counts_more_by_now() -> None:
    labels = world([("/", "q0")], nodes=("a",))
    first = made(one(node({"q0": 0}, {"q0": 100}, 100) | published({"amq.topic": 100}) | runs(500)), labels)
    told = node({"q0": 0}, {"q0": 150}, 160) | published({"amq.topic": 170}) | runs(12)
    then = made(one(told), labels, following(first)).frame
    assert then.table(Kind.VHOST).value(0, "delivered") == 250
    assert then.table(Kind.VHOST).value(0, "published") == 270
    assert then.table(Kind.BROKER).value(0, "published") == 260


def test_one_node_of_several_that_began_anew_makes_no_sum_leap() -> None:
    labels = world([("/", "q0"), ("/", "q1")])

    def cluster(first: Mapping[str, float], second: Mapping[str, float], uptime: float) -> Scrape:
        nodes = {"a": node({"q0": 0, "q1": 0}, first) | runs(900), "b": node({}, second) | runs(uptime)}
        return Scrape(1000, RUNNING, nodes)

    before = made(cluster({"q0": 600, "q1": 5}, {"q0": 400}, 800), labels)
    then = made(cluster({"q0": 610, "q1": 9}, {"q0": 7}, 10), labels, following(before)).frame
    # The node counted 7 since it began; what the other counted of the same queue can't be told from what was lost.
    assert then.table(Kind.VHOST).value(0, "delivered") == 1005 + 7 + 4
    again = made(cluster({"q0": 620, "q1": 9}, {"q0": 8}, 15), labels, Base(then, None, then))
    assert again.frame.table(Kind.VHOST).value(0, "delivered") == 1016


def test_the_only_node_of_a_broker_without_prometheus_is_counted_whole_too() -> None:
    labels = world([("/", "q0")], nodes=("a",))

    def told(delivered: float, uptime_s: float) -> Scrape:
        vhosts = Figures([("", "/")], {"delivered": np.array([delivered])})
        return Scrape(1000, (NodeSeen("a", running=True, uptime_s=uptime_s),), vhosts=vhosts)

    first = made(told(100, 500), labels, reading=MANAGEMENT)
    then = made(told(130, 4), labels, following(first), MANAGEMENT)
    later = made(told(135, 9), labels, following(then), MANAGEMENT)
    values = [built.frame.table(Kind.VHOST).value(0, "delivered") for built in (first, then, later)]
    assert values == [100, 230, 235]
