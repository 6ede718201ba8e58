"""The queue page, its points and its part that is asked of the broker: right for each person and for any name."""

from __future__ import annotations

import json
import re
import time
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from brokers.collect import streams
from brokers.collect.models import PollState
from brokers.registry.details import QueueDetail, VhostDetail
from brokers.registry.models import Broker, BrokerObject
from brokers.series.metrics import Kind
from dashboard.accounts.models import Role, User
from tests.support.builders import Seen, append_snapshot, make_broker, make_user, seen_queue

pytestmark = pytest.mark.django_db
HOSTILE = "<script>alert('x')</script><b>\"%2F../\u202eabc\n😀</script>"
HOST = "10.4.0.12"
DETAIL = QueueDetail(
    type="quorum", durable=True, state="running", node="rabbit@secret-node", members=("rabbit@secret-node",)
)
PARTS = ["queue", "queue/points", "queue/asked"]


def now() -> int:
    return time.time_ns() // 1_000_000


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def polled(name: str = "shop", *queues: tuple[str, str], **figures: float) -> Broker:
    broker = make_broker(name, management_url=f"http://{HOST}:9", password="stored-secret")
    named = queues or (("mine", "orders"), ("theirs", "orders of theirs"))
    for number, moment in enumerate((now() - 10_000, now() - 300)):
        rows = [
            seen_queue(
                vhost,
                queue,
                detail=DETAIL,
                **{
                    "ready": 7,
                    "unacked": 2,
                    "consumers": 1,
                    "published": 100.0 * number,
                    "consumer_state": 1,
                    **figures,
                },
            )
            for vhost, queue in named
        ]
        vhosts = [
            Seen("", vhost, {"ready": 7.0, "published": 100.0 * number}, VhostDetail())
            for vhost in {one[0] for one in named}
        ]
        append_snapshot(broker, {Kind.QUEUE: rows, Kind.VHOST: vhosts}, whole={"ready": 7_654_321.0}, at_ms=moment)
    return broker


def address(broker: Broker, vhost: str = "mine", name: str = "orders", part: str = "queue", **more: str) -> str:
    return f"/brokers/{broker.pk}/{part}?{urlencode({'vhost': vhost, 'name': name, **more})}"


def bare(answer: Any) -> str:
    """Return a page without what differs each time."""
    return re.sub(r'CSRFToken": "[^"]+"|csrfmiddlewaretoken" value="[^"]+"', "", answer.content.decode())


def data_of(page: str, key: str) -> Any:
    found = re.search(rf'<script id="chart-{key}" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_it_shows_a_queue_with_its_first_points() -> None:
    broker = polled()
    page = signed_in(make_user("a", Role.VIEWER)).get(address(broker, range="15m")).content.decode()
    told = data_of(page, "waiting")
    assert told["points"]["values"]["ready"][-1] == 7
    assert told["window"]["range"] == "15m"
    assert 'data-topic="queue"' in page
    assert "Keeping up" in page
    assert "no message was read" in page


def test_it_leaves_the_points_of_long_ranges_to_a_second_request() -> None:
    broker = polled()
    client = signed_in(make_user("a", Role.VIEWER))
    assert data_of(client.get(address(broker, range="24h")).content.decode(), "waiting")["points"] is None
    told = client.get(address(broker, part="queue/points", range="24h")).json()
    assert told["charts"]["waiting"]["values"]["ready"][-1] == 7
    assert data_of(client.get(address(broker, range="24h")).content.decode(), "waiting")["points"] is not None


def test_it_shows_exactly_the_window_of_its_address() -> None:
    broker = polled()
    start, end = now() - 60_000, now() - 5_000
    page = (
        signed_in(make_user("a", Role.VIEWER))
        .get(address(broker, **{"from": str(start), "to": str(end)}))
        .content.decode()
    )
    told = data_of(page, "flow")
    said = {"says": "every poll, 5 s apart"}
    assert told["window"] == {"start": start, "end": end, "step": 1000, "range": "", **said}
    assert 'aria-pressed="false">Follow' in page


@pytest.mark.parametrize("part", PARTS)
def test_it_does_not_exist_for_who_may_not_see_it(part: str) -> None:
    broker, other = polled(), polled("other")
    client = signed_in(make_user("v", (Role.VIEWER, broker, "mine")))
    assert client.get(address(broker, part=part)).status_code == 200
    hidden = client.get(address(broker, "theirs", "orders of theirs", part=part))
    absent = client.get(address(broker, "theirs", "orders if theirs", part=part))
    assert hidden.status_code == absent.status_code == 404
    assert bare(hidden).replace("orders of", "orders if") == bare(absent)
    assert client.get(address(other, part=part)).status_code == 404
    assert Client().get(address(broker, part=part)).status_code == 302


def test_it_offers_only_names_that_the_person_sees() -> None:
    broker = polled()
    missing = address(broker, "theirs", "orders of their")
    limited = signed_in(make_user("v", (Role.VIEWER, broker, "mine"))).get(missing)
    assert limited.status_code == 404
    assert "orders of theirs" not in limited.content.decode()
    assert "vhost=mine&amp;name=orders" in limited.content.decode()
    whole = signed_in(make_user("a", Role.VIEWER)).get(missing)
    assert whole.status_code == 404
    assert "orders of theirs" in whole.content.decode()


def test_it_asks_the_database_as_much_for_a_hidden_queue_as_for_one_that_is_not_there() -> None:
    broker = polled()
    client = signed_in(make_user("v", (Role.VIEWER, broker, "mine")))
    client.get(address(broker))
    counts = []
    for name in ("orders of theirs", "nothing"):
        with CaptureQueriesContext(
            connection,
        ) as asked:
            client.get(address(broker, "theirs", name))
        counts.append(len(asked))
    assert counts[0] == counts[1]


def test_it_tells_no_node_host_or_user_to_who_sees_vhosts_only() -> None:
    broker = polled()
    PollState.objects.filter(broker=broker).update(
        failures=3, failing_since_ms=now(), error_sentence=f"Connection refused on {HOST}:9.", error_remedy="Start it."
    )
    client = signed_in(make_user("v", (Role.VIEWER, broker, "mine")))
    for part in ("queue", "queue/asked"):
        page = client.get(address(broker, part=part)).content.decode()
        assert HOST not in page
        assert "secret-node" not in page
        assert "stored-secret" not in page
    whole = signed_in(make_user("a", Role.VIEWER)).get(address(broker)).content.decode()
    assert f"Connection refused on {HOST}:9." in whole
    assert "Stale" in whole


def test_it_stays_with_what_is_stored_where_the_broker_does_not_answer() -> None:
    broker = polled()
    page = signed_in(make_user("a", Role.VIEWER)).get(address(broker, part="queue/asked"))
    assert page.status_code == 200
    assert "Consumers unknown." in page.content.decode()
    assert "quorum, durable" in page.content.decode()


def test_it_asks_nothing_of_a_paused_broker() -> None:
    broker = polled()
    Broker.objects.filter(pk=broker.pk).update(paused=True)
    page = signed_in(make_user("a", Role.VIEWER)).get(address(broker, part="queue/asked")).content.decode()
    assert "Polling of shop is paused: nothing is asked of it." in page


@pytest.mark.parametrize("part", PARTS)
def test_it_is_right_for_any_name(part: str) -> None:
    broker = polled("hostile", (HOSTILE, HOSTILE))
    answer = signed_in(make_user("a", Role.ADMINISTRATOR)).get(address(broker, HOSTILE, HOSTILE, part))
    assert answer.status_code == 200
    page = answer.content.decode()
    assert "<script>alert" not in page
    assert '<b>"' not in page
    if part == "queue":
        told = data_of(page, "waiting")
        assert HOSTILE not in json.dumps(told["figure"])
        assert "hx-get" in page


def test_it_keeps_the_history_of_a_queue_that_is_gone() -> None:
    broker = polled()
    gone = now() - 60_000
    BrokerObject.objects.filter(broker=broker, kind="queue", vhost="mine").update(gone_ms=gone)
    BrokerObject.objects.filter(broker=broker).update(revision=10_000)
    client = signed_in(make_user("a", Role.VIEWER))
    page = client.get(address(broker, range="15m")).content.decode()
    assert "Gone" in page
    assert "for the last time" in page
    assert data_of(page, "waiting")["points"]["times"]


def test_it_finds_a_queue_gone_that_the_newest_snapshot_does_not_have() -> None:
    broker = polled()
    append_snapshot(broker, {Kind.QUEUE: [seen_queue("theirs", "orders of theirs", ready=1)]})
    page = signed_in(make_user("a", Role.VIEWER)).get(address(broker)).content.decode()
    assert "Gone" in page


def test_it_says_how_a_closed_vhost_is_opened() -> None:
    broker = make_broker("closed", username="watch")
    append_snapshot(
        broker,
        {
            Kind.QUEUE: [seen_queue("my vhost", "q")],
            Kind.VHOST: [Seen("", "my vhost", {}, VhostDetail(readable=False))],
        },
    )
    whole = signed_in(make_user("a", Role.VIEWER)).get(address(broker, "my vhost", "q")).content.decode()
    assert "Closed to Warren" in whole
    assert "rabbitmqctl set_permissions -p &#x27;my vhost&#x27; watch" in whole
    limited = (
        signed_in(make_user("v", (Role.VIEWER, broker, "my*"))).get(address(broker, "my vhost", "q")).content.decode()
    )
    assert "rabbitmqctl" not in limited


@pytest.mark.parametrize(
    "query", ["", "?vhost=mine", "?name=orders", "?vhost=%00&name=%00", "?vhost=mine&name=orders&range=%00"]
)
def test_it_survives_any_query(query: str) -> None:
    broker = polled()
    client = signed_in(make_user("a", Role.VIEWER))
    for part in PARTS:
        assert client.get(f"/brokers/{broker.pk}/{part}{query}").status_code in {200, 404}
    assert client.post(address(broker)).status_code == 405


def test_it_sums_a_brokers_charts_over_the_vhosts_that_a_person_sees() -> None:
    broker = polled()
    whole = signed_in(make_user("a", Role.VIEWER)).get(f"/brokers/{broker.pk}/points?range=5m").json()
    assert whole["charts"]["waiting"]["values"]["ready"][-1] == 7_654_321
    assert "churn" in whole["charts"]
    limited = (
        signed_in(make_user("v", (Role.VIEWER, broker, "mine"))).get(f"/brokers/{broker.pk}/points?range=5m").json()
    )
    assert limited["charts"]["waiting"]["values"]["ready"][-1] == 7
    assert "churn" not in limited["charts"]
    assert limited["charts"]["flow"]["values"]["confirm_rate"] == [None, None]
    assert "7654321" not in json.dumps(limited)
    nothing = (
        signed_in(make_user("n", (Role.VIEWER, broker, "none-such")))
        .get(f"/brokers/{broker.pk}/points?range=5m")
        .json()
    )
    assert nothing["charts"]["waiting"]["times"] == []


def test_it_charts_a_broker_on_its_page() -> None:
    broker = polled()
    page = signed_in(make_user("a", Role.VIEWER)).get(f"/brokers/{broker.pk}?range=5m").content.decode()
    assert data_of(page, "waiting")["points"]["values"]["ready"][-1] == 7_654_321
    assert data_of(page, "churn")


def test_a_stream_shows_who_reads_it_by_group_and_how_far_behind() -> None:
    broker = polled("shop", ("mine", "events"), ("mine", "orders"))
    one = BrokerObject.objects.get(broker=broker, kind=Kind.QUEUE.value, name="events")
    BrokerObject.objects.filter(pk=one.pk).update(detail=msgspec.json.encode(QueueDetail(type="stream")))
    client = signed_in(make_user("anna", (Role.VIEWER, broker, "mine")))
    readers = (
        streams.Reader("mine", "events", HOSTILE, "a -> b", 1, True, 1_040, 20, 12.0),
        streams.Reader("mine", "events", HOSTILE, "a -> c", 2, False, 10, 1_050, 3_700.0, at_least=True),
        streams.Reader("theirs", "events", "hidden group", "x -> y", 3, True, 10, 1, 1.0),
    )
    told = streams.encode(streams.Readers(now(), 3, readers))
    PollState.objects.filter(broker=broker).update(stream_readers=told)
    page = client.get(address(broker, name="events")).content.decode()
    assert "a -&gt; b, subscription 1" in page
    assert "waits for its turn" in page
    assert "1,040" in page
    assert "hidden group" not in page
    assert "<script>alert(" not in page
    # The group is as late as the one of it that reads; who waits for its turn is no measure of it.
    groups = re.findall(r"<b>([^<]*)</b></td><td class=\"num\"><b>([^<]*)</b>", page)
    assert groups == [("20", "12 s")]
    PollState.objects.filter(broker=broker).update(stream_readers=streams.encode(streams.Readers(why="It is off.")))
    assert "It is off." in client.get(address(broker, name="events")).content.decode()
    assert "Readers by the stream protocol" not in client.get(address(broker, name="orders")).content.decode()
