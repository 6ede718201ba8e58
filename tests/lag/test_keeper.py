"""What a process remembers of queues, and how it finds in the log what it forgot or never saw."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from brokers.lag import keeper
from brokers.lag.inverse import LagSource
from brokers.registry import details
from brokers.registry.models import Broker
from brokers.registry.slots import Directory
from brokers.series import store
from brokers.series.codec import Frame, Table
from brokers.series.metrics import Kind
from tests.support.builders import append_snapshot, make_broker, seen_queue

pytestmark = pytest.mark.django_db

NOW = 1_760_000_000_000
TICK = 5_000


def frame(place: int, total: float, published: float, acknowledged: float, **more: float) -> Frame:
    figures = {"ready": total, "unacked": 0.0, "published": published, "acknowledged": acknowledged, **more}
    columns = {name: np.array([value]) for name, value in figures.items()}
    return Frame(NOW + place * TICK, {Kind.QUEUE: Table(np.array([0], dtype=np.uint32), columns)})


def tick(broker: Broker, one: Frame, directory: Directory, last_ms: int | None = None) -> tuple[float, float]:
    """Compute the lag of a frame, store it with it, and return lag and source."""
    found = keeper.lag_of(broker.id, one, directory, live=True, last_ms=last_ms)
    table = one.table(Kind.QUEUE)
    store.append(broker.id, Frame(one.at_ms, {Kind.QUEUE: Table(table.slots, {**table.columns, **found})}), 5_000)
    return float(found["time_lag"][0]), float(found["lag_source"][0])


@pytest.fixture
def known() -> tuple[Broker, Directory]:
    """A broker whose one queue is known."""
    made = make_broker()
    append_snapshot(made, {Kind.QUEUE: [seen_queue("/", "orders")]}, at_ms=NOW - 3_600_000)
    directory = Directory(made.id)
    directory.refresh()
    return made, directory


def growing(place: int) -> Frame:
    """100 messages come in a tick, none leaves."""
    return frame(place, 100.0 * place, 1_000 + 100.0 * place, 500)


def test_it_goes_on_where_it_was(known: tuple[Broker, Directory]) -> None:
    broker, directory = known
    for place in range(20):
        lag, source = tick(broker, growing(place), directory)
    assert lag == pytest.approx(19 * 5, abs=5)
    assert source == LagSource.COUNTERS


def test_a_process_that_begins_reads_the_last_minutes_again(known: tuple[Broker, Directory]) -> None:
    broker, directory = known
    for place in range(20):
        tick(broker, growing(place), directory)
    keeper.forget()
    lag, source = tick(broker, growing(20), directory)
    assert lag == pytest.approx(20 * 5, abs=5)
    assert source == LagSource.COUNTERS
    # Half of the backlog goes: the head is as old as the history says, not a guess.
    lag, _ = tick(broker, frame(21, 1_050, 3_100, 1_550), directory)
    assert lag == pytest.approx(10.5 * 5, abs=5)


def test_a_head_from_before_those_minutes_keeps_its_age(known: tuple[Broker, Directory]) -> None:
    broker, directory = known
    tick(broker, frame(0, 0, 0, 0), directory)
    for place in range(1, 400):
        lag, _ = tick(broker, frame(place, 300, 300, 0), directory)
    assert lag == pytest.approx(1_995, abs=5)
    keeper.forget()
    again, source = tick(broker, frame(400, 300, 300, 0), directory)
    assert again == pytest.approx(2_000, rel=0.05)
    assert source == LagSource.COUNTERS


def test_a_head_keeps_its_age_over_a_pause_in_which_the_process_began_anew(known: tuple[Broker, Directory]) -> None:
    broker, directory = known
    tick(broker, frame(0, 0, 0, 0), directory)
    for place in range(1, 40):
        tick(broker, frame(place, 300, 300, 0), directory)
    keeper.forget()
    # Half an hour later nothing has moved, and then half of it has left.
    lag, source = tick(broker, frame(400, 300, 300, 0), directory)
    assert lag == pytest.approx(2_000, rel=0.05)
    assert source == LagSource.COUNTERS
    lag, _ = tick(broker, frame(401, 150, 300, 150), directory)
    assert lag == pytest.approx(2_000, rel=0.05)


def test_a_queue_that_is_back_is_not_new_to_a_process_that_begins_either(known: tuple[Broker, Directory]) -> None:
    """The broker and the worker begin together; the broker tells of its queues one after the other."""
    broker, directory = known
    nothing = {name: np.empty(0) for name in ("ready", "unacked", "published", "acknowledged")}
    empty = Frame(NOW, {Kind.QUEUE: Table(np.empty(0, dtype=np.uint32), nothing)})
    keeper.lag_of(broker.id, empty, directory, live=True)
    _, source = tick(broker, frame(1, 500, 0, 0), directory)
    assert source == LagSource.AT_LEAST


def test_it_takes_what_other_processes_stored_meanwhile(known: tuple[Broker, Directory]) -> None:
    broker, directory = known
    for place in range(5):
        tick(broker, growing(place), directory)
    mine = keeper._kept.pop(broker.id)
    # Another process polls while all messages of a minute come in at once.
    for place in range(5, 20):
        total = 400.0 if place < 10 else 5_000.0
        tick(broker, frame(place, total, 1_000 + total, 500), directory)
    keeper._kept[broker.id] = mine
    last_ms = NOW + 19 * TICK
    lag, _ = tick(broker, frame(20, 4_000, 6_000, 1_500), directory, last_ms=last_ms)
    # 1,000 have left, so the head is one of those 4,600: they came in between the 9th and the 10th tick.
    assert lag == pytest.approx(10.5 * 5, abs=3)


def test_a_stream_has_the_lag_of_its_consumers_or_none() -> None:
    broker = make_broker()
    append_snapshot(
        broker,
        {Kind.QUEUE: [seen_queue("/", "log", detail=details.QueueDetail(type="stream"))]},
        at_ms=NOW - 3_600_000,
    )
    directory = Directory(broker.id)
    directory.refresh()
    for place in range(13):
        more = {"stream_lag": 200.0} if place in {6, 12} else {}
        lag, source = tick(broker, frame(place, 9_000 + 100 * place, 100 * place, 0, **more), directory)
    assert lag == pytest.approx(10, abs=3)
    assert source == LagSource.STREAM_OFFSETS
    lag, source = tick(broker, frame(13, 10_300, 1_300, 0), directory)
    assert source == LagSource.STREAM_OFFSETS, "between two readings of offsets the last one holds"
    keeper.forget()
    lag, _ = keeper.lag_of(broker.id, frame(200, 10_300, 1_300, 0), directory, live=True).values()
    assert np.isnan(lag[0])


def test_a_quorum_queue_without_a_delivery_limit_puts_at_its_tail_what_is_returned() -> None:
    def told(**fields: object) -> bytes:
        return msgspec.json.encode(details.QueueDetail(**fields))  # type: ignore[arg-type]

    without, limited = told(type="quorum"), told(type="quorum", arguments={"x-delivery-limit": 5})
    by_policy = told(type="quorum", effective_policy={"delivery-limit": 5})
    unlimited = told(type="quorum", arguments={"x-delivery-limit": -1})
    assert [keeper.puts_at_tail(one, live=False) for one in (without, limited, by_policy)] == [True, False, False]
    assert [keeper.puts_at_tail(one, live=True) for one in (without, limited, unlimited)] == [False, False, True]
    assert not keeper.puts_at_tail(told(type="classic"), live=False)


def test_a_clock_that_was_set_back_brings_nothing_back_that_was_taken_already(known: tuple[Broker, Directory]) -> None:
    """Of streams' consumers it is asked between two ticks: the log has snapshots of later times, written before."""
    broker, directory = known
    for place in range(20):
        tick(broker, growing(place), directory)
    back = growing(20)
    tick(broker, Frame(NOW + 10 * TICK, back.tables), directory, last_ms=NOW + 19 * TICK)
    keeper.ages_of(broker.id, [(0, 1)], NOW + 12 * TICK)
    lag, _ = tick(broker, Frame(NOW + 12 * TICK, growing(21).tables), directory, last_ms=NOW + 10 * TICK)
    assert lag == pytest.approx(21 * 5, abs=10)
    # Half of it goes: what is left came in the last half.
    lag, _ = tick(broker, Frame(NOW + 13 * TICK, frame(22, 1_100, 3_200, 1_600).tables), directory)
    assert lag == pytest.approx(11 * 5, abs=6)


def test_a_process_that_begins_after_a_clock_was_set_back_reads_what_was_written_last(
    known: tuple[Broker, Directory],
) -> None:
    broker, directory = known
    for place in range(20):
        tick(broker, growing(place), directory)
    for place in range(20, 25):
        tick(broker, Frame(NOW + (place - 10) * TICK, growing(place).tables), directory, last_ms=NOW + 19 * TICK)
    keeper.forget()
    # Half of it goes: what is left came in the last half.
    half = frame(25, 1_250, 3_500, 1_750)
    lag, source = tick(broker, Frame(NOW + 15 * TICK, half.tables), directory)
    # 62 s, less what the clock lost between the two snapshots that it was set back between.
    assert 62 - 50 + 10 < lag < 65
    assert source != LagSource.AT_LEAST
