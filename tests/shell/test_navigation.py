"""The shell around every page: the rooms that a person may enter, the brokers that they see, and what it costs."""

from __future__ import annotations

import time

import msgspec
import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from brokers.collect.measures import TickMeasures
from brokers.collect.models import PollState
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from dashboard.accounts.models import Role, User
from dashboard.accounts.rights import NOBODY, rights_of
from dashboard.navigation import Navigation, initials, role_words, shell
from tests.support.builders import append_snapshot, make_broker, make_user, seen_queue

pytestmark = pytest.mark.django_db


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def of(user: User, path: str = "/", broker: Broker | None = None) -> Navigation:
    """Return the shell as the person gets it."""
    return shell(rights_of(user), path, broker.pk if broker else None, now_ms())


def labels(nav: Navigation) -> list[str]:
    """Return the rooms, each with its section where it has one."""
    return [
        f"{part.heading}: {room.label}" if part.heading else room.label for part in nav.sections for room in part.rooms
    ]


def polled(broker: Broker, queues: int) -> None:
    """Say that the broker's last poll saw so many queues."""
    measures = msgspec.json.encode(TickMeasures(rows={"queue": queues}))
    PollState.objects.filter(broker=broker).update(measures=measures, last_tick_ms=now_ms(), last_ok_ms=now_ms())


def test_it_leads_an_administrator_to_every_room() -> None:
    make_broker("shop")
    assert labels(of(make_user("mara", Role.ADMINISTRATOR))) == [
        "Fleet",
        "Queues",
        "Charts",
        "Warren: Brokers",
        "Warren: Collector",
        "Warren: Users",
        "Warren: Audit trail",
    ]


@pytest.mark.parametrize(
    ("role", "pattern", "rooms"),
    [
        (Role.ADMINISTRATOR, "", ["Brokers", "Collector", "Audit trail"]),
        (Role.OPERATOR, "", ["Collector", "Audit trail"]),
        (Role.VIEWER, "", ["Collector", "Audit trail"]),
        (Role.ADMINISTRATOR, "tenant-*", ["Audit trail"]),
    ],
)
def test_it_leads_to_settings_as_far_as_the_role_reaches(role: Role, pattern: str, rooms: list[str]) -> None:
    nav = of(make_user("mara", (role, make_broker("shop"), pattern)))
    assert [room.label for room in nav.sections[-1].rooms] == rooms


@pytest.mark.parametrize(
    ("role", "pattern"),
    [(Role.ADMINISTRATOR, ""), (Role.VIEWER, ""), (Role.VIEWER, "tenant-*")],
)
def test_it_leads_nowhere_that_refuses(client: Client, role: Role, pattern: str) -> None:
    shop = make_broker("shop")
    user = make_user("mara", (role, shop, pattern))
    client.force_login(user)
    for room in of(user, f"/brokers/{shop.pk}", shop).rooms:
        assert client.get(room.url).status_code == 200, room.label


def test_it_names_only_brokers_that_the_person_sees(client: Client) -> None:
    shop, hidden = make_broker("shop"), make_broker("hidden-broker")
    user = make_user("mara", (Role.VIEWER, shop))
    nav = of(user)
    assert [choice.name for choice in nav.brokers] == ["shop"]
    assert nav.rooms[0].count == "1"
    client.force_login(user)
    for path in ("/", "/queues", f"/brokers/{hidden.pk}", "/settings/collector", "/settings/audit", "/account/tokens"):
        assert "hidden-broker" not in client.get(path).content.decode()


def test_it_counts_queues_by_the_last_poll() -> None:
    shop, other = make_broker("shop"), make_broker("other")
    polled(shop, 10_014)
    polled(other, 6)
    make_broker("never-polled")
    nav = of(make_user("mara", Role.VIEWER), f"/brokers/{shop.pk}", shop)
    assert [room.count for room in nav.rooms if room.label == "Queues"] == ["10,020", "10,014"]


def test_it_counts_only_queues_of_vhosts_that_the_person_sees() -> None:
    shop = make_broker("shop")
    queues = [seen_queue("tenant-a", f"q{number}") for number in range(3)] + [seen_queue("secret", "q", ready=5)]
    append_snapshot(shop, {Kind.QUEUE: queues})
    polled(shop, 4)
    nav = of(make_user("noor", (Role.VIEWER, shop, "tenant-*")))
    assert [room.count for room in nav.rooms if room.label == "Queues"] == ["3"]


def test_it_counts_nothing_where_nothing_is_known() -> None:
    make_broker("shop")
    assert [room.count for room in of(make_user("mara", Role.VIEWER)).rooms if room.label == "Queues"] == [""]


def test_it_marks_the_room_and_the_broker_that_the_page_is_of() -> None:
    shop = make_broker("shop")
    user = make_user("mara", Role.ADMINISTRATOR)
    marks = {
        "/": "Fleet",
        "/queues": "Queues",
        "/charts": "Charts",
        f"/brokers/{shop.pk}": "shop: Overview",
        f"/brokers/{shop.pk}/queues": "shop: Queues",
        f"/brokers/{shop.pk}/queue": "shop: Queues",
        f"/settings/brokers/{shop.pk}": "Warren: Brokers",
        "/settings/users/add": "Warren: Users",
        "/account/tokens": "",
    }
    for path, marked in marks.items():
        nav = of(user, path, shop if path.startswith("/brokers") else None)
        current = [name for name, room in zip(labels(nav), nav.rooms, strict=True) if room.current]
        assert current == ([marked] if marked else []), path
        assert (nav.here is not None) == path.startswith("/brokers")


def test_it_stays_on_queues_when_the_broker_is_switched() -> None:
    shop = make_broker("shop")
    user = make_user("mara", Role.VIEWER)
    assert of(user, "/queues").brokers[0].url == f"/brokers/{shop.pk}/queues"
    assert of(user, f"/brokers/{shop.pk}/queues", shop).all_url == "/queues"
    assert of(user, "/settings/audit").brokers[0].url == f"/brokers/{shop.pk}"


def test_it_gives_every_room_a_letter_of_its_own() -> None:
    shop = make_broker("shop")
    keys = [room.key for room in of(make_user("mara", Role.ADMINISTRATOR), f"/brokers/{shop.pk}", shop).rooms]
    assert len(set(keys)) == len(keys)


def test_it_costs_one_query_however_many_brokers(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for _ in range(12):
        polled(make_broker(), 7)
    rights = rights_of(make_user("mara", Role.VIEWER))
    with django_assert_num_queries(1):
        shell(rights, "/", None, now_ms())


def test_it_costs_one_more_for_people_who_see_only_vhosts(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    some = [make_broker() for _ in range(12)]
    rights = rights_of(make_user("noor", *[(Role.VIEWER, broker, "tenant-*") for broker in some]))
    with django_assert_num_queries(2):
        shell(rights, "/", None, now_ms())


def test_it_says_what_a_person_may_do() -> None:
    shop, other = make_broker("shop"), make_broker("other")
    names = {shop.pk: "shop", other.pk: "other"}
    assert role_words(rights_of(make_user("a", Role.OPERATOR)), names) == "operator on all brokers"
    one = make_user("b", (Role.VIEWER, shop, "tenant-*"))
    assert role_words(rights_of(one), names) == "viewer on shop, vhosts tenant-*"
    two = make_user("c", (Role.VIEWER, shop), (Role.OPERATOR, other))
    assert role_words(rights_of(two), names) == "2 grants"
    assert role_words(NOBODY, names) == "no grants"


@pytest.mark.parametrize(
    ("name", "letters"),
    [("oncall", "ON"), ("on-call", "OC"), ("mara.lind@shop.example", "ML"), ("m", "M"), ("@", "@")],
)
def test_it_takes_two_letters_of_a_name(name: str, letters: str) -> None:
    assert initials(name) == letters


def test_it_signs_out_by_post_alone(client: Client) -> None:
    client.force_login(make_user("mara", Role.VIEWER))
    page = client.get("/").content.decode()
    assert '<form method="post" action="/account/sign-out">' in page
    assert 'href="/account/sign-out"' not in page
