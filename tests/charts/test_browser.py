"""Charts in a real browser, on a real broker: they draw, move, fix a window, follow again and change with the theme."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from zoneinfo import ZoneInfo

import pika
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.support.brokers import TestBroker
from tests.support.browser import sign_in_page
from tests.support.dashboard_server import DashboardServer

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
HOSTILE = "<img src=x onerror=document.title='taken'> <a href='javascript:1'>x</a> \"%2F../ <b>&amp;"
# Polls become rare on a machine that has much else to do.
SLOW_MS = 150_000
# What a chart draws of a metric, by the name of its trace.
DRAWN = """([key, name]) => {
  const element = document.querySelector(`[data-chart="${key}"]`);
  const trace = element.data?.find((one) => one.name === name);
  const range = element.layout.xaxis.range.map((at) => Date.parse(`${at}Z`));
  return trace ? { y: [...trace.y], color: trace.line.color, range } : null;
}"""
LAST_IS = """([key, name, value]) => {
  const trace = document.querySelector(`[data-chart="${key}"]`).data?.find((one) => one.name === name);
  return trace?.y.findLast((one) => one !== null) === value;
}"""


@pytest.fixture(scope="module")
def server(any_broker: TestBroker, make_dashboard: Callable[..., DashboardServer]) -> Iterator[DashboardServer]:
    started = make_dashboard(brokers=(f"{any_broker.management_url}#shop",))
    yield started
    started.stop()


@pytest.fixture
def channel(amqp: pika.BlockingConnection) -> Any:
    made = amqp.channel()
    made.confirm_delivery()
    made.queue_declare("orders", durable=True)
    made.basic_publish("", "orders", b"x")
    return made


def opened(page: Page, server: DashboardServer, vhost: str, name: str = "orders", **window: str) -> None:
    """Show a queue once it is known, with its charts drawn."""
    if page.url == "about:blank":
        sign_in_page(page, server)
    address = f"{server.url}/brokers/1/queue?{urlencode({'vhost': vhost, 'name': name, **window})}"
    for _ in range(60):
        if page.request.get(address).status == 200:
            break
        page.wait_for_timeout(500)
    page.goto(address)
    page.wait_for_selector("[data-chart=waiting] .main-svg")


def drawn(page: Page, key: str = "waiting", name: str = "ready") -> Any:
    return page.evaluate(DRAWN, [key, name])


def drag(page: Page, begin: float, end: float) -> None:
    """Drag over the chart from one share of its width to another."""
    box = page.locator("[data-chart=waiting] .nsewdrag").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * begin, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * (begin + end) / 2, middle, steps=4)
    page.mouse.move(box["x"] + box["width"] * end, middle, steps=4)
    page.mouse.up()


def test_it_draws_and_moves(page: Page, server: DashboardServer, vhost: str, channel: Any) -> None:
    opened(page, server, vhost, range="5m")
    for name in ("waiting", "flow", "consumers"):
        expect(page.locator(f"[data-chart={name}] .main-svg").first).to_be_visible()
    page.wait_for_function(LAST_IS, arg=["waiting", "ready", 1], timeout=SLOW_MS)
    before = drawn(page)["range"]
    for _ in range(41):
        channel.basic_publish("", "orders", b"x")
    page.wait_for_function(LAST_IS, arg=["waiting", "ready", 42], timeout=SLOW_MS)
    assert drawn(page)["range"][1] > before[1]
    expect(page.locator("[data-chart-table=waiting] [data-chart-last=ready]")).to_have_text("42")


def test_it_fixes_a_window_by_a_drag_and_follows_again(
    page: Page, server: DashboardServer, vhost: str, channel: Any
) -> None:
    opened(page, server, vhost, range="5m")
    page.wait_for_function(LAST_IS, arg=["waiting", "ready", 1], timeout=SLOW_MS)
    follow = page.locator("[data-chart-follow]")
    expect(follow).to_have_attribute("aria-pressed", "true")
    wide = drawn(page)["range"]
    with page.expect_response(lambda answer: "/queue/points" in answer.url and "from=" in answer.url) as asked:
        drag(page, 0.5, 0.9)
    expect(follow).to_have_attribute("aria-pressed", "false")
    query = parse_qs(urlsplit(page.url).query)
    assert "range" not in query
    told = asked.value.json()["window"]
    assert [str(told["start"]), str(told["end"])] == [query["from"][0], query["to"][0]]
    assert abs((told["end"] - told["start"]) - 0.4 * (wide[1] - wide[0])) < 0.05 * (wide[1] - wide[0])
    # Every chart shows the window, and it stays while figures go on.
    fixed = drawn(page)["range"]
    assert drawn(page, "consumers", "consumers")["range"] == fixed
    channel.basic_publish("", "orders", b"x")
    expect(page.locator('[data-live$=".ready"]').first).to_have_text("2", timeout=SLOW_MS)
    assert drawn(page)["range"] == fixed
    # The address shows exactly this to whoever opens it.
    page.reload()
    page.wait_for_selector("[data-chart=waiting] .main-svg")
    assert drawn(page)["range"] == fixed
    page.go_back()
    page.wait_for_selector("[data-chart=waiting] .main-svg")
    expect(follow).to_have_attribute("aria-pressed", "true")
    drag(page, 0.4, 0.8)
    expect(follow).to_have_attribute("aria-pressed", "false")
    page.locator("[data-chart=waiting] .nsewdrag").dblclick()
    expect(follow).to_have_attribute("aria-pressed", "true")
    assert parse_qs(urlsplit(page.url).query)["range"] == ["5m"]
    page.wait_for_function(LAST_IS, arg=["waiting", "ready", 2], timeout=SLOW_MS)


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Madrid"])
def test_it_shows_and_fixes_the_same_moments_in_every_zone(
    new_context: Callable[..., BrowserContext], server: DashboardServer, vhost: str, channel: Any, zone: str
) -> None:
    page = new_context(timezone_id=zone).new_page()
    opened(page, server, vhost, range="5m")
    page.wait_for_function(LAST_IS, arg=["waiting", "ready", 1], timeout=SLOW_MS)
    told = page.evaluate("JSON.parse(document.getElementById('chart-waiting').textContent)")
    assert told["zone"] == zone
    box = page.locator("[data-chart=waiting] .nsewdrag").bounding_box()
    assert box is not None
    shown = "[data-chart=waiting] .hoverlayer .legendtitletext"
    # Lines begin where the queue does: one hovers where the newest points are.
    for _ in range(30):
        page.mouse.move(box["x"] + box["width"] - 40, box["y"] + box["height"] / 2)
        page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2, steps=5)
        if page.locator(shown).count():
            break
        page.wait_for_timeout(500)
    hovered = page.locator(shown).text_content()
    now = dt.datetime.now(ZoneInfo(zone))
    minutes = {(now - dt.timedelta(minutes=back)).strftime("%H:%M") for back in range(5)}
    assert str(hovered)[:5] in minutes
    before = time.time() * 1000
    drag(page, 0.2, 0.9)
    expect(page.locator("[data-chart-follow]")).to_have_attribute("aria-pressed", "false")
    query = parse_qs(urlsplit(page.url).query)
    assert before - 600_000 < int(query["from"][0]) < int(query["to"][0]) < before + 60_000


def test_it_fixes_and_follows_by_the_button(page: Page, server: DashboardServer, vhost: str, channel: Any) -> None:
    opened(page, server, vhost, range="15m")
    follow = page.locator("[data-chart-follow]")
    follow.focus()
    page.keyboard.press("Enter")
    expect(follow).to_have_attribute("aria-pressed", "false")
    assert "from=" in page.url
    page.keyboard.press("Enter")
    expect(follow).to_have_attribute("aria-pressed", "true")
    assert "range=15m" in page.url
    page.get_by_role("link", name="1 h", exact=True).click()
    page.wait_for_url("**range=1h**")
    page.wait_for_selector("[data-chart=waiting] .main-svg")


def test_it_changes_with_the_theme(page: Page, server: DashboardServer, vhost: str, channel: Any) -> None:
    opened(page, server, vhost, range="5m")
    before = drawn(page)["color"]
    page.locator("[data-theme-toggle]:visible").click()
    page.wait_for_function(
        "([color]) => document.querySelector('[data-chart=waiting]').data.find((one) => one.name === 'ready')"
        ".line.color !== color",
        arg=[before],
    )


def test_it_runs_nothing_that_a_name_says(page: Page, server: DashboardServer, vhost: str, channel: Any) -> None:
    channel.queue_declare(HOSTILE, durable=True)
    said: list[str] = []
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    opened(page, server, vhost, HOSTILE, range="5m")
    expect(page.locator("h1 bdi")).to_have_text(HOSTILE)
    box = page.locator("[data-chart=waiting] .nsewdrag").bounding_box()
    assert box is not None
    page.wait_for_function(LAST_IS, arg=["waiting", "ready", 0], timeout=SLOW_MS)
    page.mouse.move(box["x"] + box["width"] - 60, box["y"] + box["height"] / 2)
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2, steps=5)
    page.wait_for_selector("[data-chart=waiting] .hoverlayer .legend")
    expect(page.locator("#h-consumers-now")).to_be_visible()
    expect(page).to_have_title(f"{HOSTILE} · Warren")
    assert not said
    assert page.locator("main img, main a[href^='javascript']").count() == 0


def test_it_fits_a_phone_and_a_resized_window(
    new_context: Callable[..., BrowserContext], server: DashboardServer, vhost: str, channel: Any
) -> None:
    page = new_context(viewport={"width": 360, "height": 740}, has_touch=True).new_page()
    opened(page, server, vhost, range="5m")
    wide = "document.documentElement.scrollWidth <= innerWidth"
    assert page.evaluate(wide)
    page.set_viewport_size({"width": 800, "height": 740})
    page.wait_for_function(
        "() => { const one = document.querySelector('[data-chart=waiting]'); "
        "return one.layout.width === one.clientWidth && one.clientWidth > 400; }"
    )
    assert page.evaluate(wide)
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"{server.url}/brokers/1")
    page.wait_for_selector("[data-chart=churn] .main-svg")
    # The table beside each chart, for whoever hears the page, is wider than a phone.
    page.wait_for_selector(".plot__t tbody tr", state="attached")
    assert page.evaluate(wide)


def test_it_charts_the_broker(page: Page, server: DashboardServer, vhost: str, channel: Any) -> None:
    opened(page, server, vhost)
    page.goto(f"{server.url}/brokers/1?range=15m")
    for name in ("flow", "waiting", "churn"):
        page.wait_for_selector(f"[data-chart={name}] .main-svg")
    page.wait_for_function(
        "() => document.querySelector('[data-chart=flow]').data.find((one) => one.name === 'confirm')"
        "?.y.some((one) => one !== null)",
        timeout=SLOW_MS,
    )
