"""What a page does with its socket: connecting again, hiding, holding rows still, charts, and saying how live it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.live.conftest import HOST, FakeServer
from tests.support.browser import Complaints

pytestmark = pytest.mark.browser

HIDE = """(hidden) => {
  Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
  document.dispatchEvent(new Event('visibilitychange'));
}"""
ROWS = "[...document.querySelectorAll('tr')].map((row) => row.dataset.row).join('')"

Show = Callable[..., Page]


def main_of(inner: str, **more: str) -> str:
    attributes = "".join(f' data-{name}="{value}"' for name, value in more.items())
    return f'<main id="main" data-topic="fleet" data-params="{{}}"{attributes}>{inner}</main>'


def table(keys: str, url: str = "") -> str:
    rows = "".join(f'<tr data-row="{key}"><td><input type="checkbox">{key}</td></tr>' for key in keys)
    at = f' data-rows-url="{url}"' if url else ""
    return main_of(
        f'<section class="card"><div class="tw"><table><tbody data-rows{at}>{rows}</tbody></table></div></section>'
        '<p id="aside">Elsewhere</p>'
    )


def cell(text: str) -> dict[str, Any]:
    return {"text": text}


@pytest.fixture
def server(page: Page) -> FakeServer:
    return FakeServer(page)


def test_it_subscribes_what_the_page_shows_and_sets_what_comes(server: FakeServer, bare_page: Show) -> None:
    page = bare_page(main_of('<b data-live="x">…</b><i data-live="kept">as drawn</i>'))
    asked = server.wait_for("subscribe")
    assert asked == {"op": "subscribe", "sub": "page", "topic": "fleet", "params": {}}
    server.send("state", cells={"x": cell("<i>5</i>")})
    expect(page.locator("b")).to_have_text("<i>5</i>")
    expect(page.locator("#live-state")).to_have_text("Live")
    server.send("change", cells={"x": cell("6")})
    expect(page.locator("b")).to_have_text("6")
    expect(page.locator("i")).to_have_text("as drawn")
    server.send("change", gone=["x"])
    expect(page.locator("b.unknown")).to_have_text("—")


def test_it_opens_no_socket_for_a_page_that_shows_nothing_live(server: FakeServer, bare_page: Show) -> None:
    page = bare_page("<main>Users</main>")
    page.wait_for_timeout(300)
    assert not server.sockets
    expect(page.locator("#live-state")).to_have_text("")


def test_it_connects_again_by_itself_and_asks_for_a_whole_state(server: FakeServer, bare_page: Show) -> None:
    page = bare_page(main_of('<b data-live="x">…</b>'))
    server.wait_for("subscribe")
    server.send("state", cells={"x": cell("5")})
    server.sockets[-1].close(code=1012)
    expect(page.locator("#live-state")).to_have_text("Reconnecting…")
    server.wait_for("subscribe")
    server.send("state", cells={"x": cell("7")})
    expect(page.locator("b")).to_have_text("7")
    expect(page.locator("#live-state")).to_have_text("Live")
    assert len(server.sockets) == 2


def test_it_waits_longer_each_time_and_says_so_where_it_lasts(
    server: FakeServer, bare_page: Show, complaints: Complaints
) -> None:
    page = bare_page(main_of('<b data-live="x">5</b>'))
    page.clock.install()
    server.wait_for("subscribe")
    server.send("state", ack=False, cells={"x": cell("5")})
    page.route_web_socket("**/ws/live", lambda socket: socket.close(code=1012))
    server.sockets[-1].close(code=1012)
    expect(page.locator("#live-state")).to_have_text("Reconnecting…")
    page.clock.run_for(20_000)
    notice = page.locator('[data-live-notice="lost"]')
    expect(notice).to_contain_text("Warren has not been reached since")
    expect(notice).to_contain_text("the figures are of then")
    complaints.clear()


def test_it_asks_again_where_a_number_is_missing(server: FakeServer, bare_page: Show) -> None:
    page = bare_page(main_of('<b data-live="x">…</b>'))
    server.wait_for("subscribe")
    server.send("state", cells={"x": cell("5")})
    server.seq += 1
    server.send("change", ack=False, cells={"x": cell("wrong")})
    server.wait_for("subscribe")
    server.send("state", cells={"x": cell("8")})
    expect(page.locator("b")).to_have_text("8")


def test_it_says_when_it_is_hidden_and_when_it_is_seen(server: FakeServer, bare_page: Show) -> None:
    page = bare_page(main_of('<b data-live="x">…</b>'))
    server.wait_for("subscribe")
    server.send("state", cells={"x": cell("5")})
    page.evaluate(HIDE, True)
    server.wait_for("hide")
    expect(page.locator("#live-state")).to_have_text("Paused")
    page.evaluate(HIDE, False)
    server.wait_for("show")
    server.send("state", cells={"x": cell("9")})
    expect(page.locator("b")).to_have_text("9")
    expect(page.locator("#live-state")).to_have_text("Live")


def test_it_takes_a_silent_connection_for_dead_when_an_answer_fails_to_come(
    server: FakeServer, bare_page: Show
) -> None:
    page = bare_page(main_of('<b data-live="x">…</b>'))
    page.clock.install()
    server.wait_for("subscribe")
    server.send("state", ack=False, cells={"x": cell("5")})
    page.clock.run_for(80_000)
    server.wait_for("subscribe")
    page.clock.run_for(8_000)
    server.wait_for("subscribe")
    assert len(server.sockets) == 2


def test_it_leads_a_person_whose_session_ended_to_the_sign_in(server: FakeServer, bare_page: Show) -> None:
    page = bare_page(main_of('<b data-live="x">5</b>'))
    server.wait_for("subscribe")
    server.sockets[-1].close(code=4401)
    expect(page.locator("#live-state a")).to_have_attribute("href", "/")
    expect(page.locator('[data-live-notice="signed-out"]')).to_contain_text("Your session has ended")
    page.wait_for_timeout(900)
    assert len(server.sockets) == 1, "it went on knocking"


def test_it_shows_why_it_was_refused(server: FakeServer, bare_page: Show) -> None:
    page = bare_page(main_of('<b data-live="x">5</b>'))
    server.wait_for("subscribe")
    server.sockets[-1].send('{"op":"refused","sub":"page","sentence":"<b>Not</b> yours any more."}')
    expect(page.locator('[data-live-notice="refused"] p')).to_have_text("<b>Not</b> yours any more.")


def test_it_puts_rows_into_their_order(server: FakeServer, bare_page: Show) -> None:
    page = bare_page(table("abcd"))
    server.wait_for("subscribe")
    server.send("state", cells={}, order=list("dacb"))
    assert page.evaluate(ROWS) == "dacb"


@pytest.mark.parametrize("how", ["hover", "focus", "select"])
def test_it_moves_no_row_under_a_hand_and_says_how_many_would(how: str, server: FakeServer, bare_page: Show) -> None:
    page = bare_page(table("abcd"))
    server.wait_for("subscribe")
    row = page.locator("tr[data-row=b]")
    box = row.locator("input")
    {"hover": row.hover, "focus": box.focus, "select": box.check}[how]()
    if how == "select":
        page.locator("#aside").hover()
        box.blur()
    server.send("state", cells={}, order=list("dcba"))
    expect(page.locator("[data-rows-note]")).to_have_text("3 rows would move")
    assert page.evaluate(ROWS) == "abcd"
    if how == "select":
        box.uncheck()
    box.blur()
    page.locator("#aside").hover()
    expect(page.locator("[data-rows-note]")).to_be_hidden()
    assert page.evaluate(ROWS) == "dcba"


def test_it_asks_for_the_rows_when_some_come_or_go(server: FakeServer, bare_page: Show) -> None:
    page = bare_page(table("abc", url="/rows"))
    asked: list[str] = []

    def rows(route: Any) -> None:
        asked.append(route.request.headers.get("hx-request", ""))
        body = "".join(f'<tr data-row="{key}"><td><b data-live="{key}">old</b></td></tr>' for key in "xab")
        route.fulfill(body=body, content_type="text/html")

    page.route(f"{HOST}/rows", rows)
    page.evaluate("document.querySelector('tr[data-row=a]').mark = 'kept'")
    server.wait_for("subscribe")
    server.send("state", cells={"x": cell("new")}, order=list("xab"))
    expect(page.locator("tr[data-row=x] b")).to_have_text("new")
    assert page.evaluate(ROWS) == "xab"
    assert page.evaluate("document.querySelector('tr[data-row=a]').mark") == "kept"
    assert asked == ["true"]


def test_it_asks_no_more_where_the_server_draws_other_rows(server: FakeServer, bare_page: Show) -> None:
    page = bare_page(table("abc", url="/rows"))
    asked: list[str] = []
    page.route(f"{HOST}/rows", lambda route: (asked.append("x"), route.fulfill(body="", content_type="text/html")))
    server.wait_for("subscribe")
    server.send("state", cells={}, order=list("xab"))
    server.send("change", cells={"x": cell("1")})
    page.wait_for_timeout(1500)
    server.send("change", cells={"x": cell("2")})
    page.wait_for_timeout(300)
    assert asked == ["x"]


def test_it_draws_the_page_anew_when_its_shape_changes_and_keeps_what_is_the_same(
    server: FakeServer, bare_page: Show
) -> None:
    old = main_of('<p id="note">All quiet</p><input id="typed"><b data-live="x">1</b>', shape="one")
    new = main_of(
        '<p id="warned">Look</p><p id="note">Not quiet</p><input id="typed"><b data-live="x">1</b>', shape="two"
    )
    page = bare_page(old)
    page.fill("#typed", "half a wor")
    page.evaluate("document.getElementById('typed').mark = 'same element'")
    page.route(f"{HOST}/", lambda route: route.fulfill(body=f"<body>{new}</body>", content_type="text/html"))
    server.wait_for("subscribe")
    server.send("state", cells={"x": cell("5")}, shape="one")
    server.send("change", cells={"x": cell("6")}, shape="two")
    expect(page.locator("#warned")).to_have_text("Look")
    expect(page.locator("#note")).to_have_text("Not quiet")
    expect(page.locator("b")).to_have_text("6")
    expect(page.locator("#typed")).to_have_value("half a wor")
    expect(page.locator("#typed")).to_be_focused()
    assert page.evaluate("document.getElementById('typed').mark") == "same element"


def test_it_keeps_what_was_said_once_when_the_page_is_drawn_anew(server: FakeServer, bare_page: Show) -> None:
    said = (
        '<div data-keep role="status">Saved.</div><div>one</div><div data-chart="depth"><svg></svg></div><div>two</div>'
    )
    page = bare_page(main_of(said, shape="one"))
    new = main_of('<div>ONE</div><p>between</p><div data-chart="depth"></div><div>TWO</div>', shape="two")
    page.route(f"{HOST}/", lambda route: route.fulfill(body=f"<body>{new}</body>", content_type="text/html"))
    server.wait_for("subscribe")
    server.send("state", cells={}, shape="two")
    expect(page.locator("main p")).to_have_text("between")
    assert page.evaluate("[...document.querySelector('main').children].map((one) => one.textContent)") == [
        "Saved.",
        "ONE",
        "between",
        "",
        "TWO",
    ]
    expect(page.locator("[data-chart] svg")).to_have_count(1)


def test_it_hands_charts_their_points(server: FakeServer, bare_page: Show) -> None:
    page = bare_page(main_of('<div data-chart="depth"></div>'))
    page.evaluate(
        "window.got = []; document.querySelector('[data-chart]')"
        ".addEventListener('warren:chart', (event) => window.got.push(event.detail))"
    )
    server.wait_for("subscribe")
    whole = {"times": [1, 2, 3], "values": {"ready": [1, None, 3]}, "start": 1, "full": True}
    server.send("state", cells={}, charts={"depth": whole})
    server.send("change", charts={"depth": {"times": [4], "values": {"ready": [4]}, "start": 2}})
    first, second = page.evaluate("window.got")
    assert first["full"]
    assert first["points"] == {"times": [1, 2, 3], "values": {"ready": [1, None, 3]}}
    assert not second["full"]
    assert second["points"] == {"times": [4], "values": {"ready": [4]}}
    assert second["whole"] == {"times": [2, 3, 4], "values": {"ready": [None, 3, 4]}}


def test_it_lets_other_modules_subscribe_and_change_their_parameters(server: FakeServer, bare_page: Show) -> None:
    page = bare_page(main_of(""))
    server.wait_for("subscribe")
    page.evaluate(
        """async () => {
          const live = await import('/static/js/live.js');
          window.got = [];
          const frame = (frame, view) => window.got.push(view.atMs);
          window.one = live.subscribe('queue', { range: '1h' }, { frame }, 'chart');
        }"""
    )
    assert server.wait_for("subscribe") == {
        "op": "subscribe",
        "sub": "chart",
        "topic": "queue",
        "params": {"range": "1h"},
    }
    server.send("state", sub="chart", cells={}, at_ms=5)
    assert page.evaluate("window.got") == [5]
    page.evaluate("window.one.resubscribe({ range: '6h' })")
    assert server.wait_for("subscribe")["params"] == {"range": "6h"}
    page.evaluate("window.one.unsubscribe()")
    assert server.wait_for("unsubscribe") == {"op": "unsubscribe", "sub": "chart"}
