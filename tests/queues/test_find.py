"""Finding by name: the best first, nothing of what a person does not see, and straight to the one that is meant."""

from __future__ import annotations

import time

import pytest
from django.test import Client

from brokers.registry.details import NodeDetail, VhostDetail
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from dashboard.accounts.models import Role, User
from dashboard.accounts.rights import rights_of
from dashboard.queries.attention_shown import queue_url
from dashboard.queries.find import SHOWN, Nearness, find, nearness
from tests.support.builders import Seen, append_snapshot, make_broker, make_user, seen_queue

pytestmark = pytest.mark.django_db


def now() -> int:
    return time.time_ns() // 1_000_000


def polled(name: str = "shop", vhosts: tuple[str, ...] = ("mine", "theirs"), queues: tuple[str, ...] = ()) -> Broker:
    broker = make_broker(name)
    append_snapshot(
        broker,
        {
            Kind.NODE: [Seen("", f"rabbit@{name}-node", {"running": 1}, NodeDetail())],
            Kind.VHOST: [Seen("", vhost, {}, VhostDetail()) for vhost in vhosts],
            Kind.EXCHANGE: [Seen(vhost, f"orders of {vhost}", {}) for vhost in vhosts]
            + [Seen(vhost, "amq.direct", {}) for vhost in vhosts],
            Kind.QUEUE: [seen_queue(vhost, f"orders.{vhost}") for vhost in vhosts]
            + [seen_queue(vhosts[0], queue) for queue in queues],
        },
    )
    return broker


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("orders", Nearness.EXACT),
        ("Orders", Nearness.CASE),
        ("orders.paid", Nearness.BEGINS),
        ("my.orders", Nearness.WORD),
        ("preorders-and-orders", Nearness.WORD),
        ("preorders", Nearness.CONTAINS),
        ("other", None),
        ("", None),
    ],
)
def test_it_tells_how_near_a_name_is(name: str, near: Nearness | None) -> None:
    assert nearness(name, "orders") is near


def test_it_finds_every_kind_the_best_first() -> None:
    polled("orders-eu", queues=("preorders", "a.orders"))
    found = find(rights_of(make_user("v", Role.VIEWER)), "orders", now())
    groups = {group.title: [hit.name for hit in group.hits] for group in found.groups}
    assert groups["Queues"] == ["orders.mine", "orders.theirs", "a.orders", "preorders"]
    assert groups["Brokers"] == ["orders-eu"]
    assert groups["Exchanges"] == ["orders of mine", "orders of theirs"]
    assert groups["Nodes"] == ["rabbit@orders-eu-node"]


def test_it_shows_a_person_nothing_that_they_do_not_see() -> None:
    broker = polled()
    polled("veiled")
    rights = rights_of(make_user("v", (Role.VIEWER, broker, "mine")))
    for asked in ("orders", "theirs", "veiled", "node", "rabbit", "amq"):
        found = find(rights, asked, now())
        assert "theirs" not in str(found.groups)
        assert "veiled" not in str(found.groups)
        assert "node" not in str(found.groups)
    # Nor by a number.
    assert find(rights, "orders", now()).total == 2
    assert find(rights_of(make_user("nobody")), "orders", now()).total == 0


def test_it_bounds_what_it_shows_and_says_how_many_there_are() -> None:
    polled(queues=tuple(f"many-{number:03}" for number in range(40)))
    [group] = find(rights_of(make_user("v", Role.VIEWER)), "many", now()).groups
    assert (len(group.hits), group.total, group.more) == (SHOWN, 40, 40 - SHOWN)
    assert "name=many" in group.more_url


def test_it_puts_the_exchanges_that_every_vhost_has_last() -> None:
    broker = make_broker("shop")
    names = ("amq.direct", "the.direct", "a-direct-one")
    append_snapshot(broker, {Kind.EXCHANGE: [Seen("/", name, {}) for name in names]})
    [group] = find(rights_of(make_user("v", Role.VIEWER)), "direct", now()).groups
    assert group.hits[-1].name == "amq.direct"


def test_it_goes_straight_to_a_queue_that_is_exactly_meant() -> None:
    broker = polled(queues=("a/b <c>",))
    client = signed_in(make_user("v", Role.VIEWER))
    answer = client.get("/find", {"q": "a/b <c>"})
    assert (answer.status_code, answer["Location"]) == (302, queue_url(broker.pk, "mine", "a/b <c>"))
    # While somebody types nothing is gone to.
    typing = client.get("/find", {"q": "a/b <c>"}, headers={"HX-Request": "true", "HX-Target": "found"})
    assert typing.status_code == 200
    assert typing.content.lstrip().startswith(b'<div id="found">')
    # Another case is another name.
    assert client.get("/find", {"q": "A/B <c>"}).status_code == 200


def test_it_goes_nowhere_when_two_things_are_meant() -> None:
    polled("one", queues=("same",))
    polled("two", queues=("same",))
    polled("vhost", vhosts=("both",), queues=("both",))
    client = signed_in(make_user("v", Role.VIEWER))
    assert client.get("/find", {"q": "same"}).status_code == 200
    assert client.get("/find", {"q": "both"}).status_code == 200


def test_it_goes_by_what_the_person_sees() -> None:
    broker = polled("one", vhosts=("mine",), queues=("same",))
    polled("two", queues=("same",))
    limited = signed_in(make_user("v", (Role.VIEWER, broker)))
    assert limited.get("/find", {"q": "same"})["Location"] == queue_url(broker.pk, "mine", "same")


@pytest.mark.parametrize(
    "asked", ["", "   ", "<script>alert(1)</script>", "%zz", "x" * 5000, "\u202e", "😀", "nothing"]
)
def test_it_answers_anything(asked: str) -> None:
    polled()
    answer = signed_in(make_user("v", Role.VIEWER)).get("/find", {"q": asked})
    assert answer.status_code == 200
    assert b"<script>alert(1)" not in answer.content
    assert (b"What are you looking for?" in answer.content) == (not asked.strip())


def test_it_draws_what_it_found() -> None:
    polled(queues=("<i>q</i>",))
    page = signed_in(make_user("v", Role.VIEWER)).get("/find", {"q": "<i>"}).content.decode()
    assert "<bdi>&lt;i&gt;q&lt;/i&gt;</bdi>" in page
