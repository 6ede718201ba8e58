"""Where slots stand among others, found once and remembered: from tick to tick mostly the same objects are told of.

What is remembered belongs to arrays and not to what is in them: whoever asks hands in the same arrays again, and never
changes them. Nothing is kept longer than it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Slots = NDArray[np.int64]
Floats = NDArray[np.float64]

# Ticks that something may stay unasked for: what was asked for again, for dearer families come in every second or
# fourth; and what was not.
_UNASKED, _UNASKED_YET = 4, 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where given slots stand among wanted ones: `position` of those at `which` (None: of all of them).

    `said`: of each wanted slot, how often it was given; `once`: none of them was given twice.
    """

    position: NDArray[np.intp]
    which: NDArray[np.bool_] | None
    said: NDArray[np.intp]
    once: bool


@dataclass(slots=True)
class _Kept:
    # The arrays themselves, so that none gets the id of another that was let go.
    asked: tuple[object, ...]
    found: object
    unasked: int = 0
    asked_again: bool = False


class Placing:
    """What is remembered of one broker."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, _Kept] = {}

    def place(self, given: Slots, wanted: Slots) -> Place:
        """Return where `given` (-1: none) stand among `wanted`, which ascend."""
        return self._of("place", (given, wanted), lambda: _place(given, wanted))

    def told(self, given: Sequence[Slots]) -> tuple[Slots, Slots]:
        """Return the slots that any of several arrays has, ascending, and those that more than one has."""
        return self._of("told", tuple(given), lambda: _told(given))

    def narrow(self, slots: Slots) -> NDArray[np.uint32]:
        """Return slots as a table has them."""
        return self._of("narrow", (slots,), lambda: slots.astype(np.uint32))

    def wide(self, slots: NDArray[np.uint32]) -> Slots:
        """Return a table's slots as they are computed with."""
        return self._of("wide", (slots,), lambda: slots.astype(np.int64))

    def distinct(self, slots: Slots) -> frozenset[int]:
        """Return the slots that are there, -1 left out."""
        return self._of("distinct", (slots,), lambda: frozenset(np.unique(slots[slots >= 0]).tolist()))

    def ascending(self, slots: frozenset[int]) -> Slots:
        """Return slots in their order, the same array for the same slots."""
        return self._by(("ascending", slots), (), lambda: np.array(sorted(slots), dtype=np.int64))

    def let_go(self) -> None:
        """Forget what was not asked for of late: a tick is over."""
        for kept in self._kept.values():
            kept.unasked += 1
        self._kept = {
            key: kept
            for key, kept in self._kept.items()
            if kept.unasked <= (_UNASKED if kept.asked_again else _UNASKED_YET)
        }

    def _of(self, what: str, asked: tuple[object, ...], compute: Callable[[], T]) -> T:
        return self._by((what, *map(id, asked)), asked, compute)

    def _by(self, key: Hashable, asked: tuple[object, ...], compute: Callable[[], T]) -> T:
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = _Kept(asked, compute())
        else:
            kept.unasked, kept.asked_again = 0, True
        return cast("T", kept.found)


def summed(slots: Slots, parts: Iterable[tuple[Slots, Floats]], placing: Placing, *, unsaid: float = np.nan) -> Floats:
    """Add up what several parts say of the same slots; `unsaid` where none says anything."""
    total = np.zeros(len(slots))
    said = np.zeros(len(slots), dtype=np.int64)
    for given, all_values in parts:
        if len(given) == 0 or len(slots) == 0:
            continue
        place = placing.place(given, slots)
        values = all_values if place.which is None else all_values[place.which]
        if place.once:
            total[place.position] += values
        else:
            total += np.bincount(place.position, weights=values, minlength=len(slots))
        said += place.said
    return np.where(said > 0, total, unsaid)


def _place(given: Slots, wanted: Slots) -> Place:
    if len(wanted) == 0:
        return Place(np.empty(0, dtype=np.intp), np.zeros(len(given), dtype=np.bool_), np.empty(0, dtype=np.intp), True)
    position = np.minimum(np.searchsorted(wanted, given), len(wanted) - 1)
    there = (wanted[position] == given) & (given >= 0)
    everywhere = bool(there.all())
    position = position if everywhere else position[there]
    said = np.bincount(position, minlength=len(wanted))
    return Place(position, None if everywhere else there, said, bool((said <= 1).all()))


def _told(given: Sequence[Slots]) -> tuple[Slots, Slots]:
    everyone = np.concatenate(given) if given else np.empty(0, dtype=np.int64)
    found, claims = np.unique(everyone[everyone >= 0], return_counts=True)
    return found, found[claims > 1]
