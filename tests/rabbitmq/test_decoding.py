"""JSON as brokers really write it: odd fields cost themselves only, never the list that they stand in."""

from __future__ import annotations

import json

import hypothesis
import hypothesis.strategies as st
import pytest

from brokers.rabbitmq.decoding import MalformedError, decode_list, decode_one
from brokers.rabbitmq.structs import Exchange, MessageStats, Node, Overview, Queue, Vhost, Whoami


def test_it_keeps_what_fits_of_an_odd_object() -> None:
    odd = [
        {"name": "a", "type": "topic", "auto_delete": "undefined", "durable": True},
        {"name": "b", "type": 7, "arguments": [], "extra": {"x": 1}},
        "no object",
        {"name": "c", "type": "fanout"},
    ]
    found = decode_list(json.dumps(odd).encode(), Exchange)
    assert [one.name for one in found] == ["a", "b", "c"]
    assert (found[0].auto_delete, found[0].durable, found[0].type) == (None, True, "topic")
    assert (found[1].type, found[1].declared) == ("", {})


@pytest.mark.parametrize(
    ("tags", "expected"),
    [("a, b", {"a", "b"}), (["a", "b"], {"a", "b"}), ("", set()), ([], set()), ("administrator", {"administrator"})],
)
def test_it_takes_tags_as_text_and_as_a_list(tags: object, expected: set[str]) -> None:
    assert decode_one(json.dumps({"name": "u", "tags": tags}).encode(), Whoami).tag_set == expected


def test_it_takes_an_empty_list_for_an_empty_object() -> None:
    body = b'{"name":"q","vhost":"/","arguments":[],"message_stats":[],"effective_policy_definition":[]}'
    queue = decode_one(body, Queue)
    assert (queue.declared, queue.stats, queue.effective) == ({}, MessageStats(), {})
    overview = decode_one(b'{"queue_totals":[],"object_totals":[],"churn_rates":[],"listeners":[]}', Overview)
    assert overview.messages.messages is None
    assert overview.totals.queues is None
    assert decode_one(b'{"name":"v","cluster_state":[]}', Vhost).states == {}


def test_it_takes_words_where_numbers_belong_for_unknown() -> None:
    node = decode_one(b'{"name":"n","mem_limit":"infinity","fd_total":"unknown","disk_free":5.5,"running":true}', Node)
    assert (node.mem_limit, node.fd_total, node.disk_free, node.running) == (None, None, 5.5, True)


def test_it_replaces_what_is_not_utf_8() -> None:
    assert decode_list(b'[{"name":"a\xff"}]', Queue)[0].name == "a\ufffd"
    assert decode_one(b'{"name":"a\xff"}', Queue).name == "a\ufffd"
    half = b'[{"name":"a","type":7,"node":"\xff"},{"name":"b","durable":"\xff"},{"name":"c"}]'
    assert [one.name for one in decode_list(half, Queue)] == ["a", "b", "c"]


def test_it_replaces_what_no_database_stores() -> None:
    """Every RabbitMQ takes a NUL in a queue's name, and PostgreSQL in none of its texts."""
    body = rb'[{"name":"a\u0000b\u0000"},{"name":"a\\u0000b"},{"name":"a\\\u0000b"}]'
    assert [one.name for one in decode_list(body, Queue)] == ["a\ufffdb\ufffd", "a\\u0000b", "a\\\ufffdb"]
    assert decode_one(rb'{"name":"a\u0000b"}', Queue).name == "a\ufffdb"


def test_it_refuses_what_is_nested_without_end() -> None:
    for body in (b"[" * 100_000 + b"]" * 100_000, b'{"arguments":' * 50_000 + b"1" + b"}" * 50_000):
        for decode in (decode_list, decode_one):
            with pytest.raises(MalformedError):
                decode(body, Queue)


def test_it_keeps_a_listener_list_with_an_odd_one_in_it() -> None:
    body = b'{"listeners":[{"node":"a","protocol":"amqp","port":5672},{"node":"b","protocol":"x","port":"many"}]}'
    found = decode_one(body, Overview).listeners or []
    assert [(one.node, one.port) for one in found] == [("a", 5672), ("b", None)]


@pytest.mark.parametrize(("body", "truncated"), [(b"[{", True), (b"", True), (b"<html>", False), (b"[1}", False)])
def test_it_tells_truncated_from_something_else(body: bytes, truncated: bool) -> None:
    with pytest.raises(MalformedError) as raised:
        decode_list(body, Queue)
    assert raised.value.truncated is truncated


@pytest.mark.parametrize("body", [b"[]", b"7", b'"text"', b"null"])
def test_it_refuses_what_is_no_object(body: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_one(body, Whoami)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
queue_like = st.dictionaries(st.sampled_from(list(Queue.__struct_encode_fields__)), json_values, max_size=8)


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(st.lists(queue_like, max_size=4))
def test_it_loses_no_object_whatever_its_fields_hold(rows: list[dict[str, object]]) -> None:
    found = decode_list(json.dumps(rows).encode(), Queue)
    assert len(found) == len(rows)
    for queue, row in zip(found, rows, strict=True):
        if isinstance(row.get("name"), str):
            assert queue.name == row["name"]
        assert isinstance(queue.declared, dict)
        assert isinstance(queue.stats, MessageStats)
