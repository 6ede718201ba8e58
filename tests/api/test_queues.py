"""Queues by the API: filters, order, pages, one queue by its name, and names that are hard to put into an address."""

from __future__ import annotations

import math
from urllib.parse import quote, urlencode

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient, RequestFactory

from brokers.collect import streams
from brokers.collect.models import PollState
from brokers.registry import details
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from dashboard.accounts import tokens
from dashboard.accounts.models import Role
from dashboard.api.queues import Sort
from dashboard.api.undecoded import encoded_path, sent_path
from tests.api.conftest import Api, check_problem
from tests.support.builders import append_snapshot, make_broker, make_user, seen_queue

pytestmark = pytest.mark.django_db
HOSTILE = [
    ("/", "plain"),
    ("/", "a/b"),
    ("/", "/lead/and/trail/"),
    ("a/b", "c"),
    ("a", "b/c"),
    ("v%2Fw", "q%2Fr"),
    ("v%", "100%"),
    ("..", ".."),
    (".", "../../settings"),
    ("/", " blank at the end "),
    ("<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>"),
    ("\u202eevil", "\U0001f407" * 63),
    ("ünïcode", "naïve?#&=+;,"),
    ("line", "feed\nhere"),
    ("//", "//"),
]


def names(told: dict[str, list[dict[str, str]]]) -> list[str]:
    return [one["name"] for one in told["items"]]


def test_it_lists_queues_with_figures_and_reasons(admin: Api, shop: Broker) -> None:
    told = admin.get(f"/brokers/{shop.pk}/queues")
    assert names(told) == ["bulk", "orders", "orders.dlq"]
    assert (told["total"], told["next"]) == (3, None)
    orders = told["items"][1]
    derived = ("time_lag", "lag_source", "growth", "drain_time", "consumer_state", "redeliver_ratio", "prefetch_used")
    assert (orders["vhost"], orders["type"], orders["durable"], orders["state"]) == ("blue", "classic", True, "new")
    assert orders["figures"] | {"publish_rate": None} == {
        "ready": 5,
        "unacked": 1,
        "total": 6,
        "consumers": 1,
        "publish_rate": None,
        "deliver_rate": None,
        "ack_rate": None,
        "redeliver_rate": None,
        **dict.fromkeys(derived),
    }
    assert orders["figures"]["publish_rate"] == pytest.approx(10, rel=0.01)
    assert set(orders["unknown"]) == {"deliver_rate", "ack_rate", "redeliver_rate", *derived}
    assert orders["at"].endswith("Z")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"vhost": "green"}, ["bulk"]),
        ({"vhost": "gre"}, []),
        ({"name": "ORD"}, ["orders", "orders.dlq"]),
        ({"name": "^orders$", "regex": "true"}, ["orders"]),
        ({"type": "quorum"}, ["orders.dlq"]),
        ({"state": "stopped"}, ["bulk"]),
        ({"dlq": "1"}, ["orders.dlq"]),
        ({"no_consumers": "true"}, ["bulk", "orders.dlq"]),
        ({"has_backlog": "true", "vhost": "blue"}, ["orders", "orders.dlq"]),
        ({"sort": "ready"}, ["orders.dlq", "orders", "bulk"]),
        ({"sort": "ready", "order": "desc"}, ["bulk", "orders", "orders.dlq"]),
        ({"sort": "publish_rate", "order": "desc"}, ["bulk", "orders", "orders.dlq"]),
        ({"order": "desc"}, ["orders.dlq", "orders", "bulk"]),
        ({"page_size": "2", "page": "2"}, ["orders.dlq"]),
    ],
)
def test_it_filters_orders_and_pages(admin: Api, shop: Broker, query: dict[str, str], expected: list[str]) -> None:
    assert names(admin.get(f"/brokers/{shop.pk}/queues?{urlencode(query)}")) == expected


@pytest.mark.parametrize("sort", Sort)
def test_it_orders_by_whatever_it_says_that_it_can(admin: Api, shop: Broker, sort: Sort) -> None:
    told = admin.get(f"/brokers/{shop.pk}/queues?sort={sort}&order=desc")
    values = [item["figures"][sort] for item in told["items"] if item["figures"].get(sort) is not None]
    assert len(told["items"]) == 3
    assert values == sorted(values, key=lambda value: -math.inf if value == "never" else -value)


def test_it_keeps_the_question_from_page_to_page(admin: Api, shop: Broker) -> None:
    told = admin.get(f"/brokers/{shop.pk}/queues?name=ord&page_size=1&sort=ready")
    assert told["next"] == f"/api/v1/brokers/{shop.pk}/queues?name=ord&page_size=1&sort=ready&page=2"
    assert names(admin.get(told["next"].removeprefix("/api/v1"))) == ["orders"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page=0", "page"),
        ("page=x", "page"),
        ("page_size=501", "page_size"),
        ("page_size=0", "page_size"),
        ("sort=colour", "sort"),
        ("order=up", "order"),
        ("state=well", "state"),
        ("regex=perhaps", "regex"),
        ("name=(&regex=1", "name"),
        (f"name={'x' * 501}", "name"),
        ("vhsot=green", "vhsot"),
        ("vhost=%00", "vhost"),
    ],
)
def test_it_says_by_parameter_what_can_not_be_taken(admin: Api, shop: Broker, query: str, field: str) -> None:
    answer = admin.call("GET", f"/brokers/{shop.pk}/queues?{query}")
    assert answer.status_code == 422
    assert list(check_problem(answer)["errors"]) == [field]


def test_it_tells_who_reads_a_stream_and_how_far_behind(admin: Api, shop: Broker) -> None:
    rows = [seen_queue("blue", "events", detail=details.QueueDetail(type="stream"), ready=9, unacked=0)]
    append_snapshot(shop, {Kind.QUEUE: [*rows, seen_queue("blue", "orders", ready=1, unacked=0)]})
    path = f"/brokers/{shop.pk}/queues/blue/events"
    assert admin.get(path)["stream_readers"] == {"at": None, "readers": [], "why": ""}
    readers = (
        streams.Reader("blue", "events", "billing", "a -> b", 1, True, 40, 20, 12.5),
        streams.Reader("blue", "events", "billing", "a -> c", 2, False, 10, 50, 31.0, at_least=True),
        streams.Reader("green", "events", "hidden"),
    )
    told = streams.encode(streams.Readers(1_760_000_000_000, 3, readers))
    PollState.objects.update_or_create(broker=shop, defaults={"stream_readers": told})
    found = admin.get(path)["stream_readers"]
    assert found["at"] == "2025-10-09T08:53:20Z" or found["at"].startswith("2025-10-09T08:53:20")
    assert [(one["connection"], one["behind"], one["behind_s"], one["at_least"]) for one in found["readers"]] == [
        ("a -> c", 50, 31.0, True),
        ("a -> b", 20, 12.5, False),
    ]
    assert [one["active"] for one in found["readers"]] == [False, True]
    assert admin.get(f"/brokers/{shop.pk}/queues/blue/orders")["stream_readers"] is None


def test_it_shows_one_queue_with_its_definition(admin: Api, shop: Broker) -> None:
    told = admin.get(f"/brokers/{shop.pk}/queues/blue/orders.dlq")
    assert (told["name"], told["is_dlq"], told["dead_letters_of"]) == ("orders.dlq", True, ["orders"])
    assert (told["dead_letter_sources"], told["waits"]) == (1, False)
    assert (told["state"], told["broker_state"], told["node"]) == ("holding", None, None)
    assert told["first_seen"].endswith("Z")
    counted = admin.get(f"/brokers/{shop.pk}/queues/blue/orders")
    assert counted["figures"]["published"] == 100_000
    for path in ("blue/bulk", "green/orders", "blue/", "/orders", "blue", "blue/orders/more", "%FF/orders", "blue/%00"):
        assert admin.status(f"/brokers/{shop.pk}/queues/{path}") == 404


def test_it_marks_the_figures_of_a_silent_broker(admin: Api, shop: Broker) -> None:
    PollState.objects.filter(broker=shop).update(failures=3, failing_since_ms=1, error_sentence="Connection refused.")
    told = admin.get(f"/brokers/{shop.pk}/queues/blue/orders")
    assert told["state"] == "stale"
    assert told["figures"]["publish_rate"] is None
    assert "has not answered" in told["unknown"]["publish_rate"]


def test_it_has_no_queues_of_a_broker_that_never_answered(admin: Api) -> None:
    assert admin.get(f"/brokers/{make_broker().pk}/queues")["items"] == []


@pytest.fixture
def hostile() -> Broker:
    broker = make_broker("hostile")
    detail = details.QueueDetail(type="classic", arguments={"x-</script>": "<b>"})
    append_snapshot(broker, {Kind.QUEUE: [seen_queue(vhost, name, detail=detail, ready=1) for vhost, name in HOSTILE]})
    return broker


# Decoded, a queue `c` of the vhost `a/b` reads as `b/c` of `a`, which is taken where both are there.
@pytest.mark.parametrize(("vhost", "name"), [one for one in HOSTILE if one != ("a/b", "c")])
def test_it_finds_every_name_where_a_server_tells_the_decoded_path_alone(
    admin: Api, hostile: Broker, vhost: str, name: str
) -> None:
    told = admin.get(f"/brokers/{hostile.pk}/queues/{quote(vhost, safe='')}/{quote(name, safe='')}")
    assert told["name"] == name
    assert told["arguments"] == {"x-</script>": "<b>"}


@pytest.mark.parametrize(("vhost", "name"), HOSTILE)
def test_it_finds_every_name_by_the_undecoded_path(admin: Api, hostile: Broker, vhost: str, name: str) -> None:
    path = f"/api/v1/brokers/{hostile.pk}/queues/{quote(vhost, safe='')}/{quote(name, safe='')}"
    answer = admin.client.get(path, REQUEST_URI=f"{path}?", headers={"Authorization": f"Bearer {admin.token}"})
    assert answer.status_code == 200, answer.content
    assert (answer.json()["vhost"], answer.json()["name"]) == (vhost, name)


@pytest.mark.parametrize(
    ("sent", "script", "routed"),
    [
        (b"/api/v1/brokers/1/queues/%2F/a%2Fb", "", "/api/v1/brokers/1/queues/%2F/a%2Fb"),
        (b"/in/front/api/v1/brokers", "/in/front", "/api/v1/brokers"),
        (
            "/api/v1/brokers/1/queues/%2F/é".encode(),
            "",
            "/api/v1/brokers/1/queues/%2F/%C3%A9",
        ),
        (b"/api/v1/brokers?page=2", "", "/api/v1/brokers"),
        (b"/elsewhere", "", None),
        (b"", "", None),
    ],
)
def test_it_reads_the_path_as_it_was_sent(sent: bytes, script: str, routed: str | None) -> None:
    request = RequestFactory().get("/")
    request.scope = {"raw_path": sent}  # type: ignore[attr-defined]
    request.META["SCRIPT_NAME"] = script
    assert sent_path(request) == routed


def test_it_leaves_other_decoded_paths_as_they_are() -> None:
    assert encoded_path("/api/v1/brokers/7/series") == "/api/v1/brokers/7/series"
    assert encoded_path("/api/v1/brokers/7/queues/") == "/api/v1/brokers/7/queues/"
    assert encoded_path("/api/v1/brokers/7/queues/a/b") == "/api/v1/brokers/7/queues/a/b"
    assert encoded_path("/api/v1/brokers/7/queues/ä /b") == "/api/v1/brokers/7/queues/%C3%A4%20/b"


@pytest.mark.django_db(transaction=True)
async def test_it_answers_under_asgi_too(shop: Broker) -> None:
    user = await sync_to_async(make_user)(None, Role.VIEWER)
    token = (await sync_to_async(tokens.create)(user, "test"))[0]
    answer = await AsyncClient().get(
        f"/api/v1/brokers/{shop.pk}/queues/blue/orders", headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 200
    assert answer.json()["name"] == "orders"
    missing = await AsyncClient().get("/api/v1/nowhere", headers={"Authorization": f"Bearer {token}"})
    assert check_problem(missing)["status"] == 404
