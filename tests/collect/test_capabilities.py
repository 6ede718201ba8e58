"""What a broker can be asked, found out from a real one, remembered, and found out anew when it may have changed."""

from __future__ import annotations

import socket

import pytest

from brokers.collect import capabilities
from brokers.collect.clients import clients_of, forget
from brokers.collect.models import PollState
from brokers.collect.plan import plan
from brokers.collect.scrape import scrape
from brokers.registry.models import Broker
from tests.support.brokers import TestBroker
from tests.support.builders import make_broker

pytestmark = pytest.mark.django_db
NOW = 1_700_000_000_000


def watched(broker: TestBroker, watcher: tuple[str, str], **fields: object) -> Broker:
    name, password = watcher
    return make_broker(management_url=broker.management, username=name, password=password, **fields)


def found(row: Broker, now_ms: int = NOW) -> capabilities.Found:
    state = PollState.objects.get(broker=row)
    told = capabilities.find(clients_of(row), row, state, now_ms)
    if told.fresh:
        PollState.objects.filter(broker=row).update(
            capabilities=told.encoded, capabilities_ms=now_ms, capabilities_revision=row.revision
        )
    return told


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
    assert told.escapes_labels == (broker.release >= (3, 11))
    assert told.version.startswith(broker.version)
    answers = scrape(clients_of(row), plan(abilities, 0, 5000))
    assert set(answers.exposed or {}) == set(abilities.prometheus)
    assert answers.silent == ()


def test_it_remembers_and_asks_again_when_it_may_have_changed(any_broker: TestBroker) -> None:
    row = watched(any_broker, (any_broker.username, any_broker.password))
    assert found(row).fresh
    again = found(row, NOW + 1000)
    assert not again.fresh
    assert again.abilities == found(row, NOW + capabilities.REFRESH_MS).abilities
    row.revision += 1
    assert found(row, NOW + capabilities.REFRESH_MS + 1).fresh


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
    assert found(row, NOW + capabilities.REFRESH_SOON_MS).fresh
