"""Rows for pure tests: queues without a database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from brokers.registry.details import QueueDetail
from brokers.registry.slots import KnownObject
from brokers.series.present import PresentTable
from dashboard.queries.queues_params import Params
from dashboard.queries.queues_select import select
from dashboard.queries.queues_table import Part, Rows, traits

NAN = float("nan")


def queue(name: str, vhost: str = "/", **more: Any) -> tuple[str, str, QueueDetail, dict[str, float]]:
    """Describe a queue: fields of its definition and figures, all in one."""
    detail = QueueDetail(**{key: more.pop(key) for key in QueueDetail.__struct_fields__ if key in more})
    return vhost, name, detail, more


def part(
    queues: Sequence[tuple[str, str, QueueDetail, dict[str, float]]],
    *,
    broker_id: int = 1,
    broker: str = "shop",
    fresh: bool = True,
    seen: Sequence[int] | None = None,
) -> Part:
    """Make one broker's share of a list."""
    objects = [
        KnownObject(slot, vhost, name, msgspec.json.encode(detail), 0, None)
        for slot, (vhost, name, detail, _) in enumerate(queues)
    ]
    metrics = sorted({metric for *_, figures in queues for metric in figures})
    columns = {metric: np.array([figures.get(metric, NAN) for *_, figures in queues]) for metric in metrics}
    table = PresentTable(np.arange(len(queues), dtype=np.uint32), objects, columns)
    rows = np.arange(len(queues)) if seen is None else np.array(seen, dtype=np.intp)
    return Part(broker_id, broker, table, traits(objects), rows, fresh=fresh, why="It does not say.")


def names(rows: Rows, params: Params) -> list[str]:
    """Return the names that a question finds, in order."""
    return [rows.text("name").at(row) for row in select(rows, params).ordered.tolist()]
