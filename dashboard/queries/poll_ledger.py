"""What polling really took of a broker in the last ten minutes, beside what its budget allows. Pure."""

from __future__ import annotations

from brokers.collect import ledger
from brokers.collect.budget import SMALL, Budget
from dashboard import formats
from dashboard.cells import Cell

_MINUTES = ledger.WINDOW_S // 60


def spent_cell(spent: ledger.Ledger, budget: Budget, definitions_share: float, now_ms: int) -> Cell:
    """Return what the ledger says: seconds that were spent, those that are allowed, and a bar of the one in the other.

    `definitions_share` is the part of the broker's time that reading its definitions takes: it is set aside.
    """
    took = ledger.spent(spent, now_ms)
    most = ledger.allowed(budget, definitions_share)
    part = took / most if most > 0 else 0.0
    aside = " less what its definitions take" if definitions_share > 0 else ""
    return Cell(
        text=f"{_seconds(took)} of {_seconds(most)} in the last {_MINUTES} min",
        share=min(1.0, part),
        # What costs are found out by, in the first minutes, may pass it once; more does not follow until it is made up.
        state="warning" if part > 1 else "",
        exact=(
            f"The node that was busiest took {_seconds(took)} for the answers that polls asked of it, as measured; "
            f"{formats.percent(budget.share)} of {_MINUTES} min{aside} is {_seconds(most)}. Answers of less than "
            f"{SMALL // 1000} kB are milliseconds of work and do not count. What would pass it waits for a later poll."
        ),
    )


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"
