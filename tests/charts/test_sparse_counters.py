"""Counters that few snapshots have, being too dear for every tick: a chart shows their rate, and nothing invented."""

from __future__ import annotations

import numpy as np
import pytest

from brokers.series.metrics import Kind
from brokers.series.read import HOLDS_MS, held, read
from tests.support.builders import append_snapshot, make_broker, seen_queue

BEGIN = 1_790_000_000_000
EVERY = 12  # of twelve snapshots one has the counters


def counts(number: int) -> dict[str, float]:
    """Ten messages a snapshot of five seconds, told once a minute."""
    return {"published": 10.0 * number} if number % EVERY == 0 else {}


@pytest.mark.django_db
@pytest.mark.parametrize("step_ms", [5_000, 10_000, 30_000, 60_000, 120_000, 300_000])
def test_it_shows_a_rate_between_two_readings(step_ms: int) -> None:
    broker = make_broker()
    for number in range(240):
        append_snapshot(
            broker, {Kind.QUEUE: [seen_queue("/", "q", ready=number, **counts(number))]}, at_ms=BEGIN + number * 5_000
        )
    found = read(
        broker.pk, Kind.QUEUE, [0], ["ready", "publish_rate"], BEGIN + 300_000, BEGIN + 1_200_000, step_ms=step_ms
    )
    assert len(found.times_ms) >= 900_000 // step_ms
    assert not np.isnan(found.values["ready"]).any()
    np.testing.assert_allclose(found.values["publish_rate"], 2.0)


def series(number: int) -> tuple[np.ndarray, np.ndarray]:
    times = BEGIN + np.arange(number) * 5_000
    counter = np.where(np.arange(number) % EVERY == 0, np.arange(number) * 10.0, np.nan)
    return times, counter


def test_it_knows_no_rate_before_the_second_reading() -> None:
    times, counter = series(60)
    found = held(times, counter, 12_500, np.ones(60, dtype=np.bool_))
    assert np.isnan(found[:EVERY]).all()
    np.testing.assert_allclose(found[EVERY:], 2.0)


def test_it_holds_no_rate_for_longer_than_readings_are_apart() -> None:
    times, counter = series(120)
    counter[EVERY * 3 :] = np.nan
    found = held(times, counter, 12_500, np.ones(120, dtype=np.bool_))
    last = times[EVERY * 2]
    assert np.isnan(found[times > last + HOLDS_MS]).all()
    assert not np.isnan(found[(times >= times[EVERY]) & (times <= last + HOLDS_MS)]).any()


def test_it_holds_across_no_gap_and_in_no_incomplete_snapshot() -> None:
    times, counter = series(60)
    times = np.where(np.arange(60) >= 30, times + 60_000, times)
    complete = np.ones(60, dtype=np.bool_)
    complete[20] = False
    found = held(times, counter, 12_500, complete)
    assert np.isnan(found[20])
    assert not np.isnan(found[[19, 21, 29]]).any()
    # The reading after the gap has none before it in its stretch of the log.
    assert np.isnan(found[30 : EVERY * 4]).all()
    assert not np.isnan(found[EVERY * 4 :]).any()


def test_it_takes_no_restart_for_a_rate() -> None:
    times, counter = series(60)
    counter[EVERY * 2 :] -= 10_000
    counter = np.where(counter < 0, counter + 9_900, counter)
    found = held(times, np.abs(counter), 12_500, np.ones(60, dtype=np.bool_))
    assert (found[~np.isnan(found)] >= 0).all()
