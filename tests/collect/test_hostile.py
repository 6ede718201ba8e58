"""What a broker or what stands before it does to a poll in the middle of its life, and what the collector page says."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from brokers.collect import claims, poll
from brokers.collect.frame import PLAIN_NAMES
from brokers.collect.models import PollState
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from brokers.series.models import Snapshot
from dashboard.accounts.models import Role
from tests.collect.conftest import Tick, directory, newest, register
from tests.support.brokers import TestBroker
from tests.support.builders import make_broker, make_user
from tests.support.certificates import make_pair, server_context
from tests.support.misbehaving import (
    Behaviour,
    Misbehaving,
    Request,
    Talk,
    answers,
    by_path,
    cut_off,
    floods,
    misbehaving,
    never,
)

pytestmark = pytest.mark.django_db(transaction=True)

WHO = 'rabbitmq_identity_info{rabbitmq_node="a@127.0.0.1",rabbitmq_cluster="a",rabbitmq_cluster_permanent_id="x"} 1\n'
DEPTH = "".join(
    f'# TYPE rabbitmq_detailed_queue_{name} gauge\nrabbitmq_detailed_queue_{name}{{vhost="/",queue="orders"}} {value}\n'
    for name, value in (("messages_ready", 7), ("messages_unacked", 2), ("messages", 9))
)
BODY = "# TYPE rabbitmq_identity_info untyped\n" + WHO + DEPTH


@pytest.fixture
def prometheus() -> Iterator[tuple[Misbehaving, dict[str, Behaviour]]]:
    """A node's endpoint: who it is it always tells; the rest as the dictionary's `rest` says."""
    held: dict[str, Behaviour] = {"rest": answers(BODY, content_type="text/plain")}

    def behave(talk: Talk, request: Request) -> None:
        if "family=identity" in request.path:
            answers(BODY, content_type="text/plain")(talk, request)
        else:
            held["rest"](talk, request)

    with misbehaving(behave) as server:
        yield server, held


def management(*ports: int, nodes: tuple[str, ...] = ("a@127.0.0.1",)) -> dict[str, Behaviour]:
    listeners = [
        {"node": f"{name}@127.0.0.1", "ip_address": "127.0.0.1", "port": port, "protocol": "http/prometheus"}
        for name, port in zip("abc", ports, strict=False)
    ]
    return {
        "/api/overview": answers({"rabbitmq_version": "4.0.5", "listeners": listeners}),
        "/api/nodes": answers([{"name": node, "running": True} for node in nodes]),
        "/api/feature-flags": answers([]),
    }


def collector_page() -> str:
    client = Client()
    client.force_login(make_user(None, Role.VIEWER))
    answer = client.get("/settings/collector")
    assert answer.status_code == 200
    return answer.content.decode()


def once(row: Broker) -> poll.Outcome:
    claims.due(0)
    PollState.objects.filter(broker=row).update(next_due_ms=0)
    claimed = claims.claim(row.id, poll.now_ms())
    assert claimed is not None
    return poll.guarded(row.id, claimed.token)


@pytest.mark.parametrize("value", ["+Inf", "-Inf", "NaN", "1e308", "-7", "1e-320"])
def test_figures_that_can_be_none_break_no_page(
    prometheus: tuple[Misbehaving, dict[str, Behaviour]], value: str
) -> None:
    node, held = prometheus
    strange = BODY.replace("} 7\n", f"}} {value}\n").replace("} 2\n", f"}} {value}\n")
    plain = "".join(f"{name} {value}\n" for name in sorted(PLAIN_NAMES))
    held["rest"] = answers(strange + plain, content_type="text/plain")
    with misbehaving(by_path(management(node.port))) as api:
        row = make_broker("shop", management_url=api.url)
        for _ in range(4):
            assert once(row) is poll.Outcome.STORED
    client = Client()
    client.force_login(make_user("mara", Role.ADMINISTRATOR))
    queue = "vhost=%2F&name=orders"
    for path in ("/", "/queues", f"/brokers/{row.pk}", f"/brokers/{row.pk}/queue?{queue}", "/settings/collector"):
        assert client.get(path).status_code == 200, path
    for path in ("/metrics", f"/api/v1/brokers/{row.pk}", f"/api/v1/brokers/{row.pk}/queues"):
        answer = client.get(path)
        assert answer.status_code == 200, path
    json.loads(answer.content, parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        (answers(BODY.removesuffix("\n"), content_type="text/plain"), "ended its answer in the middle"),
        (cut_off(BODY.encode(), 9999, Content_Type="text/plain"), "ended its answer in the middle"),
        (floods(200 * 1024 * 1024), "are accepted"),
        (answers("<html><title>Login</title></html>", content_type="text/html"), "HTML page"),
        (answers({"metrics": 5}), "not RabbitMQ"),
        (answers("who are you?", 401), "lets nobody read its Prometheus endpoint"),
        (answers("oops", 500), "HTTP 500"),
        (answers(BODY.replace("a@127", "b@127"), content_type="text/plain"), "not for “a@127.0.0.1”"),
    ],
    ids=["truncated", "cut off", "200 MB", "HTML", "JSON", "401", "500", "another node"],
)
def test_what_comes_in_place_of_figures_is_said_and_nothing_is_stored(
    prometheus: tuple[Misbehaving, dict[str, Behaviour]], behaviour: Behaviour, says: str
) -> None:
    node, held = prometheus
    with misbehaving(by_path(management(node.port))) as api:
        row = make_broker("shop", management_url=api.url)
        assert once(row) is poll.Outcome.STORED
        good = held["rest"]
        held["rest"] = behaviour
        for _ in range(2):
            assert once(row) is poll.Outcome.FAILED
        assert says in PollState.objects.get(broker=row).error_sentence
        assert Snapshot.objects.filter(broker_id=row.id).count() == 1
        assert says in collector_page().replace("&quot;", '"')
        held["rest"] = good
        assert once(row) is poll.Outcome.STORED
        assert newest(row).table(Kind.QUEUE).column("ready").tolist() == [7]
        assert says not in collector_page()


def test_a_password_that_is_changed_is_said_and_its_return_ends_it(any_broker: TestBroker, vhost: str) -> None:
    name = f"watch-{time.time_ns()}"

    def password(value: str) -> None:
        any_broker.api("PUT", f"users/{name}", {"password": value, "tags": "monitoring"})

    password("first")
    try:
        any_broker.api("PUT", f"permissions/{vhost}/{name}", {"configure": "", "write": "", "read": ""})
        row = register(any_broker)
        watched = make_broker("watched", management_url=any_broker.management, username=name, password="first")
        assert (once(row), once(watched)) == (poll.Outcome.STORED, poll.Outcome.STORED)
        password("second")
        for _ in range(2):
            assert once(watched) is poll.Outcome.FAILED
        state = PollState.objects.get(broker=watched)
        assert state.error_kind == "unauthorised"
        page = collector_page()
        assert name in page
        assert "first" not in state.error_sentence + state.error_remedy
        assert once(row) is poll.Outcome.STORED
        password("first")
        assert once(watched) is poll.Outcome.STORED
    finally:
        any_broker.api("DELETE", f"users/{name}", expect=(404,))


def test_a_certificate_that_expires_in_mid_run_is_said(tmp_path: Path) -> None:
    authority = make_pair("authority", authority=True)
    pairs = [make_pair("broker", "127.0.0.1", signed_by=authority, days=days) for days in ((-9, 9), (-9, -1))]
    paths = {"/api/overview": answers({"rabbitmq_version": "4.0.5"}), "/api/queues": answers([])}
    row: Broker | None = None
    for number, pair in enumerate(pairs):
        folder = tmp_path / str(number)
        folder.mkdir()
        tls: ssl.SSLContext = server_context(folder, pair)
        with misbehaving(by_path(paths), tls=tls) as api:
            if row is None:
                row = make_broker("shop", management_url=api.url, ca_pem=authority.cert_pem)
                assert once(row) is poll.Outcome.STORED
                continue
            Broker.objects.filter(id=row.id).update(management_url=api.url, revision=row.revision + 1)
            for _ in range(2):
                assert once(row) is poll.Outcome.FAILED
    assert row is not None
    assert PollState.objects.get(broker=row).error_kind == "tls_expired"
    assert "expired" in collector_page()


def test_a_node_that_is_taken_out_of_the_cluster_delays_nobody(
    prometheus: tuple[Misbehaving, dict[str, Behaviour]],
) -> None:
    """Its address is known until the broker is asked again what it can do."""
    node, _ = prometheus
    there = {"/metrics/detailed": answers(BODY.replace("a@127", "b@127"), content_type="text/plain")}
    with misbehaving(by_path(there)) as other:
        paths = management(node.port, other.port, nodes=("a@127.0.0.1", "b@127.0.0.1"))
        with misbehaving(by_path(paths)) as api:
            row = make_broker("shop", management_url=api.url)
            assert once(row) is poll.Outcome.STORED
            assert len(newest(row).table(Kind.NODE).slots) == 2
            paths["/api/nodes"] = management(node.port)["/api/nodes"]
            there["/metrics/detailed"] = never
            began = time.monotonic()
            assert once(row) is poll.Outcome.STORED
            assert time.monotonic() - began < 2.5
            assert newest(row).complete
            slot = directory(row).slot(Kind.NODE, "", "a@127.0.0.1")
            assert newest(row).table(Kind.NODE).slots.tolist() == [slot]


def test_queues_with_any_character_in_their_names_are_watched_by_one_name(
    broker: TestBroker, vhost: str, tick: Tick, read: Tick
) -> None:
    """The figures' and the definitions' way to write a name lead to the same object, which any database can store."""
    odd = [
        "a\x00b",
        "\x01",
        "a\tb",
        "\u2028\u202e",
        "é🐇",
        'a"b\\c}',
        'a{x="1"} 5',
        " a ",
        "a\\u0000b",
        '"} 7 #',
        "z" * 255,
    ]
    with broker.connect(vhost) as connection:
        for name in odd:
            connection.channel().queue_declare(name)
    row = register(broker)
    # Until a first statistics tick brought the queues.
    wanted = {name.replace("\0", "\ufffd") for name in odd}
    for _ in range(60):
        assert tick(row) is poll.Outcome.STORED
        there = {name.name: slot for name, slot in directory(row).by_name[Kind.QUEUE].items() if name.vhost == vhost}
        if wanted <= there.keys():
            break
        time.sleep(0.2)
    assert there.keys() == wanted
    read(row)
    known = directory(row)
    assert {name.name: slot for name, slot in known.by_name[Kind.QUEUE].items() if name.vhost == vhost} == there
    assert all(b'"type":"classic"' in known.by_slot[Kind.QUEUE][slot].detail for slot in there.values())


def test_a_vhost_with_an_endless_name_costs_the_others_nothing(tick: Tick, read: Tick) -> None:
    """RabbitMQ takes one over HTTP; no column and no index of PostgreSQL's would."""
    names = ["/", "v" * 1020, "w" * 1021, "é" * 1000]
    queues = [{"name": "orders", "vhost": name, "messages_ready": 1, "messages_unacknowledged": 0} for name in names]
    queues.append({"name": "q" * 1600, "vhost": "v" * 1000, "messages_ready": 1, "messages_unacknowledged": 0})
    paths = {
        "/api/overview": answers({"rabbitmq_version": "4.0.5"}),
        "/api/vhosts": answers([{"name": name} for name in names]),
        "/api/queues": answers(queues),
        "/api/exchanges": answers([{"name": "", "vhost": name} for name in names]),
    }
    with misbehaving(by_path(paths)) as api:
        row = make_broker("shop", management_url=api.url)
        assert tick(row) is poll.Outcome.STORED
        assert tick(row) is poll.Outcome.STORED
        assert read(row) is poll.Outcome.STORED
    known = directory(row).by_name
    assert {name.name[0] for name in known[Kind.VHOST]} == {"/", "v", "é"}
    assert {name.vhost[0] for name in known[Kind.QUEUE]} == {"/", "v", "é"}
    assert len(known[Kind.QUEUE]) == 3
    assert (
        "4 objects have names that are too long to be kept, and are not watched."
        in PollState.objects.get(broker=row).definitions_error
    )


def test_a_tick_asks_the_database_no_more_the_more_queues_there_are(tick: Tick) -> None:
    counts = []
    for number in (10, 2000):
        queues: list[dict[str, Any]] = [
            {"name": f"q{index}", "vhost": f"v{index % 9}", "messages_ready": 1, "messages_unacknowledged": 0}
            for index in range(number)
        ]
        paths = {"/api/overview": answers({"rabbitmq_version": "4.0.5"}), "/api/queues": answers(queues)}
        with misbehaving(by_path({**paths, "/api/exchanges": answers([])})) as api:
            row = make_broker(management_url=api.url)
            for _ in range(3):
                assert tick(row) is poll.Outcome.STORED
            with CaptureQueriesContext(connection) as asked:
                assert once(row) is poll.Outcome.STORED
        counts.append(len(asked))
    assert counts[0] == counts[1] <= 16
