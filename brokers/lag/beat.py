"""How often RabbitMQ tells its figures, and how old they are when they are read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Queues tell their depth every 5 s; a busy one somewhat later. The management API reads its counters as often.
BEAT_MS = 5_000
LATEST_BEAT_MS = 6_000
# How far from half a beat the management API's counters are, at most, but for a poll or two in a thousand [measured on
# 3.10: those of publishers are 1.4 to 4.4 s old, those of consumers 0 to 5.6 s].
SAMPLED_MS = 3_500
