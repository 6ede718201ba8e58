"""Compaction, roll-up and reads while another process is at the same: claims, and what was moved or came meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from django.db import close_old_connections, connection

from brokers.series import compact, rollup, spans, upkeep
from brokers.series.levels import Level
from brokers.series.metrics import Kind
from brokers.series.models import Span, Upkeep
from brokers.series.top import top
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
    walk,
)
from tests.support.builders import make_broker

pytestmark = pytest.mark.django_db


def test_its_claim_outlasts_steps_that_take_long_and_it_ends_where_another_took_it(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = upkeep._now_ms()
    done = []

    def slow() -> None:
        nonlocal clock
        done.append(upkeep.keep(written.broker.id))
        clock += upkeep.CLAIM_MS * 9 // 10

    def robbed() -> None:
        slow()
        Upkeep.objects.update(claim="other")

    monkeypatch.setattr(upkeep, "_now_ms", lambda: clock)
    monkeypatch.setattr(upkeep, "steps", lambda _broker_id: iter([slow, slow, robbed, slow]))
    assert upkeep.keep(written.broker.id) == 3
    # Nobody else came to it meanwhile, and what was not ours any more was left alone.
    assert done == [0, 0, 0]
    assert Upkeep.objects.get(broker=written.broker).claim == "other"


def test_it_waits_for_a_claim_that_ends_by_itself(written: Written) -> None:
    Upkeep.objects.create(broker=written.broker, claim="other", claimed_until_ms=2**62 // 10**6)
    claim = Upkeep.objects.filter(broker=written.broker)
    soon = upkeep.time.time_ns() // 1_000_000 + upkeep.CLAIM_MS // 2
    claim.update(claimed_until_ms=soon)
    assert upkeep.keep(written.broker.id) == 0
    claim.update(claimed_until_ms=soon - upkeep.CLAIM_MS)
    assert upkeep.keep(written.broker.id, seconds=0) == 1
    assert claim.get().claim == ""
    # Our clock was set back: no claim lasts for years.
    claim.update(claimed_until_ms=soon + 10 * upkeep.CLAIM_MS)
    assert upkeep.keep(written.broker.id, seconds=0) == 1


@pytest.mark.django_db(transaction=True)
def test_two_at_once_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Written(make_broker())
    walk(written, 3, BEGIN, BEGIN + 90 * MINUTE, cadence_ms=15_000, slots=SLOTS)
    before = everything(written)
    # As if claims did not hold: both are at it.
    monkeypatch.setattr(upkeep, "_claimed", lambda _broker_id: "both")
    monkeypatch.setattr(upkeep, "_goes_on", lambda _broker_id, _token: True)
    failures: list[BaseException] = []
    together = threading.Barrier(2)

    def work() -> None:
        try:
            together.wait(timeout=30)
            for _ in range(3):
                upkeep.keep(written.broker.id, seconds=600)
        except BaseException as error:  # noqa: BLE001 # told by the test's own thread
            failures.append(error)
        finally:
            close_old_connections()
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
    assert failures == []
    upkeep.keep(written.broker.id, seconds=600)
    assert samples_stored(written.broker.id) == sorted(written.polls)
    assert_same(before, everything(written))


@pytest.mark.parametrize(("writes", "minutes"), [(Level.MINUTE, 80), (Level.RAW, 140)])
def test_what_came_between_computing_and_writing_is_not_passed_over(
    writes: Level, minutes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Written(make_broker())
    there = [at for at in range(BEGIN, BEGIN + minutes * MINUTE, 10_000) if not 20 <= (at - BEGIN) / MINUTE < 40]
    for at in there:
        written.poll(at, {0: {"ready": 1.0}}, cadence_ms=10_000)
    late = [BEGIN + 25 * MINUTE + tick * 10_000 for tick in range(3)]
    came = iter(late)
    plain_write = spans.write

    def write(broker_id: int, span: spans.NewSpan, **made: Any) -> None:
        # As if another process were at it: a snapshot comes late into a window that has no span yet, and is compacted.
        if span.level is writes and not made.get("snapshots") and (at := next(came, None)):
            monkeypatch.setattr(spans, "write", plain_write)
            written.poll(at, {0: {"ready": 7.0}}, cadence_ms=10_000)
            written.poll(max(written.polls) + 10_000, {0: {"ready": 1.0}}, cadence_ms=10_000)
            log = compact.log_of(broker_id)
            assert log is not None
            compact.compact(broker_id, log, BEGIN + 20 * MINUTE)
        plain_write(broker_id, span, **made)

    monkeypatch.setattr(spans, "write", write)
    for _ in range(3):
        upkeep.keep(written.broker.id, seconds=600)
    assert upkeep.keep(written.broker.id, seconds=600) == 0
    assert samples_stored(written.broker.id) == sorted(written.polls)
    for windows in levels(written.broker.id).values():
        assert all(end <= start for (_, end), (start, _) in pairwise(windows))
    rolled = spans.spans_between(written.broker.id, BEGIN, BEGIN + HOUR, (Level.MINUTE,))
    assert sum(int(span.ticks.polls.sum()) for span in rolled) == sum(
        at < BEGIN + len(rolled) * HOUR for at in written.polls
    )


def test_it_looks_again_where_a_snapshot_was_moved_while_it_read(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(written)
    plain = spans.spans_between
    moved: Iterator[int] = iter([1])

    def spans_between(*arguments: object, **more: object) -> list[spans.SpanRow]:
        found = plain(*arguments, **more)  # type: ignore[arg-type]
        for _ in moved:
            upkeep.keep(written.broker.id, seconds=600)
        return found

    monkeypatch.setattr("brokers.series.history.spans_between", spans_between)
    assert_same(before[:1], everything(written)[:1])
    assert Span.objects.exists()


def test_it_looks_again_where_all_blocks_of_a_range_were_moved_while_it_ranked(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact, "_MERGED_BYTES", 0)
    upkeep.keep(written.broker.id, seconds=600)
    monkeypatch.undo()
    asked = (written.broker.id, Kind.QUEUE, "ready", 9, BEGIN, BEGIN + 50 * MINUTE)
    before = top(*asked, by="max")
    plain = spans.spans_between
    moved: Iterator[int] = iter([1])

    def spans_between(*arguments: Any, **more: Any) -> list[spans.SpanRow]:
        found = plain(*arguments, **more)
        for _ in moved:
            assert upkeep.keep(written.broker.id, seconds=600) > 0
        return found

    monkeypatch.setattr("brokers.series.history.spans_between", spans_between)
    assert before
    assert top(*asked, by="max") == before


def test_no_roll_up_is_made_while_a_finer_one_of_its_time_is_still_to_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Written(make_broker())
    for at in range(BEGIN, BEGIN + 13 * HOUR, 5 * MINUTE):
        written.poll(at, {0: {"ready": 1.0}}, cadence_ms=5 * MINUTE)
    plain = rollup.roll_up
    replaced = iter([BEGIN + 5 * HOUR])

    def roll_up(broker_id: int, level: Level, start_ms: int, found: Any) -> None:
        # As if another process had put something late into the fifth hour's polls meanwhile.
        if level is Level.MINUTE and start_ms == BEGIN + 5 * HOUR and next(replaced, None):
            raise spans.ReplacedError
        plain(broker_id, level, start_ms, found)

    monkeypatch.setattr(rollup, "roll_up", roll_up)
    for _ in range(2):
        upkeep.keep(written.broker.id, seconds=600)
    for level in (Level.MINUTE, Level.TEN_MINUTES):
        rolled = spans.spans_between(written.broker.id, BEGIN, BEGIN + 12 * HOUR, (level,))
        assert sum(int(span.ticks.polls.sum()) for span in rolled) == 12 * 12, level


def test_it_goes_on_where_what_it_reads_was_moved_meanwhile(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    before = everything(written)
    plain = rollup.level_of
    moves = iter([1])

    def level_of(*arguments: Any) -> Any:
        found = plain(*arguments)
        for _ in moves:
            # As if another process merged the spans that are to be rolled up.
            monkeypatch.undo()
            log = compact.log_of(written.broker.id)
            assert log is not None
            for due in compact.due_merges(spans.spans_between(written.broker.id, 0, 2**62, (Level.RAW,)), log):
                compact.merge(written.broker.id, due)
        return found

    monkeypatch.setattr(compact, "_MERGED_BYTES", 0)
    monkeypatch.setattr(rollup, "level_of", level_of)
    for _ in range(2):
        upkeep.keep(written.broker.id, seconds=600)
    assert next(moves, None) is None
    assert levels(written.broker.id)[Level.MINUTE] == [(0, 60), (60, 120)]
    assert_same(before, everything(written))
