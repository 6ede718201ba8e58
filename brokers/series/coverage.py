"""Which level tells of which part of a range: the preferred one, finer ones where it is not built yet, coarser ones
where the finer were let go. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from brokers.series.levels import Level


@dataclass(frozen=True, slots=True)
class Window:
    """A span's window [start_ms, end_ms) at a level."""

    level: Level
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part [start_ms, end_ms) of a range, told by one level. RAW: by single polls, in blocks or snapshots."""

    level: Level
    start_ms: int
    end_ms: int


_Interval = tuple[int, int]


def cover(windows: Sequence[Window], start_ms: int, end_ms: int, wish: Level) -> list[Stretch]:
    """Return stretches that cover [start_ms, end_ms) without overlap, by time.

    Every moment is told by `wish` where a span of it is there, else by the coarsest finer level that is there, else by
    the finest coarser one, else by single polls: that is where snapshots are that are in no block yet.
    """
    rest: list[_Interval] = [(start_ms, end_ms)]
    found: list[Stretch] = []

    def take(level: Level) -> None:
        nonlocal rest
        mine = [Stretch(level, window.start_ms, window.end_ms) for window in windows if window.level is level]
        for run in _joined(mine):
            taken, rest = _split(rest, (run.start_ms, run.end_ms))
            found.extend(Stretch(level, *part) for part in taken)

    for level in sorted(Level, reverse=True):
        if level <= wish:
            take(level)
    for level in sorted(Level):
        if level > wish:
            take(level)
    found.extend(Stretch(Level.RAW, *part) for part in rest)
    return _joined(sorted(found, key=lambda stretch: stretch.start_ms))


def _split(rest: Sequence[_Interval], window: _Interval) -> tuple[list[_Interval], list[_Interval]]:
    """Return what of the intervals lies in the window, and what does not."""
    taken, left = [], []
    for start, end in rest:
        low, high = max(start, window[0]), min(end, window[1])
        if low >= high:
            left.append((start, end))
            continue
        taken.append((low, high))
        left += [(one, two) for one, two in ((start, low), (high, end)) if one < two]
    return taken, left


def _joined(stretches: Sequence[Stretch]) -> list[Stretch]:
    found: list[Stretch] = []
    for stretch in stretches:
        if found and found[-1].level is stretch.level and found[-1].end_ms == stretch.start_ms:
            stretch = Stretch(stretch.level, found.pop().start_ms, stretch.end_ms)  # noqa: PLW2901
        found.append(stretch)
    return found
