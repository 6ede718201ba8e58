"""What a broker can be asked, found out from a real one, remembered, and found out anew when it may have changed."""

from __future__ import annotations

import socket
import time

import msgspec
import pytest

from brokers.collect import capabilities, measures
from brokers.collect.answers import NodeSeen
from brokers.collect.budget import decode_pace
from brokers.collect.clients import clients_of, forget
from brokers.collect.known import (
    LOCATE_MS,
    LOOK_BLIND_MS,
    LOOK_DOUBTED_MS,
    LOOK_MS,
    Known,
    after_answers,
    decode,
    doubted,
    encode,
)
from brokers.collect.models import PollState
from brokers.collect.outcome import Outcome
from brokers.collect.plan import plan
from brokers.collect.scrape import scrape
from brokers.registry.models import Broker
from tests.collect.conftest import Tick
from tests.support.brokers import TestBroker
from tests.support.builders import make_broker
from tests.support.misbehaving import answers, by_path, misbehaving
from tests.support.own_broker import OwnBroker

pytestmark = pytest.mark.django_db
NOW = 1_700_000_000_000


def watched(broker: TestBroker, watcher: tuple[str, str], **fields: object) -> Broker:
    name, password = watcher
    return make_broker(management_url=broker.management, username=name, password=password, **fields)


def found(row: Broker, now_ms: int = NOW) -> capabilities.Found:
    """Find out, and remember it as a tick does that brings what the nodes are."""
    state = PollState.objects.get(broker=row)
    told = capabilities.find(clients_of(row), row, state, now_ms)
    nodes = [NodeSeen(name, running=True, runs="4.3.6") for name in ("a", "b")]
    known = after_answers(told.known, told.looked_ms, now_ms, nodes, (), {})
    remember(row, known, told.looked_ms)
    return told


def remember(row: Broker, known: Known, looked_ms: int) -> None:
    PollState.objects.filter(broker=row).update(
        capabilities=encode(known), capabilities_ms=looked_ms, capabilities_revision=row.revision
    )


@pytest.fixture(autouse=True)
def _no_pools_left() -> object:
    yield
    forget()


def test_it_finds_out_which_node_answers_where(broker: TestBroker, watcher: tuple[str, str]) -> None:
    row = watched(broker, watcher)
    told = found(row)
    abilities = told.abilities
    assert list(abilities.prometheus) == [node["name"] for node in broker.nodes]
    assert abilities.counters_exposed == (broker.release >= (4, 0))
    assert told.known.escapes_labels == (broker.release >= (3, 11))
    assert told.known.version.startswith(broker.version)
    answers = scrape(clients_of(row), plan(abilities, 0, 5000))
    assert set(answers.exposed or {}) == set(abilities.prometheus)
    assert answers.silent == ()


def test_it_remembers_and_asks_again_when_it_may_have_changed(any_broker: TestBroker) -> None:
    row = watched(any_broker, (any_broker.username, any_broker.password))
    first = found(row)
    assert first.looked
    assert {call.what.partition("?")[0] for call in first.measures} >= {"/api/overview", "/metrics/detailed"}
    again = found(row, NOW + 1000)
    assert (again.looked, again.measures, again.abilities) == (False, (), first.abilities)
    assert not found(row, NOW + LOOK_MS - 1).measures
    assert found(row, NOW + LOOK_MS).looked
    row.revision += 1
    assert found(row, NOW + LOOK_MS + 1).looked


def test_it_asks_again_where_it_is_in_doubt_and_is_sure_then(any_broker: TestBroker) -> None:
    row = watched(any_broker, (any_broker.username, any_broker.password))
    first = found(row)
    remember(row, doubted(first.known), NOW)
    assert not found(row, NOW + 1000).looked
    remember(row, doubted(first.known), NOW)
    assert found(row, NOW + 120_000).looked
    assert not found(row, NOW + 240_000).looked


def test_it_takes_entered_addresses_by_the_node_that_answers_there(any_broker: TestBroker) -> None:
    row = watched(any_broker, (any_broker.username, any_broker.password), prometheus_urls=any_broker.prometheus)
    (node,) = any_broker.nodes
    assert found(row).abilities.prometheus == {node["name"]: any_broker.prometheus}


def test_it_turns_to_the_management_api_where_prometheus_is_out_of_reach(any_broker: TestBroker) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        row = watched(any_broker, (any_broker.username, any_broker.password), prometheus_urls=address)
        told = found(row)
    assert told.abilities.prometheus == {}
    assert "refuses connections" in told.abilities.prometheus_missing
    # It is looked for again, and the broker is not asked for all the rest for that.
    later = found(row, NOW + LOCATE_MS)
    assert not later.looked
    assert later.known.located_ms == NOW + LOCATE_MS
    assert found(row, NOW + LOCATE_MS + 1).known.located_ms == NOW + LOCATE_MS


def test_a_tick_asks_what_the_broker_can_do_once_and_again_where_its_nodes_are_others(
    any_broker: TestBroker, tick: Tick
) -> None:
    row = watched(any_broker, (any_broker.username, any_broker.password))
    (node,) = any_broker.nodes

    def looked() -> bool:
        assert tick(row) is Outcome.STORED
        state = PollState.objects.get(broker=row)
        return any(call.what == "/api/overview" for call in measures.decode(state.measures).calls)

    assert looked()
    assert not looked()
    assert not looked()
    state = PollState.objects.get(broker=row)
    known = decode(state.capabilities)
    assert known is not None
    assert list(known.nodes) == [node["name"]]
    assert any_broker.version in known.nodes[node["name"]]
    assert "rabbitmq_prometheus" in known.nodes[node["name"]]
    # As if it had been upgraded since.
    older = msgspec.structs.replace(known, nodes={node["name"]: "3.9.1"})
    remember(row, older, state.capabilities_ms - LOOK_DOUBTED_MS)
    assert not looked()
    assert looked()
    assert not looked()
    assert decode(PollState.objects.get(broker=row).capabilities) == msgspec.structs.replace(
        known, located_ms=PollState.objects.get(broker=row).capabilities_ms
    )


@pytest.mark.parametrize("nodes", [[], [{"name": "a@h", "running": True}]])
def test_what_it_takes_is_counted_as_often_as_it_is_asked_for(nodes: list[dict[str, object]], tick: Tick) -> None:
    """Where no list of nodes tells what changed that is every five minutes."""
    paths = {
        "/api/overview": answers({"rabbitmq_version": "4.0.5"}),
        "/api/queues": answers([]),
        "/api/exchanges": answers([]),
        **({"/api/nodes": answers(nodes)} if nodes else {}),
    }
    with misbehaving(by_path(paths)) as management:
        row = make_broker(management_url=management.url)
        for _ in range(2):
            assert tick(row) is Outcome.STORED
            asked_ms = PollState.objects.get(broker=row).capabilities_ms
            PollState.objects.filter(broker=row).update(capabilities_ms=asked_ms - LOOK_MS)
    look = decode_pace(PollState.objects.get(broker=row).pace).look
    assert look.every_ms == (LOOK_MS if nodes else LOOK_BLIND_MS)


def test_a_restart_that_no_poll_saw_is_told_by_the_nodes_uptime(own_broker: OwnBroker, tick: Tick) -> None:
    broker = own_broker.start()
    row = watched(broker, (broker.username, broker.password))
    assert tick(row) is Outcome.STORED
    assert tick(row) is Outcome.STORED
    state = PollState.objects.get(broker=row)
    known = decode(state.capabilities)
    assert known is not None
    assert not known.doubted
    # As if all had been looked at three minutes ago, by a node that was up.
    remember(row, known, state.capabilities_ms - 180_000)
    own_broker.stop()
    own_broker.start()
    end = time.monotonic() + 60
    # The list of nodes is some seconds old, and the uptime in it may be of the node that was.
    while not known.doubted and time.monotonic() < end:
        assert tick(row) is Outcome.STORED
        known = decode(PollState.objects.get(broker=row).capabilities)
        assert known is not None
    assert known.doubted
    assert tick(row) is Outcome.STORED
    state = PollState.objects.get(broker=row)
    assert "/api/overview" in [call.what for call in measures.decode(state.measures).calls]
