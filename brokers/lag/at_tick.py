"""What is computed of a snapshot before it is stored, from it and from what is remembered of those before it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from brokers.lag import keeper, nature, watched
from brokers.registry.slots import Directory
from brokers.series.codec import Frame, Table
from brokers.series.metrics import Kind

logger = logging.getLogger(__name__)

Column = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Told:
    """What a tick tells beside its frame.

    `live`: counters of queues are as of now (Prometheus), not sampled by the management API. `heads`: what publishers
    of oldest messages wrote into them as their time, Unix seconds by queue slot, where the tick asked for it.
    `last_ms`: the moment of the broker's newest snapshot in the log.
    """

    live: bool = True
    heads: Mapping[int, float] = field(default_factory=dict)
    last_ms: int | None = None


def add(broker_id: int, frame: Frame, directory: Directory, told: Told | None = None) -> Frame:
    """Return the frame with the columns that are derived at the tick: of queues, their time lag and the state of their
    consumers.

    `directory` is the broker's, with every queue of the frame in it. What can't be computed, by a fault of ours, is
    left unknown and told in the log: the figures themselves are stored all the same.
    """
    table = frame.table(Kind.QUEUE)
    columns: dict[str, Column] = {}
    told = told or Told()
    try:
        columns |= keeper.lag_of(broker_id, frame, directory, live=told.live, heads=told.heads, last_ms=told.last_ms)
    except Exception:
        # It begins anew, from the log.
        keeper.forget(broker_id)
        logger.exception("Broker %s: the time lag could not be computed by a fault in Warren", broker_id)
    for name, compute in _COMPUTED.items():
        try:
            columns[name] = compute(broker_id, frame, directory)
        except Exception:
            logger.exception("Broker %s: %s could not be computed by a fault in Warren", broker_id, name)
    queues = Table(table.slots, {**table.columns, **columns})
    return Frame(frame.at_ms, {**frame.tables, Kind.QUEUE: queues}, frame.complete)


def forget(broker_id: int) -> None:
    """Drop what is held of a broker."""
    keeper.forget(broker_id)
    watched.forget(broker_id)
    nature.forget(broker_id)


_COMPUTED: dict[str, Callable[[int, Frame, Directory], Column]] = {watched.STATE: watched.states}
