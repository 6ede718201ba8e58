"""Fixtures of the live tests."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from django.db import connections
from playwright.sync_api import Page, Route, WebSocketRoute

from dashboard.live import threads


@pytest.fixture
def live_db(transactional_db: None) -> Iterator[None]:
    """A database that the live part's own threads see too; their connections are closed with the test."""
    yield
    together = Barrier(threads.THREADS)

    def close() -> None:
        together.wait(10)
        connections.close_all()

    for done in [threads.pool.submit(close) for _ in range(threads.THREADS)]:
        done.result(20)


HOST = "http://warren.test"
_SCRIPTS = Path(__file__).resolve().parents[2] / "static" / "js"


class FakeServer:
    """Warren's side of the sockets that a page opens, by hand; messages of the page are kept in `said`."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.sockets: list[WebSocketRoute] = []
        self.said: list[dict[str, Any]] = []
        self.seq = 0
        page.route_web_socket(re.compile(r"/ws/live$"), self._opened)

    def _opened(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)
        self.seq = 0
        socket.on_message(lambda text: self.said.append(json.loads(text)))

    def wait_for(self, op: str, *, count: int = 1) -> dict[str, Any]:
        """Return the newest message of this kind once there are so many; they are forgotten."""
        for _ in range(200):
            found = [message for message in self.said if message["op"] == op]
            if len(found) >= count:
                self.said = [message for message in self.said if message["op"] != op]
                return found[-1]
            self.page.wait_for_timeout(50)
        raise AssertionError(f"The page never said {op}: {self.said}")

    def send(self, op: str, *, ack: bool = True, **frame: Any) -> None:
        """Send a frame of the subscription `page` and wait until it is acknowledged."""
        self.seq += 1
        whole = {"op": op, "sub": "page", "seq": self.seq, "now_ms": time.time_ns() // 1_000_000, **frame}
        self.sockets[-1].send(msgspec.json.encode(whole).decode())
        if ack:
            assert self.wait_for("ack")["seq"] == self.seq


@pytest.fixture
def bare_page(page: Page) -> Callable[[str], Page]:
    """Return a function that shows HTML with Warren's scripts beside it, and no server but `FakeServer`."""

    def show(html: str, *, script: str = "live.js") -> Page:
        document = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Test</title>'
            f'<script type="module" src="/static/js/{script}"></script></head><body data-zone="Asia/Tokyo">{html}'
            '<footer class="foot"><span id="live-state"></span></footer></body></html>'
        )

        def answer(route: Route) -> None:
            path = urlsplit(route.request.url).path
            if path.startswith("/static/js/"):
                route.fulfill(body=(_SCRIPTS / Path(path).name).read_text(), content_type="text/javascript")
            elif path == "/":
                route.fulfill(body=document, content_type="text/html")
            else:
                route.fulfill(status=204)

        page.route(f"{HOST}/**", answer)
        page.goto(f"{HOST}/")
        return page

    return show
