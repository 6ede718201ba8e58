"""Since when queues' consumers have not kept up: read off the history of the state that each poll named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from brokers.lag.read import read_each
from brokers.lag.state import ConsumerState
from brokers.series.metrics import Kind
from dashboard.queries.need import Lasting, Need

# So far back is looked, in steps of a minute: what began before is said to have begun before that.
SPAN_MS = 24 * 3_600_000
STEP_MS = 60_000
# For so long what was told holds: while somebody looks, a day is read once, and then what came since.
HOLDS_MS = 2 * STEP_MS
TROUBLES = frozenset(
    {ConsumerState.STOPPED, ConsumerState.STALLED, ConsumerState.STARVED, ConsumerState.FALLING_BEHIND}
)


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
_TOLD_AT_MOST = 16_384


def begun(times_ms: NDArray[np.int64], named: NDArray[np.float64], state: float) -> Begun | None:
    """Return when the state that a queue is in began, None where the last that is known is another. Pure.

    `named` is the state that was named last in each minute; minutes in which none was named (NaN) don't end one.
    """
    known = np.flatnonzero(~np.isnan(named))
    if not len(known) or named[known[-1]] != state:
        return None
    others = known[named[known] != state]
    first = known[0] if not len(others) else known[known > others[-1]][0]
    return Begun(int(times_ms[first]), before=not len(others))


def begun_of(broker_id: int, states: Mapping[int, float], now_ms: int) -> dict[int, Begun]:
    """Return when the states of some queues of a broker (by slot) began, as far as that is known."""
    found: dict[int, Begun | None] = {}
    # By the moment from which on their history is to be read.
    unread: dict[int, list[int]] = {}
    for slot, state in states.items():
        held = _held(broker_id, slot, state, now_ms)
        if held is not None and now_ms - held.asked_ms <= HOLDS_MS:
            found[slot] = held.since
        elif state in TROUBLES:
            since_ms = now_ms - SPAN_MS if held is None or held.since is None else held.asked_ms
            unread.setdefault(since_ms // STEP_MS * STEP_MS, []).append(slot)
    for start_ms, slots in unread.items():
        for slot, since in _read(broker_id, slots, states, start_ms, now_ms).items():
            found[slot] = since
            if len(_told) >= _TOLD_AT_MOST:
                _told.clear()
            # What is not known may be soon: that is asked again after a while, however many look.
            _told[broker_id, slot] = _Told(states[slot], since, now_ms)
    return {slot: since for slot, since in found.items() if since is not None}


def _held(broker_id: int, slot: int, state: float, now_ms: int) -> _Told | None:
    held = _told.get((broker_id, slot))
    return held if held is not None and held.state == state and 0 <= now_ms - held.asked_ms <= SPAN_MS else None


def _read(
    broker_id: int, slots: Iterable[int], states: Mapping[int, float], start_ms: int, now_ms: int
) -> dict[int, Begun | None]:
    """Read from a moment on; what was told before holds where no other state was named since."""
    ordered = sorted(slots)
    many = read_each(broker_id, Kind.QUEUE, ordered, ("consumer_state",), start_ms, now_ms + 1_000, step_ms=STEP_MS)
    minutes = many.times_ms // STEP_MS * STEP_MS
    found: dict[int, Begun | None] = {}
    for slot, named in zip(ordered, many.values["consumer_state"], strict=True):
        held = _held(broker_id, slot, states[slot], now_ms)
        newest = begun(minutes, named, states[slot])
        same = bool((np.isnan(named) | (named == states[slot])).all())
        found[slot] = held.since if held is not None and held.since is not None and same else newest
    return found


def forget() -> None:
    """Drop what was told."""
    _told.clear()


def with_begun(found: Sequence[Need], now_ms: int) -> tuple[Need, ...]:
    """Return the needs that a page lists; those that are about queues have when their state began."""
    asked: dict[int, dict[int, float]] = {}
    for need in found:
        if need.lasts is not None:
            asked.setdefault(need.broker_id, {}).update(dict.fromkeys(need.lasts.slots, need.lasts.state))
    known = {broker_id: begun_of(broker_id, states, now_ms) for broker_id, states in asked.items()}
    return tuple(_with(need, need.lasts, known.get(need.broker_id, {})) for need in found)


def _with(need: Need, lasts: Lasting | None, known: Mapping[int, Begun]) -> Need:
    beginnings = [known[slot] for slot in lasts.slots if slot in known] if lasts is not None else []
    if lasts is None or not beginnings:
        return need
    first = min(beginnings, key=lambda one: (one.at_ms, not one.before))
    whose = "" if lasts.queues == 1 else "the first" if lasts.queues == len(lasts.slots) else "some"
    return replace(need, since_ms=first.at_ms, since_before=first.before, since_of=whose)
