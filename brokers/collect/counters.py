"""Sums of counters that neither fall nor leap: what each part counted since the base is added to the sum at the base.

A part is a node (global counters are counted by node) or a vhost or queue. A part that counts less than at the base has
restarted, and what it counts now was counted since; a part that the base does not know adds nothing where its past is
unknown, and all it counts where it began after the base. A node that runs for a shorter time than at the base has
restarted even where it counts more by now; where several nodes count the same object, what those counted that did not
restart can't be told from what was lost, and only what is sure is added. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import msgspec
import numpy as np
from numpy.typing import NDArray


class Parts(msgspec.Struct, frozen=True):
    """What each part had counted by itself at the base: part → counter → value. `source` tells who counted.

    Values of different sources are never compared: the management API and Prometheus count the same things from
    different starts.
    """

    source: str = ""
    counts: dict[str, dict[str, float]] = {}


def growth(now: float, base: float | None) -> float:
    """Return what one part counted since the base; NaN where its count is unknown, 0 where the base has none of it."""
    if math.isnan(now):
        return math.nan
    if base is None or math.isnan(base):
        return 0.0
    return now - base if now >= base else now


def accumulate(
    counter: str, now: Parts, base: Parts | None, sum_at_base: float, restarted: Collection[str] = ()
) -> float:
    """Return the sum of a counter over all parts, accumulated since the base; `restarted` names parts that began anew.

    NaN where a part's count is unknown. Where there is no base, or it was of another source and has no sum, the sum
    starts with what the parts have counted so far.
    """
    values = {part: counts.get(counter, math.nan) for part, counts in now.counts.items()}
    if not values or any(math.isnan(value) for value in values.values()):
        return math.nan
    if base is None or math.isnan(sum_at_base):
        return float(sum(values.values()))
    if base.source != now.source:
        return sum_at_base
    return sum_at_base + sum(
        value if part in restarted and part in base.counts else growth(value, base.counts.get(part, {}).get(counter))
        for part, value in values.items()
    )


def grown(
    now: NDArray[np.float64],
    base: NDArray[np.float64],
    in_base: NDArray[np.bool_],
    anew: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return what each of many parts counted since the base; NaN where its count is unknown.

    `in_base` tells which of them the base has a row for: one without a row began after the base and adds all it
    counts, one whose count at the base is unknown adds nothing. `anew`: what nodes that restarted since counted of
    each; it was counted since for sure, and so was what goes beyond the count at the base.
    """
    if anew is not None:
        sure = np.fmax(now - base, anew)
        return np.where(np.isnan(now), np.nan, np.where(in_base, sure, now))
    with np.errstate(invalid="ignore"):
        difference = np.where(now >= base, now - base, now)
    difference = np.where(in_base & np.isnan(base), 0.0, difference)
    difference = np.where(in_base, difference, now)
    return np.where(np.isnan(now), np.nan, difference)


def encode(parts: Parts) -> bytes:
    """Return the parts as JSON; unknown counts are left out."""
    known = {
        part: {name: value for name, value in counts.items() if not math.isnan(value)}
        for part, counts in parts.counts.items()
    }
    return msgspec.json.encode(Parts(parts.source, known))


def decode(stored: bytes | memoryview) -> Parts | None:
    """Return stored parts, None where there are none."""
    try:
        return msgspec.json.decode(bytes(stored), type=Parts) if stored else None
    except msgspec.MsgspecError:
        return None
