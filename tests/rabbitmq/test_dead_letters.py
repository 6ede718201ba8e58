"""Dead-letter queues are found by routing letters from hop to hop; a name alone is no proof."""

from __future__ import annotations

import time
from typing import Any

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.rabbitmq.dead_letters import NAMED, Dying, Found, dying, find, named_like_one
from brokers.rabbitmq.keys import Budget
from brokers.rabbitmq.routing import Router
from brokers.rabbitmq.structs import Binding, Exchange
from tests.support.brokers import TestBroker


def exchange(name: str, kind: str = "direct") -> Exchange:
    return Exchange(name=name, vhost="v", type=kind)


def bound(source: str, queue: str, key: str = "") -> Binding:
    return Binding(source=source, vhost="v", destination=queue, destination_type="queue", routing_key=key)


def search(queues: list[Dying], exchanges: list[Exchange], bindings: list[Binding], steps: int = 2_000_000) -> Found:
    return find(queues, Router([one.name for one in queues], exchanges, bindings), Budget(steps))


def found(queues: list[Dying], exchanges: list[Exchange], bindings: list[Binding]) -> dict[str, tuple[str, ...]]:
    return {name: sources.names for name, sources in search(queues, exchanges, bindings).dead_letter_queues.items()}


def test_it_takes_exchange_and_key_from_the_argument_before_the_policy_each_by_itself() -> None:
    policy = {"dead-letter-exchange": "by-policy", "dead-letter-routing-key": "policy-key", "message-ttl": 5}
    assert dying("q", {}, policy) == Dying("q", "by-policy", "policy-key", expires=True)
    assert dying("q", {"x-dead-letter-exchange": "own"}, policy) == Dying("q", "own", "policy-key", expires=True)
    assert dying("q", {"x-dead-letter-routing-key": "own"}, policy) == Dying("q", "by-policy", "own", expires=True)
    assert dying("q", {"x-message-ttl": 1}, {}) == Dying("q", expires=True)
    assert dying("q", {"x-dead-letter-exchange": 7}, {}) == Dying("q")


def test_it_finds_the_queue_behind_a_dead_letter_key() -> None:
    assert found(
        [Dying("orders", "dlx", "orders.dead"), Dying("parcels", "dlx"), Dying("o"), Dying("p")],
        [exchange("dlx")],
        [bound("dlx", "o", "orders.dead"), bound("dlx", "p", "parcels")],
    ) == {"o": ("orders",), "p": ("parcels",)}


def test_it_finds_nothing_behind_an_exchange_that_leads_nowhere() -> None:
    queues = [Dying("orders", "dlx"), Dying("lost", "missing"), Dying("orders.dlq")]
    assert found(queues, [exchange("dlx")], [bound("dlx", "orders.dlq", "orders.dead")]) == {}


def test_it_finds_a_queue_by_the_default_exchange() -> None:
    queues = [Dying("orders", "", "orders.dlq"), Dying("own", ""), Dying("orders.dlq")]
    assert found(queues, [], []) == {"orders.dlq": ("orders",)}


def test_it_lets_letters_keep_the_key_that_they_came_with() -> None:
    assert found(
        [Dying("eu", "dlx"), Dying("all", "dlx"), Dying("eu.dead"), Dying("us.dead")],
        [exchange("events", "topic"), exchange("dlx", "topic")],
        [
            bound("events", "eu", "eu.#"),
            bound("events", "all", "#"),
            bound("dlx", "eu.dead", "eu.*"),
            bound("dlx", "us.dead", "us.*"),
        ],
    ) == {"eu.dead": ("all", "eu"), "us.dead": ("all",)}


def test_it_does_not_take_a_queue_in_which_letters_wait_for_their_grave() -> None:
    queues = [
        Dying("orders", "dlx", "wait"),
        Dying("orders.wait", "dlx", "dead", expires=True),
        Dying("grave"),
    ]
    bindings = [bound("dlx", "orders.wait", "wait"), bound("dlx", "grave", "dead")]
    result = search(queues, [exchange("dlx")], bindings)
    assert {name: one.names for name, one in result.dead_letter_queues.items()} == {"grave": ("orders",)}
    assert result.waiting == {"orders.wait"}


def test_it_tells_a_wait_queue_from_the_work_queue_that_gets_its_letters_back() -> None:
    by_name = [Dying("work", "", "work.retry", expires=True), Dying("work.retry", "", "work", expires=True)]
    assert search(by_name, [], []).waiting == {"work.retry"}
    by_topology = [Dying("work", "", "work.5s"), Dying("work.5s", "", "work", expires=True)]
    assert search(by_topology, [], []).waiting == {"work.5s"}
    # Of two alike nobody can tell which of them somebody is to consume.
    alike = [Dying("a", "", "b", expires=True), Dying("b", "", "a", expires=True)]
    assert search(alike, [], []).waiting == set()


def test_it_takes_no_queue_for_a_wait_queue_that_leads_nowhere() -> None:
    queues = [Dying("work", "", "work.retry"), Dying("work.retry", "missing", expires=True)]
    assert search(queues, [], []).waiting == set()


def test_it_does_not_take_a_retry_for_a_dead_letter() -> None:
    queues = [Dying("work", "retry"), Dying("work.5s", "back", expires=True), Dying("beside")]
    bindings = [bound("retry", "work.5s"), bound("back", "work"), bound("back", "beside")]
    assert found(queues, [exchange("retry", "fanout"), exchange("back", "fanout")], bindings) == {}


def test_it_tells_a_queue_with_a_limited_rest_from_one_in_which_letters_wait() -> None:
    # A TTL and no way on: what lies there evaporates, and it is a dead-letter queue all the same.
    assert found([Dying("work", "", "late"), Dying("late", expires=True)], [], []) == {"late": ("work",)}


def test_it_names_a_few_sources_and_counts_all() -> None:
    many = [Dying(f"q{number:03d}", "dlx") for number in range(100)]
    result = search([*many, Dying("all")], [exchange("dlx", "fanout")], [bound("dlx", "all")])
    assert result.dead_letter_queues["all"].count == 100
    assert result.dead_letter_queues["all"].names == tuple(f"q{number:03d}" for number in range(NAMED))


def test_it_says_when_a_topology_was_too_large() -> None:
    many = [Dying(f"q{number}", "dlx") for number in range(100)]
    targets = [bound("dlx", f"q{number}") for number in range(100)]
    assert search(many, [exchange("dlx", "fanout")], targets).whole
    assert not search(many, [exchange("dlx", "fanout")], targets, steps=500).whole


def test_it_takes_steps_in_proportion_to_the_bindings_and_not_to_their_square() -> None:
    def steps(size: int) -> int:
        budget = Budget()
        queues = [Dying(f"q{number}", "dlx") for number in range(size)] + [
            Dying(f"d{number}") for number in range(size)
        ]
        bindings = [bound("work", f"q{number}", f"tenant.{number}.#") for number in range(size)]
        bindings += [bound("dlx", f"d{number}", f"tenant.{number}.#") for number in range(size)]
        router = Router([one.name for one in queues], [exchange("work", "topic"), exchange("dlx", "topic")], bindings)
        assert len(find(queues, router, budget).dead_letter_queues) == size
        return Budget().steps - budget.steps

    assert steps(400) <= 2.2 * steps(200)


NAMES = st.sampled_from(["a", "b", "c", "d", "dlx", "retry"])


@given(
    st.lists(
        st.builds(Dying, NAMES, st.one_of(st.none(), NAMES, st.just("")), st.one_of(st.none(), NAMES), st.booleans()),
        max_size=6,
        unique_by=lambda one: one.name,
    ),
    st.lists(st.tuples(NAMES, NAMES, NAMES), max_size=8),
)
def test_it_ends_whatever_leads_where_and_never_finds_a_queue_to_be_its_own(
    queues: list[Dying], bindings: list[tuple[str, str, str]]
) -> None:
    kinds = ["direct", "fanout", "topic", "headers", "x-strange", "direct"]
    exchanges = [exchange(name, kind) for name, kind in zip(["a", "b", "c", "d", "dlx", "retry"], kinds, strict=True)]
    result = search(queues, exchanges, [bound(*one) for one in bindings])
    assert result.whole
    names = {one.name for one in queues}
    for target, sources in result.dead_letter_queues.items():
        assert target in names - set(sources.names)
        assert set(sources.names) <= names
        assert sources.count >= len(sources.names) > 0


@pytest.mark.parametrize(
    "name",
    [
        "orders.dlq",
        "orders_dlq",
        "orders-DLQ",
        "dlq.orders",
        "dlq",
        "orders.failed",
        "orders.dead",
        "orders.dead-letter",
        "dead_letters",
        "OrdersDlq",
        "orders_error",
        "orders.deadletter.queue",
    ],
)
def test_it_knows_the_names_that_people_give_dead_letter_queues(name: str) -> None:
    assert named_like_one(name)


@pytest.mark.parametrize("name", ["orders", "deadlines", "failed-logins.report", "log.error", "undelivered", ""])
def test_it_does_not_take_other_names_for_those_of_dead_letter_queues(name: str) -> None:
    assert not named_like_one(name)


def test_it_finds_where_letters_really_go(broker: TestBroker, vhost: str, amqp: pika.BlockingConnection) -> None:
    channel = amqp.channel()
    for name, kind in (("dlx", "direct"), ("events", "topic"), ("dead.events", "topic"), ("all", "fanout")):
        channel.exchange_declare(name, kind, durable=True)
    declared: dict[str, dict[str, Any]] = {
        "orders": {"x-dead-letter-exchange": "dlx", "x-dead-letter-routing-key": "orders.dead"},
        "parcels": {"x-dead-letter-exchange": "dlx"},
        "nowhere": {"x-dead-letter-exchange": "dlx"},
        "missing": {"x-dead-letter-exchange": "not-there"},
        "default": {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "d.default"},
        "eu": {"x-dead-letter-exchange": "dead.events"},
        "fan": {"x-dead-letter-exchange": "all"},
        "slow": {"x-dead-letter-exchange": "dlx", "x-dead-letter-routing-key": "pause"},
        "slow.wait": {"x-dead-letter-exchange": "all", "x-message-ttl": 20},
        **{name: {} for name in ("d.orders", "d.parcels", "d.default", "d.eu", "d.us", "d.all")},
    }
    for name, arguments in declared.items():
        channel.queue_declare(name, durable=True, arguments=arguments)
    for source, queue, key in (
        ("dlx", "d.orders", "orders.dead"),
        ("dlx", "d.parcels", "parcels"),
        ("dlx", "slow.wait", "pause"),
        ("events", "eu", "eu.#"),
        ("dead.events", "d.eu", "eu.*"),
        ("dead.events", "d.us", "us.*"),
        ("all", "d.all", ""),
    ):
        channel.queue_bind(queue, source, key)
    sources = [name for name, arguments in declared.items() if arguments and name != "slow.wait"]
    channel.confirm_delivery()
    for name in sources:
        to, key = ("events", "eu.paris") if name == "eu" else ("", name)
        channel.basic_publish(to, key, name.encode(), mandatory=True)
        method, _, _ = _got(channel, name)
        channel.basic_reject(method.delivery_tag, requeue=False)
    really: dict[str, set[str]] = {}
    end = time.monotonic() + 10
    expected_letters = {"orders", "parcels", "default", "eu", "fan", "slow"}
    while {one for several in really.values() for one in several} != expected_letters and time.monotonic() < end:
        for name in declared:
            if name.startswith("d."):
                method, _, body = channel.basic_get(name, auto_ack=True)
                if method is not None:
                    really.setdefault(name, set()).add(body.decode())
    queues = [dying(one["name"], one["arguments"], {}) for one in broker.api("GET", f"queues/{vhost}")]
    router = Router(
        [one.name for one in queues],
        [Exchange(name=one["name"], vhost=vhost, type=one["type"]) for one in broker.api("GET", f"exchanges/{vhost}")],
        [
            bound(one["source"], one["destination"], one["routing_key"])
            for one in broker.api("GET", f"bindings/{vhost}")
        ],
    )
    result = find(queues, router)
    assert {name: set(one.names) for name, one in result.dead_letter_queues.items()} == really
    assert set().union(*really.values()) == expected_letters


def _got(channel: Any, queue: str) -> Any:
    end = time.monotonic() + 10
    while True:
        found_there = channel.basic_get(queue)
        if found_there[0] is not None:
            return found_there
        assert time.monotonic() < end, f"Nothing came to {queue}."
