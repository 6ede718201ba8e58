"""Every component in every state, made by the same tags, includes and formats as the pages: to be looked at."""

from __future__ import annotations

import math
import time

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_safe

from dashboard import formats
from dashboard.cells import Cell, Cells
from dashboard.charts.sparkline import sparkline

# A state's icon, its word, and what it means.
STATES = (
    ("ok", "Keeping up", "As much leaves as enters."),
    ("catching", "Catching up", "More leaves than enters; the backlog shrinks."),
    ("behind", "Falling behind", "More enters than leaves."),
    ("stalled", "Stalled", "Delivered, but not acknowledged."),
    ("stopped", "No consumer", "A backlog, and nobody subscribed."),
    ("dead", "Holding", "A dead-letter queue with letters in it."),
    ("idle", "Idle", "Nothing enters, nothing waits."),
    ("paused", "Paused", "Nothing is asked of this broker."),
    ("running", "Under way", "An act whose outcome is not written yet."),
    ("doubt", "In doubt", "An act that was cut off."),
    ("unknown", "Too new to say", "Too few polls to tell."),
    ("stale", "Stale", "The broker does not answer."),
)
# The kind of a figure, and what is never shown in its place.
FIGURES = (
    ("count", "Count", "32.9k in a table"),
    ("large", "Large count", "412000000"),
    ("rate", "Rate", "42.0817 msg/s"),
    ("lag", "Lag", "13.2 minutes"),
    ("duration", "Duration", "431 seconds left"),
    ("size", "Size", "2253 B"),
    ("percent", "Share", "0.009"),
    ("time", "Time", "2026-11-23T02:04Z"),
    ("age", "Age", "a moment ago"),
    ("zero", "Zero", "blank"),
    ("unknown", "Unknown", "0, N/A, null"),
)
LEVELS = (
    ("critical", "critical", "Critical"),
    ("warning", "warning", "Warning"),
    ("notice", "notice", "Notice"),
    ("ok", "ok", "OK"),
    ("unknown", "unknown", "Unknown"),
    ("dead", "dead", "Dead letters"),
)
LINES = ("ready", "publish", "confirm", "deliver", "ack", "redeliver", "dead")


def examples(now_ms: int) -> Cells:
    """Return a cell for each kind of figure and each state."""
    wave: list[float | None] = [round(40 + 9 * math.sin(step / 5) + 3 * math.sin(step)) for step in range(60)]
    gap = [*wave[:28], *[None] * 12, *wave[40:]]
    cells: Cells = {f"c.state.{icon}": Cell(text=word, state=icon) for icon, word, _ in STATES}
    cells |= {
        "c.figure.count": Cell(text=formats.count(32_949)),
        "c.figure.large": Cell(text=formats.count(412_038_117), exact=formats.exact_count(412_038_117)),
        "c.figure.rate": Cell(text=formats.rate(42.0817), unit="/s"),
        "c.figure.lag": Cell(text=formats.lag(794)),
        "c.figure.duration": Cell(text=formats.duration(431)),
        "c.figure.size": Cell(text=formats.size(2_253), exact=formats.exact_size(2_253)),
        "c.figure.percent": Cell(text=formats.percent(0.009)),
        "c.figure.time": Cell(text=formats.time_of_day(now_ms), exact=formats.full_time(now_ms)),
        "c.figure.age": Cell(since_ms=now_ms - 200_000, state="stale"),
        "c.figure.zero": Cell(text=formats.count(0), zero=True),
        "c.figure.unknown": Cell(text="—", unknown="No publisher sets a timestamp."),
        "c.ready": Cell(text=formats.count(wave[-1] or 0)),
        "c.ready.spark": Cell(spark=sparkline(wave, floor=50)),
        "c.ready.detail": Cell(text="an hour, a point a minute"),
        "c.flow": Cell(text=formats.rate(42.1), unit="/s"),
        "c.flow.spark": Cell(spark=sparkline(wave, second=[(one or 0) * 0.9 for one in wave])),
        "c.flow.detail": Cell(text="two lines, the second dashed"),
        "c.publish": Cell(text="—", unknown="Unknown since the broker last answered."),
        "c.publish.spark": Cell(spark=sparkline(gap)),
        "c.publish.detail": Cell(text="a gap is a gap, never zero"),
        "c.bar": Cell(text=formats.percent(0.42), share=0.42),
        "c.bar.warning": Cell(text=formats.percent(0.83), share=0.83, state="warning"),
        "c.bar.critical": Cell(text=formats.percent(0.97), share=0.97, state="critical"),
    }
    return cells


@require_safe
def components(request: HttpRequest) -> HttpResponse:
    """Show the components."""
    context = {
        "cells": examples(time.time_ns() // 1_000_000),
        "states": [(f"c.state.{icon}", means) for icon, _, means in STATES],
        "figures": [(f"c.figure.{kind}", name, never) for kind, name, never in FIGURES],
        "levels": LEVELS,
        "lines": LINES,
    }
    return render(request, "pages/components.html", context)


urlpatterns = [path("components", components, name="components")]
