"""The list of measures, and the objects that have most of one."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlencode

import pytest

from brokers.lag.measures import measures_of
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from tests.api.conftest import Api, check_problem
from tests.support.builders import append_snapshot, make_broker, seen_queue

pytestmark = pytest.mark.django_db


def top(api: Api, broker: Broker, **query: Any) -> list[tuple[str | None, str, Any]]:
    told = api.get(f"/brokers/{broker.pk}/top?{urlencode(query, doseq=True)}")
    return [(item["vhost"], item["name"], item["value"]) for item in told["items"]]


def test_it_lists_every_measure_of_every_kind(admin: Api) -> None:
    told = admin.get("/measures")
    for kind in Kind:
        named = {item["name"]: item for item in told if kind in item["kinds"]}
        assert set(named) == {one.name for one in measures_of(kind)}
        assert {item["name"] for item in admin.get(f"/measures?kind={kind}")} == set(named)
        for one in measures_of(kind):
            assert (named[one.name]["unit"], named[one.name]["formula"]) == (one.unit, one.formula)
    assert all(item["says"] and item["source"] and item["label"] for item in told)


@pytest.fixture
def busy() -> Broker:
    """Three queues whose order differs by mean, greatest, least and last value."""
    broker = make_broker("busy")
    now_ms = time.time_ns() // 1_000_000
    for ago_s, steady, spiky, falling in ((40, 5, 0, 9), (30, 5, 30, 8), (20, 5, 0, 2), (10, 5, 0, 1)):
        append_snapshot(
            broker,
            {
                Kind.QUEUE: [
                    seen_queue("a", "steady", ready=steady),
                    seen_queue("a", "spiky", ready=spiky),
                    seen_queue("b", "falling", ready=falling),
                    seen_queue("b", "unknown"),
                ]
            },
            at_ms=now_ms - ago_s * 1000,
        )
    return broker


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("mean", [("a", "spiky", 7.5), ("a", "steady", 5), ("b", "falling", 5)]),
        ("max", [("a", "spiky", 30), ("b", "falling", 9), ("a", "steady", 5)]),
        ("min", [("a", "steady", 5), ("b", "falling", 1), ("a", "spiky", 0)]),
        ("last", [("a", "steady", 5), ("b", "falling", 1), ("a", "spiky", 0)]),
    ],
)
def test_it_ranks_by_what_is_asked_for(admin: Api, busy: Broker, by: str, expected: list[Any]) -> None:
    assert top(admin, busy, measure="ready", by=by) == expected


def test_it_keeps_to_number_vhosts_and_span(admin: Api, busy: Broker) -> None:
    assert [name for _, name, _ in top(admin, busy, measure="ready", n=1)] == ["spiky"]
    assert [name for _, name, _ in top(admin, busy, measure="ready", vhost="b")] == ["falling"]
    assert [name for _, name, _ in top(admin, busy, measure="ready", **{"from": time.time() - 25})] == [
        "steady",
        "falling",
        "spiky",
    ]
    assert top(admin, busy, measure="ready", **{"from": 0, "to": 1000}) == []


def test_it_ranks_what_a_person_sees(limited: Api, admin: Api, shop: Broker) -> None:
    assert {name for _, name, _ in top(admin, shop, measure="ready")} == {"orders", "orders.dlq", "bulk"}
    assert {name for _, name, _ in top(limited, shop, measure="ready")} == {"orders", "orders.dlq"}
    assert top(limited, shop, kind="vhost", measure="ready") == [(None, "blue", 7)]
    assert limited.status(f"/brokers/{shop.pk}/top?measure=ready&vhost=green") == 404
    assert limited.status(f"/brokers/{shop.pk}/top?kind=node&measure=memory_used") == 404


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({}, {"measure"}),
        ({"measure": "colour"}, {"measure"}),
        ({"measure": "ready,unacked"}, {"measure"}),
        ({"measure": ""}, {"measure"}),
        ({"measure": "ready", "n": 0}, {"n"}),
        ({"measure": "ready", "n": 10_000}, {"n"}),
        ({"measure": "ready", "by": "luck"}, {"by"}),
        ({"measure": "ready", "kind": "broker"}, {"kind"}),
        ({"measure": "ready", "kind": "vhost", "vhost": "/"}, {"vhost"}),
        ({"measure": "ready", "from": "then"}, {"from"}),
        ({"measure": "ready", "colour": "1"}, {"colour"}),
    ],
)
def test_it_says_by_parameter_what_can_not_be_ranked(
    admin: Api, shop: Broker, query: dict[str, Any], fields: set[str]
) -> None:
    answer = admin.call("GET", f"/brokers/{shop.pk}/top?{urlencode(query)}")
    assert answer.status_code == 422
    assert set(check_problem(answer)["errors"]) == fields
