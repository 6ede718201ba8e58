"""The pages of fleet, broker and collector: right for each person, whatever things are called."""

from __future__ import annotations

import re
import time

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from brokers.collect.models import BrokerEvent, PollState
from brokers.registry.details import NodeDetail, VhostDetail
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from dashboard import formats
from dashboard.accounts.models import AuditEntry, Role, User
from dashboard.queries.need import SHOWN
from tests.support.builders import Seen, append_snapshot, make_broker, make_user, seen_queue

pytestmark = pytest.mark.django_db
HOSTILE = "<script>alert('x')</script>\"%2F../\u202eabc\n😀"
HOST = "10.4.0.12"


def now() -> int:
    return time.time_ns() // 1_000_000


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def polled(name: str = "shop", vhosts: tuple[str, ...] = ("mine", "theirs")) -> Broker:
    """A broker with a node, and in every vhost a queue that nobody consumes."""
    broker = make_broker(name, management_url=f"http://{HOST}:15672", password="stored-secret")
    for moment, counted in ((now() - 10_000, 0), (now(), 100)):
        append_snapshot(
            broker,
            {
                Kind.NODE: [
                    Seen("", "rabbit@secret-node", {"running": 1, "memory_used": 9, "memory_limit": 10}, NodeDetail())
                ],
                Kind.VHOST: [
                    Seen("", vhost, {"queues": 1, "ready": 7, "published": counted}, VhostDetail()) for vhost in vhosts
                ],
                Kind.QUEUE: [seen_queue(vhost, f"queue of {vhost}", ready=7, consumers=0) for vhost in vhosts],
            },
            whole={"ready": 7_654_321, "queues": len(vhosts), "connections": 4_321, "published": counted},
            at_ms=moment,
        )
    return broker


def fail(broker: Broker) -> None:
    PollState.objects.filter(broker=broker).update(
        failures=3,
        failing_since_ms=now(),
        error_sentence=f"Connection refused on {HOST}:15672.",
        error_remedy="Start the broker.",
    )


@pytest.mark.parametrize("path", ["/", "/brokers/{id}", "/settings/collector"])
def test_it_asks_for_a_sign_in(path: str) -> None:
    broker = polled()
    assert Client().get(path.format(id=broker.pk)).status_code == 302


@pytest.mark.parametrize("path", ["/", "/brokers/{id}", "/settings/collector", "/settings/brokers"])
def test_it_shows_each_page_of_a_broker_that_answers_and_of_one_that_does_not(path: str) -> None:
    broker = polled()
    client = signed_in(make_user("admin", Role.ADMINISTRATOR))
    answers = client.get(path.format(id=broker.pk))
    assert answers.status_code == 200
    assert "shop" in answers.content.decode()
    fail(broker)
    silent = client.get(path.format(id=broker.pk)).content.decode()
    assert f"Connection refused on {HOST}:15672." in silent


@pytest.mark.parametrize("path", ["/", "/brokers/{id}", "/settings/collector"])
@pytest.mark.parametrize("down", [False, True])
def test_it_shows_a_person_limited_to_a_vhost_nothing_else(path: str, down: bool) -> None:
    broker, other = polled(), polled("other-broker")
    BrokerEvent.objects.create(broker=broker, at_ms=now(), kind="x", severity="notice", sentence="event-of-the-whole")
    if down:
        fail(broker)
    page = signed_in(make_user("v", (Role.VIEWER, broker, "mine"))).get(path.format(id=broker.pk))
    assert page.status_code == 200
    text = page.content.decode()
    for hidden in ("theirs", "other-broker", "secret-node", HOST, "7,654,321", "4,321", "event-of-the-whole", "watch"):
        assert hidden not in text
    assert signed_in(make_user("w", (Role.VIEWER, broker, "mine"))).get(f"/brokers/{other.pk}").status_code == 404


def test_it_says_of_what_a_person_limited_to_a_vhost_does_not_see_that_it_is_there() -> None:
    broker = polled()
    limited = signed_in(make_user("v", (Role.VIEWER, broker, "mine")))
    text = limited.get("/settings/collector").content.decode()
    assert "1 broker of which you see only vhosts is left out." in text
    assert "Not yours to see" in text
    assert "There is no broker to poll yet." not in text
    # Of nodes they see nothing: a column of empty cells would say that there are none.
    assert ">Nodes</th>" not in limited.get("/").content.decode()
    whole = make_broker("whole")
    both = signed_in(make_user("b", (Role.VIEWER, broker, "mine"), (Role.VIEWER, whole, "")))
    fleet = both.get("/").content.decode()
    assert ">Nodes</th>" in fleet
    assert fleet.count("Nodes are shown to those who see the whole broker.") == 3


def test_it_shows_an_empty_fleet_with_the_way_on() -> None:
    assert "/settings/brokers/add" in signed_in(make_user("a", Role.ADMINISTRATOR)).get("/").content.decode()
    nobody = signed_in(make_user("n")).get("/").content.decode()
    assert "/settings/brokers/add" not in nobody
    assert "You may not see any broker yet" in nobody


def test_it_shows_a_new_broker_before_its_first_poll() -> None:
    broker = make_broker("fresh")
    client = signed_in(make_user("a", Role.ADMINISTRATOR))
    assert "fresh" in client.get("/").content.decode()
    assert client.get(f"/brokers/{broker.pk}").status_code == 200
    assert client.get("/settings/collector").status_code == 200


@pytest.mark.parametrize("path", ["/", "/brokers/{id}", "/settings/collector", "/settings/brokers"])
def test_it_escapes_every_name(path: str) -> None:
    broker = polled(HOSTILE[:40], (HOSTILE, "/"))
    fail(broker)
    PollState.objects.filter(broker=broker).update(failures=0, error_sentence=HOSTILE)
    BrokerEvent.objects.create(broker=broker, at_ms=now(), kind="x", severity="notice", sentence=HOSTILE)
    page = signed_in(make_user("a", Role.ADMINISTRATOR)).get(path.format(id=broker.pk))
    assert page.status_code == 200
    assert "<script>alert" not in page.content.decode()


@pytest.mark.parametrize("path", ["/brokers/999999", "/brokers/999999/try-now"])
def test_it_knows_no_broker_that_is_not_there(path: str) -> None:
    client = signed_in(make_user("a", Role.ADMINISTRATOR))
    assert (client.post(path) if path.endswith("now") else client.get(path)).status_code == 404


def test_it_makes_a_broker_due_at_once_for_operators_only() -> None:
    broker = polled()
    assert signed_in(make_user("v", (Role.VIEWER, broker))).post(f"/brokers/{broker.pk}/try-now").status_code == 403
    assert PollState.objects.get(broker=broker).next_due_ms > 0
    operator = signed_in(make_user("o", (Role.OPERATOR, broker)))
    assert operator.get(f"/brokers/{broker.pk}/try-now").status_code == 405
    assert operator.post(f"/brokers/{broker.pk}/try-now").status_code == 302
    assert PollState.objects.get(broker=broker).next_due_ms == 0
    assert AuditEntry.objects.filter(action="broker.poll_now", outcome="done").count() == 1


def test_it_offers_try_now_only_to_those_who_may() -> None:
    broker = polled()
    fail(broker)
    viewer = signed_in(make_user("v", (Role.VIEWER, broker))).get(f"/brokers/{broker.pk}").content.decode()
    operator = signed_in(make_user("o", (Role.OPERATOR, broker))).get(f"/brokers/{broker.pk}").content.decode()
    assert "Try now" not in viewer
    assert "Try now" in operator


@pytest.mark.parametrize(("path", "most"), [("/", 4), ("/brokers/{id}", 5), ("/settings/collector", 1)])
def test_it_asks_no_more_the_more_there_is(path: str, most: int) -> None:
    brokers = [polled(f"broker-{number}", tuple(f"v{one}" for one in range(1 + 5 * number))) for number in range(3)]
    counts = []
    for seen in (brokers[:1], brokers[-1:]):
        user = make_user(None, *((Role.VIEWER, broker) for broker in seen))
        client = signed_in(user)
        client.get(path.format(id=seen[0].pk))
        with CaptureQueriesContext(connection) as asked:
            client.get(path.format(id=seen[0].pk))
        counts.append(len(asked))
    assert counts[0] == counts[1]
    assert counts[0] <= most + 12


@pytest.mark.parametrize("rest", ["", "/points", "/queues", "/queue?vhost=a&name=b", "/queue/points?vhost=a&name=b"])
def test_it_answers_404_for_a_number_that_no_column_holds(rest: str) -> None:
    assert signed_in(make_user(None, Role.ADMINISTRATOR)).get(f"/brokers/{2**63}{rest}").status_code == 404


def test_it_says_the_day_of_figures_that_are_not_of_today() -> None:
    broker = make_broker("shop")
    past = now() - 3 * 86_400_000
    append_snapshot(broker, {Kind.QUEUE: [seen_queue("mine", "orders", ready=7)]}, whole={"ready": 7}, at_ms=past)
    fail(broker)
    PollState.objects.filter(broker=broker).update(failing_since_ms=past)
    admin = signed_in(make_user("admin", Role.ADMINISTRATOR))
    for path in (f"/brokers/{broker.pk}", f"/brokers/{broker.pk}/queues"):
        text = admin.get(path).content.decode()
        day = formats.clock(past)
        assert re.fullmatch(r"\d+ \w+ [\d: ]+", day)
        assert f">{day}</time>, nothing new since" in text
        assert f">{day}</time>.</b>" in text


def test_it_lists_of_very_many_things_that_need_somebody_the_worst() -> None:
    broker = polled(vhosts=tuple(f"tenant-{number:02}" for number in range(SHOWN + 3)))
    text = signed_in(make_user("admin", Role.ADMINISTRATOR)).get(f"/brokers/{broker.pk}").content.decode()
    assert text.count('<div class="note" data-key=') == SHOWN
    # Its node is short of memory, too.
    assert "4 more of less weight" in text
