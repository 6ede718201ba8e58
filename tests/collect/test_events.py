"""What changed on a broker as a whole, told once, and never where a poll only did not see it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from brokers.collect import poll
from brokers.collect.events import BrokerFacts, Event, EventKind, NodeFacts, changes, merge
from brokers.collect.models import BrokerEvent
from tests.collect.conftest import Tick
from tests.support.builders import make_broker
from tests.support.misbehaving import Behaviour, answers, by_path, misbehaving

UP, DOWN = NodeFacts(running=True), NodeFacts(running=False)
ALARMED = NodeFacts(running=True, memory_alarm=True)


def told(*polls: BrokerFacts) -> list[list[Event]]:
    """Return what happened in each poll after the first, each held against what the ones before left behind."""
    merged = [polls[0]]
    for one in polls[1:]:
        merged.append(merge(merged[-1], one))
    return [changes(before, after) for (before, _), after in zip(pairwise(merged), polls[1:], strict=True)]


def kinds(events: list[Event]) -> list[tuple[EventKind, str]]:
    return [(event.kind, event.node) for event in events]


def test_it_tells_of_a_node_that_goes_down_comes_back_leaves_and_joins() -> None:
    both, one = BrokerFacts("4.3.6", {"a": UP, "b": UP}), BrokerFacts("4.3.6", {"a": UP})
    half = BrokerFacts("4.3.6", {"a": UP, "b": DOWN})
    found = told(both, half, half, both, one, one, both)
    assert [kinds(events) for events in found] == [
        [(EventKind.NODE_DOWN, "b")],
        [],
        [(EventKind.NODE_UP, "b")],
        [(EventKind.NODE_LEFT, "b")],
        [],
        [(EventKind.NODE_JOINED, "b")],
    ]


@pytest.mark.parametrize("seen", [{}, {"a": UP}])
def test_a_poll_that_was_not_told_the_nodes_makes_none_leave_or_join(seen: dict[str, NodeFacts]) -> None:
    """As where that one call failed: what is left are the nodes whose Prometheus answered, if there are any."""
    both = BrokerFacts("4.3.6", {"a": UP, "b": UP})
    unlisted = BrokerFacts("4.3.6", seen, listed=False)
    assert told(both, unlisted, unlisted, both) == [[], [], []]
    # Nor is a node new that was not listed in the very first poll.
    assert told(unlisted, both, both) == [[], []]


def test_an_alarm_that_lasts_is_told_once_though_a_poll_did_not_see_it() -> None:
    alarmed, blind = BrokerFacts("", {"a": ALARMED}), BrokerFacts("", {"a": NodeFacts()})
    calm = BrokerFacts("", {"a": NodeFacts(running=True, memory_alarm=False)})
    found = told(calm, alarmed, blind, alarmed, BrokerFacts("", {}, listed=False), alarmed, calm)
    assert [kinds(events) for events in found] == [
        [(EventKind.MEMORY_ALARM, "a")],
        [],
        [],
        [],
        [],
        [(EventKind.MEMORY_ALARM_OVER, "a")],
    ]


@pytest.mark.django_db(transaction=True)
def test_a_list_of_nodes_that_fails_once_is_no_news(tick: Tick) -> None:
    nodes: list[dict[str, Any]] = [{"name": name, "running": True} for name in ("a@h", "b@h")]
    paths: dict[str, Behaviour] = {
        "/api/overview": answers({"rabbitmq_version": "4.0.5"}),
        "/api/queues": answers([]),
        "/api/exchanges": answers([]),
        "/api/nodes": answers(nodes),
    }
    with misbehaving(by_path(paths)) as management:
        row = make_broker(management_url=management.url)
        assert tick(row) is poll.Outcome.STORED
        for answer in (answers("oops", 500), answers(nodes)):
            paths["/api/nodes"] = answer
            assert tick(row) is poll.Outcome.STORED
        assert [event.sentence for event in BrokerEvent.objects.filter(broker_id=row.id)] == []
