"""The cells of a queue's derived measures, as its page and the list of queues show them. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from brokers.lag.measures import measure
from brokers.series.metrics import RATES, Kind
from dashboard import formats
from dashboard.cells import Cell

COUNTERS, TIMESTAMP, OFFSETS, AT_LEAST, ABOUT = range(5)
# Where a time lag comes from, by its lag_source.
SOURCES = {
    COUNTERS: "From counters: when the message that leaves next must have entered. "
    "A queue tells its depth every 5 s: a purge shows when it does.",
    TIMESTAMP: "From the timestamp that its publisher gave the message at the head.",
    OFFSETS: "From how far the slowest reader is behind the end, and the pace of what is appended.",
    AT_LEAST: "At least: the oldest message is older than what Warren has seen of the queue, "
    "or anywhere in it, since the queue puts at its tail what is returned, "
    "or consumers may still hold older ones that a purge left them.",
    ABOUT: "About: more flowed since the broker told its figures than that they could tell it to within 5 s and 5 %.",
}
_NEVER = "It grows or stands still: at this pace it is never empty."


def why_measure(kind: Kind, name: str, told: Mapping[str, str]) -> str:
    """Say why a measure is unknown, as the broker's plan says it of it or of what it is computed from; else nothing.

    `told` has reasons by `kind.metric`.
    """
    found = measure(kind, name)
    for one in (name, *(found.needs if found else ())):
        said = told.get(f"{kind.value}.{RATES.get(one, one)}")
        if said:
            return said
    return ""


def lag_cell(seconds: float, source: float, why: str) -> Cell:
    """The age of the oldest message, and where that is known from."""
    if math.isnan(seconds):
        return Cell(text=formats.UNKNOWN, unknown=why)
    least = source == AT_LEAST
    text = formats.lag(seconds)
    if least and seconds > 0:
        text = f"> {text}"
    elif source == ABOUT:
        text = f"~ {text}"
    return Cell(text=text, exact=source_of(source), zero=seconds == 0)


def source_of(source: float) -> str:
    """Say where a time lag comes from; empty where that is unknown."""
    return "" if math.isnan(source) else SOURCES.get(int(source), "")


def drain_cell(seconds: float, why: str) -> Cell:
    """How long until it is empty."""
    if math.isnan(seconds):
        return Cell(text=formats.UNKNOWN, unknown=why)
    return Cell(text=formats.drain(seconds), exact=_NEVER if math.isinf(seconds) else "", zero=seconds == 0)


def growth_cell(a_minute: float, why: str, *, unit: bool = False) -> Cell:
    """By how many messages a minute the backlog grows."""
    if math.isnan(a_minute):
        return Cell(text=formats.UNKNOWN, unknown=why)
    return Cell(
        text=formats.change(a_minute),
        exact=formats.exact_change(a_minute),
        unit="/min" if unit else "",
        zero=abs(a_minute) < 0.05,
    )
