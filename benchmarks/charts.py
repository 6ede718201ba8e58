"""How fast charts draw: ten series of 600 points with their bands, first and again, against plotly alone drawing one.

Run by itself: `python -m benchmarks.charts`. Its page is charts.html, with the modules that pages use and nothing else.
"""

from __future__ import annotations

import functools
import http.server
import math
import os
import random
import threading
from pathlib import Path

import plotly
from playwright.sync_api import CDPSession, Page, sync_playwright

from benchmarks.results import Result, table
from tests.support.browser import chromium_path

SERIES, POINTS, TIMES = 10, 600, 30
_ROOT = Path(__file__).resolve().parents[1]
_MODULE = "async (given) => (await import('/benchmarks/charts.js'))"


def run() -> list[Result]:
    """Draw in Chromium and return first draw and redraw in ms. Raises RuntimeError where there is no Chromium."""
    path = chromium_path()
    if path is None:
        raise RuntimeError("There is no Chromium to draw in.")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Files, directory=str(_ROOT)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=path, args=["--disable-gpu"], chromium_sandbox=os.geteuid() != 0
            )
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(f"http://127.0.0.1:{server.server_port}/benchmarks/charts.html")
            first = page.evaluate(f"{_MODULE}.begin(given)", _chart())
            ours, ours_cpu = _again(page, "ours")
            bare, bare_cpu = _again(page, "bare")
            browser.close()
    finally:
        server.shutdown()
    what, against = f"{SERIES} series x {POINTS} points", "plotly, 1 series"
    return [
        Result(f"chart of {what}, first draw", first["first"], "ms", against, first["bareFirst"]),
        Result(f"chart of {what}, redraw a tick", ours, "ms", against, bare),
        Result(f"chart of {what}, redraw a tick, CPU of the page's thread", ours_cpu, "ms", against, bare_cpu),
    ]


def _again(page: Page, whose: str) -> tuple[float, float]:
    """Return the median time of a redraw, and its mean CPU time in the page's main thread with all that follows; ms.

    The second is about the same on a busy machine.
    """
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = _cpu_s(session)
    took = page.evaluate(f"{_MODULE}.again(...given)", [whose, TIMES])
    spent = _cpu_s(session) - before
    session.detach()
    return took, spent * 1000 / TIMES


def _cpu_s(session: CDPSession) -> float:
    told = session.send("Performance.getMetrics")["metrics"]
    return next(float(one["value"]) for one in told if one["name"] == "ThreadTime")


def _chart() -> dict[str, object]:
    chance = random.Random(1)
    traces, values = [], {}
    begin, step = 1_790_000_000_000, 60_000
    for number in range(SERIES):
        key = f"s{number}"
        traces.append({"metric": key, "name": f"ready · queue {number}", "token": f"--x-{number}", "band": True})
        own = [100 * (number + 1) * (1.5 + math.sin(place / 40)) + chance.random() * 80 for place in range(POINTS)]
        values |= {key: own, f"{key}:low": [one * 0.9 for one in own], f"{key}:high": [one * 1.2 for one in own]}
    figure = {"key": "explore", "title": "Chart", "axis": "stock", "floor": 4, "traces": traces, "ends": False}
    return {
        "figure": figure,
        "points": {"times": [begin + place * step for place in range(POINTS)], "values": values},
        "window_": {"start": begin, "end": begin + POINTS * step, "step": step, "range": "6h"},
    }


class _Files(http.server.SimpleHTTPRequestHandler):
    """The page, plotly.js from its package, and the project's own static files."""

    def do_GET(self) -> None:
        """Answer plotly, or a file."""
        if self.path == "/plotly.min.js":
            script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
            self._send(script.read_bytes(), "text/javascript; charset=utf-8")
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    results = run()
    print(table(results))
