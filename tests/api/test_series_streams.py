"""Ranges of many objects as JSON lines and CSV: what is in them, whose they are, how they end."""

from __future__ import annotations

import csv
import gc
import io
import itertools
import json
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from dashboard.accounts.models import Grant, Role
from dashboard.api import series_rows, streaming
from dashboard.api.series_asked import Asked, Form
from dashboard.api.series_objects import Named, Subject
from dashboard.api.series_rows import BrokenOffError, Wanted, harmless, pieces, rows
from dashboard.queries import measured
from tests.api.conftest import Api, api_of, check_problem
from tests.support.builders import Seen, append_snapshot, make_broker, make_user

pytestmark = pytest.mark.django_db


def text(api: Api, broker: Broker, accept: str = "", **query: Any) -> str:
    sent = {"Accept": accept} if accept else {}
    answer = api.call("GET", f"/brokers/{broker.pk}/series?{urlencode(query, doseq=True)}", **sent)
    assert answer.status_code == 200, answer.content
    return b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]


def lines(api: Api, broker: Broker, **query: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text(api, broker, format="jsonl", **query).splitlines()]


def table(api: Api, broker: Broker, **query: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text(api, broker, format="csv", **query), newline="")))


def test_it_streams_all_queues_of_a_vhost_as_lines(admin: Api, shop: Broker) -> None:
    head, *told, end = lines(admin, shop, kind="queue", vhost="blue", metrics="ready,publish_rate")
    assert (head["kind"], head["objects"], head["units"]) == (
        "queue",
        2,
        {"ready": "messages", "publish_rate": "messages/s"},
    )
    assert end == {"end": True, "rows": len(told), "resolution": 0}
    assert [row["at"] for row in told] == sorted(row["at"] for row in told)
    assert {(row["vhost"], row["name"]) for row in told} == {("blue", "orders"), ("blue", "orders.dlq")}
    orders = [row for row in told if row["name"] == "orders"]
    assert [row["ready"] for row in orders] == [5, 5, 5]
    assert [row["publish_rate"] for row in orders] == [None, pytest.approx(10, rel=0.01), pytest.approx(10, rel=0.01)]


def test_a_row_has_what_the_json_answer_has(admin: Api, shop: Broker) -> None:
    span = {"step": 10}
    one = admin.get(
        f"/brokers/{shop.pk}/series?"
        + urlencode({"kind": "queue", "vhost": "blue", "name": "orders", "metrics": "ready,publish_rate", **span})
    )
    _, *told, _ = lines(admin, shop, kind="queue", vhost="blue", name="orders", metrics="ready,publish_rate", **span)
    assert [row["at"] for row in told] == one["times"]
    for name in ("ready", "publish_rate"):
        assert [row[name] for row in told] == one["values"][name]


@pytest.mark.parametrize(
    ("query", "fields", "count"),
    [
        ({"kind": "broker"}, [], 1),
        ({"kind": "node"}, ["name"], 1),
        ({"kind": "vhost"}, ["vhost"], 2),
        ({"kind": "vhost", "vhost": ["blue", "green"]}, ["vhost"], 2),
        ({"kind": "exchange", "vhost": "blue"}, ["vhost", "name"], 1),
        ({"kind": "queue"}, ["vhost", "name"], 3),
        ({"kind": "queue", "vhost": ["blue", "green"]}, ["vhost", "name"], 3),
        ({"kind": "queue", "vhost": "blue", "name": ["orders", "orders.dlq"]}, ["vhost", "name"], 2),
    ],
)
def test_it_names_objects_of_every_kind(
    admin: Api, shop: Broker, query: dict[str, Any], fields: list[str], count: int
) -> None:
    _, *told, _ = lines(admin, shop, **query)
    assert len({tuple(row[field] for field in fields) for row in told}) == count
    named = table(admin, shop, **query)
    assert list(named[0])[: 1 + len(fields)] == ["at", *fields]
    assert len(named) == len(told)


def test_it_writes_unknown_as_an_empty_field(admin: Api, shop: Broker) -> None:
    told = table(admin, shop, kind="queue", vhost="blue", name="orders", metrics="ready,ack_rate")
    assert [(row["ready"], row["ack_rate"]) for row in told] == [("5", "")] * 3


def test_it_leaves_out_rows_in_which_nothing_is_known(admin: Api, shop: Broker) -> None:
    _, *told, end = lines(admin, shop, kind="queue", vhost="blue", metrics="ack_rate")
    assert told == []
    assert end["rows"] == 0


def test_it_gives_least_and_greatest_beside_a_measure(admin: Api, shop: Broker) -> None:
    told = table(admin, shop, kind="vhost", vhost="blue", metrics="ready", spread="true")
    assert list(told[0]) == ["at", "vhost", "ready", "ready_low", "ready_high"]
    assert {(row["ready_low"], row["ready_high"]) for row in told} == {("7", "7")}


@pytest.mark.parametrize(
    ("accept", "begins"),
    [
        ("text/csv", "at,vhost,ready\r\n"),
        ("application/x-ndjson", '{"broker_id"'),
        ("application/jsonl;q=0.9, */*", '{"broker_id"'),
    ],
)
def test_it_goes_by_what_a_client_accepts(admin: Api, shop: Broker, accept: str, begins: str) -> None:
    assert text(admin, shop, accept, kind="vhost", metrics="ready").startswith(begins)


def test_a_names_formula_stays_text_in_a_spreadsheet(admin: Api) -> None:
    broker = make_broker()
    names = ["=HYPERLINK(1)", "+1", "-1", "@x", "\tx", " =1", "＝1", 'a"b,c', "line\nend", "plain"]
    append_snapshot(broker, {Kind.QUEUE: [Seen("=v", name, {"ready": -1.5}) for name in names]})
    told = table(admin, broker, kind="queue", metrics="ready")
    found = [row["name"] for row in told]
    assert {row["vhost"] for row in told} == {"'=v"}
    assert {row["ready"] for row in told} == {"-1.5"}
    assert set(found) == {
        *("'=HYPERLINK(1)", "'+1", "'-1", "'@x", "'\tx", "' =1", "'＝1"),
        *('a"b,c', "line\nend", "plain"),
    }
    _, *rows_told, _ = lines(admin, broker, kind="queue", metrics="ready")
    assert {row["name"] for row in rows_told} == set(names)


@settings(deadline=None)
@given(st.text())
def test_no_name_begins_like_a_formula(name: str) -> None:
    shown = harmless(name)
    assert shown in {name, f"'{name}"}
    assert shown.lstrip()[:1] not in {"=", "+", "-", "@", "＝", "＋", "－", "＠"}


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 12), st.integers(1, 7), st.integers(1, 40), st.integers(1, 400), st.integers(1, 100))
def test_pieces_cover_every_object_and_moment_once(
    objects: int, metrics: int, step_ms: int, span_ms: int, most: int
) -> None:
    asked = Asked(tuple(f"m{n}" for n in range(metrics)), 1000, 1000 + span_ms, step_ms)
    found = list(pieces(objects, asked, most))
    for row in range(objects):
        own = [piece for piece in found if piece.first <= row < piece.last]
        assert own[0].start_ms == asked.start_ms
        assert own[-1].end_ms == asked.end_ms
        assert all(later.start_ms == earlier.end_ms + 1 for earlier, later in itertools.pairwise(own))
        assert all((piece.start_ms - asked.start_ms) % step_ms == 0 for piece in own)
    for piece in found:
        steps = -(-(piece.end_ms - piece.start_ms) // step_ms)
        assert steps == 1 or (piece.last - piece.first) * steps * metrics <= most


def test_it_holds_one_piece_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for: list[tuple[int, int]] = []

    def read_each(_broker: int, _kind: Kind, slots: list[int], names: Any, start: int, end: int, **_: Any) -> Any:
        asked_for.append((len(slots), end - start))
        times = np.arange(start, end + 1, 1000)
        values = {name: np.ones((len(slots), len(times))) for name in names}
        return measured.Many(np.array(slots, dtype=np.uint32), times, values, values, values, 1000, 0)

    monkeypatch.setattr(measured, "read_each", read_each)
    objects = tuple(Named(slot, "v", f"q{slot}") for slot in range(200_000))
    wanted = Wanted(
        1, Kind.QUEUE, Subject(Kind.QUEUE, objects), Asked(("ready", "unacked", "consumers"), 0, 5000, 1000), Form.JSONL
    )
    made = rows(wanted, lambda: "")
    assert len(next(made)) < 1000
    assert asked_for == []
    first = next(made)
    assert len(asked_for) == 1
    assert asked_for[0][0] * 3 <= series_rows.PIECE_VALUES
    assert first.count(b"\n") <= series_rows.PIECE_ROWS
    made.close()
    assert len(asked_for) == 1


@pytest.mark.parametrize("form", [Form.JSONL, Form.CSV])
def test_it_ends_with_a_line_that_says_so_where_reading_fails(form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "read_each", lambda *_, **__: 1 / 0)
    wanted = Wanted(1, Kind.QUEUE, Subject(Kind.QUEUE, (Named(1, "v", "q"),)), Asked(("ready",), 0, 5000, 1000), form)
    made = rows(wanted, lambda: "")
    next(made)
    last = next(made).decode()
    assert "error" in last
    assert "Warren's log says why" in last
    with pytest.raises(BrokenOffError):
        next(made)


def test_it_ends_where_the_right_ends_meanwhile(shop: Broker) -> None:
    user = make_user("mara", (Role.VIEWER, shop, "blue"))
    api = api_of(user)
    answer = api.call("GET", f"/brokers/{shop.pk}/series?kind=queue&vhost=blue&format=jsonl&metrics=ready")
    content = iter(answer.streaming_content)  # type: ignore[attr-defined]
    assert b'"objects":2' in next(content)
    Grant.objects.all().delete()
    assert "Your rights have changed meanwhile" in json.loads(next(content))["error"]
    with pytest.raises(BrokenOffError):
        next(content)


def test_it_sends_few_streams_at_once(admin: Api, shop: Broker) -> None:
    path = f"/brokers/{shop.pk}/series?kind=queue&format=csv&metrics=ready"
    running = [admin.call("GET", path) for _ in range(streaming.MOST_A_PERSON)]
    refused = admin.call("GET", path)
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "5"
    assert "2 of yours" in check_problem(refused)["detail"]
    # One that was sent makes place, and one that nobody ever read.
    assert list(running.pop().streaming_content)  # type: ignore[attr-defined]
    running.append(admin.call("GET", path))
    assert running[-1].status_code == 200
    running.clear()
    gc.collect()
    assert [admin.status(path), admin.status(path)] == [200, 200]


def test_a_limited_person_gets_what_they_see(limited: Api, shop: Broker) -> None:
    assert {row["vhost"] for row in table(limited, shop, kind="vhost", metrics="ready")} == {"blue"}
    assert {row["name"] for row in table(limited, shop, kind="queue", metrics="ready")} == {"orders", "orders.dlq"}
    assert {row["ready"] for row in table(limited, shop, kind="broker", metrics="ready,connections")} == {"7"}
    for query in (
        {"kind": "node"},
        {"kind": "vhost", "vhost": "green"},
        {"kind": "queue", "vhost": "green"},
        {"kind": "queue", "vhost": "green", "name": "bulk"},
    ):
        hidden = limited.call("GET", f"/brokers/{shop.pk}/series?{urlencode({**query, 'format': 'csv'})}")
        absent = {key: value.replace("green", "no-such").replace("bulk", "x") for key, value in query.items()}
        missing = limited.call("GET", f"/brokers/{shop.pk}/series?{urlencode({**absent, 'format': 'csv'})}")
        assert hidden.status_code == missing.status_code == 404
        assert hidden.content == missing.content


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({"kind": "queue", "name": "orders"}, {"vhost"}),
        ({"kind": "queue", "vhost": ["blue", "green"], "name": "orders"}, {"vhost"}),
        ({"kind": "broker", "vhost": "blue"}, {"vhost"}),
        ({"kind": "vhost", "metrics": "=cmd"}, {"metrics"}),
        ({"kind": "vhost", "format": "xml"}, {"format"}),
        ({"kind": "queue", "format": "json", "vhost": ["a", "b"], "name": "x"}, {"vhost"}),
        ({"kind": "queue", "step": 1, "from": 0, "to": 100_000_000}, {"step"}),
    ],
)
def test_it_says_by_parameter_what_can_not_be_streamed(
    admin: Api, shop: Broker, query: dict[str, Any], fields: set[str]
) -> None:
    answer = admin.call("GET", f"/brokers/{shop.pk}/series?{urlencode({'format': 'csv', **query}, doseq=True)}")
    assert answer.status_code == 422
    assert set(check_problem(answer)["errors"]) == fields


def test_who_holds_the_same_rights_goes_on(shop: Broker) -> None:
    user = make_user("mara", (Role.VIEWER, shop, "blue"))
    answer = api_of(user).call("GET", f"/brokers/{shop.pk}/series?kind=queue&format=jsonl&metrics=ready")
    content = iter(answer.streaming_content)  # type: ignore[attr-defined]
    next(content)
    # Somebody else's rights change.
    make_user("zoe", Role.VIEWER)
    assert b'"end":true' in b"".join(content)
