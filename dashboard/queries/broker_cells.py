"""Cells of brokers' figures: how a count, a rate, a share, an age and a sparkline of one become what a page shows."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from brokers.collect.state import Condition
from dashboard import formats
from dashboard.cells import Cell
from dashboard.charts.sparkline import over_an_hour, sparkline
from dashboard.queries.broker_facts import BrokerFacts

NAN = float("nan")
UNKNOWN = "—"


def count(value: float, why: str) -> Cell:
    """A whole number; `why` says why it is unknown, where it is."""
    if math.isnan(value):
        return Cell(text=UNKNOWN, unknown=why)
    return Cell(text=formats.count(value), exact=formats.exact_count(value), zero=value == 0)


def rate(value: float, why: str, *, unit: bool = True) -> Cell:
    """A rate a second; its unit stands beside a large figure and in the head of a table's column."""
    if math.isnan(value):
        return Cell(text=UNKNOWN, unknown=why)
    shown = formats.rate(value)
    return Cell(text=shown, exact=formats.exact_rate(value), unit="/s" if unit else "", zero=value == 0)


def lost(value: float, why: str) -> Cell:
    """A rate of messages that led to no queue: any at all is a warning. The head of its column has the unit."""
    shown = rate(value, why, unit=False)
    return msgspec.structs.replace(shown, state="warning") if value > 0 else shown


def share(value: float | None, why: str, *, tone: str = "") -> Cell:
    """A share of a limit as a bar and in per cent; `tone` is warning or critical."""
    if value is None:
        return Cell(text=UNKNOWN, unknown=why)
    return Cell(text=formats.percent(value), share=min(1.0, value), state=tone)


def duration(seconds: float, why: str) -> Cell:
    """A time span."""
    return Cell(text=UNKNOWN, unknown=why) if math.isnan(seconds) else Cell(text=formats.duration(seconds))


def age(facts: BrokerFacts) -> Cell:
    """How old a broker's figures are; it counts on by itself."""
    if facts.at_ms is None:
        return Cell(text=UNKNOWN, unknown=why_unknown(facts))
    return Cell(since_ms=facts.at_ms, state="" if facts.condition is Condition.LIVE else "stale")


def spark(
    values: NDArray[np.float64],
    times_ms: NDArray[np.int64] | None = None,
    *,
    second: NDArray[np.float64] | None = None,
    floor: float = 0,
    area: bool = True,
) -> Cell:
    """A sparkline of an hour to its last value; `times_ms` where the values (and `second`) are not a minute apart.

    `floor` is the least height that it magnifies to.
    """
    if times_ms is not None:
        values = over_an_hour(times_ms, values)
        second = None if second is None else over_an_hour(times_ms, second)
    return Cell(
        spark=sparkline(_points(values), second=None if second is None else _points(second), floor=floor, area=area)
    )


def _points(values: NDArray[np.float64]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]


def reason(facts: BrokerFacts) -> Cell:
    """Why a broker gives nothing new, and what to do: no more of it than the person may know."""
    unsaid = "Nothing is asked of it." if facts.condition is Condition.PAUSED else "It does not answer."
    return Cell(text=facts.reason() or unsaid)


def why_unknown(facts: BrokerFacts) -> str:
    """Say why a broker's figures are unknown."""
    if facts.condition is Condition.PAUSED:
        return f"Polling of {facts.name} is paused."
    if facts.condition is Condition.NEW:
        return f"{facts.name} has not answered yet."
    if facts.condition is Condition.UNREACHABLE:
        return f"{facts.name} has not answered since {formats.clock(facts.failing_since_ms)}."
    return f"{facts.name} does not tell it, or has not told it twice yet."
