"""What can't be read of the history is a gap: no read fails, and upkeep goes on."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

from brokers.series import blocks, codec, spans, upkeep
from brokers.series.cells import Ticks
from brokers.series.codec import CorruptSnapshotError, Frame, Table
from brokers.series.columns import CorruptBlockError
from brokers.series.frames import frames
from brokers.series.levels import Level
from brokers.series.metrics import Kind
from brokers.series.models import Block, Snapshot, Span
from brokers.series.present import forget, present
from brokers.series.read import history_starts_ms, read, read_each
from brokers.series.top import top
from tests.series.histories import BEGIN, Written, walk
from tests.support.builders import make_broker

MINUTE, HOUR = 60_000, 3_600_000
SLOTS = [0, 1, 63, 64, 200]
METRICS = ["ready", "publish_rate", "capacity"]


@pytest.fixture
def written(db: None) -> Written:
    """An hour and three quarters, of which single polls and minutes are in blocks."""
    found = Written(make_broker())
    walk(found, 1, BEGIN, BEGIN + 105 * MINUTE, cadence_ms=10_000, slots=SLOTS)
    return found


def read_all(written: Written) -> list[int]:
    """Read in every way that pages do; return how many points of single objects are known, by step."""
    broker, end = written.broker.id, max(written.polls)
    known = []
    for step in (1000, MINUTE, 10 * MINUTE):
        each = read_each(broker, Kind.QUEUE, SLOTS, METRICS, BEGIN, end, step_ms=step)
        known.append(int((~np.isnan(each.values["ready"])).sum()))
        read(broker, Kind.QUEUE, SLOTS, METRICS, BEGIN, end, step_ms=step)
    for by in ("mean", "max", "last"):
        top(broker, Kind.QUEUE, "ready", 3, BEGIN, end, by=by)
        top(broker, Kind.QUEUE, "publish_rate", 3, BEGIN, end, by=by)
    frames(broker, Kind.QUEUE, ["ready"], list(range(BEGIN, end, 10 * MINUTE)))
    assert history_starts_ms(broker) is not None
    forget(broker)
    assert present(broker) is not None
    return known


@pytest.mark.parametrize("level", [Level.RAW, Level.MINUTE])
@pytest.mark.parametrize("ticks", [b"", b"\0" * 40, b"\5\0\0\0nothing of ours"])
def test_a_span_whose_samples_can_not_be_read_is_a_gap(written: Written, level: Level, ticks: bytes) -> None:
    upkeep.keep(written.broker.id, seconds=600)
    whole = read_all(written)
    first = Span.objects.filter(level=int(level)).order_by("start_ms").values_list("id", flat=True)[0]
    Span.objects.filter(id=first).update(ticks=ticks)
    spans.unpacked_ticks.cache_clear()
    left = read_all(written)
    assert any(0 < some < all_ for some, all_ in zip(left, whole, strict=True))
    # Time goes on: it is merged and rolled up with its neighbours, and nothing waits for it.
    walk(written, 2, BEGIN + 105 * MINUTE, BEGIN + 260 * MINUTE, cadence_ms=10_000, slots=SLOTS)
    upkeep.keep(written.broker.id, seconds=600)
    assert upkeep.keep(written.broker.id, seconds=600) == 0
    assert list(Span.objects.filter(level=int(Level.RAW)).order_by("start_ms").values_list("end_ms", flat=True))[
        :2
    ] == [
        BEGIN + 2 * HOUR,
        BEGIN + 4 * HOUR,
    ]
    read_all(written)


@pytest.mark.parametrize("where", [0.2, 0.5, 0.9])
def test_a_block_of_which_a_part_can_not_be_read_is_a_gap(written: Written, where: float) -> None:
    upkeep.keep(written.broker.id, seconds=600)
    for row in Block.objects.all():
        payload = bytearray(row.payload)
        for place in range(int(len(payload) * where), min(len(payload), int(len(payload) * where) + 40)):
            payload[place] ^= 0x5A
        Block.objects.filter(id=row.id).update(payload=bytes(payload))
    read_all(written)
    walk(written, 2, BEGIN + 105 * MINUTE, BEGIN + 260 * MINUTE, cadence_ms=10_000, slots=SLOTS)
    upkeep.keep(written.broker.id, seconds=600)
    assert upkeep.keep(written.broker.id, seconds=600) == 0
    read_all(written)
    # A snapshot that comes late goes into a block that can't be read.
    written.poll(BEGIN + 63 * MINUTE + 7, {0: {"ready": 5.0}}, cadence_ms=10_000)
    written.poll(BEGIN + 260 * MINUTE, {0: {"ready": 5.0}}, cadence_ms=10_000)
    upkeep.keep(written.broker.id, seconds=600)
    assert not Snapshot.objects.filter(at_ms=BEGIN + 63 * MINUTE + 7).exists()


def test_a_block_that_has_not_the_samples_of_its_span_is_a_gap(written: Written) -> None:
    upkeep.keep(written.broker.id, seconds=600)
    whole = read_all(written)
    short = blocks.encode(
        np.array([0, 1], dtype=np.uint32), 2, {blocks.THERE: np.ones((2, 2)), "ready": np.ones((2, 2))}
    )
    Block.objects.filter(group=0, span__level=int(Level.RAW)).update(payload=short)
    assert read_all(written)[0] < whole[0]
    walk(written, 2, BEGIN + 105 * MINUTE, BEGIN + 260 * MINUTE, cadence_ms=10_000, slots=SLOTS)
    upkeep.keep(written.broker.id, seconds=600)
    assert upkeep.keep(written.broker.id, seconds=600) == 0
    read_all(written)


def _damaged(payload: bytes, seed: int) -> Iterator[bytearray]:
    """Yield a payload many times, each with a byte changed by chance or its end cut off."""
    chance = random.Random(seed)
    for _ in range(3000):
        changed = bytearray(payload)
        if chance.random() < 0.2:
            del changed[chance.randrange(len(changed)) :]
        else:
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        yield changed


def test_samples_that_were_changed_are_read_or_refused() -> None:
    count = 60
    times = BEGIN + np.arange(count, dtype=np.int64) * 10_007
    ticks = Ticks(
        times,
        np.full(count, 10_000, dtype=np.int64),
        np.arange(count) % 7 > 0,
        np.ones(count, dtype=np.int64),
        np.zeros(count, dtype=np.int64),
    )
    payload = blocks.encode_ticks(ticks)
    assert blocks.decode_ticks(payload).times_ms.tolist() == times.tolist()
    refused = 0
    for changed in _damaged(payload, 7):
        try:
            found = blocks.decode_ticks(bytes(changed))
        except CorruptBlockError:
            refused += 1
        else:
            lengths = {len(found.times_ms), len(found.cadences_ms), len(found.complete), len(found.polls)}
            assert lengths == {len(found)}
            assert len(found.resolution_ms) == len(found)
    assert refused > 500


def test_a_snapshot_that_was_changed_is_read_or_refused() -> None:
    slots = np.arange(0, 300, 2, dtype=np.uint32)
    columns = {"ready": np.arange(150.0), "capacity": np.arange(150.0) / 7, "published": np.arange(150.0) * 1e9}
    payload = codec.encode(Frame(BEGIN, {Kind.QUEUE: Table(slots, columns)}))
    refused = 0
    for changed in _damaged(payload, 3):
        codec.columns_of(changed[: codec.HEADER_BYTES], Kind.QUEUE)
        for ask in (codec.decode, codec.check, lambda data: codec.packed(data, Kind.QUEUE, ["ready"])):
            try:
                ask(bytes(changed))
            except CorruptSnapshotError:
                refused += 1
    assert refused > 500
