"""Series by the API: kinds, metrics, moments, bounds, gaps, and sums for people limited to vhosts."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any
from urllib.parse import urlencode

import pytest

from brokers.lag.measures import Form, measures_of
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from dashboard.api import moments
from tests.api.conftest import Api, check_problem, fill
from tests.support.builders import append_snapshot, make_broker, seen_queue

pytestmark = pytest.mark.django_db


def series(api: Api, broker: Broker, **query: Any) -> dict[str, Any]:
    told: dict[str, Any] = api.get(f"/brokers/{broker.pk}/series?{urlencode(query)}")
    assert all(len(values) == len(told["times"]) for values in told["values"].values())
    return told


def test_it_gives_a_queues_gauges_and_rates(admin: Api, shop: Broker) -> None:
    told = series(admin, shop, kind="queue", vhost="blue", name="orders", metrics="ready,publish_rate,ack_rate")
    assert told["values"]["ready"] == [5, 5, 5]
    assert told["values"]["publish_rate"] == [None, pytest.approx(10, rel=0.01), pytest.approx(10, rel=0.01)]
    assert told["values"]["ack_rate"] == [None, None, None]
    assert set(told["unknown"]) == {"ack_rate"}
    assert told["units"] == {"ready": "messages", "publish_rate": "messages/s", "ack_rate": "messages/s"}
    assert told["times"] == sorted(told["times"])
    assert (told["kind"], told["vhost"], told["name"]) == ("queue", "blue", "orders")


def test_it_derives_what_is_not_stored_and_says_never(admin: Api) -> None:
    broker = make_broker()
    now_ms = time.time_ns() // 1_000_000
    for ago in range(120, -1, -10):
        growing = seen_queue("/", "growing", ready=1000 - ago, unacked=5)
        shrinking = seen_queue("/", "shrinking", ready=1000 + 2 * ago, unacked=0)
        append_snapshot(broker, {Kind.QUEUE: [growing, shrinking]}, at_ms=now_ms - ago * 1000)
    told = {
        name: series(admin, broker, kind="queue", vhost="/", name=name, metrics="total,growth,drain_time", step=10)[
            "values"
        ]
        for name in ("growing", "shrinking")
    }
    assert told["growing"]["total"][-1] == 1005
    assert told["growing"]["growth"][-1] == pytest.approx(60, rel=0.02)
    assert told["growing"]["drain_time"][-1] == "never"
    assert told["shrinking"]["drain_time"][-1] == pytest.approx(500, rel=0.02)
    queue = admin.get(f"/brokers/{broker.pk}/queues/%2F/growing")
    assert queue["figures"]["drain_time"] == "never"
    assert queue["figures"]["growth"] == pytest.approx(60, rel=0.05)
    rows = admin.call("GET", f"/brokers/{broker.pk}/series?kind=queue&metrics=drain_time&step=10&format=csv")
    text = b"".join(rows.streaming_content).decode()  # type: ignore[attr-defined]
    assert ",growing,inf" in text


@pytest.mark.parametrize(
    ("query", "metric", "value"),
    [
        ({"kind": "broker"}, "ready", 7784),
        ({"kind": "node", "name": "rabbit@one"}, "memory_used", 5e8),
        ({"kind": "vhost", "vhost": "green"}, "ready", 7777),
        ({"kind": "exchange", "vhost": "blue", "name": ""}, "published", 100_000),
        ({"kind": "queue", "vhost": "green", "name": "bulk"}, "ready", 7777),
    ],
)
def test_it_reads_every_kind(admin: Api, shop: Broker, query: dict[str, str], metric: str, value: float) -> None:
    assert series(admin, shop, **query, metrics=metric)["values"][metric][-1] == value


@pytest.mark.parametrize("kind", list(Kind))
def test_it_gives_every_measure_but_counters_where_none_is_named(admin: Api, shop: Broker, kind: Kind) -> None:
    place = {
        Kind.BROKER: {},
        Kind.NODE: {"name": "rabbit@one"},
        Kind.VHOST: {"vhost": "blue"},
        Kind.EXCHANGE: {"vhost": "blue", "name": ""},
        Kind.QUEUE: {"vhost": "blue", "name": "orders"},
    }[kind]
    expected = [one.name for one in measures_of(kind) if one.form is not Form.COUNTER]
    assert list(series(admin, shop, kind=kind.value, **place)["values"]) == expected


def test_it_takes_moments_in_both_forms_and_keeps_to_the_span(admin: Api, shop: Broker) -> None:
    now = time.time()
    for begin, end in (
        (now - 15, now + 5),
        (
            dt.datetime.fromtimestamp(now - 15, dt.UTC).isoformat(),
            dt.datetime.fromtimestamp(now + 5, dt.UTC).isoformat(),
        ),
    ):
        told = series(admin, shop, kind="broker", metrics="ready", **{"from": begin, "to": end})
        assert told["values"]["ready"] == [7784, 7784]
        assert told["from"] <= told["times"][0] <= told["times"][-1] <= told["to"]


def test_it_thins_by_step(admin: Api) -> None:
    broker = make_broker()
    fill(broker, spans_s=(50, 40, 30, 20, 10, 0))
    now = time.time()
    told = series(admin, broker, kind="broker", metrics="ready", step=20, **{"from": now - 60, "to": now + 1})
    assert told["step"] == 20
    assert 3 <= len(told["times"]) <= 4


def test_it_shows_a_gap_as_unknown(admin: Api) -> None:
    broker = make_broker()
    fill(broker, spans_s=(120, 110, 100, 10, 0))
    told = series(admin, broker, kind="vhost", vhost="blue", metrics="ready,publish_rate")
    assert told["values"]["ready"] == [7, 7, 7, None, 7, 7]
    assert told["values"]["publish_rate"] == [None, 10, 10, None, None, 10]


def test_it_keeps_the_history_of_what_is_gone(admin: Api) -> None:
    broker = make_broker()
    now_ms = time.time_ns() // 1_000_000
    append_snapshot(broker, {Kind.QUEUE: [seen_queue("/", "old", ready=3)]}, at_ms=now_ms - 10_000)
    append_snapshot(broker, {Kind.QUEUE: []}, at_ms=now_ms)
    told = series(admin, broker, kind="queue", vhost="/", name="old", metrics="ready")
    assert told["values"]["ready"] == [3, None]


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({}, {"kind"}),
        ({"kind": "planet"}, {"kind"}),
        ({"kind": "queue"}, {"vhost", "name"}),
        ({"kind": "vhost"}, {"vhost"}),
        ({"kind": "node", "vhost": "/"}, {"vhost", "name"}),
        ({"kind": "broker", "name": "x"}, {"name"}),
        ({"kind": "broker", "metrics": "ready,colour"}, {"metrics"}),
        ({"kind": "broker", "from": "yesterday", "to": "2026-13-01T00:00:00Z"}, {"from", "to"}),
        ({"kind": "broker", "from": "2026-11-24T18:00:00"}, {"from"}),
        ({"kind": "broker", "from": "1e999"}, {"from"}),
        ({"kind": "broker", "from": "-5"}, {"from"}),
        ({"kind": "broker", "from": "2000", "to": "1000"}, {"from"}),
        ({"kind": "broker", "step": "0"}, {"step"}),
        ({"kind": "broker", "step": "nan"}, {"step"}),
        ({"kind": "broker", "step": "1", "from": "1000000000", "to": "1000003600"}, {"step"}),
        ({"kind": "broker", "color": "1"}, {"color"}),
    ],
)
def test_it_says_by_parameter_what_can_not_be_answered(
    admin: Api, shop: Broker, query: dict[str, str], fields: set[str]
) -> None:
    answer = admin.call("GET", f"/brokers/{shop.pk}/series?{urlencode(query)}")
    assert answer.status_code == 422
    assert set(check_problem(answer)["errors"]) == fields


def test_it_says_how_many_points_are_possible(admin: Api, shop: Broker) -> None:
    answer = admin.call("GET", f"/brokers/{shop.pk}/series?kind=broker&step=1&from=0&to=86400")
    sentence = check_problem(answer)["errors"]["step"]
    assert sentence.startswith("This asks for 86,400 points; 3,000 are possible.")
    assert "at least 29 s" in sentence
    assert admin.status(f"/brokers/{shop.pk}/series?kind=broker&step=29&from=0&to=86400") == 200


def test_it_sums_what_a_limited_person_sees(limited: Api, shop: Broker) -> None:
    told = series(limited, shop, kind="broker", metrics="ready,publish_rate,connections")
    assert told["values"]["ready"] == [7, 7, 7]
    assert told["values"]["publish_rate"][-1] == pytest.approx(10, rel=0.01)
    assert told["values"]["connections"] == [None, None, None]
    assert "as a whole" in told["unknown"]["connections"]


@pytest.mark.parametrize(
    "query",
    [
        {"kind": "vhost", "vhost": "green"},
        {"kind": "queue", "vhost": "green", "name": "bulk"},
        {"kind": "exchange", "vhost": "green", "name": ""},
        {"kind": "node", "name": "rabbit@one"},
    ],
)
def test_it_answers_alike_for_what_is_hidden_and_what_is_not_there(
    admin: Api, limited: Api, shop: Broker, query: dict[str, str]
) -> None:
    place = "name" if "name" in query else "vhost"
    missing = {**query, place: "no-such"}
    assert admin.status(f"/brokers/{shop.pk}/series?{urlencode(query)}") == 200
    hidden = limited.call("GET", f"/brokers/{shop.pk}/series?{urlencode(query)}")
    absent = limited.call("GET", f"/brokers/{shop.pk}/series?{urlencode(missing)}")
    assert hidden.status_code == absent.status_code == 404
    assert hidden.content == absent.content


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("0", 0),
        ("1700000000", 1_700_000_000_000),
        ("1700000000.25", 1_700_000_000_250),
        ("2026-11-24T18:00:00Z", 1_795_543_200_000),
        ("2026-11-24t18:00:00.5z", 1_795_543_200_500),
        ("2026-11-24T20:00:00+02:00", 1_795_543_200_000),
        ("2026-11-24T20:00:00 02:00", 1_795_543_200_000),
        ("2026-11-24T18:00:00.123456789Z", 1_795_543_200_123),
    ],
)
def test_it_reads_moments(text: str, ms: int) -> None:
    assert moments.parse(text) == ms
