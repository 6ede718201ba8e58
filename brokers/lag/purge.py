"""What a purge leaves: the messages that consumers hold. Pure."""

from __future__ import annotations

import numpy as np

from brokers.lag.beat import BEAT_MS, LATEST_BEAT_MS, Floats, Reading

# What loses this share of its messages from one reading to the next was purged.
PURGED = 0.5


def note_held(columns: dict[str, Floats], reading: Reading, before_ms: int, depth: Floats, lost: Floats) -> None:
    """Note where a purge took what was ready: what consumers hold is still there, and is the oldest.

    They went on since, so whether they hold it still hangs on when it was purged: after the depth was told that did not
    show it, and before as many came in as are ready again.
    """
    if reading.unacked is None:
        return
    unacked = np.nan_to_num(reading.unacked)
    purged = (lost >= PURGED * depth) & (lost > 0) & (unacked > 0) & ~np.isnan(columns["head_ms"])
    # What was deleted and declared again holds nothing of before.
    purged &= columns["fell"] == 0
    if not purged.any():
        return
    ready, into, out = reading.total - unacked, columns["in_pace"], columns["out_pace"]
    with np.errstate(divide="ignore", invalid="ignore"):
        latest_ago = np.where(ready > 0, ready / into, 0.0)
        # With all that consumers may hold in their hands, what is ready grew by what came in beyond what left.
        grown = np.where(into > out, ready / (into - out), np.inf)
    earliest_ago = np.minimum(float(reading.at_ms - before_ms + BEAT_MS), LATEST_BEAT_MS + grown)
    latest_ago = np.minimum(latest_ago, earliest_ago)
    # Counters of the management API are late by as much again.
    slack = 0.0 if reading.live else out * BEAT_MS
    held = columns["out"] < columns["held_perhaps"]
    until = columns["out"] - out * earliest_ago - slack + unacked
    perhaps = columns["out"] - out * latest_ago + slack + unacked
    for name, count in (("held_until", until), ("held_perhaps", perhaps)):
        later = np.where(held, np.maximum(count, columns[name]), count)
        columns[name] = np.where(purged, later, columns[name])
    oldest = np.where(held, np.fmin(columns["held_ms"], columns["head_ms"]), columns["head_ms"])
    columns["held_ms"] = np.where(purged, oldest, columns["held_ms"])
