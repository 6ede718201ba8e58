"""A real Chromium, driven by Playwright, that fails the test on any console error or violated policy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.support.dashboard_server import ADMIN, DashboardServer

_ARGUMENTS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--force-color-profile=srgb",
]


@dataclass
class Complaints:
    """What the browser complained about. A test that provokes a complaint on purpose clears it."""

    found: list[str] = field(default_factory=list)

    def clear(self) -> None:
        """Forget what was complained about so far."""
        self.found.clear()

    def watch(self, page: Page) -> None:
        """Collect from a page: console errors, uncaught exceptions, CSP violations (Chromium logs them as errors)."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.found.append(f"uncaught: {error}"))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.found.append(f"console: {message.text} ({message.location.get('url', '')})")


def chromium_path() -> str | None:
    """Return where Chromium is, or None."""
    given = os.environ.get("WARREN_TEST_CHROMIUM")
    return given or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium a file of tests.

    Playwright keeps an event loop in this thread for as long as it lives. It is not ours, so the database may be asked
    beside it; but no other file's tests come to stand in it.
    """
    path = chromium_path()
    if path is None:
        pytest.fail("No Chromium found: install Debian's chromium, or name one in WARREN_TEST_CHROMIUM.", pytrace=False)
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        running = playwright.chromium.launch(
            executable_path=path,
            args=_ARGUMENTS,
            # Chromium refuses to run its sandbox as root.
            chromium_sandbox=os.geteuid() != 0,
        )
        yield running
        running.close()


@pytest.fixture
def complaints() -> Complaints:
    """The complaints of this test's pages; the test fails where any are left at its end."""
    return Complaints()


@pytest.fixture
def new_context(browser: Browser, complaints: Complaints) -> Iterator[Callable[..., BrowserContext]]:
    """Return a function that makes a browser context (arguments of Browser.new_context) whose pages are watched."""
    made: list[BrowserContext] = []

    def make(**options: Any) -> BrowserContext:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        context.set_default_timeout(15_000)
        context.on("page", complaints.watch)
        made.append(context)
        return context

    yield make
    for context in made:
        context.close()
    assert not complaints.found, "\n".join(complaints.found)


@pytest.fixture
def page(new_context: Callable[..., BrowserContext]) -> Page:
    """A page of a fresh context."""
    return new_context().new_page()


def sign_in_page(page: Page, server: DashboardServer, username: str = ADMIN, password: str | None = None) -> None:
    """Sign in as a person does; the page then shows the fleet."""
    page.goto(server.url + "/")
    page.fill("input[name=username]", username)
    page.fill("input[name=password]", password or server.password)
    page.click("button[type=submit]")
    page.wait_for_url(server.url + "/")
