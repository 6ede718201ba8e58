"""The page of charts in a real browser, on a real broker: it draws, goes on, zooms, compares, gives files and links."""

from __future__ import annotations

import csv
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pika
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.support.brokers import TestBroker
from tests.support.browser import sign_in_page
from tests.support.dashboard_server import DashboardServer

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
HOSTILE = "=cmd|' <img src=x onerror=document.title='taken'>"
# Polls become rare on a machine that has much else to do.
SLOW_MS = 150_000
PLOT = "[data-chart=explore]"
LAST_IS = """([place, value]) => {
  const lines = document.querySelector('[data-chart=explore]').data?.filter((one) => one.hoverinfo !== 'skip');
  return lines?.[place]?.y.findLast((one) => one !== null) === value;
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
    for name in ("orders", HOSTILE):
        made.queue_declare(name, durable=True)
        made.basic_publish("", name, b"x")
    return made


def series(measure: str, vhost: str, name: str) -> tuple[str, str]:
    return "s", f"{measure}:queue:1:{quote(vhost, safe='')}:{quote(name, safe='')}"


def opened(page: Page, server: DashboardServer, vhost: str, *pairs: tuple[str, str]) -> None:
    """Show a chart of what the broker has by now."""
    if page.url == "about:blank":
        sign_in_page(page, server)
    known = f"{server.url}/brokers/1/queue?{urlencode({'vhost': vhost, 'name': HOSTILE})}"
    for _ in range(60):
        if page.request.get(known).status == 200:
            break
        page.wait_for_timeout(500)
    page.goto(f"{server.url}/charts?{urlencode(pairs)}")
    page.wait_for_selector(f"{PLOT} .main-svg")


def xrange(page: Page) -> list[float]:
    found: list[float] = page.evaluate(
        "() => document.querySelector('[data-chart=explore]').layout.xaxis.range.map((at) => Date.parse(`${at}Z`))"
    )
    return found


def test_it_draws_zooms_and_gives_away_exactly_what_it_shows(
    new_context: Callable[..., BrowserContext], server: DashboardServer, vhost: str, channel: Any
) -> None:
    context = new_context(accept_downloads=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    lines = [series("ready", vhost, "orders"), series("publish_rate", vhost, HOSTILE), series("ready", vhost, HOSTILE)]
    opened(page, server, vhost, *lines, ("range", "5m"))
    page.wait_for_function(LAST_IS, arg=[0, 1], timeout=SLOW_MS)
    # It goes on by itself.
    for _ in range(4):
        channel.basic_publish("", "orders", b"x")
    page.wait_for_function(LAST_IS, arg=[0, 5], timeout=SLOW_MS)
    expect(page.locator("#last-s0")).to_have_text("5")
    assert page.evaluate("() => Boolean(document.querySelector('[data-chart=explore]').layout.yaxis2)")
    assert page.evaluate("document.title") == "Charts · Warren"

    box = page.locator(f"{PLOT} .nsewdrag").bounding_box()
    assert box is not None
    wide = xrange(page)
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 90)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 90, steps=5)
    # To the very end: the queue may be a few seconds old, and its polls all in those.
    page.mouse.move(box["x"] + box["width"] + 6, box["y"] + 90, steps=5)
    page.mouse.up()
    page.wait_for_url("**from=**")
    query = parse_qs(urlsplit(page.url).query)
    assert len(query["s"]) == 3
    assert "range" not in query
    zoomed = xrange(page)
    assert zoomed[0] > wide[0]
    # What the address says is what it shows.
    page.reload()
    page.wait_for_selector(f"{PLOT} .main-svg")
    assert xrange(page) == zoomed

    page.locator("[data-copy-link]").click()
    expect(page.locator("[data-copy-link]")).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    told = parse_qs(urlsplit(copied).query)
    assert (told["from"], told["to"], told["s"]) == (query["from"], query["to"], query["s"])

    with page.expect_download() as given:
        page.locator("[data-chart-csv]").click()
    head, *rows = csv.reader(given.value.path().read_text().splitlines())
    assert head[0] == "time"
    assert head[3].startswith("ready =cmd|")
    # How many polls the window holds hangs on how busy the machine is.
    assert {"1", "5"} & {row[1] for row in rows}

    with page.expect_download() as given:
        page.locator("[data-chart-png]").click()
    picture = given.value.path().read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", picture[16:24])
    assert (width, height) == (2400, 2 * (560 + 3 * 19))
    assert len(picture) > 20_000


def test_it_adds_series_as_one_types_and_compares(
    page: Page, server: DashboardServer, vhost: str, channel: Any
) -> None:
    opened(page, server, vhost, series("ready", vhost, "orders"), ("range", "5m"))
    page.locator("#add-form [name=measure]").select_option("unacked")
    page.locator("#add-form [name=q]").press_sequentially(HOSTILE[:6])
    hit = page.locator("#picked a", has_text="=cmd")
    expect(hit.first).to_be_visible()
    hit.first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**unacked**")
    page.wait_for_selector(f"{PLOT} .main-svg")
    expect(page.locator("[data-chart-table=explore] tbody tr")).to_have_count(2)
    page.get_by_role("link", name="Yesterday").click()
    page.wait_for_url("**compare=day**")
    page.wait_for_selector(f"{PLOT} .main-svg")
    expect(page.get_by_text("the same time yesterday", exact=True)).to_be_visible()
    page.wait_for_function(
        "() => document.querySelector('[data-chart=explore]').data?.some((one) => one.name.endsWith(', yesterday'))"
    )
    page.locator("[data-chart-table=explore] tbody tr").nth(1).get_by_role("link", name="Remove").click()
    page.wait_for_url(lambda url: "unacked" not in url)
    expect(page.locator("[data-chart-table=explore] tbody tr")).to_have_count(1)


def test_it_says_why_a_figure_is_unknown(page: Page, server: DashboardServer, vhost: str, channel: Any) -> None:
    opened(page, server, vhost, series("ready", vhost, "orders"), ("from", "1000000000000"), ("to", "1000003600000"))
    unknown = page.locator("#last-s0 .unknown")
    expect(unknown).to_have_text("—")
    unknown.focus()
    expect(page.locator("#tip")).to_have_text("Nothing is known of it in this window.")


def test_it_moves_by_keyboard(page: Page, server: DashboardServer, vhost: str, channel: Any) -> None:
    opened(page, server, vhost, series("ready", vhost, "orders"), ("range", "15m"))
    before = xrange(page)
    page.locator("[data-chart-move=earlier]").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**from=**")
    page.wait_for_function(
        "(start) => Date.parse(`${document.querySelector('[data-chart=explore]').layout.xaxis.range[0]}Z`) < start",
        arg=before[0],
    )
    page.locator("[data-chart-follow]").press("Enter")
    page.wait_for_url("**range=15m**")


def test_notes_are_written_and_read_on_the_charts(
    page: Page, server: DashboardServer, vhost: str, channel: Any
) -> None:
    note = f"deployed {vhost} <img src=x>"
    opened(page, server, vhost, series("ready", vhost, "orders"), ("range", "5m"))
    page.get_by_text("Write a note").press("Enter")
    page.locator("#f-note-scope").select_option(label=f"vhost {vhost} of shop")
    page.locator("#f-note-text").fill(note)
    page.keyboard.press("Enter")
    expect(page.locator("#notes")).to_contain_text(note)
    mark = page.locator(".plot-mark")
    expect(mark).to_have_count(1)
    mark.focus()
    expect(page.locator("#tip")).to_contain_text(note)
    assert page.evaluate("() => document.querySelector('[data-chart=explore]').layout.shapes.length") >= 1
    page.goto(f"{server.url}/brokers/1/queue?{urlencode({'vhost': vhost, 'name': 'orders', 'range': '5m'})}")
    page.wait_for_selector("[data-chart=waiting] .main-svg")
    expect(page.locator("[data-marks-of=waiting] .plot-mark")).to_have_count(1)
    other = page.context.new_page()
    other.goto(page.url)
    other.locator("[data-chart-explore]").first.click()
    other.wait_for_selector(f"{PLOT} .main-svg")
    other.get_by_role("button", name="Remove the note").first.click()
    expect(other.locator("#notes")).not_to_contain_text(note)
    # A page that somebody else looks at takes it away as well, by itself.
    expect(page.locator(".plot-mark")).to_have_count(0, timeout=SLOW_MS)


def test_it_fits_a_phone(
    new_context: Callable[..., BrowserContext], server: DashboardServer, vhost: str, channel: Any
) -> None:
    page = new_context(viewport={"width": 360, "height": 740}, has_touch=True).new_page()
    opened(page, server, vhost, series("ready", vhost, "orders"), series("memory", vhost, HOSTILE), ("range", "5m"))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # The last figure of each series is to be seen without scrolling.
    assert page.locator(".tw[aria-label='Series']").evaluate("table => table.scrollWidth <= table.clientWidth")


def test_it_rests_while_nobody_looks(page: Page, server: DashboardServer, vhost: str, channel: Any) -> None:
    opened(page, server, vhost, series("ready", vhost, "orders"), ("range", "5m"))
    page.wait_for_function(LAST_IS, arg=[0, 1], timeout=SLOW_MS)
    drawn = "() => { window.drawn = 0; document.querySelector('[data-chart=explore]')"
    page.evaluate(f"{drawn}.addEventListener('warren:drawn', () => {{ window.drawn += 1; }}); }}")
    page.evaluate(
        "() => { Object.defineProperty(document, 'hidden', { get: () => true, configurable: true }); "
        "document.dispatchEvent(new Event('visibilitychange')); window.drawn = 0; }"
    )
    channel.basic_publish("", "orders", b"x")
    end = time.monotonic() + 12
    while time.monotonic() < end:
        page.wait_for_timeout(1000)
        assert page.evaluate("window.drawn") == 0
    page.evaluate(
        "() => { Object.defineProperty(document, 'hidden', { get: () => false, configurable: true }); "
        "document.dispatchEvent(new Event('visibilitychange')); }"
    )
    page.wait_for_function(LAST_IS, arg=[0, 2], timeout=SLOW_MS)
