"""What is told as sure of queues with every kind of traffic, of some twenty of each at once."""

from __future__ import annotations

import pytest

from tests.lag.crowd import KINDS, play

# Of all moments, at most: told as about on 3.10 and since 4.0.
ABOUT = {
    "plain": (0.25, 0.03),
    "bursts": (0.45, 0.06),
    "reject": (0.56, 0.12),
    "letters": (0.46, 0.30),
    "mixed": (0.50, 0.11),
    "expiring": (0.85, 0.37),
}


@pytest.mark.parametrize("kind", KINDS)
def test_live_counters_seldom_mislead(kind: str) -> None:
    score = play(kind, live=True, queues=20, seed=11)
    assert score.wrong <= 0.008 * score.moments
    assert score.within >= 0.94 * score.moments
    assert score.about <= ABOUT[kind][1] * score.moments


@pytest.mark.parametrize("kind", KINDS)
def test_late_counters_that_are_not_read_in_each_tick_seldom_mislead(kind: str) -> None:
    """Where publishers or consumers change their pace within a beat nothing tells it yet: that is what is left."""
    score = play(kind, live=False, queues=20, seed=11, missing=0.25)
    assert score.wrong <= 0.0125 * score.moments
    assert score.within >= 0.89 * score.moments
    assert score.about <= ABOUT[kind][0] * score.moments
