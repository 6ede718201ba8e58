"""The names of everything that is kept over time: kinds of objects, their metrics, and the rates read from counters.

Gauges are stored as they are. Counters are stored cumulative; a rate is computed on reading, and a counter that fell
(a restart, a vanished channel) makes its interval unknown, not negative and not zero. States are whole numbers, the
worse the higher. What is derived from these without being stored is in brokers.lag.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a series belongs to."""

    BROKER = "broker"
    NODE = "node"
    VHOST = "vhost"
    EXCHANGE = "exchange"
    QUEUE = "queue"


class Shape(StrEnum):
    """How a metric moves."""

    GAUGE = "gauge"
    COUNTER = "counter"
    STATE = "state"


@dataclass(frozen=True, slots=True)
class Metric:
    """One stored metric. `unit` is `messages`, `bytes`, `count`, `ratio`, `offsets`, `s`, `flag` (0 or 1) or `code`."""

    name: str
    shape: Shape
    unit: str
    says: str


def _gauge(name: str, unit: str, says: str) -> Metric:
    return Metric(name, Shape.GAUGE, unit, says)


def _counter(name: str, says: str, unit: str = "messages") -> Metric:
    return Metric(name, Shape.COUNTER, unit, says)


_STOCK = (
    _gauge("ready", "messages", "Messages ready to be delivered"),
    _gauge("unacked", "messages", "Messages delivered and not acknowledged yet"),
    _gauge("consumers", "count", "Consumers subscribed"),
)
_ENTERED = _counter("published", "Messages published into the queue (dead letters count nowhere)")
_PUBLISHED = _counter("published", "Messages published to the vhost's exchanges")
_FLOW = (
    _counter("delivered", "Messages delivered to consumers or fetched by basic.get, redeliveries included"),
    _counter("acknowledged", "Messages acknowledged by consumers"),
    _counter("redelivered", "Messages delivered once more"),
)

METRICS: dict[Kind, tuple[Metric, ...]] = {
    Kind.QUEUE: (
        *_STOCK,
        _ENTERED,
        *_FLOW,
        _gauge("prefetch", "messages", "What the consumers may hold unacknowledged, all together; unknown: no limit"),
        _gauge("capacity", "ratio", "Share of the time in which the queue could deliver at once"),
        _gauge("message_bytes", "bytes", "Bodies of the messages in the queue"),
        _gauge("memory", "bytes", "Memory of the queue's process"),
        _gauge("stream_lag", "offsets", "How far the slowest consumer of a stream is behind its end"),
        _gauge("time_lag", "s", "Age of the oldest message that is not acknowledged"),
        Metric("lag_source", Shape.STATE, "code", "What the time lag was read from"),
        Metric("consumer_state", Shape.STATE, "code", "How the consumers keep up"),
    ),
    Kind.VHOST: (
        _gauge("queues", "count", "Queues"),
        *_STOCK,
        _PUBLISHED,
        *_FLOW,
        _counter("confirmed", "Messages confirmed to their publishers"),
        _counter("returned", "Messages returned as unroutable"),
        _counter("dropped", "Messages dropped as unroutable"),
    ),
    Kind.EXCHANGE: (
        _counter("published", "Messages published to the exchange"),
        _counter("confirmed", "Messages confirmed to their publishers"),
        _counter("returned", "Messages returned as unroutable"),
        _counter("dropped", "Messages dropped as unroutable"),
    ),
    Kind.NODE: (
        _gauge("running", "flag", "The node runs"),
        _gauge("memory_used", "bytes", "Resident memory"),
        _gauge("memory_limit", "bytes", "Memory at which publishers are blocked"),
        _gauge("disk_free", "bytes", "Free disk"),
        _gauge("disk_limit", "bytes", "Free disk below which publishers are blocked"),
        _gauge("fd_used", "count", "File descriptors in use"),
        _gauge("fd_limit", "count", "File descriptors that may be used"),
        _gauge("processes_used", "count", "Erlang processes"),
        _gauge("processes_limit", "count", "Erlang processes that may exist"),
        _gauge("memory_alarm", "flag", "The memory alarm is up: publishers are blocked"),
        _gauge("disk_alarm", "flag", "The disk alarm is up: publishers are blocked"),
        _gauge("uptime", "s", "Time since the node started"),
        _gauge("connections", "count", "Client connections to the node"),
        _gauge("leaders", "count", "Queues that the node leads"),
        _counter("received", "Messages received from publishers, by the node"),
        _counter("confirmed", "Messages confirmed to publishers, by the node"),
    ),
    Kind.BROKER: (
        *_STOCK,
        _gauge("queues", "count", "Queues"),
        _gauge("exchanges", "count", "Exchanges"),
        _gauge("vhosts", "count", "Vhosts"),
        _gauge("connections", "count", "Client connections"),
        _gauge("channels", "count", "Channels"),
        _gauge("nodes", "count", "Nodes that belong to the cluster"),
        _gauge("nodes_running", "count", "Nodes that run"),
        _counter("published", "Messages received from publishers"),
        _counter("confirmed", "Messages confirmed to publishers"),
        _counter("received_confirm", "Messages received from publishers that asked for confirms"),
        _counter("delivered", "Messages delivered to consumers or fetched by basic.get"),
        _counter("acknowledged", "Messages acknowledged by consumers"),
        _counter("redelivered", "Messages delivered once more"),
        _counter("returned", "Messages returned as unroutable"),
        _counter("dropped", "Messages dropped as unroutable"),
        _counter("dead_lettered", "Messages dead-lettered, whatever the reason"),
        _counter("dead_lettered_rejected", "Messages dead-lettered because a consumer rejected them"),
        _counter("dead_lettered_expired", "Messages dead-lettered because their time was up"),
        _counter("dead_lettered_maxlen", "Messages dead-lettered because the queue was full"),
        _counter("dead_lettered_delivery_limit", "Messages dead-lettered because they were returned too often"),
        _counter("connections_opened", "Connections opened", "count"),
        _counter("connections_closed", "Connections closed", "count"),
        _counter("channels_opened", "Channels opened", "count"),
        _counter("channels_closed", "Channels closed", "count"),
        _counter("queues_created", "Queues created", "count"),
        _counter("queues_deleted", "Queues deleted", "count"),
        _gauge("unconfirmed", "messages", "Messages published on channels with confirms and not confirmed yet"),
        _gauge("unconfirmed_highest", "messages", "Unconfirmed messages of the channel that has most of them"),
    ),
}

# Gauges too dear for every tick: they are read as often as the broker can bear, and hold in between.
SELDOM = frozenset(
    {"consumers", "prefetch", "capacity", "message_bytes", "memory", "stream_lag", "unconfirmed", "unconfirmed_highest"}
)

# Rates by the names that pages and the API use; each is read from the counter beside it, per second.
RATES: dict[str, str] = {
    "publish_rate": "published",
    "confirm_rate": "confirmed",
    "deliver_rate": "delivered",
    "ack_rate": "acknowledged",
    "redeliver_rate": "redelivered",
    "return_rate": "returned",
    "drop_rate": "dropped",
    "dead_letter_rate": "dead_lettered",
    "dead_letter_rejected_rate": "dead_lettered_rejected",
    "dead_letter_expired_rate": "dead_lettered_expired",
    "dead_letter_maxlen_rate": "dead_lettered_maxlen",
    "dead_letter_delivery_limit_rate": "dead_lettered_delivery_limit",
    "receive_rate": "received",
    "received_confirm_rate": "received_confirm",
    "connection_open_rate": "connections_opened",
    "connection_close_rate": "connections_closed",
    "channel_open_rate": "channels_opened",
    "channel_close_rate": "channels_closed",
    "queue_create_rate": "queues_created",
    "queue_delete_rate": "queues_deleted",
}


def stored_names(kind: Kind) -> tuple[str, ...]:
    """Return the names of the stored metrics of a kind, gauges and counters."""
    return tuple(metric.name for metric in METRICS[kind])


def readable_names(kind: Kind) -> tuple[str, ...]:
    """Return the names that a reader may ask for: gauges, counters and the rates of the kind's counters."""
    stored = stored_names(kind)
    return (*stored, *(rate for rate, counter in RATES.items() if counter in stored))
