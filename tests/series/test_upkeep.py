"""Compaction and roll-up: every sample exactly once whatever happens meanwhile, the same answers before and after."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from django.db import OperationalError, close_old_connections, connection
from django.test.utils import CaptureQueriesContext

from brokers.series import compact, rollup, spans, sql, tasks, upkeep
from brokers.series.levels import Level
from brokers.series.metrics import Kind
from brokers.series.models import Block, Snapshot, Span, Upkeep
from brokers.series.read import Many, history_starts_ms, read, read_each
from brokers.series.top import top
from tests.series.histories import BEGIN, Written, walk
from tests.support.builders import make_broker

pytestmark = pytest.mark.django_db
MINUTE, HOUR = 60_000, 3_600_000
SLOTS = [0, 1, 63, 64, 200]
METRICS = ["ready", "publish_rate", "published", "consumer_state", "capacity"]


@pytest.fixture
def written() -> Written:
    """Two and a half hours of a broker that polls every ten seconds."""
    found = Written(make_broker())
    walk(found, 1, BEGIN, BEGIN + 150 * MINUTE, cadence_ms=10_000, slots=SLOTS)
    return found


def everything(written: Written, until_ms: int = BEGIN + 150 * MINUTE) -> list[Many]:
    return [
        read_each(written.broker.id, Kind.QUEUE, SLOTS, METRICS, BEGIN, until_ms, step_ms=step)
        for step in (1000, MINUTE, 10 * MINUTE)
    ]


def assert_same(before: list[Many], after: list[Many]) -> None:
    for one, two in zip(before, after, strict=True):
        assert one.times_ms.tolist() == two.times_ms.tolist()
        for name in METRICS:
            for field in ("values", "low", "high"):
                np.testing.assert_allclose(getattr(two, field)[name], getattr(one, field)[name], rtol=1e-12)


def samples_stored(broker_id: int) -> list[int]:
    """Return the times of all single polls, in blocks and snapshots, ascending."""
    found = spans.spans_between(broker_id, 0, 2**62, (Level.RAW,))
    times = [int(at) for span in found for at in span.ticks.times_ms]
    return sorted([*times, *Snapshot.objects.filter(broker_id=broker_id).values_list("at_ms", flat=True)])


def levels(broker_id: int) -> dict[Level, list[tuple[int, int]]]:
    rows = Span.objects.filter(broker_id=broker_id).order_by("start_ms").values_list("level", "start_ms", "end_ms")
    found: dict[Level, list[tuple[int, int]]] = {}
    for level, start, end in rows:
        found.setdefault(Level(level), []).append(((start - BEGIN) // MINUTE, (end - BEGIN) // MINUTE))
    return found


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


def test_it_opens_no_block_where_only_the_times_are_asked_for(written: Written) -> None:
    upkeep.keep(written.broker.id, seconds=600)
    with CaptureQueriesContext(connection) as asked:
        found = read(written.broker.id, Kind.QUEUE, SLOTS, [], BEGIN, BEGIN + HOUR, step_ms=MINUTE)
    assert len(found.times_ms) > 50
    assert not [one["sql"] for one in asked.captured_queries if "series_block" in one["sql"]]


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
