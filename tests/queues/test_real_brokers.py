"""Against real brokers: figures are the broker's own once traffic has stopped, and names are right however hostile."""

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
from brokers.registry.models import Broker
from dashboard.accounts.models import Role
from dashboard.accounts.rights import rights_of
from dashboard.queries.attention_shown import queue_url, queues_url
from dashboard.queries.queues import queue_list, read_params
from dashboard.zone import zone_named
from tests.collect.conftest import register
from tests.support.brokers import TestBroker
from tests.support.builders import make_user

# `rows` are written by transactions of their own while the broker is polled.
pytestmark = pytest.mark.django_db(transaction=True)
Tick = Callable[[Broker], poll.Outcome]
HOSTILE = [
    "<script>alert('x')</script>",
    "\"quotes\" & 'more' <b>",
    "a/b//c/..",
    "..",
    "100%25 %zz %2F",
    "😀" * 63,
    "\u202eRTL\u200f \u05d0\u05d1",
    "?name=#x&y=1",
    "plus+and space ",
    "ready:5; drop",
]


def figures(user_rights: object, broker: Broker, vhost: str) -> dict[str, tuple[str, str, str]]:
    """Return ready, unacked and consumers by queue, as the list shows them."""
    made = queue_list(
        user_rights,  # type: ignore[arg-type]
        read_params({"vhost": vhost, "page_size": "200"}),
        zone_named("UTC"),
        time.time_ns() // 1_000_000,
        broker.pk,
    )
    assert made is not None
    return {
        row.name: tuple(made.cells[f"{row.key}.{name}"].text for name in ("ready", "unacked", "consumers"))  # type: ignore[misc]
        for row in made.rows
    }


def told(broker: TestBroker, vhost: str) -> dict[str, tuple[str, str, str]]:
    """Return the same as the broker's own API tells it; what it does not tell yet is empty."""
    rows = broker.api("GET", f"queues/{quote(vhost, safe='')}")
    return {
        row["name"]: tuple(
            f"{row[name]:,}" if name in row else ""
            for name in ("messages_ready", "messages_unacknowledged", "consumers")
        )
        for row in rows
    }


def settled(ask: Callable[[], object], wanted: object, seconds: float = 30) -> None:
    """Return once `ask` answers what is wanted. Raises AssertionError with the difference."""
    end = time.monotonic() + seconds
    while (answer := ask()) != wanted and time.monotonic() < end:
        time.sleep(0.5)
    assert answer == wanted


def test_it_shows_the_figures_of_the_broker_once_traffic_has_stopped(
    broker: TestBroker, vhost: str, amqp: pika.BlockingConnection, tick: Tick, read: Tick
) -> None:
    channel = amqp.channel()
    channel.confirm_delivery()
    arguments = {"classic": {}, "quorum": {"x-queue-type": "quorum"}, "classic.2": {"x-max-length": 3}}
    for name, more in arguments.items():
        channel.queue_declare(name, durable=True, arguments=more)
    for number in range(12):
        for name in arguments:
            channel.basic_publish("", name, f"{number}".encode())
    # Each consumer holds what it was given; the one of the quorum queue acknowledges its first two.
    channel.basic_qos(prefetch_count=5)
    held: list[int] = []
    channel.basic_consume("classic", lambda *_: None)
    channel.basic_consume("quorum", lambda _channel, method, *_: held.append(method.delivery_tag))
    while len(held) < 5:
        amqp.process_data_events(0.2)
    for delivery_tag in held[:2]:
        channel.basic_ack(delivery_tag)
    amqp.process_data_events(0.5)
    wanted = {"classic": ("7", "5", "1"), "quorum": ("5", "5", "1"), "classic.2": ("3", "0", "0")}
    settled(lambda: told(broker, vhost), wanted)

    warren = register(broker)
    rights = rights_of(make_user("v", Role.VIEWER))
    read(warren)

    def shown() -> dict[str, tuple[str, str, str]]:
        tick(warren)
        amqp.process_data_events(0)
        return figures(rights, warren, vhost)

    settled(shown, wanted)
    made = queue_list(rights, read_params({"vhost": vhost}), zone_named("UTC"), time.time_ns() // 1_000_000, warren.pk)
    assert made is not None
    assert f"3 of {made.total:,} queues on shop, 15 ready." in made.cells["page.matching"].text
    types = {row.name: [cell.text for cell in row.cells if cell.css == "p2"] for row in made.rows}
    assert types == {"classic": ["classic"], "quorum": ["quorum"], "classic.2": ["classic"]}


def test_it_is_right_with_names_that_mean_harm(
    broker: TestBroker, vhost: str, amqp: pika.BlockingConnection, tick: Tick, read: Tick
) -> None:
    channel = amqp.channel()
    for name in HOSTILE:
        channel.queue_declare(name, durable=True)
    warren = register(broker, "<i>shop</i>")
    tick(warren)
    read(warren)
    tick(warren)
    client = Client()
    client.force_login(make_user("v", Role.VIEWER))
    page = client.get(queues_url(warren.pk, vhost=vhost)).content.decode()
    links = [unescape(found) for found in re.findall(r'<span class="cellname"><a href="([^"]+)"', page)]
    assert sorted(links) == sorted(queue_url(warren.pk, vhost, name) for name in HOSTILE)
    assert "<script>alert" not in page
    assert "<i>shop" not in page
    for name in HOSTILE:
        found = client.get(f"{queues_url(warren.pk)}?{urlencode({'vhost': vhost, 'name': name, 'sort': 'name'})}")
        assert f"<bdi>{name}</bdi>" in unescape(found.content.decode()), name
        assert client.get(queue_url(warren.pk, vhost, name)).status_code == 200
        gone = client.get("/find", {"q": name})
        assert gone.status_code in {200, 302}
        assert b"<script>alert" not in gone.content
