"""Tags `chart` and `chart_ranges`: a chart's card, and the control of the time that a page's charts show.

The card holds what the chart is (a description and its first points, as JSON data), a legend, and the last figures as a
table for who does not see the drawing. static/js/charts.js draws into it.
"""

from __future__ import annotations

from typing import Any

from django import template

from dashboard import formats
from dashboard.charts.figures import Axis
from dashboard.charts.plotly_styles import style_ids
from dashboard.queries.charts import ChartCard, Charts

register = template.Library()


@register.inclusion_tag("charts/card.html")
def chart(shown: Charts, key: str, *, controls: bool = False) -> dict[str, Any]:
    """Draw the card of one chart; `controls`: with the control of the page's time in its head."""
    card = shown[key]
    return {
        "charts": shown,
        "card": card,
        "figure": card.figure,
        "controls": controls,
        "data_id": f"chart-{card.figure.key}",
        "latest": _latest(card),
        "step": card.says or f"one point each {formats.duration(card.window.step_ms / 1000)}",
    }


@register.inclusion_tag("charts/ranges.html")
def chart_ranges(shown: Charts) -> dict[str, Any]:
    """Draw the control of the time that a page's charts show."""
    return {"charts": shown, "style_ids": style_ids()}


def _latest(card: ChartCard) -> list[tuple[str, str, str]]:
    """Return each trace's metric, name and last known figure in the window."""
    shape = formats.rate if card.figure.axis is Axis.FLOW else formats.count
    found = []
    for trace in card.figure.traces:
        values = card.points.values.get(trace.metric, []) if card.points else []
        last = next((value for value in reversed(values) if value is not None), None)
        found.append((trace.metric, trace.name, "unknown" if last is None else shape(last)))
    return found
