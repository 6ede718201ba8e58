"""The resolutions in which history is kept, and the windows of time that one span of each covers. Pure."""

from __future__ import annotations

from enum import IntEnum

_MINUTE = 60_000
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR


class Level(IntEnum):
    """A resolution; the order is from fine to coarse."""

    RAW = 0
    MINUTE = 1
    TEN_MINUTES = 2
    HOUR = 3

    @property
    def resolution_ms(self) -> int:
        """Return what one sample stands for; 0: a single poll."""
        return (0, _MINUTE, 10 * _MINUTE, _HOUR)[self]

    @property
    def first_ms(self) -> int:
        """Return the window that is built at once: how far the level lies behind at most."""
        return self.lengths_ms[-1]

    @property
    def long_ms(self) -> int:
        """Return the window into which those are merged once it is over: fewer rows, better compressed.

        Every window consists of whole windows of the level below, so that no roll-up is made of half of what was there.
        """
        return self.lengths_ms[0]

    @property
    def lengths_ms(self) -> tuple[int, ...]:
        """Return the windows that a span may have, the longest first: each consists of whole ones of the next."""
        return (
            (2 * _HOUR, _HOUR, 30 * _MINUTE, 10 * _MINUTE),
            (12 * _HOUR, 6 * _HOUR, 3 * _HOUR, _HOUR),
            (6 * _DAY, 3 * _DAY, 36 * _HOUR, 12 * _HOUR),
            (30 * _DAY, 10 * _DAY, 2 * _DAY),
        )[self]

    @property
    def finer(self) -> Level:
        """Return the level that this one is made of. Raises ValueError for RAW."""
        return Level(self - 1)


ROLLED = (Level.MINUTE, Level.TEN_MINUTES, Level.HOUR)


def window_of(at_ms: int, length_ms: int) -> int:
    """Return the beginning of the window that a moment lies in; windows are counted from 1970."""
    return at_ms // length_ms * length_ms


def preferred(step_ms: int) -> Level:
    """Return the coarsest level whose samples are no longer than a step: the cheapest that loses nothing."""
    return max(level for level in Level if level.resolution_ms <= step_ms)
