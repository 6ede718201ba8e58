"""The page of charts over stored figures: what it draws, for whom, and the sentences where it does not."""

from __future__ import annotations

import csv
import html
import json
import re
import time
import urllib.parse
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from brokers.collect.models import PollState
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from dashboard.accounts.models import AuditEntry, Role, User
from dashboard.annotations.models import Annotation
from dashboard.charts.address import Source
from tests.support.builders import Seen, append_snapshot, make_broker, make_user, seen_queue

pytestmark = pytest.mark.django_db(transaction=True)
DAY_MS = 86_400_000
HOSTILE = '=HYPERLINK("http://x","<b>")'


def now() -> int:
    return time.time_ns() // 1_000_000


def polled(name: str = "shop", *, ago_ms: int = 0, polls: int = 12, ready: int = 5) -> Broker:
    """Make a broker with polls every 5 s up to so long ago: `mine/orders` grows by one a poll."""
    broker = make_broker(name)
    fill(broker, now() - ago_ms, polls, ready)
    return broker


def fill(broker: Broker, until_ms: int, polls: int = 12, ready: int = 5) -> None:
    for number in range(polls):
        at_ms = until_ms - (polls - 1 - number) * 5_000
        queues = [
            seen_queue("mine", "orders", ready=ready + number, unacked=1, published=100 * number, memory=1_000_000),
            seen_queue("mine", HOSTILE, ready=2, unacked=0),
            seen_queue("theirs", "secret", ready=7_654_321, unacked=0),
        ]
        vhosts = [Seen("", "mine", {"ready": 7 + number}), Seen("", "theirs", {"ready": 7_654_321})]
        nodes = [Seen("", "rabbit@one", {"memory_used": 5e8})]
        whole = {"ready": 7_654_328 + number, "connections": 3}
        tables = {Kind.QUEUE: queues, Kind.VHOST: vhosts, Kind.NODE: nodes}
        append_snapshot(broker, tables, whole=whole, at_ms=at_ms)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def viewer() -> Client:
    return signed_in(make_user("a", Role.VIEWER))


def text(measure: str, kind: str, broker: Broker, vhost: str = "", name: str = "") -> str:
    return Source(measure, Kind(kind), broker.pk, vhost, name).text


def address(path: str, *series: str, **more: str) -> str:
    return f"/charts{path}?{urlencode([*(('s', one) for one in series), *more.items()])}"


def points(client: Client, *series: str, **more: str) -> dict[str, Any]:
    told: dict[str, Any] = client.get(address("/points", *series, **more)).json()
    return told["charts"]["explore"]


def page(client: Client, *series: str, **more: str) -> str:
    answer = client.get(address("", *series, **more))
    assert answer.status_code == 200
    return html.unescape(answer.content.decode())


def known(column: list[float | None]) -> list[float]:
    return [value for value in column if value is not None]


def test_it_draws_series_of_several_brokers_on_one_grid(viewer: Client) -> None:
    one, other = polled("one"), polled("other", ready=100)
    told = points(
        viewer,
        text("ready", "queue", one, "mine", "orders"),
        text("ready", "queue", other, "mine", "orders"),
        range="5m",
    )
    assert known(told["values"]["s0"])[-1] == 16
    assert known(told["values"]["s1"])[-1] == 111
    assert len(told["values"]["s0"]) == len(told["values"]["s1"]) == len(told["times"])
    assert len(known(told["values"]["s0"])) >= 11
    # No gap in what was polled without one.
    first = next(place for place, value in enumerate(told["values"]["s0"]) if value is not None)
    assert None not in told["values"]["s0"][first:-1]


def test_it_says_that_there_is_nothing_to_compare_with(viewer: Client) -> None:
    series = text("ready", "queue", polled(), "mine", "orders")

    def says(**asked: str) -> str:
        query = urlencode([("s", series), ("range", "5m"), *asked.items()])
        return str(viewer.get(f"/charts/points?{query}").json()["window"]["says"])

    assert says(compare="week").endswith("; nothing is stored of the same time last week")
    assert "nothing is stored" not in says()


def test_it_says_that_nothing_is_known_of_a_time(viewer: Client) -> None:
    series = text("ready", "queue", polled(), "mine", "orders")
    end = now() - 3_600_000
    query = urlencode([("s", series), ("from", end - 600_000), ("to", end)])
    assert viewer.get(f"/charts/points?{query}").json()["window"]["says"] == "nothing is known of this time"


def test_it_compares_with_the_same_time_yesterday(viewer: Client) -> None:
    broker = polled("one", ago_ms=DAY_MS, ready=500)
    fill(broker, now())
    series = text("ready", "queue", broker, "mine", "orders")
    told = points(viewer, series, range="5m", compare="day")
    assert known(told["values"]["s0"])[-1] == 16
    assert known(told["values"]["s0:then"])[-1] == 511
    shown = page(viewer, series, range="5m", compare="day")
    assert "the same time yesterday" in shown


def test_it_draws_two_units_and_says_that_a_third_does_not_fit(viewer: Client) -> None:
    broker = polled()
    queue = ("queue", broker, "mine", "orders")
    series = [text(measure, *queue) for measure in ("ready", "memory", "publish_rate", "unacked")]
    shown = page(viewer, *series, range="5m")
    assert "A chart has two axes, here messages and bytes. 1 series in messages a second is not drawn" in shown
    assert set(points(viewer, *series, range="5m")["values"]) == {"s0", "s1", "s3"}


def test_it_says_why_nothing_of_a_series_is_known(viewer: Client) -> None:
    broker = polled()
    PollState.objects.filter(broker=broker).update(unknown={"queue.memory": "The broker tells no memory."})
    shown = [text(name, "queue", broker, "mine", "orders") for name in ("memory", "ready")]
    page = viewer.get(address("", *shown)).content.decode()
    assert re.findall(r'data-chart-last="\w+" data-why="([^"]*)"', page) == [
        "The broker tells no memory.",
        "Nothing is known of it in this window.",
    ]


def test_it_draws_what_is_derived(viewer: Client) -> None:
    broker = polled()
    told = points(viewer, text("total", "queue", broker, "mine", "orders"), range="5m")
    assert known(told["values"]["s0"])[-1] == 17


def test_a_person_sees_sums_over_their_vhosts_and_nothing_else() -> None:
    broker = polled()
    client = signed_in(make_user("v", (Role.VIEWER, broker, "mine")))
    whole = text("ready", "broker", broker)
    assert known(points(client, whole, range="5m")["values"]["s0"])[-1] == 18
    assert "shop, sum over 1 vhost" in page(client, whole, range="5m")
    hidden = [text("ready", "queue", broker, "theirs", "secret"), text("memory_used", "node", broker, "", "rabbit@one")]
    hidden += [text("ready", "vhost", broker, "theirs"), text("connections", "broker", broker)]
    shown = page(client, *hidden, range="5m", q="secret")
    assert "7654321" not in shown
    assert "7,654,321" not in shown
    assert "Connections of shop belongs to the broker as a whole; you see some of its vhosts." in shown
    assert points(client, *hidden, range="5m")["values"] == {}
    lines = client.get(address("/csv", *hidden, range="5m")).content.decode().splitlines()
    assert lines == ["time"]
    picked = client.get("/charts/pick?q=e&measure=ready").content.decode()
    assert "orders" in picked
    assert "secret" not in picked
    assert "theirs" not in picked


def test_it_answers_alike_for_what_is_hidden_and_what_is_not_there() -> None:
    broker = polled()
    client = signed_in(make_user("v", (Role.VIEWER, broker, "mine")))
    hidden = page(client, text("ready", "queue", broker, "theirs", "secret"))
    absent = page(client, text("ready", "queue", broker, "theirs", "secreT"))
    assert "has no queue “secret” in vhost “theirs”, or none that you may see." in hidden
    plain = re.compile(r'csrf\w*" value="[^"]+"|X-CSRFToken": "[^"]+"|data-now="\d+"')
    assert plain.sub("", hidden).replace("secret", "secreT") == plain.sub("", absent)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"s": "nonsense:queue:1::x"}, "A queue has no measure “nonsense”."),
        ({"s": "ready:queue:999::x"}, "There is no broker 999, or none that you may see."),
        ({"s": "<script>alert(1)</script>"}, "can't be read"),
        ({"from": "1790000000000", "to": "1780000000000"}, "The window ends before it begins"),
        ({"range": "1y", "step": "1"}, "365 d with a point each 1 s would be 31,"),
        ({"top": "10:ready:mean:queue:999"}, "There is no broker 999"),
        ({"top_of": "queue:999", "top_n": "50", "top_measure": "ready", "top_by": "mean"}, "1 to 10 series"),
    ],
)
def test_it_says_what_can_not_be_shown(viewer: Client, params: dict[str, str], says: str) -> None:
    answer = viewer.get(f"/charts?{urlencode(params)}")
    assert answer.status_code == 200
    assert says in html.unescape(answer.content.decode())
    assert b"<script>alert" not in answer.content


def test_it_takes_top_lists_for_series(viewer: Client) -> None:
    broker = polled()
    shown = page(viewer, top=f"2:ready:mean:queue:{broker.pk}", range="5m")
    assert "The 2 queues of shop with most Ready, on average of 5 min" in shown
    assert shown.index(">secret<") < shown.index(">orders<")
    assert 'data-ranked="yes"' in shown
    # The ranking is that of the page's opening; the page says so, and how to have it anew.
    assert re.search(r"ranked at \d\d:\d\d:\d\d", shown)
    again = urlencode({"top": f"2:ready:mean:queue:{broker.pk}", "range": "5m"}, safe=":")
    assert f'href="?{again}">Rank again</a>' in urllib.parse.unquote(shown)
    client = signed_in(make_user("v", (Role.VIEWER, broker, "mine")))
    limited = page(client, top=f"5:ready:max:queue:{broker.pk}", range="5m")
    assert "secret" not in limited
    assert limited.index(">orders<") < limited.index(f">{HOSTILE}<")
    hidden = page(client, top=f"5:ready:max:queue:{broker.pk}:theirs", range="5m")
    assert "shop has no queues in vhost “theirs”, or none that you may see." in hidden


def test_it_adds_a_top_list_by_its_form(viewer: Client) -> None:
    broker = polled()
    form = {"top_n": "3", "top_of": f"queue:{broker.pk}:mine", "top_measure": "ready", "top_by": "max", "range": "1h"}
    answer = viewer.get(f"/charts?{urlencode(form)}")
    assert answer.status_code == 302
    assert (
        answer.headers["Location"]
        == f"/charts?{urlencode({'top': f'3:ready:max:queue:{broker.pk}:mine', 'range': '1h'})}"
    )


def test_it_gives_exact_values_as_csv(viewer: Client) -> None:
    broker = polled()
    series = (text("ready", "queue", broker, "mine", "orders"), text("ready", "queue", broker, "mine", HOSTILE))
    answer = viewer.get(address("/csv", *series, range="5m"))
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(
        r'attachment; filename="warren-\d{8}T\d{6}Z-\d{8}T\d{6}Z\.csv"', answer.headers["Content-Disposition"]
    )
    head, *rows = csv.reader(answer.content.decode().splitlines())
    assert head == ["time", "ready orders (mine · shop)", f"ready {HOSTILE} (mine · shop)"]
    assert [row[1] for row in rows if row[1]][-3:] == ["14", "15", "16"]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row[0]) for row in rows)


@pytest.mark.parametrize("window", [{"from": "2", "to": "1"}, {"from": "now"}, {"range": "1 year"}])
def test_a_window_that_makes_no_sense_is_no_file_of_another(viewer: Client, window: dict[str, str]) -> None:
    answer = viewer.get(address("/csv", text("ready", "queue", polled(), "mine", "orders"), **window))
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "text/plain"
    assert re.fullmatch(r"[A-Z][^,]+\.\n", answer.content.decode())


def test_its_queries_do_not_grow_with_its_series(viewer: Client) -> None:
    broker = polled()
    metrics = ("ready", "unacked", "consumers", "total")
    many = [text(metric, "queue", broker, "mine", name) for metric in metrics for name in ("orders", HOSTILE)]
    queries = []
    for series in (many, many[:1], many):
        with CaptureQueriesContext(connection) as asked:
            viewer.get(address("", *series, range="5m"))
        queries.append([one["sql"] for one in asked])
    _, one, every = queries
    assert len(every) <= len(one) + 1, "\n".join(every)


def test_it_finds_objects_by_what_is_typed(viewer: Client) -> None:
    broker = polled()
    drawn = text("ready", "queue", broker, "mine", "orders")
    picked = html.unescape(viewer.get(address("/pick", drawn, q="ORD", measure="memory")).content.decode())
    both = urlencode([("s", drawn), ("s", text("memory", "queue", broker, "mine", "orders"))])
    assert f'href="/charts?{both}"' in picked
    again = html.unescape(viewer.get(address("/pick", drawn, q="orders", measure="ready")).content.decode())
    assert "on the chart" in again
    every = html.unescape(viewer.get("/charts/pick?measure=ready").content.decode())
    kinds = re.findall(r">(broker|vhost|node|exchange|queue) · ", every)
    assert kinds == sorted(kinds, key=["broker", "vhost", "node", "exchange", "queue"].index)
    assert kinds[0] == "broker"
    nothing = viewer.get("/charts/pick?q=nothing-like-it&measure=ready").content.decode()
    assert "Nothing that is called" in nothing
    # A node has no messages.
    assert "rabbit@one" not in viewer.get("/charts/pick?q=rabbit&measure=ready").content.decode()
    assert "rabbit@one" in viewer.get("/charts/pick?q=rabbit&measure=memory_used").content.decode()


def test_it_leads_from_a_queues_chart_to_the_same_view(viewer: Client) -> None:
    broker = polled()
    shown = viewer.get(f"/brokers/{broker.pk}/queue?{urlencode({'vhost': 'mine', 'name': 'orders', 'range': '15m'})}")
    links = [html.unescape(link) for link in re.findall(r'href="([^"]+)" data-chart-explore', shown.content.decode())]
    assert len(links) == 4
    explored = html.unescape(viewer.get(links[0]).content.decode())
    assert ">Ready<" in explored
    assert ">Unacknowledged<" in explored
    assert "range=15m" in links[0]


def marks_of(content: str) -> list[dict[str, Any]]:
    found = re.search(r'<script id="chart-marks" type="application/json">(.*?)</script>', content, re.DOTALL)
    assert found
    marks: list[dict[str, Any]] = json.loads(found[1])
    return marks


def test_it_writes_notes_that_all_charts_show() -> None:
    broker = polled()
    client = signed_in(make_user("op", (Role.OPERATOR, broker, "mine")))
    series = text("ready", "queue", broker, "mine", "orders")
    fields = {"kind": "deploy", "text": "v1 <b>&", "at": "", "end": "", "scope": f"{broker.pk}:mine"}
    answer = client.post(address("", series, range="5m"), fields)
    assert answer.status_code == 302
    assert answer.headers["Location"] == address("", series, range="5m")
    shown = client.get(answer.headers["Location"]).content.decode()
    assert "<b>&" not in shown
    assert [mark["text"] for mark in marks_of(shown)] == ["v1 <b>&"]
    queue_page = client.get(f"/brokers/{broker.pk}/queue?vhost=mine&name=orders").content.decode()
    assert [mark["kind"] for mark in marks_of(queue_page)] == ["deploy"]
    assert [mark["text"] for mark in marks_of(client.get(f"/brokers/{broker.pk}").content.decode())] == ["v1 <b>&"]
    [note] = Annotation.objects.all()
    assert (note.vhost, note.who, note.broker_id) == ("mine", "op", broker.pk)
    stranger = signed_in(make_user("x", (Role.VIEWER, broker, "theirs")))
    assert marks_of(stranger.get(f"/brokers/{broker.pk}").content.decode()) == []
    assert stranger.post(f"/charts/notes/{note.pk}/remove").status_code == 404
    assert client.post(f"/charts/notes/{note.pk}/remove?range=5m").headers["Location"] == "/charts?range=5m"
    assert not Annotation.objects.exists()
    assert AuditEntry.objects.filter(action="annotation.remove", outcome="done").count() == 1


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"text": " "}, 422, "Say what happened."),
        ({"kind": "party"}, 422, "One of these is possible: deploy, incident, note."),
        ({"at": "soon"}, 422, "Enter when it was"),
        ({"at": "2026-01-01T10:00", "end": "2026-01-01T09:00"}, 422, "Enter an end that is not before the beginning"),
        ({"scope": "all"}, 403, "This needs the role operator on all brokers"),
        ({"scope": "999"}, 404, "There is no such broker"),
        ({"scope": "nonsense"}, 404, "There is no such broker"),
    ],
)
def test_it_says_why_a_note_is_not_written(change: dict[str, str], status: int, says: str) -> None:
    broker = polled()
    client = signed_in(make_user("op", (Role.OPERATOR, broker)))
    fields = {"kind": "note", "text": "kept text", "at": "", "end": "", "scope": str(broker.pk), **change}
    answer = client.post(address("", text("ready", "queue", broker, "mine", "orders")), fields)
    assert answer.status_code == status
    content = html.unescape(answer.content.decode())
    assert says in content
    if status == 422 and "text" not in change:
        assert 'value="kept text"' in content
    assert not Annotation.objects.exists()


def test_a_viewer_is_offered_no_form(viewer: Client) -> None:
    broker = polled()
    assert "Write a note" not in page(viewer, text("ready", "queue", broker, "mine", "orders"))


def test_it_begins_empty(viewer: Client) -> None:
    broker = polled()
    shown = page(viewer)
    assert "Nothing is drawn yet" in shown
    assert "Flow and backlog of shop" in shown
    assert text("publish_rate", "broker", broker).replace(":", "%3A") in shown
    assert "plotly" not in shown
    nobody = page(signed_in(make_user("n")))
    assert "You may not see any broker yet" in nobody
    assert "Add a series" not in nobody


def test_it_leads_to_the_first_broker_where_there_is_none() -> None:
    administrator = signed_in(make_user("a", Role.ADMINISTRATOR))
    for shown in (page(administrator), administrator.get("/settings/collector").content.decode()):
        assert "/settings/brokers/add" in shown
