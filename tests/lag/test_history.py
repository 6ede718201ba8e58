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


def kept(history: Arrivals) -> list[int]:
    """What had come into the first queue by each moment."""
    return [int(history._counts[row, 0]) for row in history._rows]


def test_what_had_not_come_after_all_is_taken_back() -> None:
    history = filled(10)
    history.append(60_000, wrapped(np.array([150.0, 0.0])))
    history.append(65_000, wrapped(np.array([70.0, 0.0])))
    history.lower(np.array([0]), wrapped(np.array([70.0])))
    entered, older = history.entered_ms(wrapped(np.array([70.0, 0.0])), np.array([0.5, 0.5]))
    # The 70th is the last that came: at the eighth moment.
    assert not older[0]
    assert entered[0] == pytest.approx(1_000 + 7 * 5_000, abs=600)
    assert kept(history) == sorted(kept(history))


@pytest.mark.parametrize("now", [130.0, 90.0, 60.0])
def test_what_was_guessed_is_put_right(now: float) -> None:
    """Counters were read last when 90 had come; of what was guessed since less came, none, or some had not before."""
    history = filled(10)
    for moment, guess in ((51_000, 100.0), (56_000, 140.0), (61_000, 150.0), (66_000, now)):
        history.append(moment, wrapped(np.array([guess, 0.0])))
    columns, counts = np.array([0]), wrapped(np.array([now]))
    history.restate(columns, 46_000, wrapped(np.array([90.0])), counts, np.array([True]))
    ages = [
        float(66_000 - history.entered_ms(counts, np.array([behind - 0.5]), columns)[0][0])
        for behind in range(1, int(now) + 1)
    ]
    assert ages == sorted(ages)
    assert kept(history) == sorted(kept(history))
    assert ages[-1] == pytest.approx(65_000, abs=600)
    if now == 130.0:
        # As it was guessed: four fifths of them in the second of four spans.
        assert sum(10_000 <= age <= 15_000 for age in ages) == pytest.approx(40 * 40 / 80, abs=2)
    else:
        assert ages[0] == pytest.approx(66_000 - (1_000 + now * 500), abs=600)


def test_a_hundred_thousand_queues_take_a_bounded_amount() -> None:
    history = Arrivals()
    slots = np.arange(100_000, dtype=np.uint32)
    history.realign(slots, wrapped(np.zeros(len(slots))))
    at = 0
    for _ in range(700):
        at = int(at * 1.02) + 5_000
        history.append(at, wrapped(np.full(len(slots), float(at))))
    assert history.nbytes <= 200e6
