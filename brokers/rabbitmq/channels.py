"""What the management API tells of a channel, as far as Warren reads it. Missing fields are None: unknown."""

from __future__ import annotations

from typing import Any

from brokers.rabbitmq.structs import Answered


class ConnectionRef(Answered, frozen=True, kw_only=True):
    """Name of a connection inside another object: addresses and ports of both ends."""

    name: str | None = None


class Rate(Answered, frozen=True, kw_only=True):
    """How fast a counter grows, a second."""

    rate: float | None = None


class ChannelStats(Answered, frozen=True, kw_only=True):
    """What was published and delivered on a channel, in messages."""

    publish: int | None = None
    publish_details: Rate | list[Any] | None = None
    confirm: int | None = None
    return_unroutable: int | None = None
    ack_details: Rate | list[Any] | None = None
    deliver_get_details: Rate | list[Any] | None = None

    @property
    def ack_rate(self) -> float | None:
        """Acknowledgements a second over the broker's last samples."""
        return self.ack_details.rate if isinstance(self.ack_details, Rate) else None

    @property
    def deliver_rate(self) -> float | None:
        """Deliveries a second over the broker's last samples, of automatic acknowledgement too."""
        return self.deliver_get_details.rate if isinstance(self.deliver_get_details, Rate) else None


class Channel(Answered, frozen=True, kw_only=True):
    """One channel. `prefetch_count` 0 means no limit; statistics are missing until the channel's first tick."""

    name: str = ""
    number: int | None = None
    vhost: str = ""
    user: str | None = None
    confirm: bool | None = None
    transactional: bool | None = None
    messages_unconfirmed: int | None = None
    messages_unacknowledged: int | None = None
    prefetch_count: int | None = None
    consumer_count: int | None = None
    connection_details: ConnectionRef | list[Any] | None = None
    message_stats: ChannelStats | list[Any] | None = None

    @property
    def connection(self) -> str:
        """The connection's name, empty where unknown."""
        found = self.connection_details
        return (found.name or "") if isinstance(found, ConnectionRef) else ""

    @property
    def stats(self) -> ChannelStats:
        """`message_stats`, all unknown where the broker shows none."""
        return self.message_stats if isinstance(self.message_stats, ChannelStats) else ChannelStats()
