"""The fixtures that everything else is tested with."""

from __future__ import annotations

import pika
import pytest
from playwright.sync_api import Page

from brokers.series.metrics import Kind
from brokers.series.present import present
from dashboard.accounts.models import Role
from tests.support.brokers import TestBroker
from tests.support.builders import append_snapshot, make_broker, make_user, seen_queue


def test_it_gives_a_real_broker(broker: TestBroker, vhost: str, amqp: pika.BlockingConnection) -> None:
    channel = amqp.channel()
    channel.queue_declare("here")
    channel.basic_publish("", "here", b"one")
    assert broker.api("GET", "overview")["rabbitmq_version"].startswith(broker.version)
    assert [one["name"] for one in broker.api("GET", f"queues/{vhost}")] == ["here"]


@pytest.mark.django_db
def test_it_builds_rows_that_the_present_shows() -> None:
    broker = make_broker()
    make_user("viewer", (Role.VIEWER, broker, "shop-*"))
    append_snapshot(broker, {Kind.QUEUE: [seen_queue("/", "b", ready=2), seen_queue("/", "a", ready=5, unacked=1)]})
    shown = present(broker.id)
    assert shown is not None


@pytest.mark.browser
def test_it_opens_a_browser(page: Page) -> None:
    page.goto("about:blank")
    assert page.evaluate("1 + 1") == 2
