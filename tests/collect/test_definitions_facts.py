"""What follows from a broker's definitions for each queue: whose letters it gets, and whether it only holds them."""

from __future__ import annotations

import msgspec
import pytest

from brokers.collect.definitions_facts import told
from brokers.collect.definitions_read import Declared
from brokers.rabbitmq.structs import Policy, Queue
from brokers.registry.details import QueueDetail
from brokers.registry.slots import KnownObject, ObjectName
from brokers.series.metrics import Kind

CATCH_ALL = Policy(
    vhost="v",
    name="dead",
    pattern=".*",
    apply_to="queues",
    definition={"dead-letter-exchange": "", "dead-letter-routing-key": "dlq"},
)


def details(declared: Declared, known: dict[ObjectName, KnownObject] | None = None) -> dict[str, QueueDetail]:
    found = told(declared, {Kind.QUEUE: known or {}}).details[Kind.QUEUE]
    return {name.name: msgspec.json.decode(raw, type=QueueDetail) for name, raw in found.items()}


def queue(name: str, kind: str = "classic", **arguments: object) -> Queue:
    return Queue(name=name, vhost="v", type=kind, policy="dead", arguments=arguments)


def declared(*queues: Queue) -> Declared:
    return Declared(
        policies=[CATCH_ALL], exchanges=[], queues=list(queues), bindings=[], bindings_wanted=True, closed=frozenset()
    )


def test_it_takes_no_stream_for_the_source_of_letters() -> None:
    found = details(declared(queue("orders"), queue("log", "stream"), queue("dlq")))
    assert (found["dlq"].dead_letters_of, found["dlq"].dead_letter_sources) == (("orders",), 1)


def test_it_remembers_what_it_knew_while_bindings_are_not_told() -> None:
    retry = {"x-message-ttl": 5000, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "orders"}
    whole = declared(queue("orders"), queue("orders.retry", **retry), queue("dlq"))
    before = details(whole)
    assert (before["orders.retry"].waits, before["orders"].waits, before["dlq"].waits) == (True, False, False)
    known = {
        ObjectName("v", name): KnownObject(slot, "v", name, msgspec.json.encode(detail), 0, None)
        for slot, (name, detail) in enumerate(before.items())
    }
    whole.bindings = None
    assert details(whole, known) == before


@pytest.mark.parametrize(
    ("state", "members", "online", "told"),
    [
        ("live", None, None, "running"),
        ("live", ["a", "b", "c"], ["a", "b"], "running"),
        ("live", ["a", "b", "c"], ["c"], "minority"),
        ("live", ["a", "b", "c"], [], "down"),
        ("crashed", ["a"], ["a"], "crashed"),
        ("minority", ["a", "b", "c"], ["a", "b"], "minority"),
        (None, None, None, None),
    ],
)
def test_a_queue_that_3_10_calls_live_is_what_its_members_make_of_it(
    state: str | None, members: list[str] | None, online: list[str] | None, told: str | None
) -> None:
    seen = Queue(name="orders", vhost="v", type="quorum", state=state, members=members, online=online)
    assert details(declared(seen))["orders"].state == told
