"""What is computed of a snapshot before it is stored, from it and from what is remembered of those before it."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from brokers.lag import nature, watched
from brokers.registry.slots import Directory
from brokers.series.codec import Frame, Table
from brokers.series.metrics import Kind

logger = logging.getLogger(__name__)

Column = NDArray[np.float64]


def add(broker_id: int, frame: Frame, directory: Directory) -> Frame:
    """Return the frame with the columns that are derived at the tick: of queues, the state of their consumers.

    `directory` is the broker's, with every queue of the frame in it. What can't be computed, by a fault of ours, is
    left unknown and told in the log: the figures themselves are stored all the same.
    """
    table = frame.table(Kind.QUEUE)
    columns: dict[str, Column] = {}
    for name, compute in _COMPUTED.items():
        try:
            columns[name] = compute(broker_id, frame, directory)
        except Exception:
            logger.exception("Broker %s: %s could not be computed by a fault in Warren", broker_id, name)
    queues = Table(table.slots, {**table.columns, **columns})
    return Frame(frame.at_ms, {**frame.tables, Kind.QUEUE: queues}, frame.complete)


def forget(broker_id: int) -> None:
    """Drop what is held of a broker."""
    watched.forget(broker_id)
    nature.forget(broker_id)


_COMPUTED: dict[str, Callable[[int, Frame, Directory], Column]] = {watched.STATE: watched.states}
