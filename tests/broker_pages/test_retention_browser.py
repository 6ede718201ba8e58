"""The page of retention in a browser: it says what goes while it is typed, and its button waits for the name."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import sign_in_page
from tests.support.dashboard_server import DashboardServer

pytestmark = pytest.mark.browser


def test_it_works_out_what_is_typed(page: Page, dashboard_server: DashboardServer) -> None:
    session = dashboard_server.api(dashboard_server.token())
    made = session.post(
        f"{dashboard_server.url}/api/v1/brokers",
        json={"name": "kept", "management_url": "http://127.0.0.1:9", "username": "watch", "password": "x"},
        timeout=20,
    ).json()
    try:
        sign_in_page(page, dashboard_server)
        page.goto(f"{dashboard_server.url}/settings/brokers/{made['id']}/retention")
        expect(page.locator("#plan")).to_contain_text("400")
        page.fill("#f-hour_d", "500")
        expect(page.locator("#plan")).to_contain_text("No history is deleted by this.")
        expect(page.locator("#plan")).to_contain_text("500")
        page.fill("#f-hour_d", "2")
        expect(page.locator("#plan")).to_contain_text("must be kept at least as long as")
        page.fill("#f-hour_d", "500")
        page.locator("#plan").get_by_role("button", name="Save").click()
        expect(page.locator("#f-hour_d")).to_have_value("500")
        told = session.get(f"{dashboard_server.url}/api/v1/brokers/{made['id']}/retention", timeout=20).json()
        assert told["hour_d"] == 500
    finally:
        session.delete(f"{dashboard_server.url}/api/v1/brokers/{made['id']}?name=kept", timeout=20)
