"""Counters of queues that are not read in each tick, nor at the moment at which the queues tell their depth. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brokers.lag.beat import BEAT_MS, LATEST_BEAT_MS, Floats, Reading

# A counter that is missing goes on at its last pace for so long; after that nothing is known. Where it is read more
# seldom, it does so for as long as it took from one reading to the next, and half as long again.
GUESSED_MS = 150_000
_GUESSED_SPANS = 1.5
# What is read more seldom than that is left out by the budget; a longer span was a pause.
LONGEST_SPAN_MS = 300_000
# N = in - out and in + out of all queues at a moment.
Counted = tuple[int, Floats, Floats]


def guessed_ms(span_ms: Floats) -> Floats:
    """Return for how long a counter is guessed whose last two readings lay so far apart."""
    return np.maximum(GUESSED_MS, _GUESSED_SPANS * np.minimum(span_ms, LONGEST_SPAN_MS))


def count(
    columns: dict[str, Floats], name: str, counter: str, now: Floats, at_ms: int, born_ms: Floats
) -> NDArray[np.bool_]:
    """Advance a count by what its counter grew, or by its pace where it was not read; return where it was read.

    A counter that fell began anew: what it counts now came since, and so it is with queues that came to be (since
    `born_ms`; NaN: they did not). Of others one that is read for the first time adds nothing.
    """
    last, read_ms = columns[counter], columns[f"{name}_ms"]
    known, anew = ~np.isnan(now), ~np.isnan(born_ms)
    passed = np.where(np.isfinite(read_ms), at_ms - read_ms, np.where(anew, at_ms - born_ms, 0.0))
    with np.errstate(invalid="ignore"):
        grown = np.where(now >= last, now - last, now)
    grown = np.where(known & ~np.isnan(last), grown, np.where(known & anew, now, 0.0))
    # After a while a pace of the past says nothing of now.
    guess = columns[f"{name}_pace"] * np.minimum(passed, guessed_ms(columns[f"{name}_span"]))
    counted = columns[f"{name}_read"] + grown
    columns[name] = np.where(known, counted, np.rint(columns[f"{name}_read"] + guess))
    columns[f"{name}_pace_before"] = np.where(known, columns[f"{name}_pace"], columns[f"{name}_pace_before"])
    columns[f"{name}_pace"] = np.where(known, grown / np.maximum(passed, 1.0), columns[f"{name}_pace"])
    columns[f"{name}_read"] = np.where(known, counted, columns[f"{name}_read"])
    columns[f"{name}_span"] = np.where(known, passed, columns[f"{name}_span"])
    columns[f"{name}_ms"] = np.where(known, float(at_ms), read_ms)
    columns[counter] = np.where(known, now, last)
    return known


def restate(
    recent: list[Counted], restated: NDArray[np.bool_], since_ms: Floats, net_then: Floats, net: Floats, at_ms: int
) -> None:
    """Put right what was guessed of N in the last beat."""
    if not restated.any():
        return
    since_ms = np.where(restated, since_ms, float(at_ms))
    for place, (moment, held, gross) in enumerate(recent):
        share = np.clip((moment - since_ms) / np.maximum(at_ms - since_ms, 1.0), 0.0, 1.0)
        right = restated & (moment > since_ms)
        recent[place] = (moment, np.where(right, net_then + share * (net - net_then), held), gross)


def in_last_beat(recent: list[Counted], reading: Reading, net: Floats, gross: Floats) -> tuple[Floats, Floats, Floats]:
    """Return between which values N was when the queues told their depth, and how much flowed since about then."""
    if not recent:
        return net, net, np.zeros(len(net))
    begin = reading.at_ms - LATEST_BEAT_MS
    points = [*recent, (reading.at_ms, net, gross)]
    moments = [moment for moment, _, _ in points]
    inside = [values for moment, values, _ in points if moment >= begin]
    place = next(index for index, moment in enumerate(moments) if moment >= begin)
    flowed = gross - points[place][2]
    if place > 0:
        share = (begin - moments[place - 1]) / (moments[place] - moments[place - 1])
        inside.append(points[place - 1][1] + share * (points[place][1] - points[place - 1][1]))
        flowed = flowed + (1.0 - share) * (points[place][2] - points[place - 1][2])
    if not reading.live:
        # The counters may be older than the depth: N goes on as it went.
        inside.append(net + (net - points[-2][1]) * (BEAT_MS / (moments[-1] - moments[-2])))
    lowest, highest = inside[0], inside[0]
    for values in inside[1:]:
        lowest, highest = np.minimum(lowest, values), np.maximum(highest, values)
    # Where what was guessed was put right it may be less than it was.
    return lowest, highest, np.maximum(flowed, 0.0)
