"""From a tick's answers to the table of queues: gauges added over the nodes that lead them, counters over all. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from brokers.collect.answers import NO_SAMPLES, Figures, Samples, Scrape
from brokers.collect.labels import LabelCache
from brokers.collect.placing import summed
from brokers.registry.details import QueueDetail
from brokers.registry.slots import ObjectName
from brokers.series.codec import Frame, Table
from brokers.series.metrics import Kind

READY = "rabbitmq_detailed_queue_messages_ready"
_GAUGES = {
    "ready": READY,
    "unacked": "rabbitmq_detailed_queue_messages_unacked",
    "consumers": "rabbitmq_detailed_queue_consumers",
}
# Since RabbitMQ 4.0. `delivered` adds what was subscribed to and what was fetched, acknowledged by hand or not.
QUEUE_COUNTERS = {
    "published": ("rabbitmq_detailed_queue_exchange_messages_published_total",),
    "delivered": (
        "rabbitmq_detailed_queue_messages_delivered_ack_total",
        "rabbitmq_detailed_queue_messages_delivered_total",
        "rabbitmq_detailed_queue_get_ack_total",
        "rabbitmq_detailed_queue_get_total",
    ),
    "acknowledged": ("rabbitmq_detailed_queue_messages_acked_total",),
    "redelivered": ("rabbitmq_detailed_queue_messages_redelivered_total",),
}
COUNTERS = tuple(QUEUE_COUNTERS)
# Dear for the broker, so that only some ticks ask for them: the family queue_metrics, led by the queue's own node.
_SELDOM = {
    "capacity": "rabbitmq_detailed_queue_consumer_capacity",
    "message_bytes": "rabbitmq_detailed_queue_messages_bytes",
    "memory": "rabbitmq_detailed_queue_process_memory_bytes",
}
SELDOM = tuple(_SELDOM)
_HEAD = "rabbitmq_detailed_queue_head_message_timestamp"
# Told by every node of the consumers that are connected to it, of the stream protocol alone (RabbitMQ 4.0 and later).
_STREAM_LAG = "rabbitmq_detailed_stream_consumer_max_offset_lag"
# Every family that is read of queues.
NAMES = (
    *_GAUGES.values(),
    *(name for names in QUEUE_COUNTERS.values() for name in names),
    *_SELDOM.values(),
    _HEAD,
    _STREAM_LAG,
)


@dataclass(frozen=True, slots=True)
class QueueTable:
    """`table` and, by row, whether the queue was told of in this tick; `contested`: slots that several nodes claim."""

    table: Table
    seen: NDArray[np.bool_]
    contested: tuple[int, ...] = ()


def queue_table(
    scrape: Scrape, labels: LabelCache, last: Frame | None, *, whole: bool, counted: bool, counters_exposed: bool
) -> QueueTable:
    """Return the table of queues.

    `whole`: every node of the cluster answered, so a queue that nobody told of is gone; else it stays, unknown.
    `counted`: the broker counts per queue, so a queue without a count has none, and zero is true.
    `counters_exposed`: counters come from Prometheus; else from the management API, where it was asked.
    """
    if scrape.exposed is None:
        return _from_figures(scrape.queues, labels, last)
    gauges, told, contested = _gauges(scrape.exposed, labels)
    if "consumers" in gauges:
        gauges["prefetch"] = _prefetch(labels, told, gauges["consumers"])
    kept = _NONE if whole else _kept(labels, last, told)
    slots = np.union1d(told, kept) if len(kept) else told
    columns = {name: _spread(told, values, slots) for name, values in gauges.items()}
    if _asked(scrape.exposed, _STREAM_LAG):
        columns["stream_lag"] = _highest(slots, scrape.exposed, labels, _STREAM_LAG)
    seen = np.ones(len(slots), dtype=np.bool_) if slots is told else np.isin(slots, told)
    if counters_exposed and scrape.asked_counters:
        silent = bool(scrape.silent)
        for name, families in QUEUE_COUNTERS.items():
            found = node_sum(scrape.exposed, labels, Kind.QUEUE, families, slots)
            if silent:  # any node may hold a share of any queue's count
                found = np.full(len(slots), np.nan)
            elif counted:
                found[np.isnan(found) & seen] = 0.0
            columns[name] = found
    elif scrape.queues is not None:
        figures = _from_figures(scrape.queues, labels, None).table
        for name in COUNTERS:
            columns[name] = _spread(figures.slots.astype(np.int64), figures.column(name), slots)
    return QueueTable(Table(labels.placing.narrow(slots), columns), seen, contested)


def _gauges(
    exposed: Mapping[str, Mapping[str, Samples]], labels: LabelCache
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.int64], tuple[int, ...]]:
    by_node = {node: labels.slots(Kind.QUEUE, families.get(READY, NO_SAMPLES)[0]) for node, families in exposed.items()}
    told, contested = labels.placing.told(list(by_node.values()))
    columns: dict[str, NDArray[np.float64]] = {}
    owners = _owners(labels, contested, by_node)
    wanted = {name: family for name, family in (_GAUGES | _SELDOM).items() if _asked(exposed, family)}
    for metric, family in wanted.items():
        parts = []
        for node, families in exposed.items():
            raw, values = families.get(family, NO_SAMPLES)
            where = by_node[node] if family == READY else labels.slots(Kind.QUEUE, raw)
            if len(contested):
                elsewhere = np.setdiff1d(contested, owners[node])
                where = np.where(np.isin(where, elsewhere), -1, where)
            parts.append((where, values))
        columns[metric] = summed(told, parts, labels.placing)
    return columns, told, tuple(contested.tolist())


def _asked(exposed: Mapping[str, Mapping[str, Samples]], family: str) -> bool:
    """Tell whether any node told of a family: one that this tick did not ask for has no column in it."""
    return any(family in families for families in exposed.values())


def _prefetch(labels: LabelCache, slots: NDArray[np.int64], consumers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the consumers may hold, as the definitions last told; unknown where their number is another now."""
    limits, then = labels.prefetch_of(slots)
    return np.where((then == consumers) & (consumers > 0), limits, np.nan)


def head_timestamps(scrape: Scrape, labels: LabelCache) -> dict[int, float]:
    """Return by slot the time that the publisher wrote into the queue's oldest message, Unix seconds.

    Only classic queues tell it, and only where publishers set it; empty in a tick that did not ask.
    """
    found: dict[int, float] = {}
    for families in (scrape.exposed or {}).values():
        raw, values = families.get(_HEAD, NO_SAMPLES)
        good = np.isfinite(values) & (values > 0)
        if good.any():
            slots = labels.slots(Kind.QUEUE, raw)
            good &= slots >= 0
            found |= dict(zip(slots[good].tolist(), values[good].tolist(), strict=True))
    return found


def _highest(
    slots: NDArray[np.int64], exposed: Mapping[str, Mapping[str, Samples]], labels: LabelCache, family: str
) -> NDArray[np.float64]:
    """Return the highest that any node tells of each slot; NaN where none tells anything."""
    most = np.full(len(slots), np.nan)
    for families in exposed.values():
        raw, values = families.get(family, NO_SAMPLES)
        for slot, told in zip(labels.slots(Kind.QUEUE, raw).tolist(), values.tolist(), strict=True):
            at = int(np.searchsorted(slots, slot))
            if at < len(slots) and slots[at] == slot:
                most[at] = np.fmax(most[at], told)
    return most


_NONE: NDArray[np.int64] = np.empty(0, dtype=np.int64)


def _owners(
    labels: LabelCache, contested: NDArray[np.int64], by_node: Mapping[str, NDArray[np.int64]]
) -> dict[str, NDArray[np.int64]]:
    """Return by node the contested slots that it leads by the definitions.

    For a while after a queue's leader moved, the node it left goes on telling its last figures: adding them up
    would count messages twice.
    """
    owned: dict[str, list[int]] = {node: [] for node in by_node}
    for slot in contested.tolist():
        known = labels.directory.known(Kind.QUEUE, slot)
        leader = msgspec.json.decode(known.detail, type=QueueDetail).node if known else None
        if leader in owned and slot in by_node[leader]:
            owned[leader].append(slot)
    return {node: np.array(slots, dtype=np.int64) for node, slots in owned.items()}


def node_sum(
    exposed: Mapping[str, Mapping[str, Samples]],
    labels: LabelCache,
    kind: Kind,
    families: Sequence[str],
    slots: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Add up what nodes tell of objects in several families; NaN where none tells anything."""
    parts = []
    for node_families in exposed.values():
        for family in families:
            raw, values = node_families.get(family, NO_SAMPLES)
            parts.append((labels.slots(kind, raw), values))
    return summed(slots, parts, labels.placing)


def _kept(labels: LabelCache, last: Frame | None, told: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the queues of the last snapshot that nobody told of now and that are not known to be gone."""
    if last is None:
        return _NONE
    absent = np.setdiff1d(last.table(Kind.QUEUE).slots.astype(np.int64), told)
    known = labels.directory.by_slot.get(Kind.QUEUE, {})
    kept = [slot for slot in absent.tolist() if slot in known and known[slot].gone_ms is None]
    return np.array(kept, dtype=np.int64)


def _from_figures(figures: Figures | None, labels: LabelCache, last: Frame | None) -> QueueTable:
    if figures is None:
        slots = _kept(labels, last, _NONE)
        return QueueTable(Table(slots.astype(np.uint32), {}), np.zeros(len(slots), dtype=np.bool_))
    found = figure_slots(figures, labels, Kind.QUEUE)
    # Pages of a list that changes meanwhile can repeat a name.
    slots, order = np.unique(found, return_index=True)
    order = order[slots >= 0]
    columns = {name: values[order] for name, values in figures.columns.items()}
    if "consumers" in columns:
        columns["prefetch"] = _prefetch(labels, found[order], columns["consumers"])
    table = Table(found[order].astype(np.uint32), columns)
    return QueueTable(table, np.ones(len(order), dtype=np.bool_))


def figure_slots(figures: Figures, labels: LabelCache, kind: Kind) -> NDArray[np.int64]:
    """Return the slot of each row of management figures, -1 where its name has none."""
    by_name = labels.directory.by_name.get(kind, {})
    return np.fromiter(
        (by_name.get(ObjectName(*name), -1) for name in figures.names), dtype=np.int64, count=len(figures.names)
    )


def _spread(told: NDArray[np.int64], values: NDArray[np.float64], slots: NDArray[np.int64]) -> NDArray[np.float64]:
    if told is slots or np.array_equal(told, slots):
        return values
    spread = np.full(len(slots), np.nan)
    if len(slots):
        position = np.minimum(np.searchsorted(slots, told), len(slots) - 1)
        there = slots[position] == told
        spread[position[there]] = values[there]
    return spread
