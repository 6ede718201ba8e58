"""Blocks hold what the snapshots said, byte for byte the same however many objects are worked on at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from benchmarks.simulated_frames import Simulated
from brokers.registry.models import Broker
from brokers.series import blocks, codec, compact, store
from brokers.series.codec import Frame
from brokers.series.metrics import Kind
from brokers.series.models import Block, Snapshot
from tests.series.histories import BEGIN
from tests.support.builders import make_broker

pytestmark = pytest.mark.django_db
OBJECTS = 200
TICKS = 130

Stored = Mapping[tuple[Kind, int], bytes]


@pytest.fixture
def frames() -> list[Frame]:
    """Twenty-one minutes of queues that come and go, some figures of which are in few snapshots."""
    return list(Simulated(OBJECTS).frames(BEGIN, 10_000, TICKS))


def expected(frames: Sequence[Frame], names: Sequence[str] | None = None) -> Stored:
    """Return the blocks of frames, built of whole matrices with nothing in common with how it is done."""
    found: dict[tuple[Kind, int], bytes] = {}
    for kind in Kind:
        slots = sorted({int(slot) for frame in frames for slot in frame.table(kind).slots})
        metrics = sorted({name for frame in frames for name in frame.table(kind).columns})
        for group in sorted({slot // blocks.GROUP for slot in slots}):
            mine = [slot for slot in slots if slot // blocks.GROUP == group]
            there = np.array([[float(slot in frame.table(kind).slots) for frame in frames] for slot in mine])
            columns = {
                name: np.array([[frame.table(kind).value(slot, name) for frame in frames] for slot in mine])
                for name in metrics
            }
            whole = {blocks.THERE: there, **columns}
            found[kind, group] = blocks.encode(np.array(mine, dtype=np.uint32), len(frames), whole)
    return found


def stored() -> Stored:
    rows = Block.objects.values_list("kind", "group", "payload")
    return {(Kind(kind), group): bytes(payload) for kind, group, payload in rows}


def write(broker: Broker, frames: Sequence[Frame]) -> None:
    for frame in frames:
        store.append(broker.id, frame, 10_000)


def compact_first(broker: Broker) -> None:
    log = compact.log_of(broker.id)
    assert log is not None
    compact.compact(broker.id, log, BEGIN)


@pytest.mark.parametrize(("stored_at_once", "floats_at_once"), [(8_000_000, 250_000), (9_000, 8_000), (1, 1)])
def test_it_builds_the_same_blocks_however_many_objects_it_takes_at_once(
    frames: list[Frame], stored_at_once: int, floats_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact, "_STORED_AT_ONCE", stored_at_once)
    monkeypatch.setattr(compact, "_FLOATS_AT_ONCE", floats_at_once)
    broker = make_broker()
    write(broker, frames)
    compact_first(broker)
    assert stored() == expected(frames[:60])


@pytest.mark.parametrize("floats_at_once", [250_000, 1])
def test_it_puts_late_snapshots_among_those_of_a_block(
    frames: list[Frame], floats_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact, "_FLOATS_AT_ONCE", floats_at_once)
    broker = make_broker()
    late = [frame for number, frame in enumerate(frames[:60]) if number % 7 == 3]
    write(broker, [frame for frame in frames if frame not in late])
    compact_first(broker)
    assert stored() != expected(frames[:60])
    write(broker, late)
    # The newest snapshot stays one: another has to be written after those that came late.
    write(broker, [Frame(frames[-1].at_ms + 10_000, frames[-1].tables)])
    compact_first(broker)
    assert stored() == expected(frames[:60])


def test_it_leaves_out_a_snapshot_that_can_not_be_read(frames: list[Frame]) -> None:
    broker = make_broker()
    write(broker, frames)
    broken = Snapshot.objects.get(at_ms=frames[20].at_ms)
    Snapshot.objects.filter(id=broken.id).update(payload=bytes(broken.payload)[:-40])
    compact_first(broker)
    gap = codec.Frame(frames[20].at_ms)
    assert stored() == expected([*frames[:20], gap, *frames[21:60]])
