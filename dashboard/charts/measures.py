"""Measures as charts take them: what each kind of object has, its unit in words, and the axis that it is drawn on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from brokers.lag import measures as registry
from brokers.lag.measures import Form, Measure
from brokers.series.metrics import Kind
from dashboard.charts.figures import Axis

_AXES = {
    "messages": (Axis.STOCK, "messages"),
    "count": (Axis.STOCK, "count"),
    "offsets": (Axis.STOCK, "offsets"),
    "messages/s": (Axis.FLOW, "messages a second"),
    "count/s": (Axis.FLOW, "a second"),
    "messages/min": (Axis.STOCK, "messages a minute"),
    "bytes": (Axis.BYTES, "bytes"),
    "s": (Axis.SECONDS, "seconds"),
    "ratio": (Axis.SHARE, "share"),
    "flag": (Axis.STOCK, "1 is yes, 0 is no"),
}
# Codes have words of their own, and no axis with anything else.
_CODES = {
    "consumer_state": (Axis.CONSUMER_STATE, "consumer state"),
    "lag_source": (Axis.LAG_SOURCE, "source of the time lag"),
}


@dataclass(frozen=True, slots=True)
class Charted:
    """One measure. `word` is its name as people read it, `unit` in words what its axis counts, `says` what it is."""

    name: str
    word: str
    unit: str
    axis: Axis
    says: str
    # The value holds until the next: drawn as steps.
    steps: bool = False


@cache
def measures_of(kind: Kind) -> dict[str, Charted]:
    """Return what can be charted of a kind, by name. Counters only grow: what they say is their rate."""
    return {one.name: _charted(one) for one in registry.measures_of(kind) if one.form is not Form.COUNTER}


@cache
def kinds_with(name: str) -> tuple[Kind, ...]:
    """Return the kinds of objects that have a measure."""
    return tuple(kind for kind in Kind if name in measures_of(kind))


@cache
def all_measures() -> dict[str, Charted]:
    """Return every measure of any kind once, by name."""
    found: dict[str, Charted] = {}
    for kind in (Kind.QUEUE, *Kind):
        found |= {name: measure for name, measure in measures_of(kind).items() if name not in found}
    return found


def _charted(measure: Measure) -> Charted:
    axis, words = _CODES.get(measure.name) or _AXES.get(measure.unit, (Axis.STOCK, measure.unit))
    steps = measure.form is Form.STATE or measure.unit in {"flag", "count"}
    word = measure.label or measure.name.replace("_", " ").capitalize()
    return Charted(measure.name, word, words, axis, measure.says, steps)
