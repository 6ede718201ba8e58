"""What chance brings together for a moment is no trouble: traffic without any rhythm, and a single consumer."""

from __future__ import annotations

import numpy as np
import pytest

from brokers.lag.state import METRICS, ConsumerState, Memory, Tick, step


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_a_single_consumer_that_keeps_up_is_not_starved(seed: int, share: float) -> None:
    """50 messages a second for ten minutes, a prefetch of one, and work on each that takes this share of the time."""
    random = np.random.default_rng(seed)
    came = np.sort(random.uniform(0, 600, random.poisson(600 * 50)))
    took = random.exponential(share / 50, len(came))
    begun, free = np.empty(len(came)), 0.0
    for place, moment in enumerate(came):
        begun[place] = max(free, moment)
        free = begun[place] + took[place]
    went, memory, named = begun + took, Memory(), []
    for at in range(5, 600, 5):
        entered, delivered, acknowledged = (float(np.searchsorted(times, at)) for times in (came, begun, went))
        figures = dict.fromkeys(METRICS, 0.0) | {
            "ready": entered - delivered,
            "unacked": delivered - acknowledged,
            "consumers": 1.0,
            "published": entered,
            "delivered": delivered,
            "acknowledged": acknowledged,
            "stream_lag": np.nan,
        }
        none = np.zeros(1, dtype=np.bool_)
        columns = {name: np.array([value]) for name, value in figures.items()}
        tick = Tick(1_700_000_000_000 + at * 1000, np.zeros(1, dtype=np.uint32), columns, none, none, none)
        memory, [state] = step(memory, tick)
        named.append(state)
    assert set(named[2:]) <= {ConsumerState.OK}, named
