"""Since when a queue's consumers have not kept up: read off the history of the state that each poll named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from brokers.lag.state import ConsumerState
from brokers.series.metrics import Kind
from brokers.series.read import Series
from dashboard.charts.window import Window
from dashboard.queries.chart_series import Subject, all_series
from dashboard.queries.need import Need

# So far back is looked, in steps of a minute: what began before is said to have begun before that.
SPAN_MS = 24 * 3_600_000
STEP_MS = 60_000
TROUBLES = frozenset(
    {ConsumerState.STOPPED, ConsumerState.STALLED, ConsumerState.STARVED, ConsumerState.FALLING_BEHIND}
)
# Of so many things that need somebody, the first, it is looked up: a broker may have thousands.
LOOKED_UP = 12
_METRICS = ("consumer_state",)


@dataclass(frozen=True, slots=True)
class Begun:
    """When a state began, Unix milliseconds to the minute; `before`: it was so at the first that is known."""

    at_ms: int
    before: bool


@dataclass(frozen=True, slots=True)
class _Told:
    state: float
    since: Begun | None
    asked_ms: int


# By broker and slot.
_told: dict[tuple[int, int], _Told] = {}
_TOLD_AT_MOST = 4_096


def begun(series: Series, state: float) -> Begun | None:
    """Return when the state that a queue is in began, None where the last that is known is another. Pure.

    A minute has the state that was named last in it; minutes in which none was named don't end one.
    """
    values = series.values["consumer_state"]
    known = np.flatnonzero(~np.isnan(values))
    if not len(known) or values[known[-1]] != state:
        return None
    others = known[values[known] != state]
    first = known[0] if not len(others) else known[known > others[-1]][0]
    return Begun(int(series.times_ms[first]), before=not len(others))


def begun_of(broker_id: int, states: Mapping[int, float], now_ms: int) -> dict[int, Begun]:
    """Return when the states of some queues of a broker (by slot) began, as far as that is known.

    What was told less than two minutes ago of the same state holds: while somebody looks, history is read once.
    """
    told: dict[int, Begun | None] = {}
    unknown: dict[int, float] = {}
    for slot, state in states.items():
        held = _told.get((broker_id, slot))
        if held is not None and held.state == state and 0 <= now_ms - held.asked_ms <= 2 * STEP_MS:
            told[slot] = held.since
        elif state in TROUBLES:
            unknown[slot] = state
    if unknown:
        window = Window((now_ms - SPAN_MS) // STEP_MS * STEP_MS, now_ms, STEP_MS, "lasting")
        subjects = [Subject(broker_id, Kind.QUEUE, (slot,), _METRICS) for slot in unknown]
        for (slot, state), series in zip(unknown.items(), all_series(subjects, window), strict=True):
            told[slot] = begun(series, state)
    if len(_told) > _TOLD_AT_MOST:
        _told.clear()
    for slot, since in told.items():
        # What is not known may be soon: that is asked again after two minutes, however many look.
        if since is not None or slot in unknown:
            _told[broker_id, slot] = _Told(states[slot], since, now_ms)
    return {slot: since for slot, since in told.items() if since is not None}


def forget() -> None:
    """Drop what was told."""
    _told.clear()


def with_begun(found: Sequence[Need], now_ms: int) -> tuple[Need, ...]:
    """Return needs; of the first LOOKED_UP those that are about one queue have when its state began."""
    asked: dict[int, dict[int, float]] = {}
    for need in found[:LOOKED_UP]:
        if need.lasts is not None:
            slot, state = need.lasts
            asked.setdefault(need.broker_id, {})[slot] = state
    known = {broker_id: begun_of(broker_id, states, now_ms) for broker_id, states in asked.items()}
    return tuple(_with(need, known) for need in found)


def _with(need: Need, known: Mapping[int, Mapping[int, Begun]]) -> Need:
    since = known.get(need.broker_id, {}).get(need.lasts[0]) if need.lasts is not None else None
    return need if since is None else replace(need, since_ms=since.at_ms, since_before=since.before)
