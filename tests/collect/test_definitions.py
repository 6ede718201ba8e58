"""Definitions are read in a lane of their own: what is declared, what is gone, and what nobody may look into."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from brokers.collect import claims, clients, measures, poll
from brokers.collect.models import PollState
from brokers.rabbitmq.http import Limits
from brokers.registry import services
from brokers.registry.models import Broker, BrokerObject
from brokers.series.metrics import Kind
from tests.collect.conftest import Tick, detail, directory, gone_ms, newest
from tests.support.brokers import TestBroker
from tests.support.builders import make_broker
from tests.support.misbehaving import Behaviour, answers, by_path, misbehaving, never

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def watched(broker: TestBroker, watcher: tuple[str, str]) -> Broker:
    """The real broker, registered with a watching user that may look into the test's vhost."""
    return services.add(
        services.BrokerInput(name="shop", management_url=broker.management, username=watcher[0], password=watcher[1])
    )


@pytest.fixture
def closed_vhost(broker: TestBroker) -> Iterator[str]:
    """A vhost in which the watching user has no permission row."""
    name = broker.make_vhost("closed")
    yield name
    broker.delete_vhost(name)


def declare(broker: TestBroker, vhost: str, name: str, **arguments: object) -> None:
    broker.api(
        "PUT",
        f"queues/{vhost}/{name}",
        {"durable": True, "arguments": {key.replace("_", "-"): value for key, value in arguments.items()}},
    )


def test_it_reads_what_is_declared(broker: TestBroker, vhost: str, watched: Broker, tick: Tick, read: Tick) -> None:
    declare(broker, vhost, "orders", x_queue_type="quorum", x_dead_letter_exchange="dlx")
    declare(broker, vhost, "orders.dead", x_queue_type="classic")
    declare(broker, vhost, "orders.wait", x_message_ttl=1000, x_dead_letter_exchange="", x_dead_letter_routing_key="o")
    broker.api("PUT", f"exchanges/{vhost}/dlx", {"type": "topic", "durable": True})
    broker.api("POST", f"bindings/{vhost}/e/dlx/q/orders.dead", {"routing_key": "#"})
    limits = {"pattern": "^orders$", "apply-to": "queues", "definition": {"max-length": 9, "message-ttl": 60000}}
    broker.api("PUT", f"policies/{vhost}/limits", limits)
    broker.api(
        "PUT",
        f"operator-policies/{vhost}/house",
        {"pattern": ".*", "apply-to": "queues", "definition": {"max-length": 5}},
    )
    tick(watched)

    assert read(watched) == poll.Outcome.STORED

    orders = detail(watched, Kind.QUEUE, vhost, "orders")
    assert (orders.type, orders.durable, orders.state) == ("quorum", True, "running")
    assert orders.arguments["x-dead-letter-exchange"] == "dlx"
    assert (orders.policy, orders.operator_policy) == ("limits", "house")
    assert orders.effective_policy == {"max-length": 5, "message-ttl": 60000}
    assert orders.node in {node["name"] for node in broker.nodes}
    assert orders.members == (orders.node,)
    dead = detail(watched, Kind.QUEUE, vhost, "orders.dead")
    assert (dead.type, dead.dead_letters_of, dead.dead_letter_sources) == ("classic", ("orders",), 1)
    assert (dead.policy, dead.operator_policy, dead.effective_policy) == (None, "house", {"max-length": 5})
    assert dead.named_like_dlq
    waits = detail(watched, Kind.QUEUE, vhost, "orders.wait")
    assert (waits.waits, waits.dead_letters_of, dead.waits, orders.waits) == (True, (), False, False)
    assert detail(watched, Kind.EXCHANGE, vhost, "dlx").type == "topic"
    seen = detail(watched, Kind.VHOST, "", vhost)
    assert seen.readable is True
    assert [one.name for one in seen.policies] == ["limits"]
    assert [one.definition for one in seen.operator_policies] == [{"max-length": 5}]
    node = detail(watched, Kind.NODE, "", orders.node)
    assert node.rabbitmq_version.startswith(broker.version)
    assert "rabbitmq_management" in node.plugins
    state = PollState.objects.get(broker=watched)
    assert state.definitions_error == ""
    assert state.definitions_ms > 0
    assert state.definitions_due_ms >= state.definitions_ms + 60_000
    assert (state.definitions_claim, state.definitions_claimed_until_ms) == ("", 0)
    cost = measures.decode(state.definitions_measures)
    assert cost.rows["queue"] >= 2
    assert any("queues" in call.what and call.bytes for call in cost.calls)


def test_it_knows_where_each_kind_of_queue_lives(
    broker: TestBroker, vhost: str, watched: Broker, tick: Tick, read: Tick
) -> None:
    for kind in ("classic", "quorum", "stream"):
        declare(broker, vhost, kind, x_queue_type=kind)
    tick(watched)
    read(watched)
    nodes = {node["name"] for node in broker.nodes}
    for kind in ("classic", "quorum", "stream"):
        found = detail(watched, Kind.QUEUE, vhost, kind)
        assert (found.type, found.state, found.exclusive) == (kind, "running", False)
        assert found.node in nodes


def test_our_own_time_is_not_the_brokers(watched: Broker, read: Tick) -> None:
    read(watched)
    told = measures.decode(PollState.objects.get(broker=watched).definitions_measures)
    assert any(call.own_s for call in told.calls)
    assert told.broker_s < sum(call.seconds for call in told.calls)


def test_it_marks_what_is_gone_and_what_is_back(
    broker: TestBroker, vhost: str, watched: Broker, tick: Tick, read: Tick
) -> None:
    declare(broker, vhost, "orders")
    declare(broker, vhost, "parcels")
    tick(watched)
    read(watched)
    slot = directory(watched).slot(Kind.QUEUE, vhost, "orders")

    broker.api("DELETE", f"queues/{vhost}/orders")
    tick(watched)
    read(watched)
    assert gone_ms(watched, Kind.QUEUE, vhost, "orders") is not None
    assert gone_ms(watched, Kind.QUEUE, vhost, "parcels") is None

    declare(broker, vhost, "orders")
    tick(watched)
    read(watched)
    assert gone_ms(watched, Kind.QUEUE, vhost, "orders") is None
    assert directory(watched).slot(Kind.QUEUE, vhost, "orders") == slot


def test_it_marks_a_deleted_vhost_and_all_that_was_in_it_as_gone(
    broker: TestBroker, vhost: str, watched: Broker, tick: Tick, read: Tick
) -> None:
    declare(broker, vhost, "orders")
    tick(watched)
    read(watched)

    broker.delete_vhost(vhost)
    tick(watched)
    read(watched)

    assert gone_ms(watched, Kind.VHOST, "", vhost) is not None
    assert gone_ms(watched, Kind.QUEUE, vhost, "orders") is not None
    assert gone_ms(watched, Kind.EXCHANGE, vhost, "amq.topic") is not None


def test_it_tells_a_vhost_that_the_watching_user_may_not_look_into(
    broker: TestBroker, vhost: str, closed_vhost: str, watched: Broker, tick: Tick, read: Tick
) -> None:
    declare(broker, closed_vhost, "hidden")
    tick(watched)
    assert read(watched) == poll.Outcome.STORED

    assert detail(watched, Kind.VHOST, "", closed_vhost).readable is False
    assert detail(watched, Kind.VHOST, "", closed_vhost).policies is None
    assert detail(watched, Kind.VHOST, "", vhost).readable is True
    # Prometheus tells of its queue, the management API does not: it is unknown what it is, and it is not gone.
    assert gone_ms(watched, Kind.QUEUE, closed_vhost, "hidden") is None
    assert detail(watched, Kind.QUEUE, closed_vhost, "hidden").type is None

    broker.api("PUT", f"permissions/{closed_vhost}/{watched.username}", {"configure": "", "write": "", "read": ""})
    read(watched)
    assert detail(watched, Kind.VHOST, "", closed_vhost).readable is True
    assert detail(watched, Kind.QUEUE, closed_vhost, "hidden").type == "classic"


def test_it_writes_only_what_changed(broker: TestBroker, vhost: str, watched: Broker, tick: Tick, read: Tick) -> None:
    for name in ("a", "b", "c"):
        declare(broker, vhost, name)
    tick(watched)
    read(watched)
    before = dict(BrokerObject.objects.filter(vhost=vhost, kind="queue").values_list("name", "revision"))

    broker.api(
        "PUT", f"policies/{vhost}/one", {"pattern": "^b$", "apply-to": "queues", "definition": {"max-length": 1}}
    )
    read(watched)

    after = dict(BrokerObject.objects.filter(vhost=vhost, kind="queue").values_list("name", "revision"))
    assert {name for name in after if after[name] != before[name]} == {"b"}


def test_it_is_due_only_for_brokers_that_answer(watched: Broker, tick: Tick) -> None:
    now = poll.now_ms()
    assert claims.due(now, claims.Lane.DEFINITIONS) == []
    tick(watched)
    assert claims.due(now, claims.Lane.DEFINITIONS) == [watched.id]
    PollState.objects.update(failures=1)
    assert claims.due(now, claims.Lane.DEFINITIONS) == []


def test_it_writes_nothing_where_the_broker_was_edited_meanwhile(
    watched: Broker, tick: Tick, monkeypatch: pytest.MonkeyPatch
) -> None:
    tick(watched)
    claimed = claims.claim(watched.id, poll.now_ms(), claims.Lane.DEFINITIONS)
    assert claimed is not None
    from brokers.collect import definitions  # noqa: PLC0415

    real = definitions.read

    def edited_meanwhile(clients: object) -> object:
        found = real(clients)  # type: ignore[arg-type]
        Broker.objects.filter(id=watched.id).update(revision=99)
        return found

    monkeypatch.setattr(definitions, "read", edited_meanwhile)
    assert definitions.read_definitions(watched.id, claimed.token) == poll.Outcome.LOST
    assert PollState.objects.get(broker=watched).definitions_ms == 0


def test_it_does_not_take_a_queue_for_gone_that_a_tick_tells_of(
    broker: TestBroker, vhost: str, watched: Broker, tick: Tick, read: Tick, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(broker, vhost, "orders")
    tick(watched)
    read(watched)
    tick(watched)
    slot = directory(watched).slot(Kind.QUEUE, vhost, "orders")
    assert slot is not None
    assert newest(watched).table(Kind.QUEUE).value(slot, "ready") == 0
    from brokers.rabbitmq.management import Management  # noqa: PLC0415

    real = Management.queue_definitions
    monkeypatch.setattr(Management, "queue_definitions", lambda api: [one for one in real(api) if one.name != "orders"])
    read(watched)
    assert gone_ms(watched, Kind.QUEUE, vhost, "orders") is None


def test_a_broker_that_is_waited_for_in_vain_is_asked_for_its_definitions_seldomer(
    monkeypatch: pytest.MonkeyPatch, tick: Tick, read: Tick
) -> None:
    monkeypatch.setattr(clients, "LIST_LIMITS", Limits(connect=1, read=0.8, total=0.9))
    paths: dict[str, Behaviour] = {
        "/api/overview": answers({"rabbitmq_version": "4.0.5", "queue_totals": {}}),
        "/api/queues": answers([]),
        "/api/exchanges": answers([]),
    }
    with misbehaving(by_path(paths)) as there:
        row = make_broker(management_url=there.url)
        assert tick(row) is poll.Outcome.STORED
        paths["/api/overview"] = never
        began = poll.now_ms()
        assert read(row) is poll.Outcome.FAILED
    state = PollState.objects.get(broker=row)
    assert "did not finish answering" in state.definitions_error
    # 0.4 % of its time may go to definitions.
    assert state.definitions_due_ms - began >= 200 * 800
