"""A queue's definition in words: what holds, where it comes from, and what is for people who see the whole broker."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.rabbitmq.structs import Policy
from brokers.registry.details import QueueDetail
from dashboard.queries.queue_definition import arguments_text, rows, settings, value_text
from dashboard.queries.queue_full import full

QUORUM = QueueDetail(
    type="quorum",
    durable=True,
    arguments={"x-queue-type": "quorum", "x-message-ttl": 3_600_000},
    policy="mine",
    operator_policy="ceiling",
    effective_policy={"max-length": 1000, "message-ttl": 90_000_000},
    node="rabbit@one",
    members=("rabbit@one", "rabbit@two", "rabbit@three"),
    online=("rabbit@one", "rabbit@two"),
)


def text(detail: QueueDetail, *, whole: bool = True) -> dict[str, str]:
    return {row.label: f"{row.text} {row.note}".strip() for row in rows(detail, whole=whole, why="not told")}


def test_it_names_members_to_those_who_see_the_whole_broker() -> None:
    assert text(QUORUM)["Leader"] == "one"
    assert text(QUORUM)["Members"] == "one, two, three, 2 online away: three"


def test_it_names_no_node_to_others() -> None:
    limited = text(QUORUM, whole=False)
    assert limited["Members"] == "3 members, 2 online"
    assert "Leader" not in limited
    assert not [word for line in limited.values() for word in ("one", "two", "three") if word in line.split()]


def test_it_calls_a_definition_unknown_that_was_not_told() -> None:
    [row] = rows(QueueDetail(), whole=True, why="not told")
    assert row.unknown == "not told"


def test_it_says_where_each_setting_comes_from_and_what_it_hides() -> None:
    mine = Policy(name="mine", definition={"message-ttl": 90_000_000, "max-length": 5000})
    ceiling = Policy(name="ceiling", definition={"max-length": 1000})
    found = {one.name: one for one in settings(QUORUM, "4.3.6", mine, ceiling)}
    assert "queue-type" not in found
    assert (found["message-ttl"].text, found["message-ttl"].note) == ("3,600,000", "1 h")
    assert found["message-ttl"].source == "argument"
    assert [(one.text, one.source) for one in found["message-ttl"].hides] == [("90,000,000", "policy mine")]
    assert found["max-length"].source == "operator policy ceiling"
    assert [one.source for one in found["max-length"].hides] == ["policy mine"]
    assert found["delivery-limit"].is_default


def test_it_makes_do_with_the_names_of_policies() -> None:
    found = {one.name: one for one in settings(QUORUM, "4.3.6")}
    assert found["message-ttl"].source == "argument"
    assert found["max-length"].text == "1,000"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, "true"),
        (None, "void"),
        (-1, "−1"),
        ("", "“” (empty)"),
        ("dlx", "dlx"),
        ([1, "a"], '[1, "a"]'),
        (1.5, "1.5"),
    ],
)
def test_it_shows_a_value(value: Any, shown: str) -> None:
    assert value_text(value) == shown


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=20), json_values, max_size=5))
def test_it_shows_any_arguments(arguments: dict[str, Any]) -> None:
    assert len(arguments_text(arguments)) == len(arguments)
    assert all(len(shown) <= 400 for _, shown in arguments_text(arguments))
    detail = QueueDetail(type="classic", arguments=arguments)
    assert all(one.text for one in settings(detail, "4.3.6"))


@pytest.mark.parametrize(
    ("detail", "ready", "says"),
    [
        (QueueDetail(type="classic", arguments={"x-max-length": 100}), 100, "the oldest is dropped, 9.0 a second."),
        (QueueDetail(type="classic", arguments={"x-max-length": 100}), 99, ""),
        (QueueDetail(type="classic", arguments={"x-max-length": 100}), float("nan"), ""),
        (QueueDetail(type="classic"), 1e9, ""),
        (QueueDetail(type="stream", arguments={"x-max-length": 100}), 1e9, ""),
        (
            QueueDetail(
                type="quorum", policy="short", effective_policy={"max-length": 100, "dead-letter-exchange": "dlx"}
            ),
            101,
            "for each message that enters, the oldest goes to the dead-letter exchange, 9.0 a second.",
        ),
        (
            QueueDetail(type="classic", arguments={"x-max-length": 100, "x-overflow": "reject-publish"}),
            100,
            "It is full: it holds 100 at most, and what is published to it is refused, 9.0 a second.",
        ),
        (
            QueueDetail(
                type="classic",
                arguments={"x-max-length": 9, "x-overflow": "reject-publish-dlx", "x-dead-letter-exchange": "dlx"},
            ),
            9,
            "is refused and goes to the dead-letter exchange",
        ),
    ],
)
def test_it_says_what_becomes_of_messages_where_the_queue_is_full(detail: QueueDetail, ready: float, says: str) -> None:
    found = full(detail, "4.3.6", ready, 9.0)
    assert says in found
    assert bool(found) == bool(says)
