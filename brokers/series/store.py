"""Writing snapshots, and reading single ones."""

from __future__ import annotations

import time
from collections.abc import Collection

from brokers.series.codec import Frame, decode, encode
from brokers.series.metrics import Kind
from brokers.series.models import Snapshot


def append(broker_id: int, frame: Frame, cadence_ms: int) -> Snapshot:
    """Write one snapshot and return its row."""
    return Snapshot.objects.create(
        broker_id=broker_id,
        at_ms=frame.at_ms,
        stored_ms=time.time_ns() // 1_000_000,
        cadence_ms=cadence_ms,
        complete=frame.complete,
        payload=encode(frame),
    )


def load(snapshot_id: int, kinds: Collection[Kind] | None = None) -> Frame | None:
    """Return a snapshot by its id, None where it is gone. Raises CorruptSnapshotError."""
    payload = Snapshot.objects.filter(id=snapshot_id).values_list("payload", flat=True).first()
    return decode(payload, kinds) if payload is not None else None


def latest_id(broker_id: int) -> int | None:
    """Return the id of a broker's newest snapshot: the last written, whatever our clock did since."""
    return Snapshot.objects.filter(broker_id=broker_id).order_by("-id").values_list("id", flat=True).first()
