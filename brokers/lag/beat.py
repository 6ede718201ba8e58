"""One reading of all queues, how often RabbitMQ tells its figures, and how old they are when they are read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Queues tell their depth every 5 s; a busy one somewhat later. The management API reads its counters as often.
BEAT_MS = 5_000
LATEST_BEAT_MS = 6_000
# How far from half a beat the management API's counters are, at most, but for a poll or two in a thousand [measured on
# 3.10: those of publishers are 1.4 to 4.4 s old, those of consumers 0 to 5.6 s].
SAMPLED_MS = 3_500


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of all queues at one moment, NaN for unknown; the arrays have one order.

    `live`: the counters are as of now (Prometheus); else they too are up to a beat old (the management API).
    """

    at_ms: int
    slots: NDArray[np.uint32]
    total: Floats
    published: Floats
    acknowledged: Floats
    live: bool = True
    # Of `total`, what is with consumers; and how often messages were delivered once more. None: not told.
    unacked: Floats | None = None
    redelivered: Floats | None = None
