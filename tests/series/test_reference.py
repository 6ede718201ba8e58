"""Whatever of a random history lies in snapshots, blocks and roll-ups: what is read is what a naive reading says."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.series import columns, upkeep
from brokers.series.metrics import Kind
from brokers.series.models import Snapshot, Span
from brokers.series.read import read
from brokers.series.top import top
from tests.series.histories import BEGIN, Written, walk
from tests.support.builders import make_broker

pytestmark = pytest.mark.django_db
MINUTE, HOUR, CADENCE = 60_000, 3_600_000, 20_000
# Two whole groups, of which one stands still, and parts of a third.
SLOTS = [0, 1, 63, 64, 65, 200]


def whole(seed: int) -> Written:
    """Return a history of 80 minutes, with late rows after most of it has been moved into blocks and roll-ups."""
    written = Written(make_broker())
    walk(written, seed, BEGIN, BEGIN + 80 * MINUTE, cadence_ms=CADENCE, slots=SLOTS)
    for at, (rows, cadence) in list(written.polls.items()):
        still = {slot: {**figures, "ready": 7.0} if slot in {64, 65} else figures for slot, figures in rows.items()}
        Snapshot.objects.filter(broker=written.broker, at_ms=at).delete()
        written.poll(at, still, cadence_ms=cadence)
    return written


def of_moments(written: Written, slots: list[int], start_ms: int, end_ms: int, step_ms: int) -> dict[int, float]:
    """Return by step the mean over its polls of a sum that is unknown where a part that is there is unknown."""
    steps: dict[int, list[float]] = {}
    for at, (rows, _) in sorted(written.polls.items()):
        parts = [rows[slot].get("ready", math.nan) for slot in slots if slot in rows]
        if start_ms <= at <= end_ms:
            steps.setdefault((at - start_ms) // step_ms, []).append(sum(parts) if parts else math.nan)
    return {step: float(np.nanmean(sums)) for step, sums in steps.items() if not np.isnan(sums).all()}


def shown(written: Written, slots: list[int], start_ms: int, end_ms: int, step_ms: int) -> dict[int, float]:
    found = read(written.broker.id, Kind.QUEUE, slots, ["ready"], start_ms, end_ms, step_ms=step_ms)
    known = ~np.isnan(found.values["ready"])
    assert (found.low["ready"][known] <= found.values["ready"][known] + 1e-9).all()
    assert (found.high["ready"][known] >= found.values["ready"][known] - 1e-9).all()
    steps = (found.times_ms - start_ms) // step_ms
    return dict(zip(steps[known].tolist(), found.values["ready"][known].tolist(), strict=True))


def counted(written: Written, slot: int, start_ms: int, end_ms: int) -> float:
    """Return the rate over a range: what was counted by the time in which that is known, a restart being neither."""
    times, values = written.values(slot, "published", BEGIN, end_ms)
    known = [(at, value) for at, value in zip(times, values, strict=True) if not math.isnan(value)]
    grown = over = 0.0
    for (before, one), (now, two) in pairwise(known):
        poll_before = max((at for at in times if at < now), default=now)
        if now >= start_ms and two >= one and now - before <= 2.5 * CADENCE and now - poll_before <= 2.5 * CADENCE:
            grown, over = grown + two - one, over + now - before
    return grown / over * 1000 if over else math.nan


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 30), st.integers(40, 79), st.sampled_from([20, 70, 600]), st.booleans())
def test_it_reads_what_was_written(seed: int, first: int, last: int, step_s: int, late: bool) -> None:
    written = whole(seed)
    upkeep.keep(written.broker.id, seconds=600)
    assert Span.objects.filter(broker=written.broker).exists()
    if late:
        # Our clock was set back: rows in the time of blocks, one in place of another.
        random = np.random.default_rng(seed)
        moments = sorted(written.polls)
        for at in (moments[int(random.integers(0, 60))], moments[int(random.integers(0, 60))] + 777):
            written.poll(at, {0: {"ready": 500.0, "published": 3.0}, 64: {"ready": 9.0}}, cadence_ms=CADENCE)
        written.poll(max(moments) + CADENCE, {0: {"ready": 1.0}}, cadence_ms=CADENCE)
    start, end = BEGIN + first * MINUTE, BEGIN + last * MINUTE
    for slots in ([0], [63, 200], [64, 65], SLOTS):
        # Single polls are read where a step is shorter than a minute: there a sum is that of each moment.
        if step_s < 60 or len(slots) == 1:
            expected = of_moments(written, slots, start, end, 20_000)
            assert shown(written, slots, start, end, 20_000) == pytest.approx(expected)
    ranked = {one.slot: one.value for one in top(written.broker.id, Kind.QUEUE, "ready", 9, start, end, by="max")}
    if not late:
        greatest = {
            slot: max((value for value in written.values(slot, "ready", start, end)[1] if value == value), default=None)
            for slot in SLOTS
        }
        assert ranked == {slot: value for slot, value in greatest.items() if value is not None}
        rates = {one.slot: one.value for one in top(written.broker.id, Kind.QUEUE, "publish_rate", 9, start, end)}
        for slot in SLOTS:
            assert rates.get(slot, math.nan) == pytest.approx(counted(written, slot, start, end), nan_ok=True)


VALUES = st.one_of(st.just(math.nan), st.integers(-5, 5).map(float), st.floats(-1e6, 1e6, width=32))


@given(st.lists(st.lists(VALUES, min_size=6, max_size=6), min_size=1, max_size=12))
def test_a_column_is_reduced_and_added_up_as_if_it_had_been_unpacked(rows: list[list[float]]) -> None:
    values = np.array(rows)
    column, data = columns.encode("x", values)
    found = columns.reduce(column, data, *values.shape)
    known = ~np.isnan(values)
    np.testing.assert_array_equal(found.count, known.sum(axis=1))
    np.testing.assert_allclose(found.total, np.nansum(values, axis=1), atol=1e-6, rtol=1e-9)
    np.testing.assert_array_equal(found.least, np.fmin.reduce(values, axis=1))
    np.testing.assert_array_equal(found.greatest, np.fmax.reduce(values, axis=1))
    last = [next((value for value in reversed(row) if value == value), math.nan) for row in rows]
    np.testing.assert_array_equal(found.last, last)
    total = columns.add_up(column, data, *values.shape)
    if known.all():
        assert total is not None
        np.testing.assert_allclose(total, values.sum(axis=0), atol=1e-6, rtol=1e-9)
    else:
        assert total is None
