"""A snapshot reads back as it was written, in part or whole; what is not a snapshot is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.series.codec import CorruptSnapshotError, Frame, Table, decode, encode
from brokers.series.metrics import Kind

FIGURES = st.one_of(
    st.just(float("nan")),
    st.integers(0, 300).map(float),
    st.sampled_from([254.0, 255.0, 65534.0, 65535.0, 4294967294.0, 4294967295.0, 2.0**53 - 1, 2.0**53, 2.0**63]),
    st.floats(allow_infinity=True),
)
SLOTS = st.lists(st.integers(0, 2**32 - 1), unique=True, max_size=12).map(sorted)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    slots = draw(SLOTS)
    names = draw(st.lists(st.sampled_from(["ready", "unacked", "published"]), unique=True))
    columns = {name: draw(st.lists(FIGURES, min_size=len(slots), max_size=len(slots))) for name in names}
    return Table(np.array(slots, dtype=np.uint32), {name: np.array(found) for name, found in columns.items()})


FRAMES = st.builds(
    Frame, st.integers(0, 2**52), st.dictionaries(st.sampled_from(list(Kind)), tables(), max_size=3), st.booleans()
)


@given(FRAMES)
def test_it_reads_back_what_was_written(frame: Frame) -> None:
    found = decode(encode(frame))
    assert (found.at_ms, found.complete, set(found.tables)) == (frame.at_ms, frame.complete, set(frame.tables))
    for kind, table in frame.tables.items():
        assert found.table(kind).slots.tolist() == table.slots.tolist()
        for name, values in table.columns.items():
            np.testing.assert_array_equal(found.table(kind).column(name), values)


@given(FRAMES, st.sampled_from(list(Kind)), st.sampled_from(["ready", "unacked"]))
def test_it_reads_a_part_as_it_is_in_the_whole(frame: Frame, kind: Kind, metric: str) -> None:
    payload = encode(frame)
    part = decode(payload, (kind,), (metric,))
    assert set(part.tables) <= {kind}
    assert all(set(table.columns) <= {metric} for table in part.tables.values())
    np.testing.assert_array_equal(part.table(kind).column(metric), decode(payload).table(kind).column(metric))
    assert part.table(kind).slots.tolist() == frame.table(kind).slots.tolist()


@given(FRAMES, st.integers(0, 10_000))
def test_it_refuses_a_snapshot_that_was_cut_off(frame: Frame, length: int) -> None:
    payload = encode(frame)
    if length >= len(payload):
        return
    with pytest.raises(CorruptSnapshotError):
        decode(payload[:length])


@given(st.binary(max_size=60))
def test_it_refuses_bytes_that_are_no_snapshot(payload: bytes) -> None:
    with pytest.raises(CorruptSnapshotError):
        decode(payload)


def test_it_tells_what_is_not_there_as_unknown() -> None:
    table = Table(np.array([3, 7], dtype=np.uint32), {"ready": np.array([1.0, 2.0])})
    assert table.value(7, "ready") == 2
    assert np.isnan([table.value(5, "ready"), table.value(9, "ready"), table.value(3, "unacked")]).all()
    assert np.isnan(table.column("unacked")).all()
    assert len(Frame(0).table(Kind.QUEUE).slots) == 0


def test_it_takes_no_columns_of_another_length_and_no_slots_out_of_order() -> None:
    with pytest.raises(ValueError, match="1 values for 2 slots"):
        encode(Frame(0, {Kind.QUEUE: Table(np.array([1, 2], dtype=np.uint32), {"ready": np.array([1.0])})}))
    with pytest.raises(ValueError, match="ascend"):
        encode(Frame(0, {Kind.QUEUE: Table(np.array([2, 1], dtype=np.uint32), {})}))


def test_it_keeps_ten_thousand_queues_small() -> None:
    slots = np.arange(10_000, dtype=np.uint32)
    counted = np.random.default_rng(1).integers(0, 1000, 10_000).astype(float)
    frame = Frame(0, {Kind.QUEUE: Table(slots, {"ready": np.zeros(10_000), "published": counted})})
    assert len(encode(frame)) < 20_000
