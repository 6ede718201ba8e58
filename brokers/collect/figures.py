"""From the management API's answers to columns of figures. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from brokers.collect.answers import Figures, NodeSeen
from brokers.rabbitmq.structs import Exchange, MessageStats, Node, Overview, Queue, Vhost


def nodes_seen(told: list[Node] | None) -> tuple[NodeSeen, ...] | None:
    """Return the nodes; None where they were not told."""
    if told is None:
        return None
    return tuple(
        NodeSeen(
            name=node.name,
            running=node.running,
            memory_used=_number(node.mem_used),
            memory_limit=_number(node.mem_limit),
            memory_alarm=node.mem_alarm,
            disk_free=_number(node.disk_free),
            disk_limit=_number(node.disk_free_limit),
            disk_alarm=node.disk_free_alarm,
            fd_used=_number(node.fd_used),
            fd_limit=_number(node.fd_total),
            processes_used=_number(node.proc_used),
            processes_limit=_number(node.proc_total),
            uptime_s=_number(node.uptime) / 1000,
            partitions=tuple(node.partitions or ()),
            runs=_runs(node),
        )
        for node in told
        if node.name
    )


def _runs(node: Node) -> str:
    parts = (node.rabbitmq_version, node.rates_mode, *sorted(node.enabled_plugins or ()))
    return " ".join(part for part in parts if part)


def of_queues(told: list[Queue] | None, *, counted: bool) -> Figures | None:
    """Return depth, consumers and counters of queues. `counted`: the broker counts, so no count means none yet."""
    if told is None:
        return None
    return Figures(
        [(queue.vhost, queue.name) for queue in told],
        {
            "ready": _column(queue.messages_ready for queue in told),
            "unacked": _column(queue.messages_unacknowledged for queue in told),
            "consumers": _column(queue.consumers for queue in told),
            "capacity": _column(queue.consumer_capacity for queue in told),
            "message_bytes": _column(queue.message_bytes for queue in told),
            "memory": _column(queue.memory for queue in told),
            **_flow([queue.stats for queue in told], counted=counted),
        },
    )


def of_exchanges(told: list[Exchange] | None, *, counted: bool) -> Figures | None:
    """Return what was published to exchanges."""
    if told is None:
        return None
    published = _column(exchange.stats.publish_in for exchange in told)
    return Figures(
        [(exchange.vhost, exchange.name) for exchange in told],
        {"published": _zeroed(published) if counted else published},
    )


def of_vhosts(told: list[Vhost] | None, *, counted: bool) -> Figures | None:
    """Return counters of vhosts."""
    if told is None:
        return None
    stats = [vhost.stats for vhost in told]
    publishers = {
        "confirmed": _column(found.confirm for found in stats),
        "returned": _column(found.return_unroutable for found in stats),
        "dropped": _column(found.drop_unroutable for found in stats),
    }
    columns = {name: _zeroed(values) if counted else values for name, values in publishers.items()}
    return Figures([("", vhost.name) for vhost in told], _flow(stats, counted=counted) | columns)


def of_overview(told: Overview | None, *, counted: bool) -> dict[str, float] | None:
    """Return broker-wide counters and gauges by metric name."""
    if told is None:
        return None
    stats, totals, churn, messages = told.stats, told.totals, told.churn, told.messages
    counts = {
        "published": stats.publish,
        "confirmed": stats.confirm,
        "delivered": stats.deliver_get,
        "acknowledged": stats.ack,
        "redelivered": stats.redeliver,
        "returned": stats.return_unroutable,
        "dropped": stats.drop_unroutable,
    }
    figures = {name: _number(value if value is not None or not counted else 0) for name, value in counts.items()}
    gauges = {
        "connections": totals.connections,
        "channels": totals.channels,
        "exchanges": totals.exchanges,
        "queues": totals.queues,
        "consumers": totals.consumers,
        "ready": messages.messages_ready,
        "unacked": messages.messages_unacknowledged,
        "connections_opened": churn.connection_created,
        "connections_closed": churn.connection_closed,
        "channels_opened": churn.channel_created,
        "channels_closed": churn.channel_closed,
        "queues_created": churn.queue_created,
        "queues_deleted": churn.queue_deleted,
    }
    return figures | {name: _number(value) for name, value in gauges.items()}


def _flow(stats: list[MessageStats], *, counted: bool) -> dict[str, NDArray[np.float64]]:
    """What has no statistics yet has counted nothing, where the broker counts at all."""
    columns = {
        "published": _column(found.publish for found in stats),
        "delivered": _column(found.deliver_get for found in stats),
        "acknowledged": _column(found.ack for found in stats),
        "redelivered": _column(found.redeliver for found in stats),
    }
    return {name: _zeroed(values) if counted else values for name, values in columns.items()}


def _column(values: Iterable[float | None]) -> NDArray[np.float64]:
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def _zeroed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isnan(values), 0.0, values)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
