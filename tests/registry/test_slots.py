"""Slots: dense, never given twice, kept by an object that comes back; and a directory that reads only what is new."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from brokers.registry import slots
from brokers.registry.models import Broker, BrokerObject, ObjectRevision
from brokers.registry.slots import BATCH, Directory, ObjectName, assign, describe
from tests.support.builders import make_broker

pytestmark = pytest.mark.django_db


def fresh(broker: Broker) -> Directory:
    found = Directory(broker.id)
    found.refresh()
    return found


def test_it_numbers_objects_by_kind_from_zero_without_a_hole() -> None:
    broker, other = make_broker(), make_broker()
    assign(broker, "queue", [ObjectName("/", "a"), ObjectName("/", "b")], 1)
    assign(broker, "queue", [ObjectName("/", "b"), ObjectName("x", "b"), ObjectName("/", "a")], 2)
    assign(broker, "vhost", [ObjectName("", "/")], 3)
    assign(other, "queue", [ObjectName("/", "z")], 4)
    found = fresh(broker)
    assert found.by_name["queue"] == {ObjectName("/", "a"): 0, ObjectName("/", "b"): 1, ObjectName("x", "b"): 2}
    assert found.slot("vhost", "", "/") == 0
    assert fresh(other).slot("queue", "/", "z") == 0
    assert found.slot("queue", "/", "nobody") is None
    assert found.known("queue", 99) is None
    assert found.by_slot["queue"][2].first_seen_ms == 2


def test_it_assigns_many_in_several_transactions() -> None:
    broker = make_broker()
    names = [ObjectName("/", f"q{number}") for number in range(2 * BATCH + 3)]
    assign(broker, "queue", names, 1)
    found = fresh(broker)
    assert sorted(found.by_slot["queue"]) == list(range(len(names)))
    assert ObjectRevision.objects.get(broker=broker).value == 3


def test_it_keeps_the_slot_of_an_object_that_comes_back() -> None:
    broker = make_broker()
    assign(broker, "queue", [ObjectName("/", "a"), ObjectName("/", "b")], 1)
    describe(broker, "queue", {}, {0: 500})
    assert fresh(broker).by_slot["queue"][0].gone_ms == 500
    assign(broker, "queue", [ObjectName("/", "c")], 2)
    describe(broker, "queue", {0: b'{"type":"quorum"}'}, {0: None})
    found = fresh(broker)
    assert found.slot("queue", "/", "a") == 0
    assert (found.by_slot["queue"][0].gone_ms, found.by_slot["queue"][0].detail) == (None, b'{"type":"quorum"}')
    assert found.slot("queue", "/", "c") == 2


def test_it_writes_what_changed_and_nothing_else() -> None:
    broker = make_broker()
    assign(broker, "queue", [ObjectName("/", name) for name in "abc"], 1)
    assert describe(broker, "queue", {0: b'{"type":"classic"}', 1: b"{}"}, {2: None}) == 1
    before = ObjectRevision.objects.get(broker=broker).value
    assert describe(broker, "queue", {0: b'{"type":"classic"}'}, {}) == 0
    assert describe(broker, "queue", {77: b"{}"}, {78: 1}) == 0
    assert ObjectRevision.objects.get(broker=broker).value == before
    assert BrokerObject.objects.filter(broker=broker, revision=before).count() == 1


def test_it_reads_only_what_is_new_to_it() -> None:
    broker = make_broker()
    assign(broker, "queue", [ObjectName("/", "a"), ObjectName("/", "b")], 1)
    found = fresh(broker)
    untouched = found.by_slot["queue"][1]
    assert not found.refresh()
    describe(broker, "queue", {0: b'{"type":"stream"}'}, {})
    assert found.refresh()
    assert found.by_slot["queue"][0].detail == b'{"type":"stream"}'
    assert found.by_slot["queue"][1] is untouched


def test_it_takes_names_of_every_kind() -> None:
    broker = make_broker()
    names = [ObjectName("/", name) for name in ("", " ", "<script>", "a/b%2F", "é🐇\u202e", "x" * 255, "A", "a", "a ")]
    assign(broker, "exchange", names, 1)
    found = fresh(broker)
    assert [found.slot("exchange", *name) for name in names] == list(range(len(names)))


NAMES = st.lists(st.builds(ObjectName, st.sampled_from(["/", "v"]), st.sampled_from(["a", "b", "c", "d"])), max_size=6)


class TestSlots(TestCase):  # type: ignore[misc]
    @hypothesis_settings(max_examples=25, deadline=None)
    @given(st.lists(NAMES, max_size=5))
    def test_it_never_gives_a_slot_twice_whatever_is_asked_in_whatever_order(
        self, rounds: list[list[ObjectName]]
    ) -> None:
        broker = make_broker()
        first: dict[ObjectName, int] = {}
        for number, names in enumerate(rounds):
            assign(broker, "queue", names, number)
            found = fresh(broker).by_name.get("queue", {})
            assert {name: found[name] for name in first} == first
            first = dict(found)
        assert sorted(first.values()) == list(range(len(first)))


def test_it_overwrites_nothing_that_was_written_while_it_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = make_broker()
    assign(broker, "queue", [ObjectName("/", "orders")], 1)
    plain = slots._locked

    def locked(broker: Broker) -> ObjectRevision:
        # Another process held the lock until now, and marked the object as gone.
        monkeypatch.setattr(slots, "_locked", plain)
        describe(broker, "queue", {}, {0: 5})
        return plain(broker)

    monkeypatch.setattr(slots, "_locked", locked)
    describe(broker, "queue", {0: b'{"a":1}'}, {})
    row = BrokerObject.objects.get(broker=broker, slot=0)
    assert (bytes(row.detail), row.gone_ms) == (b'{"a":1}', 5)


def test_a_copy_goes_its_own_way() -> None:
    broker = make_broker()
    assign(broker, "queue", [ObjectName("/", "a")], 1)
    directory = fresh(broker)
    copy = directory.copy()
    assert (copy.revision, copy.by_slot, copy.by_name) == (directory.revision, directory.by_slot, directory.by_name)
    assign(broker, "queue", [ObjectName("/", "b")], 2)
    copy.refresh()
    assert copy.slot("queue", "/", "b") == 1
    assert directory.slot("queue", "/", "b") is None
    assert directory.refresh()
    assert (copy.revision, copy.by_slot, copy.by_name) == (directory.revision, directory.by_slot, directory.by_name)
