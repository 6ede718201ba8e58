"""Plays a queue through `step`, poll by poll."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from brokers.lag.state import Memory, Tick, step
from tests.support.beats import Act, Beats, played


def seen(
    acts: Sequence[Act],
    beats: Beats | None = None,
    *,
    letters: bool = False,
    waits: bool = False,
    stream: bool = False,
    without: Sequence[str] = (),
    every: int = 1,
    consumers_every: int = 1,
    untold: Sequence[str] = (),
    set_back_ms: int = 0,
) -> list[list[float]]:
    """Return the states of each act, poll by poll; `without`: figures never told; `every`: polls that have counters.

    `consumers_every`: polls in which consumers are read. `untold`: what is not told in each poll from the tenth on, as
    often as it takes: nothing, `counters`, `consumers` or both. `set_back_ms`: by how much the clock is set back
    before the tenth poll.
    """
    memory = Memory()
    found: list[list[float]] = [[] for _ in acts]
    for number, shown in enumerate(played(acts, beats or Beats())):
        figures = {name: np.array([value]) for name, value in shown.figures.items()}
        for name in without:
            figures[name] = np.array([math.nan])
        gap = untold[number % len(untold)] if untold and number >= 9 else ""
        if number % every or "counters" in gap:
            for name in ("published", "delivered", "acknowledged", "redelivered"):
                figures[name] = np.array([math.nan])
        if number % consumers_every or "consumers" in gap:
            figures["consumers"] = np.array([math.nan])
        flags = [np.array([flag]) for flag in (letters, waits, stream)]
        at_ms = shown.at_ms - (set_back_ms if number >= 9 else 0)
        memory, states = step(memory, Tick(at_ms, np.array([7], dtype=np.uint32), figures, *flags))
        found[shown.act].append(float(states[0]))
    return found


def named_after(states: Sequence[float], wanted: float) -> int | None:
    """Return after how many polls the state is named, None where it never is or does not stay."""
    for number, state in enumerate(states):
        if state == wanted:
            return number + 1 if all(later == wanted for later in states[number:]) else None
    return None
