"""The queue page on real brokers: what it says of classic, quorum and stream queues is what the broker holds."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from html import unescape
from urllib.parse import quote, urlencode

import pika
import pytest
from django.test import Client

from brokers.collect import poll
from brokers.registry import services
from brokers.registry.models import Broker
from dashboard.accounts.models import Role
from dashboard.queries import queue_asked
from tests.collect.conftest import register
from tests.support.brokers import TestBroker
from tests.support.builders import make_user

# Rows are written by transactions of their own while the broker is polled.
pytestmark = pytest.mark.django_db(transaction=True)
Tick = Callable[[Broker], poll.Outcome]
HOSTILE = '<script>alert(1)</script> "%2F../ <b>&amp; \u202e😀'


@pytest.fixture
def client() -> Client:
    made = Client()
    made.force_login(make_user(None, Role.VIEWER))
    return made


def text(client: Client, broker: Broker, vhost: str, name: str, part: str = "queue") -> str:
    answer = client.get(f"/brokers/{broker.pk}/{part}?{urlencode({'vhost': vhost, 'name': name})}")
    assert answer.status_code == 200, answer.content[:500]
    return answer.content.decode()


def seen(tick: Tick, read: Tick, broker: Broker, until: Callable[[], bool]) -> None:
    """Poll until the broker's statistics have caught up with what was done, the type of a stream among them."""
    for _ in range(20):
        read(broker)
        tick(broker)
        if until():
            return
        time.sleep(1)
    assert until()


@pytest.mark.parametrize("kind", ["classic", "quorum", "stream"])
def test_it_shows_each_type_as_the_broker_has_it(
    broker: TestBroker, vhost: str, amqp: pika.BlockingConnection, kind: str, tick: Tick, read: Tick, client: Client
) -> None:
    channel = amqp.channel()
    channel.confirm_delivery()
    channel.exchange_declare("events", "topic")
    channel.queue_declare("work", durable=True, arguments={"x-queue-type": kind, "x-max-length-bytes": 10_000_000})
    channel.queue_bind("work", "events", "eu.#", arguments={"hint": "north"})
    for _ in range(3):
        channel.basic_publish("events", "eu.berlin", b"x")
    mine = register(broker)
    says = "It holds 3 messages" if kind == "stream" else "3 messages wait and nobody is subscribed"
    seen(tick, read, mine, lambda: says in text(client, mine, vhost, "work"))
    page = text(client, mine, vhost, "work")
    assert f'<span class="tag">{kind}</span>' in page
    assert ("no backlog" in page) == (kind == "stream")
    assert ("nobody is subscribed" in page) == (kind != "stream")
    asked = text(client, mine, vhost, "work", "queue/asked")
    assert f"{kind}, durable" in asked
    assert '<code class="q">eu.#</code>' in asked
    assert "hint: north" in asked
    assert '<code class="q">max-length-bytes</code>' in asked
    assert "10,000,000" in asked
    assert "Nobody is subscribed" in asked
    if kind != "stream":
        assert channel.queue_declare("work", passive=True).method.message_count == 3  # looking took none


def test_it_shows_consumers_with_prefetch_and_who(
    broker: TestBroker, vhost: str, amqp: pika.BlockingConnection, tick: Tick, read: Tick, client: Client
) -> None:
    channel = amqp.channel()
    channel.queue_declare("work", durable=True)
    channel.basic_qos(prefetch_count=17)
    channel.basic_consume("work", lambda *_: None, consumer_tag="<b>tag</b>")
    mine = register(broker)
    read(mine)
    tick(mine)
    for _ in range(30):
        asked = text(client, mine, vhost, "work", "queue/asked")
        # Who consumes is told with the channel, a statistics tick after the consumer itself.
        if "1 now" in asked and broker.username in asked:
            break
        amqp.sleep(0.5)
        queue_asked.forget()
    assert "&lt;b&gt;tag&lt;/b&gt;" in asked
    assert " of 17</td>" in asked
    assert "manual" in asked
    assert broker.username in asked
    assert "Active" in asked


def test_it_tells_which_of_several_consumers_holds_messages_and_acknowledges_none(
    broker: TestBroker, vhost: str, amqp: pika.BlockingConnection, tick: Tick, read: Tick, client: Client
) -> None:
    setup = amqp.channel()
    setup.queue_declare("work", durable=True)
    lazy, busy = amqp.channel(), amqp.channel()
    lazy.basic_qos(prefetch_count=5)
    busy.basic_qos(prefetch_count=7)
    lazy.basic_consume("work", lambda *_: None, consumer_tag="lazy")
    busy.basic_consume("work", lambda on, how, *_: on.basic_ack(how.delivery_tag), consumer_tag="busy")
    mine = register(broker)
    read(mine)
    tick(mine)
    rows: dict[str, list[str]] = {}
    for _ in range(40):
        for _ in range(10):
            setup.basic_publish("", "work", b"x")
        amqp.sleep(0.5)
        queue_asked.forget()
        asked = text(client, mine, vhost, "work", "queue/asked")
        rows = {tag: cells_of(asked, tag) for tag in ("lazy", "busy")}
        if rows["lazy"][3:5] == ["0", "5 of 5"] and rows["busy"][3] not in {"0", "—"}:
            break
    assert rows["lazy"][3:5] == ["0", "5 of 5"]
    assert float(rows["busy"][3]) > 5
    assert rows["busy"][4].endswith(" of 7")


def cells_of(page: str, tag: str) -> list[str]:
    """Return the cells' texts of a consumer's row, as many blanks where it is not there yet."""
    row = next((one for one in page.split("<tr>") if f">{tag}</bdi>" in one), "")
    found = [unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in re.findall(r"<td.*?</td>", row)]
    return found or [""] * 7


def test_it_tells_who_waits_for_their_turn_from_who_reads_a_stream(
    broker: TestBroker, vhost: str, amqp: pika.BlockingConnection, tick: Tick, read: Tick, client: Client
) -> None:
    channel = amqp.channel()
    channel.queue_declare("turns", durable=True, arguments={"x-single-active-consumer": True})
    channel.queue_declare("events", durable=True, arguments={"x-queue-type": "stream"})
    channel.basic_qos(prefetch_count=5)
    for name, tags in (("turns", ("first", "second")), ("events", ("reader",))):
        for tag in tags:
            channel.basic_consume(name, lambda *_: None, consumer_tag=tag)
    mine = register(broker)
    read(mine)
    tick(mine)
    shown = {}
    for name, number in (("turns", 2), ("events", 1)):
        for _ in range(30):
            shown[name] = text(client, mine, vhost, name, "queue/asked")
            if f"{number} now" in shown[name]:
                break
            amqp.sleep(0.5)
            queue_asked.forget()
    assert "The active one" in shown["turns"]
    assert "Waiting its turn" in shown["turns"]
    assert "Active" in shown["events"]
    assert "Waiting its turn" not in shown["events"]


def test_it_says_which_policy_a_setting_comes_from_and_what_it_hides(
    broker: TestBroker, vhost: str, amqp: pika.BlockingConnection, tick: Tick, read: Tick, client: Client
) -> None:
    where = quote(vhost, safe="")
    broker.api(
        "PUT", f"policies/{where}/own", {"pattern": ".*", "definition": {"message-ttl": 90_000, "max-length": 50}}
    )
    broker.api(
        "PUT",
        f"operator-policies/{where}/ceiling",
        {"pattern": ".*", "definition": {"max-length": 10}, "apply-to": "queues"},
    )
    amqp.channel().queue_declare("work", durable=True, arguments={"x-message-ttl": 60_000})
    mine = register(broker)
    read(mine)
    tick(mine)
    for _ in range(20):
        asked = unescape(text(client, mine, vhost, "work", "queue/asked"))
        if "operator policy ceiling" in asked and "policy own" in asked:
            break
        time.sleep(0.5)
        queue_asked.forget()
    rows = [line for line in asked.splitlines() if 'code class="q"' in line]
    [ttl] = [row for row in rows if "message-ttl" in row]
    assert "60,000" in ttl
    assert "argument" in ttl
    assert "90,000" in ttl
    assert "policy own" in ttl
    [length] = [row for row in rows if "max-length<" in row]
    assert "operator policy ceiling" in length


def test_it_works_for_a_name_that_is_meant_to_break_it(
    broker: TestBroker, vhost: str, amqp: pika.BlockingConnection, tick: Tick, read: Tick, client: Client
) -> None:
    channel = amqp.channel()
    channel.exchange_declare(HOSTILE, "direct")
    channel.queue_declare(HOSTILE, durable=True)
    channel.queue_bind(HOSTILE, HOSTILE, HOSTILE, {HOSTILE: HOSTILE})
    mine = register(broker)
    read(mine)
    tick(mine)
    for part in ("queue", "queue/asked"):
        page = text(client, mine, vhost, HOSTILE, part)
        assert "<script>alert" not in page
        assert HOSTILE in unescape(page)


def test_it_stays_with_what_it_knows_where_the_watcher_may_not_look(
    broker: TestBroker, vhost: str, amqp: pika.BlockingConnection, tick: Tick, read: Tick, client: Client
) -> None:
    amqp.channel().queue_declare("work", durable=True)
    name, password = broker.make_watcher("/")
    try:
        mine = services.add(
            services.BrokerInput(name="narrow", management_url=broker.management, username=name, password=password)
        )
        read(mine)
        tick(mine)
        asked = unescape(text(client, mine, vhost, "work", "queue/asked"))
        assert "has no permission row in the vhost" in asked
        assert f"rabbitmqctl set_permissions -p {vhost} {name}" in asked
        page = unescape(text(client, mine, vhost, "work"))
        assert f"rabbitmqctl set_permissions -p {vhost} {name}" in page
    finally:
        broker.delete_user(name)


def test_it_says_that_a_queue_went_meanwhile(
    any_broker: TestBroker, vhost: str, amqp: pika.BlockingConnection, tick: Tick, read: Tick, client: Client
) -> None:
    channel = amqp.channel()
    channel.queue_declare("work", durable=True)
    mine = register(any_broker)
    read(mine)
    tick(mine)
    channel.queue_delete("work")
    assert "has no such queue now" in text(client, mine, vhost, "work", "queue/asked")
    for _ in range(15):
        tick(mine)
        if "Gone" in text(client, mine, vhost, "work"):
            break
        time.sleep(1)
    assert "for the last time" in text(client, mine, vhost, "work")
