"""What a broker really spent on answering in the last ten minutes, so that the budget holds however wrong costs were.

Periods follow from costs that are smoothed over several answers, since one that waited for a CPU says little. A cost
that jumps is believed only after some of them; this bounds what they may take together. Pure.
"""

from __future__ import annotations

from brokers.collect.budget import SMALL, Budget, Cost

WINDOW_S = 600
# So long an answer may wait for a CPU on a busy machine.
WAIT_S = 0.4
_MINUTE_MS = 60_000

# Seconds spent by minute (Unix), the oldest first.
Ledger = tuple[tuple[int, float], ...]


def noted(ledger: Ledger, seconds: float, at_ms: int) -> Ledger:
    """Return the ledger with seconds that were spent at a moment; what is older than the window is dropped."""
    minute = at_ms // _MINUTE_MS
    held = {at: spent for at, spent in ledger if minute - WINDOW_S // 60 <= at <= minute}
    held[minute] = round(held.get(minute, 0.0) + seconds, 4)
    return tuple(sorted(held.items()))


def spent(ledger: Ledger, at_ms: int) -> float:
    """Return the seconds that were spent in the window that ends at a moment."""
    minute = at_ms // _MINUTE_MS
    return sum(seconds for at, seconds in ledger if minute - WINDOW_S // 60 <= at <= minute)


def counted(cost: Cost | None, usual: Cost | None = None) -> float:
    """Return the seconds of a cost that count.

    A small answer is milliseconds of work, however long it waited; one that took a little longer than is `usual` most
    likely waited for a CPU.
    """
    if cost is None or 0 < cost.bytes < SMALL:
        return 0.0
    return usual.seconds if usual and 0 <= cost.seconds - usual.seconds <= WAIT_S else cost.seconds


def allowed(budget: Budget, reserved: float) -> float:
    """Return the seconds that ticks may take in any window; `reserved` is the share that definitions take."""
    return max(0.0, budget.share - reserved) * WINDOW_S


def bears(cost: float, so_far: float, most: float) -> bool:
    """Tell whether one more answer may be asked for that costs so much.

    One that costs more than half of all is asked when less than half was spent: it can't be divided.
    """
    return so_far <= most - min(cost, most / 2)
