"""What a snapshot is computed upon beside the answers: the snapshots before it, and how answers are to be read."""

from __future__ import annotations

from dataclasses import dataclass

from brokers.collect.counters import Parts
from brokers.series.codec import Frame


@dataclass(frozen=True, slots=True)
class Base:
    """What the tick stands on: `frame` and `parts` of the last complete snapshot, and the newest snapshot."""

    frame: Frame | None = None
    parts: Parts | None = None
    last: Frame | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How the answers are to be read; see brokers.collect.plan."""

    # Who counts: counters of one source are never compared with those of another.
    source: str
    # Per-queue and per-exchange counters come from Prometheus (RabbitMQ 4.0 and later).
    counters_exposed: bool
    # The broker counts per object, so what has no count yet has zero.
    counted: bool = True
