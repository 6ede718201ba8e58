"""The strip of figures at the top of a queue's page: what it says of the last hour."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from brokers.series.read import Series
from dashboard.queries.queue_cells import peak

NAN = float("nan")
HOUR = 1_800_000_000_000 + np.arange(60, dtype=np.int64) * 60_000


def hour(values: list[float], high: list[float] | None = None) -> Series:
    times = HOUR[: len(values)]
    return Series(times, {"ready": np.array(values)}, 60_000, high={"ready": np.array(high or values)})


@pytest.mark.parametrize(
    ("series", "now", "says"),
    [
        (hour([5, 900, 7]), 7, "peak 900 at 08:01"),
        # A spike of one poll is in its minute's greatest, not in its mean.
        (hour([5, 40, 7], [9, 900, 9]), 7, "peak 900 at 08:01"),
        # What grows has its peak now, though the minute that is not over has a mean below it.
        (hour([5, 600, 850], [9, 620, 880]), 901, "highest of the hour"),
        (hour([5, 5, 5]), 5, "highest of the hour"),
        (hour([0, 0, 0]), 3, "highest of the hour"),
        (hour([5, 9, 7]), NAN, "peak 9 at 08:01"),
        (hour([0.0] * 60), 0, "empty for an hour"),
        (hour([0, 0, 0]), 0, ""),
        (hour([NAN, NAN]), NAN, ""),
    ],
)
def test_it_says_when_most_messages_waited(series: Series, now: float, says: str) -> None:
    # The moment has its day before it where that is not today.
    assert " ".join(peak(series, now, dt.UTC).replace("15 Jan", "").replace("2027", "").split()) == says
