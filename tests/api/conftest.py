"""What tests of the API share: a client that sends a token, and a broker with synthetic queues."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from jsonschema import Draft202012Validator

from brokers.registry import details
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from dashboard.accounts import tokens
from dashboard.accounts.models import Role, User
from dashboard.api.openapi import document
from dashboard.api.urls import api
from tests.support.builders import Seen, append_snapshot, make_broker, make_user, seen_queue


@dataclass
class Api:
    """Sends requests as one person, by a token; an error is checked to be problem details."""

    user: User | None
    token: str
    client: Client

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        """Send a request; `path` begins after `/api/v1`."""
        given = {"Authorization": f"Bearer {self.token}", **headers} if self.token else headers
        answer = self.client.generic(
            method,
            f"/api/v1{path}",
            data=body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode(),
            content_type="application/json",
            headers=given,
        )
        if answer.status_code >= 400:
            check_problem(answer)
        check_described(method, path, answer)
        return answer

    def get(self, path: str) -> Any:
        """Get a path and return what it holds."""
        answer = self.call("GET", path)
        assert answer.status_code == 200, answer.content.decode()
        return json.loads(answer.content)

    def status(self, path: str, method: str = "GET", body: Any = None) -> int:
        """Return the status that a request gets."""
        return int(self.call(method, path, body).status_code)


def check_described(method: str, path: str, answer: HttpResponse) -> None:
    """Check that an answer is one that the API's description has for its operation, where the path has one."""
    described = document(api)
    sent = f"/api/v1{path.partition('?')[0]}"
    for template, item in described["paths"].items():
        if method.lower() in item and re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), sent):
            said = item[method.lower()]["responses"][str(answer.status_code)]
            sent_as = answer.headers.get("Content-Type", "").partition(";")[0]
            if not said.get("content"):
                continue
            schema = {**said["content"][sent_as]["schema"], "components": described["components"]}
            if sent_as.endswith("json") and not answer.streaming:
                errors = Draft202012Validator(schema).iter_errors(json.loads(answer.content))
                assert [f"{error.json_path}: {error.message}" for error in errors] == []


def check_problem(answer: HttpResponse) -> dict[str, Any]:
    """Check that an answer is problem details, and return them."""
    assert answer.headers["Content-Type"] == "application/problem+json", answer.content[:300]
    told: dict[str, Any] = json.loads(answer.content)
    assert told["status"] == answer.status_code
    assert told["title"]
    assert told["detail"].strip().endswith((".", "!", "?")), told
    assert all(sentence.strip() for sentence in told.get("errors", {}).values())
    assert "Traceback" not in told["detail"]
    return told


def api_of(user: User | None) -> Api:
    """Return an API client of a person, with a fresh token; None: nobody."""
    # What goes wrong inside shall be seen as the answer that a client gets.
    client = Client(raise_request_exception=False)
    return Api(user, tokens.create(user, "test")[0] if user else "", client)


@pytest.fixture
def admin() -> Api:
    """An administrator of everything."""
    return api_of(make_user("root", Role.ADMINISTRATOR))


@pytest.fixture
def shop() -> Broker:
    """A broker with two vhosts and three queues, one of them a dead-letter queue."""
    broker = make_broker("shop", password="stored-secret-9f3c")
    fill(broker)
    return broker


@pytest.fixture
def limited(shop: Broker) -> Api:
    """A viewer of one vhost of the shop."""
    return api_of(make_user("limited", (Role.VIEWER, shop, "blue")))


def fill(broker: Broker, *, spans_s: tuple[int, ...] = (20, 10, 0)) -> None:
    """Write snapshots so many seconds ago; counters grow by 10 a second in `blue`, by 100 in `green`."""
    now_ms = time.time_ns() // 1_000_000
    for ago in spans_s:
        at_ms = now_ms - ago * 1000
        count = 100_000 - ago * 10
        append_snapshot(
            broker,
            {
                Kind.VHOST: [
                    Seen("", "blue", {"queues": 2, "ready": 7, "unacked": 1, "consumers": 1, "published": count}),
                    Seen("", "green", {"queues": 1, "ready": 7777, "unacked": 0, "published": 10 * count}),
                ],
                Kind.NODE: [
                    Seen(
                        "",
                        "rabbit@one",
                        {"running": 1, "memory_used": 5e8},
                        details.NodeDetail(rabbitmq_version="4.0.5"),
                    )
                ],
                Kind.EXCHANGE: [Seen("blue", "", {"published": count}), Seen("green", "", {"published": count})],
                Kind.QUEUE: [
                    seen_queue("blue", "orders", ready=5, unacked=1, consumers=1, published=count),
                    seen_queue(
                        "blue",
                        "orders.dlq",
                        ready=2,
                        unacked=0,
                        consumers=0,
                        detail=details.QueueDetail(
                            type="quorum", durable=True, dead_letters_of=("orders",), dead_letter_sources=1
                        ),
                    ),
                    seen_queue("green", "bulk", ready=7777, unacked=0, consumers=0, published=10 * count),
                ],
            },
            whole={"ready": 7784, "unacked": 1, "queues": 3, "connections": 4, "published": 11 * count},
            at_ms=at_ms,
        )
