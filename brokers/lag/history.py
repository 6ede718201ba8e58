"""When the n-th last message of each queue came in: messages ever in, at log-spaced moments, for many queues at once.

Moments are shared by all queues. Two neighbours lie at most 5 % of their age apart, so that some 300 of them reach back
months; between two, messages are taken to have come in evenly. Counts are kept as 32-bit unsigned whole numbers that
wrap around: only differences are read, and those are right as long as a queue took in fewer than 2 × 10⁹ messages
within the history. 10,000 queues take 12 MB, 100,000 take 120 MB.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.uint32]

# Neighbours lie no further apart than this share of their age, where the ticks are dense enough.
SPACING = 0.05
# Older moments are forgotten: what came in before is at least so old.
HORIZON_MS = 90 * 86_400_000
_GROW = 64


def wrapped(values: Floats) -> Counts:
    """Return whole numbers (of at most 63 bits, as any count of messages is) as they are kept, modulo 2³²."""
    return np.rint(values).astype(np.int64).astype(np.uint32)


def _difference(later: Counts, earlier: Counts) -> Floats:
    return (later - earlier).astype(np.int32).astype(np.float64)


class Arrivals:
    """The history of messages ever in of all queues of a broker: `slots` ascending, a column of counts for each."""

    def __init__(self) -> None:
        self.slots: NDArray[np.uint32] = np.empty(0, dtype=np.uint32)
        self.times_ms: list[int] = []
        self._counts: NDArray[np.uint32] = np.empty((_GROW, 0), dtype=np.uint32)
        # The row of the buffer that each moment is in, oldest first; rows that are free.
        self._rows: list[int] = []
        self._free: list[int] = list(range(_GROW))

    def __len__(self) -> int:
        return len(self.times_ms)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the counts take."""
        return self._counts.nbytes

    def append(self, at_ms: int, counts: Counts) -> None:
        """Add the newest moment, later than all others, and thin the older ones out."""
        if self.times_ms and at_ms <= self.times_ms[-1]:
            raise ValueError("moments must ascend")
        if not self._free:
            self._free = list(range(len(self._counts), len(self._counts) + _GROW))
            self._counts = np.concatenate((self._counts, np.empty((_GROW, len(self.slots)), dtype=np.uint32)))
        row = self._free.pop()
        self._counts[row] = counts
        self._rows.append(row)
        self.times_ms.append(at_ms)
        self._thin(at_ms)

    def realign(self, slots: NDArray[np.uint32], before: Counts) -> None:
        """Take these slots from now on; `before` is what those that are new had taken in at every moment so far."""
        if np.array_equal(slots, self.slots):
            return
        place = np.minimum(np.searchsorted(self.slots, slots), max(0, len(self.slots) - 1))
        there = self.slots[place] == slots if len(self.slots) else np.zeros(len(slots), dtype=np.bool_)
        counts = np.empty((len(self._counts), len(slots)), dtype=np.uint32)
        counts[:, there] = self._counts[:, place[there]]
        counts[:, ~there] = before[~there]
        self._counts, self.slots = counts, slots

    def set_back(self, by_ms: int) -> None:
        """Move all moments back: the clock was set back by so much, and ages stay what they were."""
        self.times_ms = [moment - by_ms for moment in self.times_ms]

    def restate(
        self,
        where: NDArray[np.intp],
        since_ms: int,
        counts_then: Counts,
        counts_now: Counts,
        shaped: NDArray[np.bool_],
    ) -> None:
        """Say anew what came in after a moment, for the columns `where`, from one count to the other.

        For counters that are read seldom: what was guessed in between is put right; in the shape that it was guessed in
        where `shaped`, since the depths told meanwhile say something of it, else evenly.
        """
        if not len(where) or not self.times_ms:
            return
        end_ms = self.times_ms[-1]
        # Fewer than then: some that were taken for entered had not.
        grown = np.maximum(_difference(counts_now, counts_then), 0.0)
        self.lower(where[grown == 0], counts_now[grown == 0])
        counts_then = np.where(grown > 0, counts_then, counts_now)
        inside = [place for place in range(len(self.times_ms) - 1) if self.times_ms[place] > since_ms]
        if not inside:
            return
        held = np.array([_difference(self._counts[self._rows[place], where], counts_then) for place in inside])
        guessed = np.maximum.accumulate(np.maximum(held, 0.0), axis=0)
        # Had it gone on until now as it was guessed.
        until = guessed[-1] * (end_ms - since_ms) / (self.times_ms[inside[-1]] - since_ms)
        for place, entered in zip(inside, guessed, strict=True):
            even = np.full(len(where), (self.times_ms[place] - since_ms) / (end_ms - since_ms))
            share = np.divide(entered, until, out=even, where=(until > 0) & shaped)
            self._counts[self._rows[place], where] = counts_then + wrapped(grown * np.minimum(share, 1.0))

    def lower(self, where: NDArray[np.intp], counts: Counts) -> None:
        """Let no moment of the columns `where` hold more than `counts`, which the newest holds."""
        for row in reversed(self._rows[:-1]):
            held = self._counts[row, where]
            above = (held - counts).astype(np.int32) > 0
            if not above.any():
                return
            self._counts[row, where] = np.where(above, counts, held)

    def entered_ms(
        self, counts: Counts, behind: Floats, columns: NDArray[np.intp] | None = None
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Return when the message came in that has `behind` messages behind it, and where that is not known.

        `counts` is what came in until the newest moment, `behind` how many of them came later (NaN: unknown), of all
        queues or of those in `columns`, which may be there several times. Where the history does not reach so far the
        time is its oldest moment and the second array is True.
        """
        columns = np.arange(len(self.slots)) if columns is None else columns
        rows = np.array(self._rows, dtype=np.intp)
        times = np.array(self.times_ms, dtype=np.float64)
        # The last moment at which the message was not yet in: `later` counts at least `behind` after it.
        low = np.zeros(len(columns), dtype=np.intp)
        high = np.full(len(columns), len(rows) - 1, dtype=np.intp)
        oldest = _difference(counts, self._counts[rows[0], columns])
        older = oldest < behind
        while True:
            open_ = high - low > 1
            if not open_.any():
                break
            middle = (low + high) // 2
            later = _difference(counts, self._counts[rows[middle], columns])
            before = later >= behind
            low = np.where(open_ & before, middle, low)
            high = np.where(open_ & ~before, middle, high)
        from_low = _difference(counts, self._counts[rows[low], columns])
        from_high = _difference(counts, self._counts[rows[high], columns])
        came = from_low - from_high
        share = np.divide(from_low - behind, came, out=np.ones(len(columns)), where=came > 0)
        found = times[low] + np.clip(share, 0.0, 1.0) * (times[high] - times[low])
        return np.where(older, times[0], found), older

    def _thin(self, now_ms: int) -> None:
        while len(self.times_ms) > 2 and now_ms - self.times_ms[1] > HORIZON_MS:
            self._drop(0)
        place = len(self.times_ms) - 3
        while place > 0:
            around = self.times_ms[place + 1] - self.times_ms[place - 1]
            if around <= SPACING * (now_ms - self.times_ms[place + 1]):
                self._drop(place)
            place -= 1

    def _drop(self, place: int) -> None:
        self._free.append(self._rows.pop(place))
        del self.times_ms[place]
