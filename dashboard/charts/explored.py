"""One figure of many series: which axis each line belongs to, which colour it has, what does not go together. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.charts.figures import Axis, Figure, Trace
from dashboard.charts.measures import Charted

COLOURS = 10
KEY = "explore"
_FLOORS = {Axis.STOCK: 4, Axis.BYTES: 1024, Axis.SHARE: 0.1, Axis.CONSUMER_STATE: 5, Axis.LAG_SOURCE: 4}


@dataclass(frozen=True, slots=True)
class Line:
    """A series by its key (`s0`, `s1`, …), with its name in the chart and what it measures."""

    key: str
    name: str
    measure: Charted


def figure_of(lines: Sequence[Line], *, then: str = "") -> Figure:
    """Return the figure of some lines, of which at most two units are drawn: the first on the left, the second right.

    `then` names the time that each is compared with; empty: none.
    """
    units = units_of(lines)[:2]
    by_unit = {line.measure.unit: line.measure for line in reversed(lines)}
    left = by_unit[units[0]] if units else None
    right = by_unit[units[1]] if len(units) > 1 else None
    traces = tuple(
        Trace(
            line.key,
            line.name,
            f"--x-{number % COLOURS}",
            steps=line.measure.steps,
            right=right is not None and line.measure.unit == right.unit,
            band=True,
            then=f"{line.name}, {then}" if then else "",
        )
        for number, line in enumerate(lines)
        if line.measure.unit in units
    )
    return Figure(
        KEY,
        "Chart",
        " · ".join(units),
        left.axis if left else Axis.STOCK,
        traces,
        floor=_floor(left),
        tall=True,
        right=right.axis if right else None,
        right_floor=_floor(right),
        ends=False,
    )


def units_of(lines: Sequence[Line]) -> list[str]:
    """Return the units of some lines, each once, in their order."""
    return list(dict.fromkeys(line.measure.unit for line in lines))


def does_not_fit(lines: Sequence[Line]) -> str:
    """Say which lines are not drawn, since a chart has two axes; empty where all are."""
    units = units_of(lines)
    if len(units) <= 2:
        return ""
    left_out = sum(line.measure.unit not in units[:2] for line in lines)
    are, them = ("is", "it") if left_out == 1 else ("are", "them")
    return (
        f"A chart has two axes, here {units[0]} and {units[1]}. {left_out} series in {_listed(units[2:])} {are} not "
        f"drawn: remove others, or draw {them} on a chart apart."
    )


def _floor(measure: Charted | None) -> float:
    """Return the least upper end of an axis: a handful of messages should not fill it."""
    return _FLOORS.get(measure.axis, 1) if measure else 1


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
