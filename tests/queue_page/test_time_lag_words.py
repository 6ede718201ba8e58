"""A time lag says for itself how far it can be trusted."""

from __future__ import annotations

import math

import pytest

from brokers.lag.inverse import LagSource
from dashboard.queries.queue_cells import _from
from dashboard.queries.queue_measures import lag_cell, source_of


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (LagSource.COUNTERS, "45 s"),
        (LagSource.HEAD_TIMESTAMP, "45 s"),
        (LagSource.AT_LEAST, "> 45 s"),
        (LagSource.ABOUT, "~ 45 s"),
    ],
)
def test_what_is_not_exact_is_marked(source: LagSource, shown: str) -> None:
    assert lag_cell(45.0, float(source), "").text == shown


def test_every_source_is_explained_and_named() -> None:
    for source in LagSource:
        assert source_of(float(source))
        assert _from(float(source))
    assert lag_cell(math.nan, math.nan, "not read yet").unknown == "not read yet"
