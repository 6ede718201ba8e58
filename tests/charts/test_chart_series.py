"""What is read once is grown after: the same points as a new reading has, for a fraction of the work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from brokers.registry.models import Broker
from brokers.series import snapshots as reading
from brokers.series.metrics import Kind
from dashboard.charts.window import following
from dashboard.queries import chart_series
from dashboard.queries.chart_series import Subject, at_once, series_of
from tests.support.builders import append_snapshot, make_broker, seen_queue

pytestmark = pytest.mark.django_db
BEGIN = 1_790_000_000_000
METRICS = ("ready", "publish_rate")


def poll(broker: Broker, number: int, *, ready: float | None = None) -> None:
    append_snapshot(
        broker,
        {Kind.QUEUE: [seen_queue("/", "q", ready=number if ready is None else ready, published=10.0 * number)]},
        at_ms=BEGIN + number * 5_000,
    )


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Return how many snapshots were decoded since the last call."""
    count = 0
    plain = reading.packed

    def counted(*arguments: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        return plain(*arguments, **more)

    monkeypatch.setattr(reading, "packed", counted)

    def since() -> int:
        nonlocal count
        found, count = count, 0
        return found

    return since


@pytest.mark.parametrize("name", ["5m", "1h", "6h", "all"])
def test_it_grows_to_what_a_new_reading_finds(name: str) -> None:
    broker = make_broker()
    subject = Subject(broker.pk, Kind.QUEUE, (0,), METRICS)
    for number in range(90):
        if 30 <= number < 50 or number == 70:
            continue  # the broker did not answer
        poll(broker, number, ready=float("nan") if number == 60 else None)
        if number % 7 == 0:
            window = following(name, BEGIN + number * 5_000 + 900, BEGIN)
            grown = series_of(subject, window)
            chart_series.forget()
            fresh = series_of(subject, window)
            assert grown.times_ms.tolist() == fresh.times_ms.tolist()
            for metric in METRICS:
                np.testing.assert_allclose(grown.values[metric], fresh.values[metric])


def test_it_reads_a_tick_and_not_an_hour_when_it_grows(opened: Callable[[], int]) -> None:
    broker = make_broker()
    subject = Subject(broker.pk, Kind.QUEUE, (0,), METRICS)
    for number in range(120):
        poll(broker, number)
    series_of(subject, following("1h", BEGIN + 119 * 5_000, BEGIN))
    assert opened() == 120
    poll(broker, 120)
    series = series_of(subject, following("1h", BEGIN + 120 * 5_000, BEGIN))
    assert series.values["ready"][-1] == 120
    assert opened() < 20


def test_it_keeps_a_point_in_its_place_while_its_step_goes_on() -> None:
    broker = make_broker()
    subject = Subject(broker.pk, Kind.QUEUE, (0,), METRICS)
    times = []
    for number in range(6):
        poll(broker, number)
        series = series_of(subject, following("6h", BEGIN + number * 5_000, BEGIN))
        # The mean of the step so far, and what it reached.
        assert series.high["ready"][-1] == number
        times.append(int(series.times_ms[-1]))
    assert len(set(times)) <= 2
    assert all(time % 30_000 == 0 for time in times)


def test_it_lets_no_page_wait_for_a_long_range() -> None:
    broker = make_broker()
    subject = Subject(broker.pk, Kind.QUEUE, (0,), METRICS)
    poll(broker, 0)
    assert at_once(subject, following("15m", BEGIN, BEGIN))
    assert not at_once(subject, following("24h", BEGIN, BEGIN))
    series_of(subject, following("24h", BEGIN, BEGIN))
    assert at_once(subject, following("24h", BEGIN, BEGIN))


def test_it_holds_no_more_than_it_may() -> None:
    broker = make_broker()
    poll(broker, 0)
    for slot in range(chart_series._HELD + 20):
        series_of(Subject(broker.pk, Kind.QUEUE, (slot,), METRICS), following("5m", BEGIN, BEGIN))
    assert len(chart_series._held) == chart_series._HELD
