"""On real brokers: each tier brings its figures, and cadences follow what the answers cost."""

from __future__ import annotations

import math
import socket

import msgspec
import pika
import pytest
from django.db.models import F

from brokers.collect import claims, poll
from brokers.collect.budget import Tier, decode_pace
from brokers.collect.measures import decode
from brokers.collect.models import PollState
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from tests.collect.conftest import Tick, directory, newest, register
from tests.support.before_prometheus import before
from tests.support.brokers import TestBroker

pytestmark = pytest.mark.django_db(transaction=True)


def once(broker: Broker) -> None:
    """One tick at the pace in force, due or not; on a busy machine it may fail."""
    PollState.objects.filter(broker_id=broker.id).update(next_due_ms=0)
    claimed = claims.claim(broker.id, poll.now_ms())
    assert claimed is not None
    poll.guarded(broker.id, claimed.token)


def every_ms(broker: Broker, tier: Tier) -> int:
    return decode_pace(PollState.objects.get(broker=broker).pace).of(tier).every_ms


def all_due(broker: Broker) -> None:
    """Let the next tick ask for everything, as one some minutes later would."""
    state = PollState.objects.get(broker=broker)
    pace = decode_pace(state.pace)
    tiers = {name: msgspec.structs.replace(held, asked_ms=0) for name, held in pace.tiers.items()}
    state.pace = msgspec.json.encode(msgspec.structs.replace(pace, tiers=tiers))
    state.save(update_fields=["pace"])


def test_it_brings_the_figures_of_every_tier(
    broker: TestBroker, vhost: str, amqp: pika.BlockingConnection, tick: Tick
) -> None:
    channel = amqp.channel()
    channel.queue_declare("orders", durable=True)
    channel.basic_publish("", "orders", b"x" * 100)
    channel.basic_consume("orders", lambda *_: None)
    row = register(broker)
    for _ in range(60):
        tick(row)
        table = newest(row).table(Kind.QUEUE)
        slot = directory(row).slot(Kind.QUEUE, vhost, "orders")
        found = {
            name: table.value(-1 if slot is None else slot, name)
            for name in ("consumers", "message_bytes", "memory", "capacity")
        }
        if found["message_bytes"] == 100 and found["consumers"] == 1:
            break
        amqp.sleep(0.2)
    assert (found["message_bytes"], found["consumers"]) == (100, 1)
    assert found["memory"] > 0
    assert not math.isnan(found["capacity"])
    assert newest(row).table(Kind.BROKER).value(0, "unconfirmed") >= 0
    calls = decode(PollState.objects.get(broker=row).measures).calls
    lists = {Tier.LISTS} if broker.version == "3.10" else set()
    assert {call.tier for call in calls if call.tier} == {*set(Tier) - {Tier.LISTS, Tier.CONSUMERS}, *lists}
    assert not [call.error for call in calls if call.error]


def test_it_asks_seldomer_where_answers_are_slow_and_as_often_as_before_once_they_are_not(
    any_broker: TestBroker,
) -> None:
    with before(any_broker.prometheus) as proxy:
        row = register(any_broker, prometheus=(proxy.url,))
        for _ in range(5):
            once(row)
        before_ms = every_ms(row, Tier.DEPTH)
        proxy.delay_s = 0.3
        for _ in range(30):
            once(row)
            if every_ms(row, Tier.DEPTH) >= 20_000:
                break
        assert every_ms(row, Tier.DEPTH) >= 20_000
        state = PollState.objects.get(broker=row)
        assert state.cadence_ms == every_ms(row, Tier.DEPTH)
        assert f"every {state.cadence_ms / 1000:.3g} s" in decode(state.measures).plan[0]
        proxy.delay_s = 0.0
        for _ in range(60):
            once(row)
            if every_ms(row, Tier.DEPTH) <= max(before_ms, 10_000):
                break
        assert every_ms(row, Tier.DEPTH) <= max(before_ms, 10_000)


def test_one_slow_family_stretches_its_own_tier_and_leaves_depth_alone(any_broker: TestBroker) -> None:
    with before(any_broker.prometheus) as proxy:
        proxy.delay_s, proxy.slow_families = 1.5, ("queue_metrics",)
        row = register(any_broker, prometheus=(proxy.url,))
        # Wide enough that it bears the slow one on a busy machine too.
        Broker.objects.filter(id=row.id).update(budget_percent=5)
        for _ in range(8):
            all_due(row)
            once(row)
        assert every_ms(row, Tier.DETAILS) > 10_000
        told = Broker.objects.get(id=row.id).read_every_ms
        assert told["queue.memory"] == every_ms(row, Tier.DETAILS)
        # Where ticks take long it may be due just now.
        for _ in range(10):
            asked = len([path for path in proxy.asked if "queue_metrics" in path])
            once(row)
            if len([path for path in proxy.asked if "queue_metrics" in path]) == asked:
                break
        assert len([path for path in proxy.asked if "queue_metrics" in path]) == asked
        assert "and is not due yet" in PollState.objects.get(broker=row).unknown["queue.memory"]


def test_a_slower_tier_that_fails_costs_the_tick_nothing(any_broker: TestBroker) -> None:
    with before(any_broker.prometheus) as proxy:
        proxy.delay_s, proxy.slow_families = 4.5, ("queue_metrics",)
        row = register(any_broker, prometheus=(proxy.url,))
        once(row)
        state = PollState.objects.get(broker=row)
        assert state.failures == 0
        assert not math.isnan(newest(row).table(Kind.BROKER).value(0, "ready"))


def test_a_broker_that_is_too_slow_to_answer_is_asked_seldomer_until_it_answers(any_broker: TestBroker) -> None:
    row = register(any_broker)
    rows = Broker.objects.filter(id=row.id)
    # Connections are taken, and nothing is ever answered.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        rows.update(management_url=f"http://127.0.0.1:{silent.getsockname()[1]}", revision=F("revision") + 1)
        for _ in range(8):
            once(row)
            if PollState.objects.get(broker=row).cadence_ms >= 20_000:
                break
        state = PollState.objects.get(broker=row)
        assert (state.failures >= 2, state.error_kind, state.cadence_ms) == (True, "too_slow", 20_000)
    rows.update(management_url=any_broker.management, revision=F("revision") + 1)
    for _ in range(40):
        once(row)
        state = PollState.objects.get(broker=row)
        if not state.failures and state.cadence_ms <= 10_000:
            break
    assert (state.failures, state.cadence_ms <= 10_000) == (0, True)


def test_a_broker_that_refuses_connections_is_asked_as_often_as_before(any_broker: TestBroker) -> None:
    row = register(any_broker)
    Broker.objects.filter(id=row.id).update(management_url="http://127.0.0.1:9")
    for _ in range(4):
        once(row)
    state = PollState.objects.get(broker=row)
    assert (state.failures, max(state.cadence_ms, row.cadence_s * 1000)) == (4, row.cadence_s * 1000)
