"""Many series at once: each by itself, summed, ranked, and as frames of all objects at given moments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from brokers.registry.models import Broker
from brokers.series import bulk, store, upkeep
from brokers.series.codec import Frame, Table
from brokers.series.frames import frames
from brokers.series.metrics import Kind
from brokers.series.read import read, read_each
from brokers.series.top import Ranked, top
from tests.support.builders import make_broker

pytestmark = pytest.mark.django_db
START = 1_700_000_000_000


def write(broker: Broker, at_s: float, rows: dict[int, dict[str, float]], *, cadence_ms: int = 10_000) -> None:
    slots = sorted(rows)
    names = sorted({name for figures in rows.values() for name in figures})
    columns = {name: np.array([rows[slot].get(name, math.nan) for slot in slots]) for name in names}
    table = Table(np.array(slots, dtype=np.uint32), columns)
    store.append(broker.id, Frame(START + int(at_s * 1000), {Kind.QUEUE: table}), cadence_ms)


@pytest.fixture
def three() -> Broker:
    broker = make_broker()
    for tick in range(7):
        rows = {
            2: {"ready": tick, "published": 100 * tick},
            5: {"ready": 10 * (tick == 3), "published": 7},
            9: {"ready": math.nan, "published": 10 * tick},
        }
        if tick > 3:
            rows[70] = {"ready": 1, "published": 1000 + 50 * tick}
        write(broker, tick * 10, rows)
    return broker


def test_it_reads_each_of_several_in_the_order_asked(three: Broker) -> None:
    found = read_each(
        three.id, Kind.QUEUE, [70, 2, 40], ["ready", "publish_rate"], START, START + 60_000, step_ms=30_000
    )
    assert found.slots.tolist() == [70, 2, 40]
    assert ((found.times_ms - START) // 1000).tolist() == [20, 50, 60]
    np.testing.assert_array_equal(found.values["ready"], [[math.nan, 1, 1], [1, 4, 6], [math.nan] * 3])
    np.testing.assert_array_equal(found.low["ready"][1], [0, 3, 6])
    np.testing.assert_array_equal(found.high["ready"][1], [2, 5, 6])
    np.testing.assert_array_equal(found.values["publish_rate"], [[math.nan, 5, 5], [10, 10, 10], [math.nan] * 3])


def test_it_adds_nothing_to_a_sum_of_rates_for_an_object_that_came_a_moment_ago(three: Broker) -> None:
    found = read(three.id, Kind.QUEUE, [2, 5, 70], ["publish_rate"], START, START + 60_000, step_ms=10_000)
    np.testing.assert_array_equal(found.values["publish_rate"], [math.nan, 10, 10, 10, 10, 15, 15])


def test_it_keeps_a_spike_that_lies_inside_a_step(three: Broker) -> None:
    found = read(three.id, Kind.QUEUE, [5], ["ready"], START, START + 60_000, step_ms=70_000)
    assert found.high["ready"].tolist() == [10]
    assert found.values["ready"].tolist() == [pytest.approx(10 / 7)]


def test_it_ranks_by_mean_greatest_least_and_last(three: Broker) -> None:
    def ranked(metric: str, by: str, n: int = 9, slots: list[int] | None = None) -> list[Ranked]:
        return top(three.id, Kind.QUEUE, metric, n, START, START + 60_000, by=by, slots=slots)  # type: ignore[arg-type]

    assert ranked("ready", "mean") == [Ranked(2, 3.0), Ranked(5, pytest.approx(10 / 7)), Ranked(70, 1.0)]
    assert ranked("ready", "max") == [Ranked(5, 10.0), Ranked(2, 6.0), Ranked(70, 1.0)]
    assert ranked("ready", "min") == [Ranked(70, 1.0), Ranked(2, 0.0), Ranked(5, 0.0)]
    assert ranked("ready", "last", n=2) == [Ranked(2, 6.0), Ranked(70, 1.0)]
    assert ranked("publish_rate", "mean") == [Ranked(2, 10.0), Ranked(70, 5.0), Ranked(9, 1.0), Ranked(5, 0.0)]
    assert ranked("publish_rate", "mean", slots=[5, 9]) == [Ranked(9, 1.0), Ranked(5, 0.0)]
    assert top(three.id, Kind.QUEUE, "ready", 3, START - 9000, START - 5000) == []


def test_it_gives_all_objects_at_given_moments(three: Broker) -> None:
    found = frames(three.id, Kind.QUEUE, ["ready"], [START - 1, START + 4_000, START + 40_000, START + 200_000])
    assert found[0] is None
    assert found[3] is None
    first, later = found[1], found[2]
    assert first is not None
    assert later is not None
    assert (first.at_ms, later.at_ms) == (START, START + 40_000)
    assert first.table(Kind.QUEUE).slots.tolist() == [2, 5, 9]
    assert later.table(Kind.QUEUE).value(70, "ready") == 1
    assert math.isnan(later.table(Kind.QUEUE).value(9, "ready"))


def test_it_takes_the_later_written_of_two_rows_of_one_moment() -> None:
    broker = make_broker()
    write(broker, 10, {0: {"ready": 1}})
    write(broker, 0, {0: {"ready": 5}})
    write(broker, 10, {0: {"ready": 2}})
    found = read(broker.id, Kind.QUEUE, [0], ["ready"], START, START + 20_000, step_ms=1000)
    assert found.values["ready"].tolist() == [5, 2]


def test_it_counts_across_a_poll_that_came_late_and_across_a_restart() -> None:
    broker = make_broker()
    for second, published in ((0, 0), (10, 100), (34, 340), (44, 40), (54, 140)):
        write(broker, second, {0: {"published": published}})
    found = read(broker.id, Kind.QUEUE, [0], ["publish_rate"], START, START + 60_000, step_ms=60_000)
    # What the restart hid is unknown: it neither counts nor takes time.
    assert found.values["publish_rate"].tolist() == [10.0]


@pytest.mark.parametrize("seed", range(4))
def test_it_ranks_by_rate_as_if_each_had_been_read_by_itself(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = make_broker()
    random = np.random.default_rng(seed)
    count = 200
    published = random.integers(0, 9, count).astype(np.float64)
    moves = random.random(count) < 0.1
    seldom = seed == 3
    for tick in range(260):
        published[moves] += random.integers(0, 5, int(moves.sum()))
        if tick % 50 == 49:
            # Some restart, some that stood still begin to move.
            published[random.integers(0, count, 2)] = 0
            moves[random.integers(0, count, 2)] = True
        here = np.flatnonzero(~((np.arange(count) < 20) & (tick % 100 > 60)))
        rows = {int(slot): {"ready": 1.0, "published": float(published[slot])} for slot in here}
        rows[int(here[-1])]["published"] = math.nan if tick % 90 == 7 else rows[int(here[-1])]["published"]
        if seldom and tick % 6:
            rows = {slot: {"ready": 1.0} for slot in rows}
        write(broker, tick * 10 + (200 if tick > 150 else 0), rows)
    upkeep.keep(broker.id, seconds=600)
    if seed == 2:
        # One came late into a block's time.
        write(broker, 605, {slot: {"ready": 1.0, "published": 3.0} for slot in range(50)})
    quick: dict[tuple[str, str], list[Ranked]] = {}
    plain = bulk.standing_still
    still: list[int] = []

    def counted(*arguments: Any) -> np.ndarray:
        found = plain(*arguments)
        still.append(int((~np.isnan(found)).sum()))
        return found

    def nothing(_piece: Any, _metric: str, slots: np.ndarray, *_: Any) -> np.ndarray:
        return np.full(len(slots), math.nan)

    for told, into in ((counted, quick), (nothing, slow := {})):
        monkeypatch.setattr(bulk, "standing_still", told)
        for metric in ("publish_rate", "published"):
            for by in ("mean", "max", "min", "last"):
                into[metric, by] = top(broker.id, Kind.QUEUE, metric, count, START + 65_000, START + 2_900_000, by=by)
    assert quick == slow
    assert seed > 1 or max(still) > count / 2
    assert len(quick["publish_rate", "mean"]) == count


@pytest.mark.parametrize("kept", [False, True])
def test_it_ranks_by_the_last_rate_wherever_in_the_range_that_is(*, kept: bool) -> None:
    broker = make_broker()
    random = np.random.default_rng(7)
    published = np.zeros(150)
    for tick in range(300):
        published += random.integers(0, 5, len(published))
        published[random.integers(0, len(published))] = 0
        # Some are gone for good after a while, two come late, of some nothing is known in the end.
        here = [slot for slot in range(150) if not (slot % 10 == 3 and tick > slot) and not (slot > 147 and tick < 290)]
        rows = {slot: {"published": float(published[slot])} for slot in here}
        for slot in here:
            if slot % 10 == 7 and tick > 2 * slot:
                rows[slot]["published"] = math.nan
        write(broker, tick * 10, rows)
    if kept:
        upkeep.keep(broker.id, seconds=600)
    start, end = START + 65_000, START + 2_990_000
    for slots in (None, [*range(0, 150, 3), 400]):
        ranked = top(broker.id, Kind.QUEUE, "publish_rate", 200, start, end, by="last", slots=slots)
        each = read_each(broker.id, Kind.QUEUE, slots or range(150), ["publish_rate"], start, end, step_ms=1)
        rows = {slot: row[~np.isnan(row)] for slot, row in zip(each.slots, each.values["publish_rate"], strict=True)}
        expected = {int(slot): row[-1] for slot, row in rows.items() if len(row)}
        assert {one.slot: one.value for one in ranked} == pytest.approx(expected)
        assert len(ranked) > 40
