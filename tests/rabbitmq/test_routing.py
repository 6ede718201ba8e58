"""Routing answers as the broker does: by example, against a plain reading of the rules, and against real brokers."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.rabbitmq.keys import ANY_KEY, Budget, BudgetSpentError, Key, TopicIndex, exact, topic
from brokers.rabbitmq.routing import Router
from brokers.rabbitmq.structs import Binding, Exchange, Policy
from tests.support.brokers import TestBroker

WORDS = st.sampled_from(["a", "b", "", "x y"])
KEYS = st.lists(WORDS, min_size=1, max_size=5).map(".".join)
SHORT_PATTERNS = st.lists(st.one_of(WORDS, st.sampled_from(["*", "#"])), min_size=1, max_size=3).map(".".join)
PATTERNS = st.lists(st.one_of(WORDS, st.sampled_from(["*", "#"])), min_size=1, max_size=5).map(".".join)


def bound(source: str, target: str, key: str = "", *, to: str = "queue", **arguments: Any) -> Binding:
    return Binding(
        source=source,
        vhost="v",
        destination=target,
        destination_type=to,
        routing_key=key,
        arguments={name.replace("_", "-"): value for name, value in arguments.items()},
    )


def exchange(name: str, kind: str, **arguments: Any) -> Exchange:
    return Exchange(name=name, vhost="v", type=kind, arguments=arguments)


def matches(pattern: list[str], key: list[str]) -> bool:
    """Topic matching as the documentation has it, word by word."""
    if not pattern:
        return not key
    if pattern[0] == "#":
        return any(matches(pattern[1:], key[skipped:]) for skipped in range(len(key) + 1))
    return bool(key) and pattern[0] in {"*", key[0]} and matches(pattern[1:], key[1:])


def words(text: str) -> list[str]:
    return text.split(".") if text else []


@given(st.lists(PATTERNS, max_size=8), KEYS)
def test_it_finds_the_topic_bindings_of_a_key(patterns: list[str], key: str) -> None:
    index: TopicIndex[int] = TopicIndex()
    for number, pattern in enumerate(patterns):
        index.add(pattern, number)
    expected = {n for n, pattern in enumerate(patterns) if matches(words(pattern), words(key))}
    assert {place for _, place in index.matching(exact(key), Budget())} == expected


@given(SHORT_PATTERNS, SHORT_PATTERNS)
def test_it_finds_a_binding_for_every_key_that_two_patterns_share(one: str, other: str) -> None:
    index: TopicIndex[str] = TopicIndex()
    index.add(one, "there")
    found = bool(list(index.matching(topic(other), Budget())))
    several = ["a", "b", "", "x y"]
    shared = any(
        matches(words(one), words(key)) and matches(words(other), words(key))
        for length in range(1, 5)
        for key in map(".".join, itertools.product(several, repeat=length))
    )
    assert found or not shared
    if found and "#" not in one + other:
        assert shared


@given(KEYS, PATTERNS)
def test_it_takes_wildcards_in_a_direct_binding_for_letters(key: str, pattern: str) -> None:
    index: TopicIndex[str] = TopicIndex()
    index.add(pattern, "there", literal=True)
    assert bool(list(index.matching(exact(key), Budget()))) == (key == pattern)


def test_it_knows_the_narrower_of_two_keys() -> None:
    assert ANY_KEY.narrowed(topic("a.#")) == topic("a.#")
    assert topic("a.#").narrowed(exact("a.b")) == exact("a.b")
    assert exact("a.b").narrowed(topic("a.#")) == exact("a.b")
    assert topic("a.*").narrowed(ANY_KEY) == topic("a.*")
    assert exact("#") == Key("#", pattern=False)


def test_it_routes_by_the_type_of_the_exchange() -> None:
    router = Router(
        ["q1", "q2", "q3"],
        [exchange("d", "direct"), exchange("f", "fanout"), exchange("t", "topic"), exchange("h", "headers")],
        [
            bound("d", "q1", "k"),
            bound("d", "q2", "#"),
            bound("f", "q1", "whatever"),
            bound("f", "q3"),
            bound("t", "q1", "a.*"),
            bound("t", "q2", "#"),
            bound("t", "q2", "a.b"),
            bound("h", "q1", "", x_match="all", colour="red", size=1),
            bound("h", "q2", "", x_match="any", colour="red", size=2),
            bound("h", "q3", "", x_match="any-with-x", x_colour="red"),
            bound("h", "nowhere"),
        ],
    )
    assert router.route("", "q2") == {"q2"}
    assert router.route("", "none") == frozenset()
    assert router.route("missing", "k") == frozenset()
    assert router.route("d", "k") == {"q1"}
    assert router.route("d", "#") == {"q2"}
    assert router.route("d", "k", copies=["#"]) == {"q1", "q2"}
    assert router.route("f", "") == {"q1", "q3"}
    assert router.route("t", "a.b") == {"q1", "q2"}
    assert router.route("t", "a.b.c") == {"q2"}
    assert router.route("t", "") == {"q2"}
    assert router.route("h", "", {"colour": "red", "size": 1}) == {"q1", "q2"}
    assert router.route("h", "", {"x-colour": "red"}) == {"q3"}


def test_it_asks_the_alternate_exchange_only_where_nothing_matches() -> None:
    router = Router(
        ["q1", "lost"],
        [
            exchange("main", "direct", **{"alternate-exchange": "ae"}),
            Exchange(name="by-policy", vhost="v", type="direct", policy="p"),
            exchange("ring", "direct", **{"alternate-exchange": "ring"}),
            exchange("default", "direct", **{"alternate-exchange": ""}),
            exchange("gone", "direct", **{"alternate-exchange": "missing"}),
            exchange("ae", "fanout"),
            exchange("dead-end", "direct"),
        ],
        [bound("main", "q1", "k"), bound("main", "dead-end", "e", to="exchange"), bound("ae", "lost")],
        [Policy(name="p", vhost="v", definition={"alternate-exchange": "ae"})],
    )
    assert router.route("main", "k") == {"q1"}
    assert router.route("main", "other") == {"lost"}
    assert router.route("main", "k", copies=["other"]) == {"q1"}
    assert router.route("main", "e") == frozenset()
    assert router.route("by-policy", "x") == {"lost"}
    assert router.route("ring", "x") == frozenset()
    assert router.route("default", "q1") == frozenset()
    assert router.route("gone", "q1") == frozenset()


def test_it_walks_a_ring_of_exchanges_once() -> None:
    router = Router(
        ["q"],
        [exchange("one", "fanout"), exchange("two", "topic")],
        [bound("one", "two", to="exchange"), bound("two", "one", "#", to="exchange"), bound("two", "q", "k")],
    )
    assert router.route("one", "k") == {"q"}
    assert router.possible("one", ANY_KEY, Budget()) >= {("q", exact("k"))}


def test_it_knows_what_became_of_a_key_on_its_way() -> None:
    router = Router(
        ["q1", "q2", "a.b"],
        [exchange("t", "topic"), exchange("d", "direct"), exchange("f", "fanout")],
        [bound("t", "q1", "a.*"), bound("d", "q1", "k"), bound("d", "q2", "a.b"), bound("f", "q2")],
    )
    assert router.possible("t", topic("a.#"), Budget()) == {("q1", topic("a.#"))}
    assert router.possible("t", topic("b.#"), Budget()) == frozenset()
    assert router.possible("d", topic("a.*"), Budget()) == {("q2", exact("a.b"))}
    assert router.possible("f", ANY_KEY, Budget()) == {("q2", ANY_KEY)}
    assert router.possible("", exact("a.b"), Budget()) == {("a.b", exact("a.b"))}
    assert router.possible("", topic("a.*"), Budget()) == frozenset()


def test_it_delays_as_the_type_it_stands_for() -> None:
    router = Router(
        ["q"], [exchange("later", "x-delayed-message", **{"x-delayed-type": "direct"})], [bound("later", "q", "k")]
    )
    assert router.route("later", "k") == {"q"}
    assert router.route("later", "other") == frozenset()


def test_it_gives_up_where_a_topology_is_built_to_be_slow() -> None:
    index: TopicIndex[int] = TopicIndex()
    for number in range(200):
        index.add(f"{number}.#.x", number)
    with pytest.raises(BudgetSpentError):
        list(index.matching(topic("*.#.y.#"), Budget(300)))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_routes_as_a_real_broker_does(
    broker: TestBroker, vhost: str, amqp: pika.BlockingConnection, seed: int
) -> None:
    chance = random.Random(seed)
    channel = amqp.channel()
    queues = [f"q{number}" for number in range(6)]
    exchanges = {f"{kind}{number}": kind for kind in ("direct", "fanout", "topic", "headers") for number in range(2)}
    keys = ["a", "a.b", "a.b.c", "", "a..b", "*", "#"]
    patterns = ["a", "a.*", "#", "*.b", "a.#.c", "#.b.#", "", "*", "a.*.b"]
    heads: list[dict[str, Any]] = [{}, {"k": "v"}, {"k": "v", "n": 1}, {"x-k": "v"}, {"k": "w", "b": True}]
    for queue in queues:
        channel.queue_declare(queue, durable=True)
    for name, kind in sorted(exchanges.items(), reverse=True):
        alternate = chance.choice([None, "fanout0", "topic1", "missing"])
        channel.exchange_declare(name, kind, arguments={"alternate-exchange": alternate} if alternate else None)
    for name, kind in exchanges.items():
        for _ in range(4):
            target = chance.choice([*queues, *exchanges])
            arguments = {**chance.choice(heads), "x-match": chance.choice(["all", "any", "all-with-x", "any-with-x"])}
            if broker.release < (3, 11):  # the -with-x ways came after it
                arguments["x-match"] = chance.choice(["all", "any"])
            given_arguments = arguments if kind == "headers" else None
            key = chance.choice(patterns if kind == "topic" else keys)
            if target in exchanges:
                channel.exchange_bind(target, name, key, given_arguments)
            else:
                channel.queue_bind(target, name, key, given_arguments)
    router = Router(
        queues,
        [Exchange(**_fitting(one, "type")) for one in broker.api("GET", f"exchanges/{vhost}")],
        [
            Binding(**_fitting(one, "source", "destination", "destination_type", "routing_key"))
            for one in broker.api("GET", f"bindings/{vhost}")
        ],
        version=broker.version,
    )
    expected: dict[str, set[str]] = {queue: set() for queue in queues}
    sent: list[tuple[str, str, dict[str, Any]]] = []
    for number in range(60):
        to, key = chance.choice([*exchanges, ""]), chance.choice([*keys, *queues])
        headers, copies = chance.choice(heads), chance.choice([[], [], ["a.b"], ["q1", "a"]])
        headers = {**headers, "CC": copies} if copies else headers
        sent.append((to, key, headers))
        channel.basic_publish(to, key, str(number).encode(), pika.BasicProperties(headers=headers))
        for queue in router.route(to, key, headers, copies=copies):
            expected[queue].add(str(number))
    channel.confirm_delivery()
    sent.append(("", queues[0], {}))
    channel.basic_publish("", queues[0], b"60", mandatory=True)
    expected[queues[0]].add("60")
    got = {queue: _drained(channel, queue) for queue in queues}
    wrong = {queue: set(got[queue]) ^ expected[queue] for queue in queues}
    assert {queue: [sent[int(number)] for number in numbers] for queue, numbers in wrong.items() if numbers} == {}
    assert {queue: len(numbers) for queue, numbers in got.items()} == {q: len(found) for q, found in expected.items()}


def _fitting(told: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: told[name] for name in ("vhost", "arguments", "name", *names) if name in told}


def _drained(channel: Any, queue: str) -> list[str]:
    found = []
    while True:
        method, _, body = channel.basic_get(queue, auto_ack=True)
        if method is None:
            return found
        found.append(body.decode())
