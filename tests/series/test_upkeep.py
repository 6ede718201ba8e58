"""Compaction and roll-up: every sample exactly once wherever it ends, the same answers before and after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from brokers.series import compact, sql, tasks, upkeep
from brokers.series.levels import Level
from brokers.series.metrics import Kind
from brokers.series.models import Block, Snapshot, Span
from brokers.series.read import history_starts_ms, read, read_each
from tests.series.histories import (
    BEGIN,
    HOUR,
    MINUTE,
    SLOTS,
    Written,
    assert_same,
    everything,
    levels,
    samples_stored,
)
from tests.support.builders import make_broker

pytestmark = pytest.mark.django_db


def test_it_answers_the_same_from_blocks_and_roll_ups(written: Written) -> None:
    before = everything(written)
    assert upkeep.keep(written.broker.id, seconds=600) > 0
    assert levels(written.broker.id) == {
        Level.RAW: [(0, 120), (120, 130)],
        Level.MINUTE: [(0, 60), (60, 120)],
    }
    assert_same(before, everything(written))
    assert samples_stored(written.broker.id) == sorted(written.polls)
    assert history_starts_ms(written.broker.id) == BEGIN
    assert everything(written)[1].resolution_ms == MINUTE
    # Everything is done: again there is nothing to do.
    assert upkeep.keep(written.broker.id) == 0


def test_it_adds_up_many_from_roll_ups_as_from_polls() -> None:
    written = Written(make_broker())
    random = np.random.default_rng(5)
    published = dict.fromkeys(range(100), 0.0)
    for tick in range(480):
        for slot in published:
            published[slot] += float(random.integers(0, 9))
        rows = {slot: {"ready": float(random.integers(0, 50)), "published": count} for slot, count in published.items()}
        written.poll(BEGIN + tick * 10_000, rows, cadence_ms=10_000)

    def sums() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
        found = read(
            written.broker.id,
            Kind.QUEUE,
            range(100),
            ["ready", "publish_rate", "published"],
            BEGIN,
            BEGIN + 80 * MINUTE,
            step_ms=MINUTE,
        )
        return found.values, found.low, found.high

    before, low, high = sums()
    assert upkeep.keep(written.broker.id, seconds=600) > 0
    assert Span.objects.filter(level=int(Level.MINUTE)).exists()
    after, least, greatest = sums()
    for name in ("ready", "publish_rate", "published"):
        np.testing.assert_allclose(after[name], before[name], rtol=1e-12)
        # Bounds of a sum from roll-ups hold what was, and may be wider.
        known = ~np.isnan(low[name])
        assert (least[name][known] <= low[name][known] + 1e-9).all()
        assert (greatest[name][known] >= high[name][known] - 1e-9).all()


@pytest.mark.parametrize("place", ["insert", "blocks", "delete", "end"])
def test_it_leaves_all_as_it_was_where_it_is_killed_and_goes_on(
    written: Written, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(written)
    kills = iter(range(1, 100))
    due = next(kills)
    seen = 0

    class _KilledError(BaseException):
        pass

    def kill() -> None:
        nonlocal seen
        seen += 1
        if seen == due:
            raise _KilledError

    plain_save, plain_insert = Span.save, sql.insert_blocks

    def save(span: Span, **more: Any) -> None:
        if place == "insert":
            kill()
        plain_save(span, **more)

    def insert_blocks(*arguments: Any) -> None:
        if place == "blocks":
            kill()
        plain_insert(*arguments)
        if place == "end":
            kill()

    def wrote(execute: Callable[..., object], asked: str, params: object, many: bool, context: object) -> object:
        if place == "delete" and asked.startswith("DELETE"):
            found = execute(asked, params, many, context)
            kill()
            return found
        return execute(asked, params, many, context)

    monkeypatch.setattr(Span, "save", save)
    monkeypatch.setattr(sql, "insert_blocks", insert_blocks)
    killed = 0
    with connection.execute_wrapper(wrote):
        while True:
            try:
                upkeep.keep(written.broker.id, seconds=600)
                break
            except _KilledError:
                killed += 1
                # A process that was killed released nothing.
                seen, due = 0, next(kills)
                assert samples_stored(written.broker.id) == sorted(written.polls)
    assert killed >= 3
    assert_same(before, everything(written))
    assert samples_stored(written.broker.id) == sorted(written.polls)
    assert not Block.objects.filter(span__isnull=True).exists()


def test_it_puts_a_late_snapshot_into_the_block_of_its_time(written: Written) -> None:
    upkeep.keep(written.broker.id, seconds=600)
    late = BEGIN + 33 * MINUTE + 1_234
    # The clock had been set back: one row between two, one in place of another, of which the later written counts.
    again = sorted(written.polls)[100]
    for at, ready in ((late, 7777.0), (again, 8888.0)):
        written.poll(at, {0: {"ready": ready, "published": 5.0}}, cadence_ms=10_000)
    end = max(written.polls)
    written.poll(end + 10_000, {0: {"ready": 1.0}}, cadence_ms=10_000)
    mean = [
        read(written.broker.id, Kind.QUEUE, [0], ["ready"], BEGIN, end, step_ms=step).high["ready"]
        for step in (1000, MINUTE)
    ]
    # Single polls show it at once, roll-ups once it is in its block.
    assert np.nanmax(mean[0]) == 8888
    assert np.nanmax(mean[1]) < 8888
    before = everything(written)
    upkeep.keep(written.broker.id, seconds=600)
    assert samples_stored(written.broker.id) == sorted(written.polls)
    assert not Span.objects.filter(stale=True).exists()
    assert_same(before[:1], everything(written)[:1])
    minutes = read(written.broker.id, Kind.QUEUE, [0], ["ready"], BEGIN, end, step_ms=MINUTE)
    assert minutes.resolution_ms == MINUTE
    assert np.nanmax(minutes.high["ready"]) == 8888
    assert 7777 in minutes.high["ready"]
    assert upkeep.keep(written.broker.id) == 0


def test_it_holds_the_snapshots_that_the_next_poll_needs(written: Written) -> None:
    end = max(written.polls)
    whole = Snapshot.objects.order_by("-id").values_list("id", flat=True)[0]
    for tick in range(1, 300):
        written.poll(end + tick * 10_000, {0: {"ready": 1.0}}, cadence_ms=10_000, complete=False)
    upkeep.keep(written.broker.id, seconds=600)
    assert Snapshot.objects.filter(id=whole).exists()
    # Once there is a newer complete one it goes where it belongs.
    written.poll(end + 300 * 10_000, {0: {"ready": 1.0}}, cadence_ms=10_000)
    upkeep.keep(written.broker.id, seconds=600)
    assert not Snapshot.objects.filter(id=whole).exists()
    assert samples_stored(written.broker.id) == sorted(written.polls)


def test_it_moves_what_a_clock_that_ran_ahead_left(written: Written) -> None:
    ahead = max(written.polls) + 40 * 86_400_000
    for tick in range(5):
        written.poll(ahead + tick * 10_000, {0: {"ready": 9.0}}, cadence_ms=10_000)
    back = max(at for at in written.polls if at < ahead)
    for tick in range(1, 4):
        written.poll(back + tick * 10_000, {0: {"ready": 1.0}}, cadence_ms=10_000)
    upkeep.keep(written.broker.id, seconds=600)
    assert samples_stored(written.broker.id) == sorted(written.polls)
    assert not Snapshot.objects.filter(at_ms__gte=ahead).exists()
    assert upkeep.keep(written.broker.id) == 0


def test_it_leaves_everything_where_the_disk_is_full(
    written: Written, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = everything(written)
    plain = sql.insert_blocks

    def full(*_: object, **__: object) -> None:
        raise OperationalError("database or disk is full")

    monkeypatch.setattr(sql, "insert_blocks", full)
    assert tasks.keep(written.broker.id) == 0
    assert "database or disk is full" in caplog.text
    assert not Span.objects.exists()
    assert_same(before, everything(written))
    monkeypatch.setattr(sql, "insert_blocks", plain)
    assert tasks.keep(written.broker.id) > 0
    assert samples_stored(written.broker.id) == sorted(written.polls)


def test_it_opens_no_block_where_only_the_times_are_asked_for(written: Written) -> None:
    upkeep.keep(written.broker.id, seconds=600)
    with CaptureQueriesContext(connection) as asked:
        found = read(written.broker.id, Kind.QUEUE, SLOTS, [], BEGIN, BEGIN + HOUR, step_ms=MINUTE)
    assert len(found.times_ms) > 50
    assert not [one["sql"] for one in asked.captured_queries if "series_block" in one["sql"]]


def test_a_block_that_can_not_be_read_is_a_gap(written: Written) -> None:
    upkeep.keep(written.broker.id, seconds=600)
    Block.objects.filter(group=0).update(payload=b"\0" * 30)
    found = read_each(written.broker.id, Kind.QUEUE, SLOTS, ["ready"], BEGIN, BEGIN + 100 * MINUTE, step_ms=1000)
    known = ~np.isnan(found.values["ready"])
    assert known.any(axis=1).tolist() == [False, False, False, True, True]


def test_it_has_nothing_to_do_for_a_broker_without_history() -> None:
    assert upkeep.keep(make_broker().id) == 0
    assert upkeep.keep(-1) == 0
    assert compact.log_of(-1) is None
