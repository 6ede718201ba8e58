"""Names of 250 bytes stay in their own cells, and no page scrolls sideways for them, in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import quote, urlencode

import pika
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.support.brokers import TestBroker
from tests.support.browser import sign_in_page
from tests.support.dashboard_server import DashboardServer

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
LONG = ("orders.eu-central-1.production.warehouse-4711.retry.after.thirty.seconds." * 4)[:250]
# What of a table's text reaches over the edge of its cell, each with the cell's own text.
OVERLAPS = """() => [...document.querySelectorAll('main .tbl td')].filter((cell) => {
  const text = document.createRange();
  text.selectNodeContents(cell);
  return cell.offsetParent && text.getBoundingClientRect().right > cell.getBoundingClientRect().right + 1;
}).map((cell) => cell.textContent.trim().slice(0, 60))"""
CUT_OFF = """() => [...document.querySelectorAll('main .tw')].filter((one) => one.scrollWidth > one.clientWidth + 1)
  .map((one) => one.getAttribute('aria-label'))"""
SIDEWAYS = "() => document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def server(any_broker: TestBroker, make_dashboard: Callable[..., DashboardServer]) -> Iterator[DashboardServer]:
    started = make_dashboard(brokers=(f"{any_broker.management_url}#shop",))
    yield started
    started.stop()


def shown(page: Page, server: DashboardServer, address: str, wanted: str) -> None:
    """Open a page once the queue is known, and wait for what is asked of the broker."""
    for _ in range(60):
        if page.request.get(server.url + address).status == 200:
            break
        page.wait_for_timeout(500)
    page.goto(server.url + address)
    expect(page.locator(wanted).first).to_be_visible(timeout=30_000)


@pytest.mark.parametrize("width", [1440, 360])
def test_they_keep_to_their_cells(
    new_context: Callable[..., BrowserContext],
    server: DashboardServer,
    vhost: str,
    amqp: pika.BlockingConnection,
    width: int,
) -> None:
    channel = amqp.channel()
    channel.queue_declare(LONG, durable=True)
    channel.exchange_declare("long", "topic")
    channel.queue_bind(LONG, "long", LONG, {"x-note": LONG})
    channel.basic_consume(LONG, lambda *_: None, consumer_tag=LONG[:240], arguments={"x-priority": 5})
    page = new_context(viewport={"width": width, "height": 900}).new_page()
    sign_in_page(page, server)
    queue = f"/brokers/1/queue?{urlencode({'vhost': vhost, 'name': LONG})}"
    series = ":".join(("ready", "queue", "1", quote(vhost, safe=""), quote(LONG, safe="")))
    charts = f"/charts?{urlencode({'s': series})}"
    for address, wanted in ((queue, "text=long"), (charts, "[data-chart-table] a")):
        shown(page, server, address, wanted)
        page.wait_for_timeout(500)
        assert page.evaluate(OVERLAPS) == []
        assert not page.evaluate(SIDEWAYS)
        if width > 1000:
            assert page.evaluate(CUT_OFF) == []
