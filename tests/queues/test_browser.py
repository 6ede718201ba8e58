"""The list of queues in a real browser: filtered while one types, ordered, paged, live, and without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pika
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.support.brokers import TestBroker
from tests.support.browser import sign_in_page
from tests.support.dashboard_server import DashboardServer

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
NAMES = "#queues-table tbody .cellname a"
SLOW = 30_000


@pytest.fixture(scope="module")
def server(any_broker: TestBroker, make_dashboard: Callable[..., DashboardServer]) -> Iterator[DashboardServer]:
    started = make_dashboard(brokers=(f"{any_broker.management_url}#shop",))
    yield started
    started.stop()


@pytest.fixture
def filled(vhost: str, amqp: pika.BlockingConnection) -> pika.adapters.blocking_connection.BlockingChannel:
    """A vhost with a few queues: `alpha` to `delta`, the later the fuller."""
    channel = amqp.channel()
    channel.confirm_delivery()
    for number, name in enumerate(("alpha", "beta", "gamma", "delta")):
        channel.queue_declare(name, durable=True)
        for _ in range(number):
            channel.basic_publish("", name, b"x")
    return channel


def opened(page: Page, server: DashboardServer, vhost: str, query: str = "&sort=name", rows: int = 4) -> None:
    """Show the queues of the test's vhost, once they are known."""
    sign_in_page(page, server)
    page.goto(f"{server.url}/queues?vhost={vhost}{query}")
    for _ in range(60):
        if page.locator(NAMES).count() == rows:
            return
        page.wait_for_timeout(500)
        page.reload()
    expect(page.locator(NAMES)).to_have_count(rows)


def test_it_filters_while_one_types(
    page: Page, server: DashboardServer, vhost: str, filled: object, complaints: object
) -> None:
    opened(page, server, vhost)
    expect(page.locator(NAMES)).to_have_text(["alpha", "beta", "delta", "gamma"])
    page.locator("#queues-name").press_sequentially("ta", delay=40)
    expect(page.locator(NAMES)).to_have_text(["beta", "delta"])
    expect(page).to_have_url(f"{server.url}/queues?name=ta&vhost={vhost}&sort=name")
    # The field that is typed in stays as it is, with the hand on it.
    expect(page.locator("#queues-name")).to_be_focused()
    expect(page.locator("#queues-name")).to_have_value("ta")
    expect(page.locator("#queues-said")).to_contain_text("2 of ")
    page.locator("#queues-name").fill("^(al|ga")
    page.get_by_label("Expression").check()
    expect(page.locator("#queues-error")).to_contain_text("a bracket is not closed")
    expect(page.locator(NAMES)).to_have_count(4)
    page.locator("#queues-name").press("End")
    page.locator("#queues-name").press_sequentially(")")
    expect(page.locator(NAMES)).to_have_text(["alpha", "gamma"])
    expect(page.locator("#queues-error")).to_be_hidden()
    page.go_back()
    expect(page.locator(NAMES)).to_have_count(4)


def test_it_says_what_of_an_address_it_did_not_understand_until_the_question_is_another(
    page: Page, server: DashboardServer, vhost: str, filled: object
) -> None:
    opened(page, server, vhost, "&sort=name&state=stoped&colour=red")
    said = page.locator("#queues-unread")
    expect(said).to_contain_text("“colour” is no filter of this list: it is left out.")
    expect(said).to_contain_text("There is no state “stoped”: queues in any state are shown.")
    expect(page.locator("select[name=state]")).to_have_value("")
    expect(page.locator(NAMES)).to_have_text(["alpha", "beta", "delta", "gamma"])
    page.locator("#queues-name").fill("ta")
    expect(page.locator(NAMES)).to_have_text(["beta", "delta"])
    expect(said).to_be_hidden()
    expect(page).to_have_url(f"{server.url}/queues?name=ta&vhost={vhost}&sort=name")


def test_it_orders_by_a_click_both_ways_and_by_quick_filters(
    page: Page, server: DashboardServer, vhost: str, filled: object
) -> None:
    opened(page, server, vhost)
    ready = page.get_by_role("button", name="Ready", exact=False).first
    ready.click()
    expect(page.locator(NAMES)).to_have_text(["delta", "gamma", "beta", "alpha"], timeout=SLOW)
    expect(page).to_have_url(re.compile(r"sort=-ready"))
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("Ready")
    page.get_by_role("button", name="Ready", exact=False).first.click()
    expect(page.locator(NAMES)).to_have_text(["alpha", "beta", "gamma", "delta"])
    page.locator(".chip", has_text="Backlog").click()
    expect(page.locator(NAMES)).to_have_text(["beta", "gamma", "delta"])
    expect(page.locator(".chip[aria-current]")).to_contain_text("Backlog")
    # What was clicked is still asked for when somebody types.
    page.locator("#queues-name").press_sequentially("a", delay=20)
    expect(page).to_have_url(re.compile(r"name=a&vhost=[^&]+&backlog=1&sort=ready"))
    expect(page.locator(NAMES)).to_have_text(["beta", "gamma", "delta"])


def test_it_chooses_columns(page: Page, server: DashboardServer, vhost: str, filled: object) -> None:
    opened(page, server, vhost)
    button = page.get_by_role("button", name="Columns")
    button.click()
    under, above = page.locator("#queues-columns").bounding_box(), button.bounding_box()
    assert under is not None
    assert above is not None
    assert 0 <= under["y"] - (above["y"] + above["height"]) < 12
    page.locator("#queues-columns").get_by_text("Total").click()
    expect(page.locator("#queues-table th", has_text="Total")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"cols=total"))
    expect(page.locator("#queues-columns")).to_be_visible()
    page.reload()
    expect(page.locator("#queues-table th", has_text="Total")).to_have_count(1)


def test_it_lives(
    page: Page,
    server: DashboardServer,
    vhost: str,
    filled: pika.adapters.blocking_connection.BlockingChannel,
) -> None:
    opened(page, server, vhost, "&sort=-ready")
    expect(page.locator("#live-state")).to_have_text("Live", timeout=SLOW)
    expect(page.locator(NAMES).first).to_have_text("delta", timeout=SLOW)
    page.evaluate("window.notReloaded = true")
    page.mouse.move(5, 5)
    for _ in range(9):
        filled.basic_publish("", "alpha", b"x")
    # The figure, its place in the order and the sum of all follow, without a reload.
    expect(page.locator("tr", has_text="alpha").locator("[data-live$='.ready']")).to_have_text("9", timeout=SLOW)
    expect(page.locator(NAMES).first).to_have_text("alpha", timeout=SLOW)
    expect(page.locator("[data-live='page.matching']")).to_contain_text("15 ready", timeout=SLOW)
    filled.queue_declare("omega", durable=True)
    expect(page.locator(NAMES)).to_have_count(5, timeout=SLOW)
    filled.queue_delete("beta")
    expect(page.locator(NAMES)).to_have_count(4, timeout=SLOW)
    expect(page.locator("tr", has_text="beta")).to_have_count(0)
    # A list that was filtered since follows what it is filtered by.
    page.locator("#queues-name").press_sequentially("g", delay=20)
    expect(page.locator(NAMES)).to_have_text(["gamma", "omega"])
    filled.basic_publish("", "omega", b"x")
    expect(page.locator("tr", has_text="omega").locator("[data-live$='.ready']")).to_have_text("1", timeout=SLOW)
    assert page.evaluate("window.notReloaded")


def test_it_works_without_javascript(
    new_context: Callable[..., BrowserContext], server: DashboardServer, vhost: str, filled: object
) -> None:
    page = new_context(java_script_enabled=False).new_page()
    opened(page, server, vhost)
    page.fill("#queues-name", "ta")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator(NAMES)).to_have_text(["beta", "delta"])
    page.get_by_role("button", name="Queue", exact=False).first.click()
    expect(page.locator(NAMES)).to_have_text(["delta", "beta"])
    page.locator(".chip", has_text="All").click()
    expect(page.locator(NAMES)).to_have_text(["delta", "beta"])


def test_it_finds_while_one_types_and_goes_on_enter(
    page: Page, server: DashboardServer, vhost: str, filled: pika.adapters.blocking_connection.BlockingChannel
) -> None:
    name = f"only-{vhost}"
    filled.queue_declare(name, durable=True)
    opened(page, server, vhost, rows=5)
    page.goto(f"{server.url}/find")
    page.locator("#find-here").press_sequentially(name, delay=5)
    expect(page.locator("#found a", has_text=name)).to_have_count(1)
    expect(page).to_have_url(f"{server.url}/find?q={name}")
    page.locator("#find-here").press("Enter")
    expect(page).to_have_url(re.compile(r"/brokers/\d+/queue\?"))
    expect(page.locator("h1")).to_contain_text(name)


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_it_never_scrolls_sideways(page: Page, server: DashboardServer, vhost: str, filled: object, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 780})
    opened(page, server, vhost)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    if width == 360:
        expect(page.locator("tbody .sub").first).to_be_visible()
        expect(page.locator("th", has_text="Vhost")).to_be_hidden()
