"""Testing a connection from the form, in a browser: as a part of the page, and as a whole page without scripts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.support.brokers import TestBroker
from tests.support.browser import sign_in_page
from tests.support.dashboard_server import DashboardServer

pytestmark = pytest.mark.browser
STEPS = ["Name", "TCP", "TLS", "Sign-in", "Rights", "Plugins"]


def fill(page: Page, server: DashboardServer, broker: TestBroker, password: str) -> None:
    page.goto(server.url + "/settings/brokers/add")
    page.fill("#f-management_url", broker.management)
    page.fill("#f-username", broker.username)
    page.fill("#f-password", password)


def steps(page: Page) -> list[str]:
    expect(page.locator("#steps .note").first).to_be_visible(timeout=40_000)
    return page.locator("#steps .note b").all_inner_texts()


def test_it_tests_a_connection_before_saving(
    page: Page, dashboard_server: DashboardServer, any_broker: TestBroker
) -> None:
    sign_in_page(page, dashboard_server)
    fill(page, dashboard_server, any_broker, "wrong")
    page.click("text=Test the connection")
    assert steps(page) == [*STEPS, "Prometheus"]
    assert "does not accept the credentials" in page.inner_text("#steps")
    page.fill("#f-password", any_broker.password)
    page.click("text=Test the connection")
    expect(page.locator("#steps")).to_contain_text("It answers at", timeout=40_000)
    assert steps(page)[: len(STEPS)] == STEPS
    # It is a part of the page: what was typed is still there.
    assert page.input_value("#f-password") == any_broker.password
    assert page.url.endswith("/settings/brokers/add")


def test_it_tests_a_connection_without_scripts(
    new_context: Callable[..., BrowserContext], dashboard_server: DashboardServer, any_broker: TestBroker
) -> None:
    page = new_context(java_script_enabled=False).new_page()
    sign_in_page(page, dashboard_server)
    fill(page, dashboard_server, any_broker, any_broker.password)
    page.click("text=Test the connection")
    assert steps(page)[: len(STEPS)] == STEPS
    assert "It answers at" in page.inner_text("#steps")
    assert page.input_value("#f-management_url") == any_broker.management
    assert page.input_value("#f-password") == ""
    assert "enter it again to save" in page.inner_text("form#broker-form")
