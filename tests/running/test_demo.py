"""`manage.py demo` as people run it: its RabbitMQ, its shop and its traffic, under a dashboard that they can open."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from brokers.collect.state import Condition
from dashboard.demo.local_rabbitmq import find_server
from tests.support.collected import wait_for_condition, wait_until
from tests.support.dashboard_server import DashboardServer, sign_in
from tests.support.processes import alive, tree

pytestmark = pytest.mark.timeout(420)
BROKER = "demo-shop"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's data folder."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def demo(make_dashboard: Callable[..., DashboardServer], folder: Path) -> Iterator[DashboardServer]:
    """A demo that is open."""
    if find_server() is None:
        pytest.fail("The demo needs a RabbitMQ: install Debian's rabbitmq-server.", pytrace=False)
    started = start(make_dashboard, folder)
    yield started
    started.stop()


def start(make_dashboard: Callable[..., DashboardServer], folder: Path) -> DashboardServer:
    """Start it and wait until it says that it is ready."""
    server = make_dashboard(data_dir=folder, command="demo", environment={"WARREN_ADMIN_PASSWORD": ""})
    wait_until(lambda: "Ctrl-C ends it." in server.log, 120, "the demo is open", lambda: server.log)
    return server


def password_of(server: DashboardServer) -> str:
    """Return the password that the demo printed."""
    found = re.search(r"Sign in as admin with the password (\S+)", server.log)
    assert found, server.log
    return found.group(1)


def asked(folder: Path, path: str) -> Any:
    """Ask the demo's RabbitMQ as its administrator."""
    told = json.loads((folder / "rabbitmq" / "broker.json").read_text())
    address = f"http://127.0.0.1:{told['management_port']}/api/{path}"
    answer = requests.get(address, auth=(told["username"], told["password"]), timeout=20)
    answer.raise_for_status()
    return answer.json()


def test_it_tells_the_address_and_the_sign_in_and_polls_its_broker(demo: DashboardServer, folder: Path) -> None:
    assert f"Warren is at {demo.url}" in demo.log
    wait_for_condition(folder, BROKER, Condition.LIVE, 60, lambda: demo.log[-4000:])
    # Signed in after the wait: the server closes a connection that nothing was asked over for seconds.
    session = sign_in(demo, password=password_of(demo))
    assert BROKER in session.get(f"{demo.url}/", timeout=20).text


def test_it_has_a_shop_with_everything_that_pages_show(demo: DashboardServer, folder: Path) -> None:
    queues = {(one["vhost"], one["name"]): one for one in asked(folder, "queues")}
    exchanges = {one["name"]: one["type"] for one in asked(folder, "exchanges/shop")}
    assert exchanges["orders"] == "topic"
    assert {vhost for vhost, _ in queues} >= {"shop", "tenant-acme", "tenant-birch", "tenant-cedar"}
    assert queues["shop", "orders.fulfilment"]["type"] == "quorum"
    assert queues["shop", "orders.audit"]["type"] == "stream"
    assert queues["shop", "payments.retry.5s"]["arguments"]["x-message-ttl"] == 5000
    assert queues["shop", "payments.capture"]["arguments"]["x-dead-letter-exchange"] == "dead-letters"


def test_it_lets_nothing_grow_without_a_limit(demo: DashboardServer, folder: Path) -> None:
    """Queues that nobody reads, dead letters and the stream have a limit of their own or by a policy."""
    limits = ("x-max-length", "x-max-length-bytes", "x-message-ttl")

    def limited(queue: dict[str, Any]) -> bool:
        policy = queue.get("effective_policy_definition") or {}
        return any(name in queue["arguments"] for name in limits) or "max-length" in policy

    unread = wait_until(
        lambda: [one for one in asked(folder, "queues") if one.get("consumers") == 0],
        60,
        "RabbitMQ counts consumers",
    )
    wait_until(
        lambda: all(limited(one) for one in asked(folder, "queues") if one.get("consumers") == 0),
        60,
        "every queue without a consumer has a limit",
    )
    assert {one["name"] for one in unread} >= {"orders.dlq", "orders.export", "payments.retry.30s"}
    assert limited(asked(folder, "queues/shop/orders.audit"))


def test_it_keeps_publishing_with_confirms_and_without(demo: DashboardServer, folder: Path) -> None:
    def modes() -> dict[str, bool]:
        channels = asked(folder, "channels")
        return {one["user"]: one["confirm"] for one in channels if one.get("message_stats", {}).get("publish")}

    found = wait_until(lambda: m if {"storefront", "clickstream"} <= (m := modes()).keys() else {}, 60, "both publish")
    assert found["storefront"] is True
    assert found["clickstream"] is False


def test_it_rejects_into_a_dead_letter_queue(demo: DashboardServer, folder: Path) -> None:
    wait_until(
        lambda: asked(folder, "queues/shop/payments.webhook.dlq").get("messages", 0) > 0,
        90,
        "a rejected message is a dead letter",
        lambda: demo.log[-4000:],
    )


@pytest.mark.faults
def test_it_leaves_nothing_behind_and_knows_the_sign_in_again(
    make_dashboard: Callable[..., DashboardServer], tmp_path: Path
) -> None:
    first = start(make_dashboard, tmp_path / "demo")
    everybody = tree(first.process.pid)
    assert any("beam" in one.name() for one in everybody)
    assert first.stop(signal.SIGINT) == 0
    assert not [one for one in everybody if alive(one)]
    found = re.search(r"Ended after ([0-9.]+) s\.", first.log)
    assert found
    assert float(found.group(1)) <= 5.0

    second = start(make_dashboard, tmp_path / "demo")
    assert password_of(second) == password_of(first)
    sign_in(second, password=password_of(second))
    everybody = tree(second.process.pid)
    second.process.kill()
    second.process.wait(15)
    wait_until(lambda: not any(map(alive, everybody)), 30, "every process is gone", lambda: second.log[-4000:])
