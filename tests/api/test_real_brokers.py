"""The API of a running dashboard on real brokers: names that are hard to put into an address, and figures as the
broker's own API tells them once traffic has stopped.
"""

from __future__ import annotations

import http.client
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest

from tests.support.brokers import TestBroker
from tests.support.collected import wait_until
from tests.support.dashboard_server import DashboardServer

NAMES = [
    "plain",
    "a/b",
    "/lead/and/trail/",
    "q%2Fr",
    "100%",
    "..",
    "../../brokers",
    ".",
    "//",
    " blank at the end ",
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "\u202eevil",
    "\U0001f407" * 63,
    "naïve?#&=+;,",
    "tab\there",
]


@dataclass
class Watched:
    """A broker that the dashboard watches, with two vhosts of this test's own, and the API's view of it."""

    server: DashboardServer
    token: str
    id: int
    broker: TestBroker
    vhost: str
    other: str

    def call(self, path: str, token: str = "", method: str = "GET", body: Any = None) -> tuple[int, Any]:
        """Send a path exactly as it is: clients that tidy paths up would not say what they mean to."""
        place = urlsplit(self.server.url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
        headers = {"Authorization": f"Bearer {token or self.token}", "Content-Type": "application/json"}
        connection.request(method, f"/api/v1{path}", json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        told = answer.read()
        connection.close()
        return answer.status, json.loads(told) if told else None

    def queues(self, vhost: str, **query: Any) -> list[dict[str, Any]]:
        """Return all queues of a vhost, page by page."""
        path, found = f"/brokers/{self.id}/queues?{urlencode({'vhost': vhost, 'page_size': 7, **query})}", []
        while path:
            status, told = self.call(path)
            assert status == 200, told
            found += told["items"]
            path = (told["next"] or "").removeprefix("/api/v1")
        return found


@pytest.fixture(scope="module")
def watched(broker: TestBroker, dashboard_server: DashboardServer) -> Iterator[Watched]:
    token = dashboard_server.token()
    end = secrets.token_hex(4)
    vhosts = [f"test-{end}/a%2Fb <i>é", f"test-{end}"]
    for vhost in vhosts:
        broker.api("PUT", f"vhosts/{quote(vhost, safe='')}", {})
        row = {"configure": ".*", "write": ".*", "read": ".*"}
        broker.api("PUT", f"permissions/{quote(vhost, safe='')}/{quote(broker.username, safe='')}", row)
    found = Watched(dashboard_server, token, 0, broker, *vhosts)
    try:
        for vhost in vhosts:
            _declare(broker, vhost)
        body = {
            "name": f"b{broker.version}-{end}",
            "management_url": broker.management,
            "username": broker.username,
            "password": broker.password,
            "cadence_s": 2,
        }
        status, told = found.call("/brokers", method="POST", body=body)
        assert status == 201, told
        found.id = told["id"]
        yield found
        status, told = found.call(f"/brokers/{found.id}?{urlencode({'name': body['name']})}", method="DELETE")
        assert status == 204, told
    finally:
        for vhost in vhosts:
            broker.delete_vhost(vhost)


def _declare(broker: TestBroker, vhost: str) -> None:
    """Declare a queue for each name; the n-th, counted from 0, gets n messages."""
    connection = broker.connect(vhost)
    channel = connection.channel()
    channel.confirm_delivery()
    for number, name in enumerate(NAMES):
        channel.queue_declare(name, durable=True)
        for _ in range(number):
            channel.basic_publish("", name, b"x")
    connection.close()


def test_it_tells_the_figures_that_the_broker_tells(watched: Watched) -> None:
    broker = watched.broker

    def own(vhost: str) -> dict[str, tuple[Any, ...]]:
        told = broker.api("GET", f"queues/{quote(vhost, safe='')}")
        return {
            one["name"]: tuple(one.get(key) for key in ("messages_ready", "messages_unacknowledged", "consumers"))
            for one in told
        }

    def ours(vhost: str) -> dict[str, tuple[Any, ...]]:
        return {
            one["name"]: tuple(one["figures"][key] for key in ("ready", "unacked", "consumers"))
            for one in watched.queues(vhost)
        }

    connection = broker.connect(watched.vhost)
    channel = connection.channel()
    channel.basic_get("a/b")
    channel.basic_consume(NAMES[0], lambda *_: None)
    expected = {name: (number, 0, 0) for number, name in enumerate(NAMES)}
    here = expected | {"a/b": (0, 1, 0), NAMES[0]: (0, 0, 1)}
    for vhost, wanted in ((watched.vhost, here), (watched.other, expected)):
        # The broker's own figures lag by its statistics tick.
        wait_until(lambda v=vhost, w=wanted: own(v) == w, 60, f"the broker tells {wanted}", lambda v=vhost: str(own(v)))
        wait_until(lambda v=vhost, w=wanted: ours(v) == w, 60, f"the API tells {wanted}", lambda v=vhost: str(ours(v)))
    status, told = watched.call(f"/brokers/{watched.id}")
    assert status == 200
    sums = {vhost["name"]: vhost["figures"] for vhost in told["vhosts"]}
    total = sum(range(len(NAMES)))
    assert (sums[watched.vhost]["ready"], sums[watched.vhost]["unacked"]) == (total - 1, 1)
    assert (sums[watched.other]["ready"], sums[watched.other]["queues"]) == (total, len(NAMES))
    connection.close()


def test_it_finds_every_queue_by_its_encoded_name(watched: Watched) -> None:
    wait_until(lambda: len(watched.queues(watched.vhost)) == len(NAMES), 60, "every queue is listed")
    for vhost in (watched.vhost, watched.other):
        for name in NAMES:
            path = f"/brokers/{watched.id}/queues/{_all_encoded(vhost)}/{_all_encoded(name)}"
            status, told = watched.call(path)
            assert status == 200, (name, told)
            assert (told["vhost"], told["name"]) == (vhost, name)
            series = urlencode({"kind": "queue", "vhost": vhost, "name": name, "metrics": "ready"})
            status, told = watched.call(f"/brokers/{watched.id}/series?{series}")
            assert status == 200, (name, told)
            assert told["times"]
            assert [one["name"] for one in watched.queues(vhost, name=name) if one["name"] == name] == [name]
    for path in ("%2E%2E/plain", "plain", "/plain", f"{_all_encoded(watched.vhost)}/", "..", "../../../../settings"):
        status, told = watched.call(f"/brokers/{watched.id}/queues/{path}")
        assert (status, told["status"]) == (404, 404), path


def test_it_shows_a_person_limited_to_one_vhost_nothing_else(watched: Watched) -> None:
    wait_until(lambda: len(watched.queues(watched.vhost)) == len(NAMES), 60, "every queue is listed")
    server, name = watched.server, f"limited-{secrets.token_hex(4)}"
    _, told = watched.call(f"/brokers/{watched.id}")
    server.manage("user", "add", name, "--role", "viewer", "--broker", told["name"], "--vhosts", watched.other)
    token = server.token(name)
    status, brokers = watched.call("/brokers", token)
    assert (status, [one["id"] for one in brokers["items"]]) == (200, [watched.id])
    status, queues = watched.call(f"/brokers/{watched.id}/queues?page_size=500", token)
    assert (queues["total"], {one["vhost"] for one in queues["items"]}) == (len(NAMES), {watched.other})
    for vhost, expected in ((watched.other, 200), (watched.vhost, 404), ("/", 404)):
        path = f"/brokers/{watched.id}/queues/{_all_encoded(vhost)}/plain"
        assert watched.call(path, token)[0] == expected
        query = urlencode({"kind": "vhost", "vhost": vhost})
        assert watched.call(f"/brokers/{watched.id}/series?{query}", token)[0] == expected


def test_it_gives_a_series_that_grows(watched: Watched) -> None:
    def times() -> list[str]:
        status, told = watched.call(f"/brokers/{watched.id}/series?kind=broker&metrics=ready")
        assert status == 200, told
        found: list[str] = told["times"]
        return found

    wait_until(times, 60, "there is a snapshot")
    before = times()
    wait_until(lambda: len(times()) > len(before), 30, "another snapshot follows")
    status, told = watched.call(f"/brokers/{watched.id}/series?kind=broker&metrics=ready&to={time.time() - 86_400}")
    assert (status, told["times"]) == (200, [])


def _all_encoded(name: str) -> str:
    """Encode every byte, dots too."""
    return "".join(f"%{byte:02X}" for byte in name.encode())
