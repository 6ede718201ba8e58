"""From a tick's answers to a snapshot: tables of broker, nodes, vhosts, exchanges and queues. Pure.

What was not told is NaN. A node that should run and did not answer makes the snapshot incomplete: its queues stay in
it, unknown, and every sum that it has a part in is unknown; nothing turns to zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from brokers.collect import counters
from brokers.collect.answers import NO_SAMPLES, NodeSeen, Samples, Scrape
from brokers.collect.counters import Parts
from brokers.collect.events import BrokerFacts, NodeFacts
from brokers.collect.labels import LabelCache
from brokers.collect.queue_table import COUNTERS, NAMES, QueueTable, figure_slots, queue_table, summed
from brokers.registry.details import VhostDetail
from brokers.series.codec import Frame, Table
from brokers.series.metrics import METRICS, Kind

# Counters of each node, cluster-wide by adding the nodes up.
GLOBAL_COUNTERS: dict[str, tuple[str, ...]] = {
    "published": ("rabbitmq_global_messages_received_total",),
    "confirmed": ("rabbitmq_global_messages_confirmed_total",),
    "received_confirm": ("rabbitmq_global_messages_received_confirm_total",),
    "delivered": ("rabbitmq_global_messages_delivered_total",),
    "acknowledged": ("rabbitmq_global_messages_acknowledged_total",),
    "redelivered": ("rabbitmq_global_messages_redelivered_total",),
    "returned": ("rabbitmq_global_messages_unroutable_returned_total",),
    "dropped": ("rabbitmq_global_messages_unroutable_dropped_total",),
    "dead_lettered": tuple(
        f"rabbitmq_global_messages_dead_lettered_{reason}_total"
        for reason in ("maxlen", "expired", "rejected", "delivery_limit")
    ),
    "connections_opened": ("rabbitmq_connections_opened_total",),
    "connections_closed": ("rabbitmq_connections_closed_total",),
    "channels_opened": ("rabbitmq_channels_opened_total",),
    "channels_closed": ("rabbitmq_channels_closed_total",),
}
_NODE_GAUGES = {
    "memory_used": "rabbitmq_process_resident_memory_bytes",
    "memory_limit": "rabbitmq_resident_memory_limit_bytes",
    "disk_free": "rabbitmq_disk_space_available_bytes",
    "disk_limit": "rabbitmq_disk_space_available_limit_bytes",
    "fd_used": "rabbitmq_process_open_fds",
    "fd_limit": "rabbitmq_process_max_fds",
    "processes_used": "rabbitmq_erlang_processes_used",
    "processes_limit": "rabbitmq_erlang_processes_limit",
    "memory_alarm": "rabbitmq_alarms_memory_used_watermark",
    "disk_alarm": "rabbitmq_alarms_free_disk_space_watermark",
    "uptime": "rabbitmq_erlang_uptime_seconds",
    "connections": "rabbitmq_connections",
}
_CHANNELS = "rabbitmq_channels"
_DEAD_LETTERED = "rabbitmq_global_messages_dead_lettered_"
_EXCHANGE_COUNTERS = {
    "published": "rabbitmq_detailed_exchange_messages_published_total",
    "confirmed": "rabbitmq_detailed_exchange_messages_confirmed_total",
    "returned": "rabbitmq_detailed_exchange_messages_unroutable_returned_total",
    "dropped": "rabbitmq_detailed_exchange_messages_unroutable_dropped_total",
}
# Everything that is read of `/metrics` and of `/metrics/detailed`.
PLAIN_NAMES = frozenset(
    {_CHANNELS, *_NODE_GAUGES.values(), *(name for names in GLOBAL_COUNTERS.values() for name in names)}
)
DETAILED_NAMES = frozenset({*NAMES, *_EXCHANGE_COUNTERS.values()})


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


@dataclass(frozen=True, slots=True)
class Built:
    """A snapshot, what its parts counted by themselves, what was seen of the broker as a whole; `contested`: queues
    that more than one node claims to lead."""

    frame: Frame
    parts: Parts
    facts: BrokerFacts
    contested: tuple[int, ...] = ()


def build(scrape: Scrape, labels: LabelCache, base: Base, reading: Reading, version: str = "") -> Built:
    """Compute one snapshot. Every name in the answers must have its slot already."""
    nodes = _nodes(scrape)
    down = any(node.running is False for node in nodes)
    whole = not scrape.silent and not down
    queues = queue_table(
        scrape,
        labels,
        base.last,
        whole=whole,
        counted=reading.counted,
        counters_exposed=reading.counters_exposed,
    )
    node_table, node_parts = _node_table(scrape, labels, nodes)
    parts = _parts(scrape, reading, node_parts)
    vhost_table = _vhost_table(scrape, labels, queues, base, reading, parts)
    exchange_table = _exchange_table(scrape, labels, reading)
    broker_table = _broker_table(scrape, labels, nodes, vhost_table, base, parts)
    tables = {
        Kind.BROKER: broker_table,
        Kind.NODE: node_table,
        Kind.VHOST: vhost_table,
        Kind.EXCHANGE: exchange_table,
        Kind.QUEUE: queues.table,
    }
    frame = Frame(scrape.at_ms, tables, complete=not scrape.silent)
    return Built(frame, parts, _facts(nodes, node_table, labels, version), queues.contested)


def value(families: Mapping[str, Samples], name: str) -> float:
    """Return a family's total over its labels, NaN where it is missing or has no samples."""
    labels, values = families.get(name, NO_SAMPLES)
    if not len(values):
        return math.nan
    if name.startswith(_DEAD_LETTERED):
        # With the strategy `disabled` there was no dead-letter exchange: the message was dropped.
        return float(sum(found for raw, found in zip(labels, values, strict=True) if b'"disabled"' not in raw))
    return float(values.sum())


def _nodes(scrape: Scrape) -> list[NodeSeen]:
    """Return the cluster's nodes; without the management API's list those whose Prometheus was asked."""
    if scrape.nodes is not None:
        return list(scrape.nodes)
    answered = [NodeSeen(name, running=True) for name in scrape.exposed or {}]
    return answered + [NodeSeen(name) for name in scrape.silent]


def _node_table(scrape: Scrape, labels: LabelCache, nodes: list[NodeSeen]) -> tuple[Table, dict[str, dict[str, float]]]:
    rows: dict[int, dict[str, float]] = {}
    parts: dict[str, dict[str, float]] = {}
    for node in nodes:
        slot = labels.directory.slot(Kind.NODE, "", node.name)
        if slot is None:
            continue
        families = (scrape.exposed or {}).get(node.name)
        row = rows[slot] = _told_by_management(node)
        if families is not None:
            row |= {name: value(families, family) for name, family in _NODE_GAUGES.items() if family in families}
            row["running"] = 1.0
            row["leaders"] = float(len(families.get(NAMES[0], NO_SAMPLES)[0]))
            counts = {
                counter: sum(value(families, family) for family in names) for counter, names in GLOBAL_COUNTERS.items()
            }
            parts[node.name] = counts
            row["received"], row["confirmed"] = counts["published"], counts["confirmed"]
    return _table(Kind.NODE, rows), parts


def _told_by_management(node: NodeSeen) -> dict[str, float]:
    row = {
        "running": _flag(node.running),
        "memory_used": node.memory_used,
        "memory_limit": node.memory_limit,
        "disk_free": node.disk_free,
        "disk_limit": node.disk_limit,
        "fd_used": node.fd_used,
        "fd_limit": node.fd_limit,
        "processes_used": node.processes_used,
        "processes_limit": node.processes_limit,
        "memory_alarm": _flag(node.memory_alarm),
        "disk_alarm": _flag(node.disk_alarm),
        "uptime": node.uptime_s,
    }
    if node.running is False:  # what is told of a node that is down was true before
        return {name: row[name] if name == "running" else math.nan for name in row}
    return row


def _parts(scrape: Scrape, reading: Reading, node_parts: dict[str, dict[str, float]]) -> Parts:
    counts = dict(node_parts)
    if scrape.exposed is None and scrape.overview is not None:
        counts["overview"] = {name: scrape.overview.get(name, math.nan) for name in GLOBAL_COUNTERS}
    if scrape.vhosts is not None:
        for index, (_, name) in enumerate(scrape.vhosts.names):
            counts[f"vhost:{name}"] = {
                counter: float(scrape.vhosts.columns[counter][index])
                for counter in COUNTERS
                if counter in scrape.vhosts.columns
            }
    return Parts(reading.source, counts)


def _vhost_table(
    scrape: Scrape, labels: LabelCache, queues: QueueTable, base: Base, reading: Reading, parts: Parts
) -> Table:
    known = labels.directory.by_slot.get(Kind.VHOST, {})
    home = labels.vhosts_of(queues.table.slots.astype(np.int64))
    there = {slot for slot, vhost in known.items() if vhost.gone_ms is None} | set(home[home >= 0].tolist())
    slots = np.array(sorted(there), dtype=np.int64)
    columns = {"queues": _counted(slots, home, scrape)}
    for name in ("ready", "unacked", "consumers"):
        columns[name] = _added(slots, home, queues, name, scrape)
    if scrape.exposed is None:
        blind = np.array([_unreadable(known[slot].detail) for slot in slots.tolist()], dtype=np.bool_)
        columns = {name: np.where(blind, np.nan, values) for name, values in columns.items()}
    held = base.frame.table(Kind.VHOST) if base.frame else None
    same = base.parts is not None and base.parts.source == reading.source
    for name in COUNTERS:
        before = np.array([held.value(slot, name) if held else math.nan for slot in slots.tolist()])
        before = np.where(np.isnan(before), 0.0, before)
        if reading.counters_exposed:
            grown = _queues_grew(queues.table, base.frame if same else None, name, fresh=base.frame is None)
            sums = summed(slots, [(home, grown)])
            # A vhost without a queue has counted nothing since.
            columns[name] = (
                np.full(len(slots), np.nan) if scrape.silent else before + np.where(np.isin(slots, home), sums, 0.0)
            )
        else:
            columns[name] = np.array(
                [
                    _vhost_sum(known[slot].name, name, parts, base.parts, before[i])
                    for i, slot in enumerate(slots.tolist())
                ]
            )
    return Table(slots.astype(np.uint32), columns)


def _vhost_sum(vhost: str, counter: str, parts: Parts, base: Parts | None, before: float) -> float:
    now = parts.counts.get(f"vhost:{vhost}", {}).get(counter, math.nan)
    if base is not None and base.source != parts.source:
        return math.nan if math.isnan(now) else before
    held = base.counts.get(f"vhost:{vhost}") if base else None
    if held is None:  # first seen: its past is as long as its count
        return before + now
    return before + counters.growth(now, held.get(counter))


def _queues_grew(table: Table, base: Frame | None, name: str, *, fresh: bool) -> NDArray[np.float64]:
    now = table.column(name)
    if base is None:
        # The first snapshot starts with what was counted before it; one after a change of source with nothing.
        return now if fresh else np.where(np.isnan(now), np.nan, 0.0)
    held = base.table(Kind.QUEUE)
    before = np.full(len(now), np.nan)
    in_base = np.zeros(len(now), dtype=np.bool_)
    if len(held.slots):
        position = np.minimum(np.searchsorted(held.slots, table.slots), len(held.slots) - 1)
        in_base = held.slots[position] == table.slots
        before[in_base] = held.column(name)[position[in_base]]
    return counters.grown(now, before, in_base)


def _counted(slots: NDArray[np.int64], home: NDArray[np.int64], scrape: Scrape) -> NDArray[np.float64]:
    found = np.zeros(len(slots))
    inside = home[home >= 0]
    if len(inside) and len(slots):
        found = np.bincount(np.searchsorted(slots, inside), minlength=len(slots)).astype(np.float64)
    return np.full(len(slots), np.nan) if scrape.silent or _nothing_told(scrape) else found


def _added(
    slots: NDArray[np.int64], home: NDArray[np.int64], queues: QueueTable, name: str, scrape: Scrape
) -> NDArray[np.float64]:
    """Add the queues of each vhost up. Queues on a node that is down can't be served and add nothing."""
    if scrape.silent or _nothing_told(scrape):
        return np.full(len(slots), np.nan)
    where = np.where(queues.seen, home, -1)
    sums = summed(slots, [(where, queues.table.column(name))])
    return np.where(np.isin(slots, where), sums, 0.0)


def _nothing_told(scrape: Scrape) -> bool:
    return scrape.exposed is None and scrape.queues is None


def _unreadable(detail: bytes) -> bool:
    return msgspec.json.decode(detail, type=VhostDetail).readable is False


def _exchange_table(scrape: Scrape, labels: LabelCache, reading: Reading) -> Table:
    known = labels.directory.by_slot.get(Kind.EXCHANGE, {})
    slots = np.array(sorted(slot for slot, found in known.items() if found.gone_ms is None), dtype=np.int64)
    columns: dict[str, NDArray[np.float64]] = {}
    if reading.counters_exposed and scrape.exposed is not None:
        for name, family in _EXCHANGE_COUNTERS.items():
            told = [node_families.get(family, NO_SAMPLES) for node_families in scrape.exposed.values()]
            sums = summed(slots, [(labels.slots(Kind.EXCHANGE, raw), values) for raw, values in told])
            if reading.counted:
                sums = np.where(np.isnan(sums), 0.0, sums)
            columns[name] = np.full(len(slots), np.nan) if scrape.silent else sums
    elif scrape.exchanges is not None:
        where = figure_slots(scrape.exchanges, labels, Kind.EXCHANGE)
        for name, values in scrape.exchanges.columns.items():
            columns[name] = summed(slots, [(where, values)])
    return Table(slots.astype(np.uint32), columns)


def _broker_table(
    scrape: Scrape, labels: LabelCache, nodes: list[NodeSeen], vhost_table: Table, base: Base, parts: Parts
) -> Table:
    row: dict[str, float] = dict.fromkeys(("ready", "unacked", "consumers", "queues"), math.nan)
    if not _nothing_told(scrape):  # the sum of no vhosts is zero only where somebody told of queues
        row = {name: float(vhost_table.column(name).sum()) for name in row}
    vhosts = scrape.vhosts is not None or labels.directory.by_slot.get(Kind.VHOST)
    row["vhosts"] = float(len(vhost_table.slots)) if vhosts else math.nan
    exchanges = labels.directory.by_slot.get(Kind.EXCHANGE)
    row["exchanges"] = float(sum(found.gone_ms is None for found in exchanges.values())) if exchanges else math.nan
    if nodes:
        row["nodes"] = float(len(nodes))
        row["nodes_running"] = float(sum(node.running is True for node in nodes))
    overview = scrape.overview or {}
    if scrape.exposed is not None:
        row["connections"] = _over_nodes(scrape, _NODE_GAUGES["connections"])
        row["channels"] = _over_nodes(scrape, _CHANNELS)
    for name in ("connections", "channels", "exchanges", "queues", "ready", "unacked", "consumers"):
        if math.isnan(row.get(name, math.nan)) and scrape.exposed is None:
            row[name] = overview.get(name, math.nan)
    held = base.frame.table(Kind.BROKER) if base.frame else None
    tallies = Parts(
        parts.source, {part: found for part, found in parts.counts.items() if not part.startswith("vhost:")}
    )
    for counter in GLOBAL_COUNTERS:
        before = held.value(0, counter) if held else math.nan
        row[counter] = math.nan if scrape.silent else counters.accumulate(counter, tallies, base.parts, before)
    return _table(Kind.BROKER, {0: row})


def _over_nodes(scrape: Scrape, family: str) -> float:
    if scrape.silent or not scrape.exposed:
        return math.nan
    return sum(value(families, family) for families in scrape.exposed.values())


def _facts(nodes: list[NodeSeen], table: Table, labels: LabelCache, version: str) -> BrokerFacts:
    found: dict[str, NodeFacts] = {}
    for node in nodes:
        slot = labels.directory.slot(Kind.NODE, "", node.name)
        row = -1 if slot is None else slot
        found[node.name] = NodeFacts(
            running=node.running,
            memory_alarm=_truth(table.value(row, "memory_alarm") if row >= 0 else math.nan),
            disk_alarm=_truth(table.value(row, "disk_alarm") if row >= 0 else math.nan),
            partitions=node.partitions,
        )
    return BrokerFacts(version, found)


def _table(kind: Kind, rows: Mapping[int, Mapping[str, float]]) -> Table:
    slots = sorted(rows)
    columns = {
        metric.name: np.array([rows[slot].get(metric.name, math.nan) for slot in slots], dtype=np.float64)
        for metric in METRICS[kind]
    }
    return Table(np.array(slots, dtype=np.uint32), columns)


def _flag(truth: bool | None) -> float:
    return math.nan if truth is None else float(truth)


def _truth(flag: float) -> bool | None:
    return None if math.isnan(flag) else flag > 0
