"""Servers that answer a part of the API: what they tell is shown, what they don't is unknown and has its reason."""

from __future__ import annotations

import math
from typing import Any

import pytest

from brokers.collect import measures, poll
from brokers.collect.models import PollState
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from tests.collect.conftest import Tick, detail, directory, newest
from tests.support.builders import make_broker
from tests.support.misbehaving import Behaviour, answers, by_path, misbehaving

pytestmark = pytest.mark.django_db(transaction=True)

# As a server of another make answers: its own version beside the one it speaks, no Prometheus listener, fewer fields.
OVERVIEW: dict[str, Any] = {
    "lavinmq_version": "2.4.1",
    "node": "hare",
    "listeners": [{"ip_address": "::", "port": 5672, "protocol": "amqp"}],
    "object_totals": {"channels": 2, "connections": 1, "consumers": 3, "exchanges": 9, "queues": 2},
    "queue_totals": {"messages": 12, "messages_ready": 10, "messages_unacked": 2},
    "message_stats": {"publish": 40, "ack": 30, "deliver": 35},
}
QUEUES: list[dict[str, Any]] = [
    {
        "name": "orders",
        "vhost": "/",
        "durable": True,
        "arguments": {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "graveyard"},
        "messages_ready": 7,
        "messages_unacknowledged": 2,
        "consumers": 3,
        "state": "running",
        "message_stats": {"publish": 20, "ack": 15},
    },
    {"name": "graveyard", "vhost": "/", "messages_ready": 3, "messages_unacknowledged": 0, "consumers": 0},
]


def server(**paths: Any) -> Behaviour:
    """Answer these parts of the API, and 404 for all others."""
    return by_path(
        {f"/api/{name.replace('_', '-')}": one if callable(one) else answers(one) for name, one in paths.items()}
    )


LIKE_LAVINMQ: dict[str, Any] = {
    "overview": OVERVIEW,
    "queues": QUEUES,
    "vhosts": [{"name": "/"}],
    "exchanges": [{"name": name, "vhost": "/", "type": "direct"} for name in ("", "amq.direct")],
    "policies": [],
    "bindings": [],
}


def broker_at(url: str) -> Broker:
    return make_broker("hare", management_url=url)


def test_it_shows_what_another_make_of_server_tells(tick: Tick) -> None:
    with misbehaving(server(**LIKE_LAVINMQ)) as there:
        row = broker_at(there.url)
        assert tick(row) == poll.Outcome.STORED
        frame = newest(row)
        slots = directory(row).by_name[Kind.QUEUE]
        state = PollState.objects.get(broker=row)
        orders = {slot for name, slot in slots.items() if name.name == "orders"}.pop()

        queue = frame.table(Kind.QUEUE)
        assert [queue.value(orders, name) for name in ("ready", "unacked", "consumers")] == [7, 2, 3]
        assert (queue.value(orders, "published"), queue.value(orders, "acknowledged")) == (20, 15)
        # It did not say: that is no zero.
        assert math.isnan(queue.value(orders, "redelivered"))
        assert math.isnan(frame.table(Kind.VHOST).value(0, "published"))
        total = frame.table(Kind.BROKER)
        assert [total.value(0, name) for name in ("ready", "unacked", "queues", "connections")] == [10, 2, 2, 1]
        assert state.unknown["queue.redelivered"] == "LavinMQ does not tell it."
        assert "does not have that" in state.unknown["node.memory_used"]
        assert "no Prometheus endpoint" in state.unknown["broker.dead_lettered"]
        assert any("LavinMQ" in sentence for sentence in measures.decode(state.measures).plan)


def test_it_does_not_ask_again_for_what_is_not_offered(tick: Tick) -> None:
    with misbehaving(server(**LIKE_LAVINMQ)) as there:
        row = broker_at(there.url)
        for _ in range(3):
            assert tick(row) == poll.Outcome.STORED
        assert there.paths.count("/api/nodes") == 1
        assert "node.memory_used" in PollState.objects.get(broker=row).unknown


def test_it_reads_the_definitions_that_it_gets(tick: Tick, read: Tick) -> None:
    with misbehaving(server(**LIKE_LAVINMQ)) as there:
        row = broker_at(there.url)
        tick(row)
        assert read(row) == poll.Outcome.STORED
        state = PollState.objects.get(broker=row)
        assert "did not tell its operator policies" in state.definitions_error
        assert "did not tell its nodes" in state.definitions_error
        assert detail(row, Kind.QUEUE, "/", "graveyard").dead_letters_of == ("orders",)
        assert detail(row, Kind.VHOST, "", "/").readable is True


def test_it_keeps_what_it_knew_where_a_list_fails(tick: Tick, read: Tick) -> None:
    with misbehaving(server(**LIKE_LAVINMQ)) as there:
        row = broker_at(there.url)
        tick(row)
        read(row)
    broken = {**LIKE_LAVINMQ, "queues": answers("oops", 500), "bindings": answers("oops", 500)}
    with misbehaving(server(**broken)) as there:
        Broker.objects.filter(id=row.id).update(management_url=there.url, revision=2)
        row.refresh_from_db()
        assert read(row) == poll.Outcome.STORED
    assert all(known.gone_ms is None for known in directory(row).by_slot[Kind.QUEUE].values())
    assert detail(row, Kind.QUEUE, "/", "graveyard").dead_letters_of == ("orders",)
    assert "did not tell its queues" in PollState.objects.get(broker=row).definitions_error


def test_it_says_what_a_user_without_the_monitoring_tag_does_not_see(tick: Tick) -> None:
    refused = answers({"error": "not_authorised", "reason": "Not monitor user"}, 401)
    overview = {
        **OVERVIEW,
        "lavinmq_version": None,
        "rabbitmq_version": "4.0.5",
        "rates_mode": "basic",
        "listeners": None,
    }
    with misbehaving(server(**{**LIKE_LAVINMQ, "overview": overview, "nodes": refused})) as there:
        row = broker_at(there.url)
        assert tick(row) == poll.Outcome.STORED
        assert newest(row).table(Kind.BROKER).value(0, "ready") == 10
        assert "may not ask" in PollState.objects.get(broker=row).unknown["node.memory_used"]


def test_it_leaves_a_depth_unknown_that_one_queue_does_not_tell(tick: Tick) -> None:
    silent = [QUEUES[0], {"name": "graveyard", "vhost": "/"}]
    overview = {**OVERVIEW, "queue_totals": {}}
    with misbehaving(server(**{**LIKE_LAVINMQ, "queues": silent, "overview": overview})) as there:
        row = broker_at(there.url)
        assert tick(row) == poll.Outcome.STORED
        frame = newest(row)
        assert math.isnan(frame.table(Kind.VHOST).value(0, "ready"))
        assert math.isnan(frame.table(Kind.BROKER).value(0, "ready"))


def test_it_fails_with_the_sentence_where_nothing_of_use_comes(tick: Tick) -> None:
    with misbehaving(server(overview=OVERVIEW)) as there:
        row = broker_at(there.url)
        overview_alone = tick(row)
        assert overview_alone == poll.Outcome.STORED
        assert newest(row).table(Kind.BROKER).value(0, "ready") == 10
    with misbehaving(answers("<html><title>Router login</title></html>", content_type="text/html")) as there:
        Broker.objects.filter(id=row.id).update(management_url=there.url, revision=2)
        row.refresh_from_db()
        assert tick(row) == poll.Outcome.FAILED
        assert "Router login" in PollState.objects.get(broker=row).error_sentence
