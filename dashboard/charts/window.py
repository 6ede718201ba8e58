"""The time that charts show: a range that follows the present, or two fixed ends; read from an address, written to one.

`range=1h` follows; `from=…&to=…` (Unix milliseconds) is fixed. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

# Ranges by their name in the address: their word on the page, and how long they are in ms (None: all that is stored).
RANGES: dict[str, tuple[str, int | None]] = {
    "5m": ("5 min", 300_000),
    "15m": ("15 min", 900_000),
    "1h": ("1 h", 3_600_000),
    "6h": ("6 h", 6 * 3_600_000),
    "24h": ("24 h", 24 * 3_600_000),
    "7d": ("7 d", 7 * 86_400_000),
    "30d": ("30 d", 30 * 86_400_000),
    "90d": ("90 d", 90 * 86_400_000),
    "1y": ("1 y", 365 * 86_400_000),
    "all": ("All", None),
}
DEFAULT_RANGE = "1h"
# The most points that a line has. A chart is seldom wider in pixels, and each point costs the decoding of a snapshot.
MAX_POINTS = 720
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400)
SHORTEST_MS = 10_000
_LONGEST_MS = 400 * 86_400_000


@dataclass(frozen=True, slots=True)
class Window:
    """From `start_ms` to `end_ms`, one point each `step_ms`; `range` is empty where the window is fixed.

    Where it follows, `start_ms` lies on the grid of `step_ms`, so that the points of two moments fall together.
    """

    start_ms: int
    end_ms: int
    step_ms: int
    range: str = ""
    # Why the window is not the one that was asked for.
    problem: str = ""
    # How long before the window that is shown this one lies, where it is compared with another time.
    shift_ms: int = 0

    @property
    def follows(self) -> bool:
        """It moves with the present."""
        return bool(self.range)

    @property
    def query(self) -> dict[str, str]:
        """The window as parameters of an address."""
        return {"range": self.range} if self.range else {"from": str(self.start_ms), "to": str(self.end_ms)}


def window_of(params: Mapping[str, str], now_ms: int, oldest_ms: int | None, least_ms: int = 0) -> Window:
    """Return the window that parameters ask for; the default range, with a problem, where they make no sense.

    `oldest_ms` is the time of the oldest point stored, None where nothing is. No step is shorter than `least_ms`.
    """
    if "from" in params or "to" in params:
        start, end = _moment(params.get("from", "")), _moment(params.get("to", ""))
        said = "The address names no window of time, so this is 1 h."
        if start is not None and end is not None and end <= start:
            said = "The window ends before it begins, so this is 1 h."
        elif start is not None and start >= now_ms:
            said = "The window has not begun yet, so this is 1 h."
        elif start is not None and end is not None:
            return fixed(start, end, now_ms, least_ms)
        return following(DEFAULT_RANGE, now_ms, oldest_ms, said, least_ms)
    asked = params.get("range", DEFAULT_RANGE)
    if asked not in RANGES:
        return following(DEFAULT_RANGE, now_ms, oldest_ms, "There is no such range, so this is 1 h.", least_ms)
    return following(asked, now_ms, oldest_ms, least_ms=least_ms)


def following(name: str, now_ms: int, oldest_ms: int | None, problem: str = "", least_ms: int = 0) -> Window:
    """Return a window of a range that ends now."""
    span = RANGES[name][1]
    if span is None:
        stored = now_ms - oldest_ms if oldest_ms is not None else 0
        span = min(max(stored, RANGES["5m"][1] or 0), _LONGEST_MS)
    step = step_for(span, least_ms)
    return Window((now_ms - span) // step * step, now_ms, step, name, problem)


def fixed(start_ms: int, end_ms: int, now_ms: int, least_ms: int = 0) -> Window:
    """Return a fixed window, no shorter than 10 s and not beyond the present."""
    end = max(min(end_ms, now_ms), SHORTEST_MS)
    start = max(min(start_ms, end - SHORTEST_MS), end - _LONGEST_MS)
    return Window(start, end, step_for(end - start, least_ms))


def shifted(window: Window, shift_ms: int) -> Window:
    """Return a window of the same length and step that lies so much earlier."""
    return replace(
        window, start_ms=window.start_ms - shift_ms, end_ms=window.end_ms - shift_ms, shift_ms=shift_ms, problem=""
    )


def step_for(span_ms: int, least_ms: int = 0) -> int:
    """Return the finest round step (ms) that needs no more than MAX_POINTS points and is no shorter than `least_ms`."""
    for step in _STEPS_S:
        if span_ms <= step * 1000 * MAX_POINTS and step * 1000 >= least_ms:
            return step * 1000
    return -(-span_ms // MAX_POINTS)


def _moment(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        return None
    return int(text)
