"""Figures and times as every page, cell and sentence shows them: pure functions from a number to a text.

The figure always stands in the same few shapes, so that a column can be read downwards: `32,949`, `42.1`, `794 s`,
`7 min 11 s`, `72 MiB`, `0.9 %`, `23 Nov 03:04`. What is not known (NaN, infinity) is `—`; why it is not known is the
caller's to say. Where rounding hides something, `exact_*` has the whole figure for hover and focus, else it is empty.
"""

from __future__ import annotations

import datetime as dt
import math
import unicodedata

from django.utils import timezone

UNKNOWN = "—"

# First strong isolate and its end stand around names with letters of these classes.
_TURNING = frozenset({"R", "AL", "AN", "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})

_MINUTE = 60
_HOUR = 3600
_DAY = 86_400


def count(value: float) -> str:
    """`32,949`; from 10 million up three digits of millions: `12.3 M`, `412 M`, `1,204 M`."""
    if not math.isfinite(value):
        return UNKNOWN
    if abs(value) >= 1e7:
        return f"{_three_digits(value / 1e6)} M"
    return _signed(f"{round(value):,}")


def exact_count(value: float) -> str:
    """Return the whole number where `count` shortens it, else nothing: `412,038,117`."""
    return _signed(f"{round(value):,}") if math.isfinite(value) and abs(value) >= 1e7 else ""


def rate(value: float) -> str:
    """Three digits, a second: `0.4`, `42.1`, `118`, `1,180`; below a tenth `0.04`, below a hundredth `<0.01`."""
    if not math.isfinite(value):
        return UNKNOWN
    size_of = abs(value)
    if size_of == 0:
        return "0"
    if size_of >= 1e7:
        return count(value)
    if size_of < 0.01:
        return "<0.01"
    return _signed(f"{value:.2f}") if size_of < 0.095 else _three_digits(value)


def exact_rate(value: float) -> str:
    """Return the whole number where `rate` shortens it to millions, else nothing: `52,301,877`."""
    return exact_count(value)


def percent(share: float) -> str:
    """Say a share of 1: `61 %`, below ten `0.9 %`, and never `0 %` or `100 %` of what is neither."""
    if not math.isfinite(share):
        return UNKNOWN
    hundredths = share * 100
    if share == 0:
        return "0 %"
    if 0 < hundredths < 0.05:
        return "<0.1 %"
    if hundredths < 9.95:
        return _signed(f"{hundredths:.1f} %")
    if 99.5 <= hundredths < 100:
        return f"{min(hundredths, 99.9):.1f} %"
    return f"{hundredths:,.0f} %"


def size(value: float) -> str:
    """Bytes: `512 B`, `2.2 KiB`, `72 MiB`, `1.5 TiB`."""
    if not math.isfinite(value):
        return UNKNOWN
    left = value
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        # What would round to 1,024 is one of the next unit.
        if abs(left) < 1023.5 or unit == "TiB":
            return f"{_two_digits(left) if unit != 'B' else _signed(f'{left:,.0f}')} {unit}"
        left /= 1024
    raise AssertionError  # the last unit takes whatever is left


def exact_size(value: float) -> str:
    """Return the bytes where `size` rounds them, else nothing: `2,253 B`."""
    return _signed(f"{value:,.0f} B") if math.isfinite(value) and abs(value) >= 1023.5 else ""


def lag(seconds_behind: float) -> str:
    """Seconds, since rules are in seconds: `3.2 s`, `794 s`, `7,943 s`; hours from 10 h up: `11 h`."""
    if not math.isfinite(seconds_behind):
        return UNKNOWN
    behind = max(0.0, seconds_behind)
    if behind == 0:
        return "0 s"
    if behind < 0.05:
        return "<0.1 s"
    if behind < 9.95:
        return f"{behind:.1f} s"
    whole = round(behind)
    return f"{whole:,} s" if whole < 10 * _HOUR else f"{whole // _HOUR:,} h"


def drain(seconds_left: float) -> str:
    """How long until a queue is empty: `never` (infinite), `empty` (zero), `7 min 11 s`; NaN is *unknown*."""
    if math.isnan(seconds_left):
        return UNKNOWN
    if math.isinf(seconds_left):
        return "never"
    if seconds_left == 0:
        return "empty"
    return "<1 s" if seconds_left < 1 else duration(seconds_left)


def change(value: float) -> str:
    """A change with its sign: `+1,204`, `−34`, `+0.4`; below a twentieth `0`."""
    if not math.isfinite(value):
        return UNKNOWN
    if abs(value) < 0.05:
        return "0"
    text = f"{abs(value):.1f}" if abs(value) < 9.95 else count(abs(value))
    return f"{'+' if value > 0 else '−'}{text}"


def exact_change(value: float) -> str:
    """Return the whole change where `change` shortens it to millions, else nothing: `+12,345,678`."""
    whole = exact_count(abs(value))
    return f"{'+' if value > 0 else '−'}{whole}" if whole else ""


def duration(seconds_long: float) -> str:
    """A span: `12 s`, `7 min 11 s`, `3 h 06 min`, from 10 h `19 h`, from 2 days `41 d`. Cut, not rounded up."""
    if not math.isfinite(seconds_long):
        return UNKNOWN
    whole = max(0, int(seconds_long))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s" if whole % _MINUTE else f"{whole // _MINUTE} min"
    if whole < 10 * _HOUR:
        minutes = whole % _HOUR // _MINUTE
        return f"{whole // _HOUR} h {minutes:02} min" if minutes else f"{whole // _HOUR} h"
    return f"{whole // _HOUR} h" if whole < 2 * _DAY else f"{whole // _DAY:,} d"


def seconds(value: float) -> str:
    """How long something took: `<1 ms`, `71 ms`, `1.2 s`, `42 s`, from a minute up as a duration."""
    if not math.isfinite(value):
        return UNKNOWN
    if value < 0.001:
        return "0 ms" if value <= 0 else "<1 ms"
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 59.5:
        return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"
    return duration(value)


def moment(at_ms: int | None, zone: dt.tzinfo) -> dt.datetime | None:
    """Return a moment (Unix milliseconds) in a zone, None where it is unknown."""
    return dt.datetime.fromtimestamp(at_ms / 1000, zone) if at_ms else None


def clock(at_ms: int | None, zone: dt.tzinfo | None = None, now_ms: int | None = None) -> str:
    """A moment to the second, with its day where that is not today: `03:08:44`, `23 Nov 03:08:44`.

    `at_ms` is Unix milliseconds, None or 0 for *unknown*. The zone is the viewer's, as activated for this thread,
    and now is now, unless given.
    """
    return _moment(at_ms, zone, now_ms, "%H:%M:%S")


def time_of_day(at_ms: int | None, zone: dt.tzinfo | None = None, now_ms: int | None = None) -> str:
    """A moment to the minute, with its day where that is not today: `03:08`, `23 Nov 03:08`, `23 Nov 2025 03:08`."""
    return _moment(at_ms, zone, now_ms, "%H:%M")


def full_time(at_ms: int | None, zone: dt.tzinfo | None = None) -> str:
    """The whole time for hover and focus: `2026-11-23 03:08:44 +01:00`."""
    if not at_ms:
        return UNKNOWN
    at = dt.datetime.fromtimestamp(at_ms / 1000, zone or timezone.get_current_timezone())
    return f"{at:%Y-%m-%d %H:%M:%S} {at.isoformat()[-6:]}"


def isolated(name: str) -> str:
    """Return a name as it can stand in a sentence: one that turns the direction of writing turns nothing but itself."""
    turns = any(unicodedata.bidirectional(letter) in _TURNING for letter in name)
    return f"\u2068{name}\u2069" if turns else name


def _moment(at_ms: int | None, zone: dt.tzinfo | None, now_ms: int | None, shape: str) -> str:
    if not at_ms:
        return UNKNOWN
    zone = zone or timezone.get_current_timezone()
    at = dt.datetime.fromtimestamp(at_ms / 1000, zone)
    now = dt.datetime.fromtimestamp(now_ms / 1000, zone) if now_ms is not None else dt.datetime.now(zone)
    if at.date() == now.date():
        return f"{at:{shape}}"
    year = "" if at.year == now.year else f" {at.year}"
    return f"{at.day} {at:%b}{year} {at:{shape}}"


def _two_digits(value: float) -> str:
    return _signed(f"{value:.1f}" if abs(value) < 9.95 else f"{value:,.0f}")


def _three_digits(value: float) -> str:
    return _signed(f"{value:.1f}" if abs(value) < 99.95 else f"{value:,.0f}")


def _signed(text: str) -> str:
    """Draw a minus as the sign that is as wide as a plus."""
    return text.replace("-", "−", 1)
