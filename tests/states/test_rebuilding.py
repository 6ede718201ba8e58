"""What is remembered of consumers survives a restart of the worker, and another worker's polls: the log has it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from brokers.lag import at_tick, watched
from brokers.lag.state import ConsumerState
from brokers.registry import slots
from brokers.registry.models import Broker
from brokers.registry.slots import Directory, ObjectName
from brokers.series.codec import Frame, Table
from brokers.series.metrics import Kind
from brokers.series.store import append
from tests.support.beats import Act, Beats, Shown, played
from tests.support.builders import make_broker

pytestmark = pytest.mark.django_db

ACTS = [Act(45, 10, 200, 1, 100), Act(60, 10, 0, 1, 10, "never"), Act(30, 10, 200, 1, 100)]
BEATS = Beats(1.0, 2.0, 3.0, polled_s=0.5)


def _frame(shown: Shown) -> Frame:
    columns = {name: np.array([value]) for name, value in shown.figures.items()}
    return Frame(shown.at_ms, {Kind.QUEUE: Table(np.zeros(1, dtype=np.uint32), columns)})


def _directory(broker: Broker) -> Directory:
    slots.assign(broker, Kind.QUEUE, [ObjectName("/", "orders")], 1)
    directory = Directory(broker.id)
    directory.refresh()
    return directory


def _polled(broker: Broker, shown: Iterable[Shown], *, forgetting: bool) -> list[float]:
    directory = _directory(broker)
    found = []
    for one in shown:
        if forgetting:
            at_tick.forget(broker.id)
        frame = at_tick.add(broker.id, _frame(one), directory)
        append(broker.id, frame, 5000)
        found.append(frame.table(Kind.QUEUE).value(0, "consumer_state"))
    return found


def test_a_worker_that_begins_anew_at_each_poll_names_the_same_states() -> None:
    shown = list(played(ACTS, BEATS))
    kept = _polled(make_broker(), shown, forgetting=False)
    anew = _polled(make_broker(), shown, forgetting=True)
    assert ConsumerState.STALLED in kept
    np.testing.assert_array_equal(kept, anew)


def test_workers_that_take_turns_name_the_same_states_and_take_only_what_they_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = list(played(ACTS, BEATS))
    kept = _polled(make_broker(), shown, forgetting=False)
    broker = make_broker()
    directory = _directory(broker)
    workers: list[watched._Watch] = [watched._Watch(), watched._Watch()]
    found = []
    for number, one in enumerate(shown):
        if number > 3:
            monkeypatch.setattr(watched, "_rebuilt", lambda *_: pytest.fail("it went through minutes of the log again"))
        watched._watches[broker.id] = workers[number // 2 % 2]
        frame = at_tick.add(broker.id, _frame(one), directory)
        append(broker.id, frame, 5000)
        found.append(frame.table(Kind.QUEUE).value(0, "consumer_state"))
    np.testing.assert_array_equal(kept, found)


def test_habits_of_some_minutes_ago_are_known_to_a_worker_that_begins() -> None:
    """A consumer that acknowledges every 150 s is not called stalled in between, whoever asks."""
    acts = [Act(1_100, 1 / 150, 1 / 150, 1, 1, prefill=20)]
    shown = list(played(acts, BEATS))
    kept = _polled(make_broker(), shown, forgetting=False)
    broker = make_broker()
    begun = _polled(broker, shown[:190], forgetting=False)
    at_tick.forget(broker.id)
    begun += _polled(broker, shown[190:], forgetting=False)
    assert ConsumerState.STALLED in kept[:100], "nobody knows at first"
    assert ConsumerState.STALLED not in kept[120:]
    assert ConsumerState.STALLED not in begun[120:]


def test_a_frame_that_was_not_stored_is_not_remembered() -> None:
    broker, directory = make_broker(), None
    directory = _directory(broker)
    shown = list(played(ACTS, BEATS))
    lost = 0
    found = []
    for number, one in enumerate(shown):
        frame = at_tick.add(broker.id, _frame(one), directory)
        if number % 4 == 3:
            lost += 1
            continue
        append(broker.id, frame, 5000)
        found.append((number, frame.table(Kind.QUEUE).value(0, "consumer_state")))
    again = make_broker()
    kept = _polled(again, [shown[number] for number, _ in found], forgetting=False)
    assert lost
    np.testing.assert_array_equal([state for _, state in found], kept)


def test_a_fault_in_it_leaves_the_state_unknown_and_the_figures_stored(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broker = make_broker()

    def fails(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(watched, "step", fails)
    frame = at_tick.add(broker.id, _frame(next(iter(played(ACTS, BEATS)))), _directory(broker))
    assert np.isnan(frame.table(Kind.QUEUE).value(0, "consumer_state"))
    assert frame.table(Kind.QUEUE).value(0, "ready") >= 0
    assert "consumer_state could not be computed" in caplog.text
