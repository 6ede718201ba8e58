"""The collector's page on a phone: what polling costs is told, and a call's name is read in words, not letters."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.support.brokers import TestBroker
from tests.support.browser import sign_in_page
from tests.support.dashboard_server import DashboardServer

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


def test_it_tells_costs_and_calls_at_360_px(
    page: Page, any_broker: TestBroker, make_dashboard: Callable[..., DashboardServer]
) -> None:
    server = make_dashboard(brokers=(f"{any_broker.management_url}#shop",))
    try:
        sign_in_page(page, server)
        page.set_viewport_size({"width": 360, "height": 740})
        page.goto(f"{server.url}/settings/collector")
        cost = page.locator("[data-live$='.poll.cost']:visible")
        expect(cost).to_contain_text("of its time", timeout=60_000)
        call = page.locator("code.q", has_text="/metrics/detailed").first
        expect(call).to_be_visible(timeout=60_000)
        box = call.bounding_box()
        assert box is not None
        assert box["height"] < 60
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    finally:
        page.goto("about:blank")
        server.stop()
