"""Every address there is: closed to who is not signed in, and silent about what a person does not see.

The addresses are taken from the resolver, so that one that is added is asked too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from urllib.parse import quote_plus, urlencode

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from brokers.collect.models import BrokerEvent, PollState
from brokers.registry.details import NodeDetail, VhostDetail
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from dashboard.accounts import tokens
from dashboard.accounts.models import AuditEntry, Role, User
from dashboard.annotations.models import Annotation
from tests.support.builders import Seen, append_snapshot, make_broker, make_user, seen_queue

pytestmark = pytest.mark.django_db
# Answered to anybody: how one signs in, and what probes ask.
OPEN = {"account/sign-in", "account/sign-out", "healthz", "readyz"}
# Names in a path; what else stands in one is a number.
NAMES = {"vhost": "theirs", "name": "secret-queue"}
# Pages that show words of Warren's own as examples.
WORDS = {"components", "api/v1/openapi.json"}
# What an address without names in its path takes them from.
QUERIES = (
    {},
    {"vhost": "theirs", "name": "secret-queue", "q": "secret", "measure": "ready"},
    {"kind": "queue", "vhost": "theirs", "name": "secret-queue", "metrics": "ready"},
    {"kind": "node", "name": "rabbit@secret-node", "measure": "memory_used"},
    {"s": "ready:queue:1:theirs:secret-queue", "top": "3:ready:max:queue:1"},
    {"kind": "broker", "q": "7654321", "name": "secret"},
)
SECRETS = ("theirs", "secret", "7654321", "7,654,321", "10.4.0.12", "watcher-of-it")


def addresses() -> list[str]:
    paths = _paths(get_resolver().url_patterns, "")
    return sorted({re.sub(r"<(?:\w+:)?(\w+)>", lambda place: NAMES.get(place[1], "1"), path) for path in paths})


def _paths(patterns: list[URLPattern | URLResolver], before: str) -> Iterator[str]:
    for one in patterns:
        path = before + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from _paths(one.url_patterns, path)
        else:
            yield path


ADDRESSES = addresses()


@pytest.fixture
def shop() -> Broker:
    """A broker of which a person may see the vhost `mine`, and nothing else."""
    # What stands in a path is a 1, and PostgreSQL counts on from test to test.
    broker = make_broker("shop", pk=1, management_url="http://10.4.0.12:15672", username="watcher-of-it", password="x")
    now_ms = time.time_ns() // 1_000_000
    for at_ms in (now_ms - 5_000, now_ms):
        tables = {
            Kind.QUEUE: [
                seen_queue("mine", "orders", ready=7, consumers=0),
                seen_queue("theirs", "secret-queue", ready=7_654_321, consumers=0),
            ],
            Kind.EXCHANGE: [Seen("theirs", "secret-exchange", {"published": at_ms})],
            Kind.VHOST: [Seen("", name, {"ready": 7, "published": 1}, VhostDetail()) for name in ("mine", "theirs")],
            Kind.NODE: [Seen("", "rabbit@secret-node", {"running": 1, "memory_used": 7_654_321}, NodeDetail())],
        }
        append_snapshot(broker, tables, whole={"ready": 7_654_328, "connections": 7_654_321}, at_ms=at_ms)
    BrokerEvent.objects.create(broker=broker, at_ms=now_ms, kind="x", severity="warning", sentence="secret event")
    Annotation.objects.create(pk=1, at_ms=now_ms, text="secret", kind="note", broker=broker, vhost="theirs", who="x")
    Annotation.objects.create(pk=2, at_ms=now_ms, text="for all", kind="note", broker=broker, vhost=None, who="x")
    AuditEntry.objects.create(
        who="x", via="page", action="broker.edit", broker=broker, subject="secret", vhost="theirs"
    )
    PollState.objects.filter(broker=broker).update(unknown={"node.running": "secret reason on 10.4.0.12"})
    return broker


def test_the_resolver_gives_the_addresses() -> None:
    assert len(ADDRESSES) > 40
    assert not [one for one in ADDRESSES if "<" in one and "api/v1" not in one]
    assert "brokers/1/queue/points" in ADDRESSES


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("address", [one for one in ADDRESSES if one not in OPEN])
def test_it_is_closed_to_who_is_not_signed_in(shop: Broker, address: str, method: str) -> None:
    answer = getattr(Client(), method)(f"/{address}")
    assert answer.status_code in {302, 401, 405}
    if answer.status_code == 302:
        assert answer.headers["Location"].startswith("/account/sign-in")


def limited(broker: Broker, *, sees: bool) -> User:
    return make_user("limited", (Role.OPERATOR, broker, "mine")) if sees else make_user("nobody")


@pytest.mark.parametrize("sees", [True, False])
@pytest.mark.parametrize("address", [one for one in ADDRESSES if one not in WORDS])
def test_it_tells_nothing_of_what_a_person_does_not_see(shop: Broker, address: str, sees: bool) -> None:
    person = limited(shop, sees=sees)
    client = Client()
    client.force_login(person)
    headers = {}
    if address.startswith("api/"):
        headers = {"Authorization": f"Bearer {tokens.create(person, 'test')[0]}"}
    for query in QUERIES:
        for method in ("get", "post"):
            asked = f"/{address}?{urlencode(query)}"
            answer = getattr(client, method)(asked, headers=headers)
            assert answer.status_code < 500, asked
            body = b"".join(answer.streaming_content) if answer.streaming else answer.content
            told = body.decode()
            # What was asked comes back in words of its own.
            asked_for = {*query.values(), *map(quote_plus, query.values()), *NAMES.values(), urlencode(query)}
            for given in sorted(asked_for, key=len, reverse=True):
                told = told.replace(given, "") if len(given) > 3 else told
            assert not [one for one in SECRETS if one in told], (method, asked)
            if not sees and "shop" not in asked:
                assert "shop" not in told, (method, asked)
