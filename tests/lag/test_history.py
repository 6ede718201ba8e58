"""The history of messages ever in: few moments, close enough, found again by any number of messages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.lag.history import SPACING, Arrivals, wrapped

SLOTS = np.array([3, 8], dtype=np.uint32)


def filled(count: int, step_ms: int = 5_000, pace: float = 10.0) -> Arrivals:
    found = Arrivals()
    found.realign(SLOTS, wrapped(np.zeros(2)))
    for place in range(count):
        found.append(1_000 + place * step_ms, wrapped(np.array([pace * place, 0.0])))
    return found


def test_moments_thin_out_with_their_age() -> None:
    history = filled(20_000)
    assert len(history) < 400
    ages = history.times_ms[-1] - np.array(history.times_ms)
    gaps = -np.diff(ages)
    assert (gaps <= np.maximum(5_000, SPACING * ages[:-1])).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 2_000), st.floats(0.5, 19_000))
def test_it_finds_the_time_again(count: int, behind: float) -> None:
    history = filled(count)
    counts = wrapped(np.array([10.0 * (count - 1), 0.0]))
    entered, older = history.entered_ms(counts, np.array([behind, 0.5]))
    if behind > 10.0 * (count - 1):
        assert older[0]
        return
    assert not older[0]
    assert entered[0] == pytest.approx(history.times_ms[-1] - behind * 500, abs=600)
    assert older[1], "nothing ever came into the other queue"


def test_counts_wrap_around() -> None:
    history = Arrivals()
    history.realign(SLOTS, wrapped(np.zeros(2)))
    begin = 2.0**32 - 25
    for place in range(10):
        history.append(place * 1_000, wrapped(np.array([begin + 10 * place, 0.0])))
    entered, older = history.entered_ms(wrapped(np.array([begin + 90, 0.0])), np.array([70.0, 1.0]))
    assert not older[0]
    assert entered[0] == pytest.approx(2_000)


def test_queues_come_and_go() -> None:
    history = filled(10)
    more = np.array([3, 5, 8], dtype=np.uint32)
    history.realign(more, wrapped(np.array([0.0, 7.0, 0.0])))
    history.append(100_000, wrapped(np.array([90.0, 9.0, 0.0])))
    entered, _ = history.entered_ms(wrapped(np.array([90.0, 9.0, 0.0])), np.array([45.0, 1.0, 0.5]))
    assert entered[0] == pytest.approx(1_000 + 4.5 * 5_000, abs=600)
    assert 46_000 < entered[1] < 100_000
    history.realign(SLOTS, wrapped(np.zeros(2)))
    again, _ = history.entered_ms(wrapped(np.array([90.0, 0.0])), np.array([45.0, 0.5]))
    assert again[0] == entered[0]


def test_a_hundred_thousand_queues_take_a_bounded_amount() -> None:
    history = Arrivals()
    slots = np.arange(100_000, dtype=np.uint32)
    history.realign(slots, wrapped(np.zeros(len(slots))))
    at = 0
    for _ in range(700):
        at = int(at * 1.02) + 5_000
        history.append(at, wrapped(np.full(len(slots), float(at))))
    assert history.nbytes <= 200e6
