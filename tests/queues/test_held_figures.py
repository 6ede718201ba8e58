"""A figure that is read more seldom than the broker is polled says when it was read."""

from __future__ import annotations

import re
import time
from urllib.parse import urlencode

import pytest
from django.test import Client

from brokers.collect.models import PollState
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from dashboard.accounts.models import Role
from tests.support.builders import Seen, append_snapshot, make_broker, make_user, seen_queue

pytestmark = pytest.mark.django_db
SECOND = 1000


def seldom_read() -> tuple[Broker, int]:
    """Make a broker whose counters and consumers were read 100 and 40 s ago; return it and the later moment."""
    broker = make_broker("shop", read_every_ms={f"{kind}.{name}": 60 * SECOND for kind, name in _SELDOM})
    now = time.time_ns() // 1_000_000
    for ago_s, read in ((100, True), (40, True), (5, False), (0, False)):
        sent = 100.0 - ago_s
        counted = {"published": sent, "confirmed": sent, "returned": sent} if read else {}
        queue = seen_queue("/", "orders", ready=7, unacked=1, **({"consumers": 2, "published": sent} if read else {}))
        append_snapshot(
            broker,
            {
                Kind.QUEUE: [queue],
                Kind.VHOST: [Seen("", "/", {"ready": 7, "unacked": 1, "queues": 1, **counted})],
            },
            whole={"ready": 7, "unacked": 1, "queues": 1, **counted},
            at_ms=now - ago_s * SECOND,
        )
    return broker, now - 40 * SECOND


_SELDOM = (
    ("queue", "consumers"),
    ("queue", "published"),
    ("vhost", "published"),
    ("vhost", "returned"),
    ("broker", "published"),
)


def read_at(page: str) -> dict[str, str]:
    """Return the ends of the keys of the cells that say when they were read, with that."""
    told = r'data-live="[bqv]\.[\d.]+\.([a-z_]+)"(?: data-tip="[^"]*")? data-read="(\d+)" tabindex="0"'
    found = re.findall(told, page)
    assert len(found) == page.count("data-read="), page
    return dict(found)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("/queues?cols=ready,consumers,publish", {"consumers", "publish"}),
        ("queue", {"consumers", "publish"}),
        ("broker", {"publish", "publish_rate", "confirm_rate", "return_rate", "in", "confirm", "gap", "returned"}),
        ("/", {"publish"}),
    ],
)
def test_says_when_it_was_read(address: str, told: set[str]) -> None:
    broker, moment = seldom_read()
    client = Client()
    client.force_login(make_user(None, Role.VIEWER))
    named = {
        "queue": f"/brokers/{broker.id}/queue?{urlencode({'vhost': '/', 'name': 'orders'})}",
        "broker": f"/brokers/{broker.id}",
    }

    page = client.get(named.get(address, address)).content.decode()

    assert read_at(page) == dict.fromkeys(told, str(moment))


def test_what_is_known_or_held_is_not_listed_as_unknown() -> None:
    broker, _ = seldom_read()
    PollState.objects.filter(broker=broker).update(
        unknown={
            "queue.ready": "not due",
            "queue.consumers": "not due",
            "queue.published": "not due",
            "queue.memory": "not told",
        }
    )
    client = Client()
    client.force_login(make_user(None, Role.ADMINISTRATOR))

    for address in (f"/brokers/{broker.id}", "/settings/collector"):
        page = client.get(address).content.decode()
        assert "<b>queue: memory</b>: not told" in page
        assert "not due" not in page
