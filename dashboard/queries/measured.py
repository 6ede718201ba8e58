"""Measures over time: any name that a kind of object has, be it stored, read from counters or derived."""

from __future__ import annotations

from brokers.lag.measures import measure
from brokers.series.metrics import Kind, readable_names
from brokers.series.read import DEFAULT_POINTS, Many, Series, read, read_each
from brokers.series.top import Ranked, top

__all__ = ["DEFAULT_POINTS", "Many", "Ranked", "Series", "names", "read", "read_each", "top", "unit"]


def names(kind: Kind) -> tuple[str, ...]:
    """Return every measure of a kind that can be read over time."""
    return readable_names(kind)


def unit(kind: Kind, name: str) -> str:
    """Return the unit of a measure. Raises KeyError where the kind has none of that name."""
    found = measure(kind, name)
    if found is None:
        raise KeyError(name)
    return found.unit
