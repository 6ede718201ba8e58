"""Measures over time: from what is stored, of one object, of several together, of each, and the top ones."""

from __future__ import annotations

import numpy as np
import pytest

from brokers.lag.read import UnknownMeasureError, read, read_each, top
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from tests.support.builders import append_snapshot, make_broker, seen_queue

pytestmark = pytest.mark.django_db

START = 1_760_000_000_000
TICK = 5_000
COUNT = 60


@pytest.fixture
def log() -> Broker:
    """Two queues over five minutes: one grows by 10 a tick, the other shrinks by 5."""
    made = make_broker()
    for place in range(COUNT):
        append_snapshot(
            made,
            {
                Kind.QUEUE: [
                    seen_queue(
                        "/",
                        "grows",
                        ready=10.0 * place,
                        unacked=5.0,
                        delivered=100.0 * place,
                        redelivered=50.0 * place,
                        time_lag=float(place),
                        capacity=1.0,
                    ),
                    seen_queue(
                        "/",
                        "shrinks",
                        ready=1000.0 - 5 * place,
                        unacked=0.0,
                        delivered=900.0 * place,
                        redelivered=0.0,
                        time_lag=40.0,
                        capacity=0.25,
                    ),
                ]
            },
            at_ms=START + place * TICK,
        )
    return made


def _range() -> tuple[int, int]:
    return START + 100_000, START + COUNT * TICK


def test_growth_has_its_pace_from_the_first_moment_on(log: Broker) -> None:
    found = read(log.id, Kind.QUEUE, [0], ["growth", "total", "drain_time"], *_range(), step_ms=TICK)
    assert found.times_ms[0] >= _range()[0]
    np.testing.assert_allclose(found.values["growth"], 120.0)
    np.testing.assert_allclose(found.values["total"][-1], 10.0 * (COUNT - 1) + 5)
    assert (found.values["drain_time"] == np.inf).all()
    for part in (found.low, found.high):
        assert part.keys() == found.values.keys()


def test_several_together_are_computed_from_their_sums(log: Broker) -> None:
    names = ["growth", "redeliver_ratio", "time_lag", "capacity", "total"]
    found = read(log.id, Kind.QUEUE, [0, 1], names, *_range(), step_ms=TICK)
    np.testing.assert_allclose(found.values["growth"], 60.0)
    np.testing.assert_allclose(found.values["redeliver_ratio"], 0.05)  # a mean of the two would be 0.25
    assert found.values["time_lag"][0] == 40.0
    assert found.values["time_lag"][-1] == 59.0
    np.testing.assert_allclose(found.values["capacity"], 0.25)


def test_in_wide_steps_a_ratio_is_that_of_what_was_counted(log: Broker) -> None:
    found = read(log.id, Kind.QUEUE, [0, 1], ["redeliver_ratio", "growth", "total"], *_range(), step_ms=60_000)
    np.testing.assert_allclose(found.values["redeliver_ratio"], 0.05, rtol=1e-6)
    np.testing.assert_allclose(found.values["growth"][1:], 60.0, rtol=0.15)
    assert (found.low["total"] <= found.values["total"]).all()
    assert (found.high["total"] >= found.values["total"]).all()
    assert (found.high["total"] > found.low["total"]).any()


@pytest.mark.parametrize("step_ms", [TICK, 60_000, 85_000])
def test_the_greatest_and_least_of_several_are_those_of_each_step(log: Broker, step_ms: int) -> None:
    names = ["time_lag", "capacity", "ready"]
    found = read(log.id, Kind.QUEUE, [0, 1], names, *_range(), step_ms=step_ms)
    each = read_each(log.id, Kind.QUEUE, [0, 1], names, *_range(), step_ms=step_ms)
    assert found.times_ms.tolist() == each.times_ms.tolist()
    for got, of_each in ((found.values, each.values), (found.low, each.low), (found.high, each.high)):
        np.testing.assert_array_equal(got["time_lag"], of_each["time_lag"].max(axis=0))
        np.testing.assert_array_equal(got["capacity"], of_each["capacity"].min(axis=0))
    assert found.high["time_lag"].max() == 59.0


def test_each_by_itself(log: Broker) -> None:
    found = read_each(log.id, Kind.QUEUE, [1, 0], ["growth", "redeliver_ratio"], *_range(), step_ms=TICK)
    assert found.slots.tolist() == [1, 0]
    np.testing.assert_allclose(found.values["growth"][0], -60.0)
    np.testing.assert_allclose(found.values["growth"][1], 120.0)
    np.testing.assert_allclose(found.values["redeliver_ratio"][1], 0.5)


@pytest.mark.parametrize(
    ("name", "by", "order"),
    [
        ("growth", "mean", [0, 1]),
        ("growth", "last", [0, 1]),
        ("total", "mean", [1, 0]),
        ("total", "min", [1, 0]),
        ("redeliver_ratio", "mean", [0, 1]),
        ("time_lag", "max", [0, 1]),
        ("time_lag", "mean", [1, 0]),
        ("drain_time", "last", [0, 1]),
    ],
)
def test_top(log: Broker, name: str, by: str, order: list[int]) -> None:
    found = top(log.id, Kind.QUEUE, name, 5, *_range(), by=by)  # type: ignore[arg-type]
    assert [one.slot for one in found] == order
    assert [one.slot for one in top(log.id, Kind.QUEUE, name, 1, *_range(), by=by)] == order[:1]  # type: ignore[arg-type]


def test_what_it_does_not_know_it_says(log: Broker) -> None:
    with pytest.raises(UnknownMeasureError, match="no measure 'speed' of a queue"):
        read(log.id, Kind.QUEUE, [0], ["speed"], *_range())
    found = read(log.id, Kind.QUEUE, [7], ["growth", "prefetch_used"], *_range(), step_ms=TICK)
    assert np.isnan(found.values["prefetch_used"]).all()
