"""Of each setting of a queue it is told what holds, where it comes from, and what it hides."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.rabbitmq.policy import Effective, Hidden, effective, matching, merged, pattern_matches
from brokers.rabbitmq.structs import Policy
from tests.support.brokers import TestBroker


def policy(name: str = "p", pattern: str = ".*", priority: int = 0, apply_to: str = "queues", **keys: Any) -> Policy:
    definition = {key.replace("_", "-"): value for key, value in keys.items()}
    return Policy(vhost="v", name=name, pattern=pattern, apply_to=apply_to, definition=definition, priority=priority)


def one(name: str, *args: Any, **more: Any) -> Effective:
    return next(found for found in effective(*args, **more) if found.name == name)


def test_it_lets_the_argument_go_before_the_policy_for_exchange_and_key_each_by_itself() -> None:
    rules = policy(dead_letter_exchange="theirs", dead_letter_routing_key="their-key")
    own = {"x-dead-letter-exchange": "mine"}
    assert one("dead-letter-exchange", own, rules, None, "classic", "4.0.5") == Effective(
        "dead-letter-exchange", "mine", "argument", (Hidden("theirs", "policy p"),)
    )
    assert one("dead-letter-routing-key", own, rules, None, "classic", "4.0.5") == Effective(
        "dead-letter-routing-key", "their-key", "policy p"
    )


@pytest.mark.parametrize("key", ["message-ttl", "max-length", "max-length-bytes", "expires"])
@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
@pytest.mark.parametrize(("own", "theirs", "source"), [(5, 9, "argument"), (9, 5, "policy p"), (5, 5, "argument")])
def test_it_takes_the_smaller_limit(key: str, queue_type: str, own: int, theirs: int, source: str) -> None:
    found = one(key, {f"x-{key}": own}, policy(**{key: theirs}), None, queue_type, "4.3.6")
    assert (found.value, found.source) == (5, source)
    assert [hidden.value for hidden in found.hides] == [theirs if source == "argument" else own]


def test_it_takes_overflow_from_the_argument_on_classic_and_from_the_policy_on_quorum_queues() -> None:
    own, rules = {"x-overflow": "reject-publish"}, policy(overflow="drop-head")
    assert one("overflow", own, rules, None, "classic", "4.0.5").source == "argument"
    assert one("overflow", own, rules, None, "quorum", "4.0.5").source == "policy p"
    assert one("overflow", {"x-overflow": "reject-publish-dlx"}, None, None, "quorum", "4.0.5").remark


@pytest.mark.parametrize(
    ("queue_type", "version", "own", "theirs", "expected"),
    [
        ("quorum", "4.0.5", None, None, (20, "default")),
        ("quorum", "4.3.6", None, None, (20, "default")),
        ("quorum", "3.10.8", None, None, None),
        ("quorum", "", None, None, None),
        ("classic", "4.3.6", None, None, None),
        ("quorum", "4.3.6", 3, None, (3, "argument")),
        ("quorum", "4.3.6", 9, 3, (3, "policy p")),
        ("quorum", "4.3.6", -1, 3, (3, "policy p")),
        ("quorum", "4.3.6", 3, -1, (3, "argument")),
        ("quorum", "3.10.8", -1, 3, (-1, "argument")),
    ],
)
def test_it_knows_the_delivery_limit(
    queue_type: str, version: str, own: int | None, theirs: int | None, expected: tuple[int, str] | None
) -> None:
    arguments = {} if own is None else {"x-delivery-limit": own}
    rules = None if theirs is None else policy(delivery_limit=theirs)
    found = {each.name: (each.value, each.source) for each in effective(arguments, rules, None, queue_type, version)}
    assert found.get("delivery-limit") == expected


def test_it_tells_an_operator_policy_that_limits_a_policy() -> None:
    found = one("max-length", {}, policy(max_length=100), policy("house", max_length=10), "classic", "4.0.5")
    assert found == Effective("max-length", 10, "operator policy house", (Hidden(100, "policy p"),))
    found = one("max-length", {}, policy(max_length=5), policy("house", max_length=10), "classic", "4.0.5")
    assert found == Effective("max-length", 5, "policy p", (Hidden(10, "operator policy house"),))


def test_it_believes_what_the_broker_tells_before_its_own_merging() -> None:
    told = {"max-length": 7, "message-ttl": 1}
    found = effective({}, policy(max_length=7), policy("house", max_length=3), "classic", "4.0.5", told=told)
    assert [(each.name, each.value, each.source) for each in found if each.source != "default"] == [
        ("max-length", 7, "policy p"),
        ("message-ttl", 1, "policy p"),
    ]
    by_name_only = Policy(vhost="v", name="house")
    assert one("max-length", {}, None, by_name_only, "classic", "", told=told).source == "operator policy house"
    assert effective({}, policy(max_length=7), None, "classic", "", told={}) == ()


def test_it_says_what_has_no_effect() -> None:
    def remarks(arguments: dict[str, Any], queue_type: str) -> dict[str, str]:
        return {each.name: each.remark for each in effective(arguments, None, None, queue_type, "4.0.5") if each.remark}

    assert set(remarks({"x-dead-letter-routing-key": "k"}, "classic")) == {"dead-letter-routing-key"}
    assert set(remarks({"x-message-ttl": 5, "x-max-age": "1D"}, "stream")) == {"message-ttl"}
    assert set(remarks({"x-max-retries": 5, "x-delivery-limit": 5}, "classic")) == {"max-retries", "delivery-limit"}
    assert remarks({"x-message-ttl": 5, "x-max-length": 3, "x-queue-type": "classic"}, "classic") == {}


def test_it_names_the_default_overflow_where_there_is_a_limit() -> None:
    assert one("overflow", {"x-max-length": 5}, None, None, "classic", "4.0.5").value == "drop-head"
    assert effective({}, None, None, "classic", "4.0.5") == ()


def test_it_finds_the_policy_of_the_highest_priority_that_matches() -> None:
    several = [
        policy("wide", ".*", 0),
        policy("narrow", "^orders", 5),
        policy("quorums", "^orders", 9, "quorum_queues"),
        policy("exchanges", ".*", 9, "exchanges"),
        Policy(vhost="other", name="elsewhere", pattern=".*", priority=99),
    ]

    def name_of(found: Policy | None) -> str | None:
        return found.name if found else None

    assert name_of(matching(several, "v", "orders.eu", "classic")) == "narrow"
    assert name_of(matching(several, "v", "orders.eu", "quorum")) == "quorums"
    assert name_of(matching(several, "v", "x", "stream")) == "wide"
    assert name_of(matching(several, "v", "x", kind="exchange")) == "exchanges"
    assert matching(several, "none", "x") is None


def test_it_searches_patterns_unanchored_in_bytes() -> None:
    assert pattern_matches("foo", "xfoobar")
    assert not pattern_matches("^foo$", "xfoobar")
    assert pattern_matches("", "anything")
    assert pattern_matches("^ü..$", "üü")
    assert not pattern_matches("*broken(", "*broken(")
    assert not pattern_matches("Foo", "foo")


VALUES = st.one_of(st.integers(-1, 50), st.sampled_from(["drop-head", "reject-publish"]), st.booleans())
SETTINGS = st.dictionaries(
    st.sampled_from(["message-ttl", "max-length", "overflow", "dead-letter-exchange", "delivery-limit", "odd"]), VALUES
)


@given(SETTINGS, SETTINGS, SETTINGS, st.sampled_from(["classic", "quorum", "stream", None]))
def test_it_loses_and_invents_no_setting(
    own: dict[str, Any], first: dict[str, Any], second: dict[str, Any], queue_type: str | None
) -> None:
    arguments = {f"x-{name}": value for name, value in own.items()}
    found = effective(arguments, policy(**first), policy("house", **second), queue_type, "4.3.6")
    names = [each.name for each in found]
    assert names == sorted(set(names))
    for each in found:
        given_by = {
            source: settings[each.name]
            for source, settings in (("argument", own), ("policy p", first), ("operator policy house", second))
            if each.name in settings
        }
        shown = {each.source: each.value, **{hidden.source: hidden.value for hidden in each.hides}}
        assert shown == (given_by or {"default": each.value})
    assert own.keys() | first.keys() | second.keys() <= set(names)


@given(SETTINGS, SETTINGS)
def test_it_merges_to_values_that_one_of_the_two_policies_has(first: dict[str, Any], second: dict[str, Any]) -> None:
    both = merged(first, second)
    assert both.keys() == first.keys() | second.keys()
    for name, value in both.items():
        assert value in [settings[name] for settings in (first, second) if name in settings]


def test_it_agrees_with_what_real_brokers_make_of_their_policies(broker: TestBroker, vhost: str) -> None:
    policies = [
        policy("wide", ".*", 0, max_length=100, message_ttl=60000),
        policy("narrow", "^orders", 5, max_length=50, dead_letter_exchange="dlx"),
        policy("odd", "^(par|x)cels?\\.[a-z]+$", 7, overflow="reject-publish", max_length=3),
    ]
    operators = [policy("house", "e", 0, max_length=60, message_ttl=90000), policy("strict", "\\.eu$", 1, max_length=7)]
    for kind, several in (("policies", policies), ("operator-policies", operators)):
        for each in several:
            body = {"pattern": each.pattern, "definition": each.keys, "apply-to": "queues", "priority": each.priority}
            broker.api("PUT", f"{kind}/{vhost}/{each.name}", body)
    names = ["orders", "orders.eu", "parcels.eu", "parcels.1", "xcel.e", "other", "zzz"]
    for name in names:
        queue_type = "quorum" if name == "orders.eu" else "classic"
        broker.api("PUT", f"queues/{vhost}/{name}", {"durable": True, "arguments": {"x-queue-type": queue_type}})

    def ours(name: str) -> dict[str, Any]:
        mine, theirs = (matching(some, "v", name, "classic") for some in (policies, operators))
        return merged(mine.keys if mine else {}, theirs.keys if theirs else {})

    expected = {name: ours(name) for name in names}
    told: dict[str, Any] = {}
    end = time.monotonic() + 20
    # The broker tells it with the queue's statistics only, which come every five seconds.
    while told != expected and time.monotonic() < end:
        told = {name: broker.api("GET", f"queues/{vhost}/{name}").get("effective_policy_definition") for name in names}
        time.sleep(0.2)
    assert told == expected
