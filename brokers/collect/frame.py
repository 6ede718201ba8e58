"""From a tick's answers to a snapshot: tables of broker, nodes, vhosts, exchanges and queues. Pure.

What was not told is NaN. A node that should run and did not answer makes the snapshot incomplete: its queues stay in
it, unknown, and every sum that it has a part in is unknown; nothing turns to zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from brokers.collect import counters
from brokers.collect.answers import NO_SAMPLES, NodeSeen, Samples, Scrape
from brokers.collect.basis import Base, Reading
from brokers.collect.counters import Parts
from brokers.collect.events import BrokerFacts, NodeFacts
from brokers.collect.exchange_table import EXCHANGE_COUNTERS, exchange_table
from brokers.collect.labels import LabelCache
from brokers.collect.queue_table import NAMES, head_timestamps, queue_table
from brokers.collect.vhost_table import VHOST_COUNTERS, vhost_table
from brokers.series.codec import Frame, Table
from brokers.series.metrics import METRICS, Kind

_DEAD_LETTERED = "rabbitmq_global_messages_dead_lettered_"
# Why a message became a dead letter, as the broker counts it.
REASONS = ("rejected", "expired", "maxlen", "delivery_limit")
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
    "dead_lettered": tuple(f"{_DEAD_LETTERED}{reason}_total" for reason in REASONS),
    **{f"dead_lettered_{reason}": (f"{_DEAD_LETTERED}{reason}_total",) for reason in REASONS},
    "connections_opened": ("rabbitmq_connections_opened_total",),
    "connections_closed": ("rabbitmq_connections_closed_total",),
    "channels_opened": ("rabbitmq_channels_opened_total",),
    "channels_closed": ("rabbitmq_channels_closed_total",),
    "queues_created": ("rabbitmq_queues_created_total",),
    "queues_deleted": ("rabbitmq_queues_deleted_total",),
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
# Of each channel that is open, in whatever vhost: of channels that asked for confirms, what waits for one.
_UNCONFIRMED = "rabbitmq_detailed_channel_messages_unconfirmed"
# Everything that is read of `/metrics` and of `/metrics/detailed`.
PLAIN_NAMES = frozenset(
    {_CHANNELS, *_NODE_GAUGES.values(), *(name for names in GLOBAL_COUNTERS.values() for name in names)}
)
DETAILED_NAMES = frozenset({*NAMES, *EXCHANGE_COUNTERS.values(), _UNCONFIRMED})


# No broker has so many of anything.
_MOST = 2.0**63


@dataclass(frozen=True, slots=True)
class Built:
    """A snapshot, what its parts counted by themselves, what was seen of the broker as a whole.

    `contested`: queues that more than one node claims to lead. `heads`: by queue slot, what the publisher of the
    oldest message wrote into it as its time (Unix seconds); there where the tick asked for it, and not stored.
    """

    frame: Frame
    parts: Parts
    facts: BrokerFacts
    contested: tuple[int, ...] = ()
    heads: Mapping[int, float] = field(default_factory=dict)


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
    exchanges = exchange_table(scrape, labels, reading)
    restarted = _restarted(nodes, node_table, labels, base)
    vhosts = vhost_table(scrape, labels, queues, exchanges, base, reading, parts, restarted)
    tables = {
        Kind.BROKER: _broker_table(scrape, labels, nodes, vhosts, base, parts, restarted),
        Kind.NODE: node_table,
        Kind.VHOST: vhosts,
        Kind.EXCHANGE: exchanges,
        Kind.QUEUE: queues.table,
    }
    tables = {kind: _finite(table) for kind, table in tables.items()}
    frame = Frame(scrape.at_ms, tables, complete=not scrape.silent)
    facts = _facts(nodes, node_table, labels, version, listed=scrape.nodes is not None)
    heads = head_timestamps(scrape, labels)
    labels.let_go()
    return Built(frame, parts, facts, queues.contested, heads)


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


def _restarted(nodes: list[NodeSeen], table: Table, labels: LabelCache, base: Base) -> frozenset[str]:
    """Return the nodes that run for a shorter time than they did at the base: what they had counted then is lost."""
    if base.frame is None:
        return frozenset()
    held = base.frame.table(Kind.NODE)
    slots = {node.name: labels.directory.slot(Kind.NODE, "", node.name) for node in nodes}
    return frozenset(
        name
        for name, slot in slots.items()
        if slot is not None and table.value(slot, "uptime") < held.value(slot, "uptime")
    )


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
                for counter in VHOST_COUNTERS
                if counter in scrape.vhosts.columns
            }
    return Parts(reading.source, counts)


def _broker_table(
    scrape: Scrape,
    labels: LabelCache,
    nodes: list[NodeSeen],
    vhosts_told: Table,
    base: Base,
    parts: Parts,
    restarted: frozenset[str],
) -> Table:
    row: dict[str, float] = dict.fromkeys(("ready", "unacked", "consumers", "queues"), math.nan)
    if not scrape.told_nothing:  # the sum of no vhosts is zero only where somebody told of queues
        row = {name: float(vhosts_told.column(name).sum()) for name in row}
    vhosts = scrape.vhosts is not None or labels.directory.by_slot.get(Kind.VHOST)
    row["vhosts"] = float(len(vhosts_told.slots)) if vhosts else math.nan
    exchanges = labels.directory.by_slot.get(Kind.EXCHANGE)
    row["exchanges"] = float(sum(found.gone_ms is None for found in exchanges.values())) if exchanges else math.nan
    if nodes:
        row["nodes"] = float(len(nodes))
        row["nodes_running"] = float(sum(node.running is True for node in nodes))
    overview = scrape.overview or {}
    if scrape.exposed is not None:
        row["connections"] = _over_nodes(scrape, _NODE_GAUGES["connections"])
        row["channels"] = _over_nodes(scrape, _CHANNELS)
        row["unconfirmed"], row["unconfirmed_highest"] = _unconfirmed(scrape)
    for name in ("connections", "channels", "exchanges", "queues", "ready", "unacked", "consumers"):
        if math.isnan(row.get(name, math.nan)) and scrape.exposed is None:
            row[name] = overview.get(name, math.nan)
    held = base.frame.table(Kind.BROKER) if base.frame else None
    tallies = Parts(
        parts.source, {part: found for part, found in parts.counts.items() if not part.startswith("vhost:")}
    )
    for counter in GLOBAL_COUNTERS:
        before = held.value(0, counter) if held else math.nan
        row[counter] = (
            math.nan if scrape.silent else counters.accumulate(counter, tallies, base.parts, before, restarted)
        )
    return _table(Kind.BROKER, {0: row})


def _over_nodes(scrape: Scrape, family: str) -> float:
    if scrape.silent or not scrape.exposed:
        return math.nan
    return sum(value(families, family) for families in scrape.exposed.values())


def _unconfirmed(scrape: Scrape) -> tuple[float, float]:
    """Return what waits for a confirm on all channels, and on the channel where most does.

    Unknown in a tick that did not ask for it; where there is no channel, nothing waits.
    """
    total, highest = 0.0, 0.0
    for families in (scrape.exposed or {}).values():
        _, values = families.get(_UNCONFIRMED, NO_SAMPLES)
        if not len(values) and value(families, _CHANNELS) != 0:
            return math.nan, math.nan
        total += float(values.sum())
        highest = max(highest, float(values.max(initial=0.0)))
    return (math.nan, math.nan) if scrape.silent or not scrape.exposed else (total, highest)


def _facts(nodes: list[NodeSeen], table: Table, labels: LabelCache, version: str, *, listed: bool) -> BrokerFacts:
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
    return BrokerFacts(version, found, listed)


def _table(kind: Kind, rows: Mapping[int, Mapping[str, float]]) -> Table:
    slots = sorted(rows)
    columns = {
        metric.name: np.array([rows[slot].get(metric.name, math.nan) for slot in slots], dtype=np.float64)
        for metric in METRICS[kind]
    }
    return Table(np.array(slots, dtype=np.uint32), columns)


def _finite(table: Table) -> Table:
    """Return the table with what is endless unknown: a limit that there is not, or what nobody can have counted."""
    endless = {name: np.abs(values) > _MOST for name, values in table.columns.items()}
    if not any(where.any() for where in endless.values()):
        return table
    columns = {name: np.where(endless[name], math.nan, values) for name, values in table.columns.items()}
    return Table(table.slots, columns)


def _flag(truth: bool | None) -> float:
    return math.nan if truth is None else float(truth)


def _truth(flag: float) -> bool | None:
    return None if math.isnan(flag) else flag > 0
