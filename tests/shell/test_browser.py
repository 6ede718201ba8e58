"""The shell in a real browser, over a real broker: theme, reasons, keys, zone, small screens, and no complaint."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.support.brokers import TestBroker
from tests.support.browser import Complaints, sign_in_page
from tests.support.dashboard_server import DashboardServer

pytestmark = pytest.mark.browser

PAGES = (
    "/",
    "/queues",
    "/find?q=shop",
    "/brokers/1",
    "/brokers/1/queues",
    "/settings/brokers",
    "/settings/brokers/add",
    "/settings/brokers/1",
    "/settings/brokers/1/remove",
    "/settings/collector",
    "/settings/users",
    "/settings/users/add",
    "/settings/users/1",
    "/settings/users/1/remove",
    "/settings/audit",
    "/account/password",
    "/account/tokens",
    "/components",
)


@pytest.fixture(scope="module")
def server(make_dashboard: Callable[..., DashboardServer], any_broker: TestBroker) -> Iterator[DashboardServer]:
    """A dashboard that watches one real broker."""
    started = make_dashboard(brokers=(f"{any_broker.management_url}#shop",))
    yield started
    started.stop()


@pytest.fixture
def signed_in(new_context: Callable[..., BrowserContext], server: DashboardServer) -> Callable[..., Page]:
    """Return a function that opens a signed-in page in a context of its own."""

    def open_page(**options: object) -> Page:
        page = new_context(**options).new_page()
        sign_in_page(page, server)
        return page

    return open_page


def background(page: Page) -> str:
    """Return the colour that the page is painted on."""
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_it_fits_a_phone_without_scrolling_sideways(
    signed_in: Callable[..., Page], server: DashboardServer, scheme: str
) -> None:
    page = signed_in(viewport={"width": 360, "height": 740}, color_scheme=scheme, has_touch=True)
    for path in PAGES:
        page.goto(server.url + path)
        width, wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width <= wide, f"{path} is {width} px wide"
        assert page.evaluate("document.querySelectorAll('main h1').length") == 1, path


def test_it_follows_the_system_until_a_theme_is_chosen(signed_in: Callable[..., Page], server: DashboardServer) -> None:
    page = signed_in(color_scheme="dark")
    dark = background(page)
    page.emulate_media(color_scheme="light")
    light = background(page)
    assert dark != light
    page.locator(".btn--theme").click()
    assert background(page) == dark
    page.goto(server.url + "/queues")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert background(page) == dark


def test_it_shows_a_reason_on_focus_and_closes_it_by_escape(
    signed_in: Callable[..., Page], server: DashboardServer
) -> None:
    page = signed_in()
    page.goto(server.url + "/components")
    unknown = page.locator("[data-live='c.figure.unknown']")
    unknown.focus()
    tip = page.get_by_role("tooltip")
    expect(tip).to_have_text("No publisher sets a timestamp.")
    assert unknown.get_attribute("aria-describedby") == tip.get_attribute("id")
    page.keyboard.press("Escape")
    expect(tip).to_have_count(0)


def test_it_shows_a_reason_under_the_pointer_within_the_window(
    signed_in: Callable[..., Page], server: DashboardServer
) -> None:
    page = signed_in()
    page.goto(server.url + "/components")
    page.locator(".foot__zone").hover()
    tip = page.get_by_role("tooltip")
    expect(tip).to_contain_text("your browser named")
    box = tip.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 1280
    assert box["y"] + box["height"] <= 800
    page.mouse.move(400, 300)
    expect(tip).to_have_count(0)


def test_it_sets_what_a_broker_is_called_as_text(signed_in: Callable[..., Page], server: DashboardServer) -> None:
    page = signed_in()
    page.goto(server.url + "/components")
    target = page.locator("[data-live='c.figure.unknown']")
    target.evaluate("element => { element.dataset.tip = '<img src=x onerror=alert(1)>'; }")
    target.focus()
    expect(page.get_by_role("tooltip")).to_have_text("<img src=x onerror=alert(1)>")
    assert page.locator("[role=tooltip] *").count() == 0


def test_it_says_how_long_ago_a_figure_was_read_that_is_held(
    signed_in: Callable[..., Page], server: DashboardServer
) -> None:
    page = signed_in()
    page.goto(server.url + "/components")
    target = page.locator("[data-live='c.figure.unknown']")
    target.evaluate("element => { element.dataset.tip = '2,253 B'; element.dataset.read = Date.now() - 40000; }")
    target.focus()
    expect(page.get_by_role("tooltip")).to_have_text(re.compile(r"^2,253 B, read 4\d s ago$"))
    # It counts on while it is shown.
    expect(page.get_by_role("tooltip")).to_have_text(re.compile(r"read 4[2-9] s ago$"))
    target.evaluate("element => { delete element.dataset.tip; }")
    expect(page.get_by_role("tooltip")).to_have_text(re.compile(r"^Read 4\d s ago\.$"))


def test_it_goes_by_letters_and_leaves_fields_alone(signed_in: Callable[..., Page], server: DashboardServer) -> None:
    page = signed_in()
    page.keyboard.press("g")
    page.keyboard.press("a")
    page.wait_for_url(server.url + "/settings/audit")
    page.keyboard.press("/")
    expect(page.locator("#find")).to_be_focused()
    page.keyboard.type("gq?t")
    assert page.locator("#find").input_value() == "gq?t"
    assert page.url == server.url + "/settings/audit"
    page.keyboard.press("Escape")
    expect(page.locator("#find")).not_to_be_focused()
    page.keyboard.press("Control+k")
    expect(page.locator("#find")).to_be_focused()
    page.keyboard.type("shop")
    page.keyboard.press("Enter")
    page.wait_for_url("**/find?q=shop")


def test_it_lists_its_keys(signed_in: Callable[..., Page]) -> None:
    page = signed_in()
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keyboard")
    expect(keys).to_be_visible()
    expect(keys).to_contain_text("next and previous row")
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()


def test_it_walks_rows(signed_in: Callable[..., Page], server: DashboardServer) -> None:
    page = signed_in()
    page.goto(server.url + "/settings/users")
    page.keyboard.press("j")
    expect(page.get_by_role("link", name="admin", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/settings/users/1")


def test_it_turns_on_what_destroys_when_the_name_is_typed(
    signed_in: Callable[..., Page], server: DashboardServer
) -> None:
    page = signed_in()
    page.goto(server.url + "/components")
    button = page.locator("#x6-go")
    expect(button).to_be_disabled()
    page.locator("#x6").fill("sho")
    expect(button).to_be_disabled()
    page.locator("#x6").fill("shop")
    expect(button).to_be_enabled()


def test_it_writes_times_in_the_viewers_zone(signed_in: Callable[..., Page], server: DashboardServer) -> None:
    page = signed_in(timezone_id="Asia/Tokyo")
    expect(page.locator(".foot__zone")).to_have_text("Asia/Tokyo")
    cookies = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
    assert cookies["tz"] == "Asia/Tokyo"
    page.context.add_cookies([{"name": "tz", "value": "Europe/Berlin", "url": server.url}])
    # Drawn once in the other zone, and once again when the browser has said its own.
    page.goto(server.url + "/settings/audit")
    expect(page.locator(".foot__zone")).to_have_text("Asia/Tokyo")


def test_it_switches_brokers_and_reaches_every_room_on_a_phone(
    signed_in: Callable[..., Page], server: DashboardServer
) -> None:
    page = signed_in(viewport={"width": 360, "height": 740})
    page.get_by_role("button", name="All brokers").click()
    page.locator("#scope").get_by_role("link", name="shop").click()
    page.wait_for_url(server.url + "/brokers/1")
    page.get_by_role("button", name="More").click()
    page.locator("#more").get_by_role("link", name="Audit trail").click()
    page.wait_for_url(server.url + "/settings/audit")
    page.get_by_role("button", name="More").click()
    page.locator("#more").get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/account/sign-in**")


def test_it_serves_its_files_under_lasting_names(signed_in: Callable[..., Page], server: DashboardServer) -> None:
    page = signed_in()
    addresses = page.evaluate(
        "[...document.querySelectorAll('link[rel=stylesheet], script[src]')].map((one) => one.href || one.src)"
    )
    loaded = page.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
    modules = [name for name in loaded if "/static/js/" in name]
    assert any("/tips." in name for name in modules)
    for address in {*addresses, *modules}:
        answer = page.request.get(address)
        assert answer.status == 200, address
        assert "immutable" in answer.headers["cache-control"], address


def test_it_says_in_the_corner_that_a_part_did_not_come(
    signed_in: Callable[..., Page], server: DashboardServer, complaints: Complaints
) -> None:
    page = signed_in()
    page.goto(server.url + "/settings/users/add")
    page.route("**/settings/users/matches**", lambda route: route.fulfill(status=500, body="inside"))
    page.fill("input[name=vhost_pattern]", "tenant-*")
    toast = page.locator(".toast")
    expect(toast).to_contain_text("Warren answered 500")
    # The browser itself writes the failed request to its console.
    complaints.clear()
