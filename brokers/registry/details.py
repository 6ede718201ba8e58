"""What is known of an object beside its figures: one struct a kind, stored as JSON in BrokerObject.detail."""

from __future__ import annotations

from typing import Any

import msgspec

from brokers.rabbitmq.structs import Policy

# Words of a broker for a queue that does not run.
DOWN = frozenset({"down", "crashed", "stopped", "terminated", "noproc", "timeout"})


class QueueDetail(msgspec.Struct, frozen=True, omit_defaults=True):
    """A queue's definition as the broker last told it. None is *unknown*, never *no*."""

    type: str | None = None
    durable: bool | None = None
    auto_delete: bool | None = None
    exclusive: bool | None = None
    arguments: dict[str, Any] = {}
    policy: str | None = None
    operator_policy: str | None = None
    effective_policy: dict[str, Any] = {}
    # The broker's own word for the state: running, idle, flow, down, minority, stopped, …
    state: str | None = None
    # Node that leads the queue (classic: holds it).
    node: str | None = None
    members: tuple[str, ...] = ()
    online: tuple[str, ...] = ()
    # Queues of the same vhost whose letters are routed here, found by topology: the first by name, and how many.
    dead_letters_of: tuple[str, ...] = ()
    dead_letter_sources: int = 0
    named_like_dlq: bool = False
    # Messages wait here until their time is up and then go on (a retry's delay): nobody is to consume it.
    waits: bool = False
    # What the consumers may hold unacknowledged, all together, and how many consumers that was. None: not told, or one
    # of them has no limit.
    prefetch: int | None = None
    prefetch_consumers: int | None = None

    @property
    def holds_letters(self) -> bool:
        """It is a dead-letter queue, by topology or by name: nobody is expected to consume it."""
        return bool(self.dead_letters_of) or self.named_like_dlq


class ExchangeDetail(msgspec.Struct, frozen=True, omit_defaults=True):
    """An exchange's definition."""

    type: str | None = None
    durable: bool | None = None
    auto_delete: bool | None = None
    internal: bool | None = None
    arguments: dict[str, Any] = {}
    policy: str | None = None


class VhostDetail(msgspec.Struct, frozen=True, omit_defaults=True):
    """A vhost. `readable` is False where the watching user sees the vhost but has no permission row in it."""

    description: str = ""
    default_queue_type: str | None = None
    readable: bool | None = None
    # The vhost's policies, so that each setting of a queue can be told with its origin. None: not told.
    policies: tuple[Policy, ...] | None = None
    operator_policies: tuple[Policy, ...] | None = None


class NodeDetail(msgspec.Struct, frozen=True, omit_defaults=True):
    """A node of the cluster."""

    type: str | None = None
    rabbitmq_version: str | None = None
    erlang_version: str | None = None
    plugins: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()
