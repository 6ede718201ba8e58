"""Sparklines: an hour of one or two lines as SVG path data in a view box of 100 × 20. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from dashboard.cells import Spark

WIDTH = 100
HEIGHT = 20
# A point a minute, both ends of the hour.
HOUR_POINTS = 61
# The highest point stays below the upper edge by this much, so that its stroke is not cut.
HEADROOM = 1.5
# Heights are drawn to a tenth of a unit: half a pixel at the largest size that pages use.
# Lower than any rate that can be counted: drawn as zero.
_NOTHING = 1e-9
_STEPS = round((HEIGHT - HEADROOM) * 10)
_Y = tuple(f"{HEIGHT - step / 10:.1f}".removesuffix(".0") for step in range(_STEPS + 1))

Values = Sequence[float | None]


def sparkline(values: Values, second: Values | None = None, floor: float = 0, area: bool = True) -> Spark:
    """Draw values, oldest first, evenly spaced, None (or what is not finite) for *unknown*: the line breaks there.

    Zero is the lower edge; the highest value of both lines, but at least `floor`, is the upper one, so that a few
    jittering messages do not look like an incident. `second` shares the scale; its newest value stands at the same
    place, however many it has. The dot marks the last point, where that is known. Negative values are drawn as zero.
    """
    known = [value for value in values if value is not None and isfinite(value)]
    other = [value for value in second or () if value is not None and isfinite(value)]
    top = max(max(known, default=0.0), max(other, default=0.0), floor)
    scale = _STEPS / top if top > _NOTHING else 0.0
    line, shape = _paths(values, scale, area=area) if known else ("", "")
    line2 = _paths(second, scale, area=False)[0] if second is not None and other else ""
    last = values[-1] if known else None
    dot = f"M{WIDTH} {_Y[_step(last, scale)]}h.01" if last is not None and isfinite(last) else ""
    return Spark(line=line, area=shape, dot=dot, line2=line2)


def over_an_hour(times_ms: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Put values at ascending times (Unix ms) into an hour of minutes that ends with the last of them.

    The last value of a minute stands for it; a minute that has none is NaN, so that a history of four minutes takes
    four sixtieths of the width, as the label *1 h* says.
    """
    hour = np.full(HOUR_POINTS, np.nan)
    if len(times_ms):
        minutes = times_ms // 60_000
        places = HOUR_POINTS - 1 - (minutes[-1] - minutes)
        inside = places >= 0
        hour[places[inside]] = values[inside]
    return hour


def _paths(values: Values, scale: float, *, area: bool) -> tuple[str, str]:
    """Return the line's and the area's path data: a sub-path for each run of known values."""
    places = _places(len(values))
    line: list[str] = []
    filled: list[str] = []
    run: list[str] = []
    begin = ""
    for place, value in zip(places, values, strict=True):
        if value is None or not isfinite(value):
            if run:
                _end(line, filled, run, begin)
                run = []
            continue
        if not run:
            begin = place
        run.append(f"{place} {_Y[_step(value, scale)]}")
    if run:
        _end(line, filled, run, begin)
    return "".join(line), "".join(filled) if area else ""


def _end(line: list[str], filled: list[str], run: list[str], begin: str) -> None:
    """Close a run. One value alone becomes a point: a line that goes nowhere is drawn by its round end."""
    path = f"M{'L'.join(run)}"
    if len(run) == 1:
        line.append(f"{path}h.01")
        return
    line.append(path)
    last = run[-1].split(" ", 1)[0]
    filled.append(f"{path}L{last} {HEIGHT}L{begin} {HEIGHT}Z")


def _step(value: float, scale: float) -> int:
    step = value * scale
    return 0 if step <= 0 else _STEPS if step >= _STEPS else int(step + 0.5)


@lru_cache(maxsize=256)
def _places(number: int) -> tuple[str, ...]:
    """Return where `number` evenly spaced points stand; the newest is at the right edge."""
    if number == 1:
        return (str(WIDTH),)
    return tuple(f"{index * WIDTH / (number - 1):.1f}".removesuffix(".0") for index in range(number))
