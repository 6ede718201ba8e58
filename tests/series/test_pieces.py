"""Polls become the samples of a roll-up alike, whether an object is worked out by itself or another tells of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from brokers.series.cells import FIELDS, reduce_cells, steps_of
from brokers.series.codec import Packed
from brokers.series.levels import Level
from brokers.series.metrics import Kind
from brokers.series.pieces import Piece, ticks_of
from brokers.series.snapshots import SnapshotRow
from tests.series.histories import BEGIN

POLLS, PACE_MS = 24, 10_000
# A gauge, one that is read seldom, a state, a counter, and one of which nothing is known.
METRICS = ["ready", "memory", "consumer_state", "published", "capacity"]

figures = st.one_of(st.integers(0, 9).map(float), st.sampled_from([0.1, 0.7, 12.5]), st.just(math.nan))
rows = st.one_of(
    figures.map(lambda one: [one] * POLLS),
    st.lists(figures, min_size=POLLS, max_size=POLLS),
    # Read at every sixth poll.
    st.lists(figures, min_size=POLLS, max_size=POLLS).map(
        lambda row: [one if place % 6 == 0 else math.nan for place, one in enumerate(row)]
    ),
)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 12), st.integers(0, 8))
def test_those_that_stand_still_are_as_if_each_was_worked_out_by_itself(
    data: st.DataObject, objects: int, first: int
) -> None:
    matrices = {name: np.array([data.draw(rows) for _ in range(objects)]) for name in METRICS[:-1]}
    away = data.draw(st.sets(st.tuples(st.integers(0, objects - 1), st.integers(0, POLLS - 1)), max_size=6))
    snapshots = [SnapshotRow(place, BEGIN + place * PACE_MS, 0, PACE_MS, True) for place in range(POLLS)]
    piece = Piece(Level.RAW, ticks_of(snapshots), first, [], snapshots, np.arange(POLLS))
    slots = np.arange(objects, dtype=np.uint32)
    tables = [
        _table(place, matrices, [slot for slot in range(objects) if (slot, place) not in away])
        for place in range(POLLS)
    ]
    there, plain = piece.read(Kind.QUEUE, slots, METRICS, {}, tables)
    there_then, stepped = piece.read(Kind.QUEUE, slots, METRICS, {}, tables, step_ms=60_000)
    begins = steps_of(piece.inside, 0, 60_000)
    np.testing.assert_array_equal(there_then, np.add.reduceat(there, begins, axis=1))
    for name in METRICS:
        expected = reduce_cells(plain[name], begins)
        for field in FIELDS:
            got = getattr(stepped[name], field)
            assert got == pytest.approx(getattr(expected, field), rel=1e-12, nan_ok=True), (name, field)


def _table(place: int, matrices: dict[str, NDArray[np.float64]], here: list[int]) -> tuple[int, Packed]:
    columns = {name: values[here, place] for name, values in matrices.items()}
    return place, Packed(np.array(here, dtype=np.uint32), columns)
