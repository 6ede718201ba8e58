"""Blocks hold any figures without loss, each object by itself, and cost nothing for what does not move."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from brokers.series import blocks, columns
from brokers.series.cells import Ticks
from brokers.series.columns import CorruptBlockError

anything = st.one_of(
    st.floats(width=64),
    st.floats(width=32),
    st.integers(-5, 5).map(float),
    st.integers(-(2**53), 2**53).map(float),
    st.just(math.nan),
)


@st.composite
def matrices(draw: st.DrawFn) -> NDArray[np.float64]:
    """Some objects, many of them alike, constant or unknown for a while."""
    samples = draw(st.integers(1, 12))
    rows = draw(st.lists(st.lists(anything, min_size=samples, max_size=samples), min_size=1, max_size=6))
    kinds = draw(st.lists(st.integers(0, len(rows) + 1), min_size=1, max_size=12))
    found = []
    for kind in kinds:
        if kind < len(rows):
            found.append(rows[kind])
        else:
            found.append([rows[0][0] if kind == len(rows) else math.nan] * samples)
    return np.array(found, dtype=np.float64)


@settings(max_examples=150, deadline=None)
@given(matrices(), st.data())
def test_it_reads_back_what_was_stored(values: NDArray[np.float64], data: st.DataObject) -> None:
    objects, samples = values.shape
    rows = data.draw(st.lists(st.integers(0, objects - 1), max_size=8))
    column, stored = columns.encode("ready", values)
    np.testing.assert_array_equal(columns.decode(column, stored, objects, samples, range(objects)), values)
    np.testing.assert_array_equal(columns.decode(column, stored, objects, samples, rows), values[rows])
    for row in range(objects):
        one = columns.decode_one(column, stored, samples, row)
        np.testing.assert_array_equal(np.broadcast_to(one, samples), values[row])


@settings(max_examples=60, deadline=None)
@given(matrices(), matrices())
def test_it_reads_each_column_of_a_block_by_itself(one: NDArray[np.float64], two: NDArray[np.float64]) -> None:
    objects, samples = min(len(one), len(two)), min(one.shape[1], two.shape[1])
    one, two = one[:objects, :samples], two[:objects, :samples]
    slots = np.arange(64, 64 + objects, dtype=np.uint32)
    stored = blocks.encode(slots, samples, {"": np.ones((objects, samples)), "a": one, "b": two, "c": one})
    block = blocks.decode(stored, 1)
    assert block.slots.tolist() == slots.tolist()
    for name, values in (("a", one), ("b", two), ("c", one), ("d", np.full((objects, samples), np.nan))):
        np.testing.assert_array_equal(block.column(name, range(objects)), values)
        assert block.has(name) == bool((~np.isnan(values)).any())


def test_it_takes_next_to_nothing_for_what_is_alike_constant_or_unknown() -> None:
    slots, samples = np.arange(64, dtype=np.uint32), 1440
    still = np.repeat(np.arange(64.0)[:, np.newaxis], samples, axis=1)
    moving = np.random.default_rng(1).poisson(5, (1, samples)).astype(float)
    bare = len(blocks.encode(slots, samples, {"": np.ones((64, samples))}))
    unknown = len(blocks.encode(slots, samples, {"": np.ones((64, samples)), "a": np.full((64, samples), math.nan)}))
    constant = len(blocks.encode(slots, samples, {"": np.ones((64, samples)), "a": still}))
    same = len(blocks.encode(slots, samples, {"": np.ones((64, samples)), "a": np.repeat(moving, 64, axis=0)}))
    twice = len(
        blocks.encode(
            slots,
            samples,
            {"": np.ones((64, samples)), "a": np.repeat(moving, 64, axis=0), "b": np.repeat(moving, 64, axis=0)},
        )
    )
    one = len(columns.encode("a", moving)[1])
    assert unknown == bare
    assert constant < bare + 500
    assert same < bare + one + 200
    assert twice < same + 50


def test_it_says_that_a_block_is_cut_off() -> None:
    values = np.random.default_rng(1).poisson(5, (8, 100)).astype(float)
    stored = blocks.encode(np.arange(8, dtype=np.uint32), 100, {"": np.ones((8, 100)), "a": values})
    for cut in (2, 9, 40):
        with pytest.raises(CorruptBlockError):
            blocks.decode(stored[:cut], 0)
    with pytest.raises(CorruptBlockError, match="cut off"):
        blocks.decode(stored[:-5], 0).column("a", [0])


@given(st.lists(st.tuples(st.integers(1, 100_000), st.integers(1, 60_000), st.booleans()), min_size=1, max_size=30))
def test_it_keeps_the_samples_that_blocks_share(polls: list[tuple[int, int, bool]]) -> None:
    ticks = Ticks(
        np.cumsum([gap for gap, _, _ in polls]) + 1_700_000_000_000,
        np.array([cadence for _, cadence, _ in polls]),
        np.array([complete for _, _, complete in polls]),
        np.ones(len(polls), dtype=np.int64),
        np.zeros(len(polls), dtype=np.int64),
    )
    found = blocks.decode_ticks(blocks.encode_ticks(ticks))
    for name in ("times_ms", "cadences_ms", "complete", "polls", "resolution_ms"):
        assert getattr(found, name).tolist() == getattr(ticks, name).tolist()
