"""Measures over time: any name that a kind of object has, be it stored, read from counters or derived."""

from __future__ import annotations

from brokers.lag.measures import Form, measure, measures_of, names_of
from brokers.lag.read import Many, Ranked, Series, read, read_each, top
from brokers.series.metrics import Kind
from brokers.series.read import DEFAULT_POINTS

__all__ = ["DEFAULT_POINTS", "Many", "Ranked", "Series", "names", "read", "read_each", "shown", "top", "unit"]


def names(kind: Kind) -> tuple[str, ...]:
    """Return every measure of a kind that can be read over time."""
    return names_of(kind)


def shown(kind: Kind) -> tuple[str, ...]:
    """Return the measures of a kind that say something by themselves: all but cumulative counters."""
    return tuple(one.name for one in measures_of(kind) if one.form is not Form.COUNTER)


def unit(kind: Kind, name: str) -> str:
    """Return the unit of a measure. Raises KeyError where the kind has none of that name."""
    found = measure(kind, name)
    if found is None:
        raise KeyError(name)
    return found.unit
