"""Tags `live` and `subscribe`: how a page draws a cell, and how it says what it shows.

`{% live cells "b.3.ready" %}` draws one cell; static/js/cells.js sets the same element again from live frames, to the
same markup. What differs between the two is a fault that tests/live/test_shown_alike.py finds.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from typing import Any

import msgspec
from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard import formats
from dashboard.cells import Cell, Spark

register = template.Library()

MISSING = Cell(text="—", unknown="Warren has no figure for this.")
# An icon's name → the colour of its state. The same table stands in static/js/cells.js.
TONES = {
    "ok": "ok",
    "notice": "notice",
    "warning": "warning",
    "critical": "critical",
    "dead": "dead",
    "idle": "idle",
    "unknown": "unknown",
    "stalled": "critical",
    "behind": "warning",
    "doubt": "warning",
    "stopped": "warning",
    "catching": "notice",
    "running": "notice",
    "paused": "idle",
    "queued": "idle",
    "stale": "unknown",
}
# The last word of a sparkline's key before `.spark` → its lines, the second one dashed.
_LINES: dict[str, tuple[str, ...]] = {
    "ready": ("ready",),
    "unacked": ("unacked",),
    "publish": ("publish",),
    "in": ("publish",),
    "confirm": ("confirm",),
    "gap": ("confirm",),
    "deliver": ("deliver",),
    "ack": ("ack",),
    "out": ("ack",),
    "redeliver": ("redeliver",),
    "dead": ("dead",),
    "flow": ("publish", "ack"),
    "lag": ("lag",),
}
_SPOKEN = {
    "unacked": "unacknowledged",
    "publish": "published",
    "in": "published",
    "confirm": "confirmed",
    "deliver": "delivered",
    "ack": "acknowledged",
    "out": "acknowledged",
    "redeliver": "redelivered",
    "dead": "dead letters",
    "flow": "published and acknowledged",
}


@register.simple_tag
def live(cells: Mapping[str, Cell] | None, key: str, classes: str = "") -> SafeString:
    """Draw the cell of a key as one element; `classes` are added to it (`kpi__s` for the sparkline of a tile).

    A key that is not there is drawn as *unknown*: a page never fails for want of a figure.
    """
    key = str(key)
    cell = cells.get(key) if cells else None
    if key.endswith(".spark") or (cell is not None and cell.spark is not None):
        return _spark(key, cell or Cell(), classes)
    return _figure(key, MISSING if cell is None else cell, classes)


@register.simple_tag
def subscribe(topic: str, params: Mapping[str, Any] | None = None, shape: str = "") -> SafeString:
    """Say, as attributes of the element it stands in, what the page shows and is to be kept up with.

    `shape` is the shape of the view that the page was drawn of (View.shape): where the first frame has another one,
    the page is drawn anew.
    """
    return format_html(
        'data-topic="{}" data-params="{}" data-shape="{}" data-now="{}"',
        topic,
        msgspec.json.encode(dict(params or {})).decode(),
        shape,
        _now_ms(),
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _figure(key: str, cell: Cell, classes: str) -> SafeString:
    shown = [classes] if classes else []
    tip = cell.unknown or cell.exact
    if cell.unknown:
        shown.append("unknown")
        inner = format_html("{}", cell.text or "—")
    elif cell.share is not None:
        shown.append("meter")
        inner = _meter(cell.share, cell.state, cell.text)
    else:
        inner = _text(cell)
        if cell.since_ms is not None:
            tip = tip or formats.full_time(cell.since_ms)
        if cell.state:
            icon, tone = _state(cell)
            shown += ["st", f"st--{tone}"]
            inner = format_html("{}{}", _icon(icon, tone), inner)
        elif cell.zero:
            shown.append("zero")
    return format_html(
        '<span{} data-live="{}"{}{}{}{}>{}</span>',
        format_html(' class="{}"', " ".join(shown)) if shown else "",
        key,
        format_html(' data-tip="{}"', tip) if tip else "",
        format_html(' data-read="{}"', cell.read_ms) if cell.read_ms is not None else "",
        SafeString(' tabindex="0"') if tip or cell.read_ms is not None else "",
        SafeString(" hidden") if cell.hidden else "",
        inner,
    )


def _state(cell: Cell) -> tuple[str, str]:
    """Return a state's icon and tone: a stale age is a warning, a stale broker is unknown."""
    icon = cell.state if cell.state in TONES else "unknown"
    return icon, "warning" if icon == "stale" and cell.since_ms is not None else TONES[icon]


def _text(cell: Cell) -> SafeString:
    if cell.since_ms is not None:
        moment = dt.datetime.fromtimestamp(cell.since_ms / 1000, dt.UTC)
        return format_html(
            '<time datetime="{}" data-since="{}">{}</time>',
            f"{moment:%Y-%m-%dT%H:%M:%SZ}",
            cell.since_ms,
            formats.duration(max(0, _now_ms() - cell.since_ms) / 1000),
        )
    if cell.unit:
        return format_html('{}<small class="unit">{}</small>', cell.text, cell.unit)
    return format_html("{}", cell.text)


def _icon(icon: str, tone: str) -> SafeString:
    return format_html(
        '<svg class="ic st__i st__i--{}" viewBox="0 0 16 16" aria-hidden="true"><use href="#i-s-{}"></use></svg>',
        tone,
        icon,
    )


def _meter(share: float, tone: str, text: str) -> SafeString:
    tenths = int(min(1.0, max(0.0, share)) * 1000 + 0.5)
    width = f"{tenths // 10}.{tenths % 10}%"
    return format_html(
        '<svg class="bar" height="6" role="img" aria-label="{}"><rect class="bar-bg" width="100%" height="6" rx="3">'
        '</rect><rect class="bar-v{}" x="0%" width="{}" height="6" rx="2"></rect></svg>'
        '<span class="t2 small">{}</span>',
        text,
        f" bar-v--{TONES[tone]}" if tone in TONES else "",
        width,
        text,
    )


def _spark(key: str, cell: Cell, classes: str) -> SafeString:
    words = key.removesuffix(".spark").rsplit(".", 1)
    lines = _LINES.get(words[-1], ("soft",))
    spark = cell.spark or Spark()
    first, second = lines[0], lines[-1]
    return format_html(
        '<svg class="{}" data-live="{}" viewBox="0 0 100 20" preserveAspectRatio="none" role="img" '
        'aria-label="{}, last hour"{}><path class="ar ar--{}" d="{}"></path><path class="ln ln--{}" d="{}"></path>'
        '<path class="ln ln--{}" d="{}"></path><path class="dot dot--s ln--{}" d="{}"></path></svg>',
        " ".join(filter(None, (classes, "spark", "spark--1" if len(lines) == 1 else ""))),
        key,
        _SPOKEN.get(words[-1], words[-1]),
        SafeString(" hidden") if cell.hidden else "",
        first,
        spark.area,
        second,
        spark.line2,
        first,
        spark.line,
        first,
        spark.dot,
    )
