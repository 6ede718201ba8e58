"""The fleet's table fits into its card, however wide the window, in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.support.brokers import TestBroker
from tests.support.browser import sign_in_page
from tests.support.dashboard_server import DashboardServer

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def server(any_broker: TestBroker, make_dashboard: Callable[..., DashboardServer]) -> Iterator[DashboardServer]:
    started = make_dashboard(brokers=(f"{any_broker.management_url}#shop-production-eu",))
    yield started
    started.stop()


def test_no_column_is_pushed_out_of_sight(new_context: Callable[..., BrowserContext], server: DashboardServer) -> None:
    page = new_context().new_page()
    sign_in_page(page, server)
    expect(page.locator("main table")).to_contain_text("RabbitMQ", timeout=30_000)
    table = page.locator(".tw[aria-label=Brokers]")
    for width in (1081, 1279, 1366, 1440, 1639, 1700, 1859, 1900, 1920, 2560):
        page.set_viewport_size({"width": width, "height": 900})
        assert table.evaluate("one => one.scrollWidth - one.clientWidth") <= 1, width
        version = table.locator(".sub").first
        assert version.evaluate("one => one.scrollWidth <= one.clientWidth"), width
    expect(page.get_by_role("columnheader", name="Memory to limit")).to_be_visible()
