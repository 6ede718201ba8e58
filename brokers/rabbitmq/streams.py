"""What the management API tells of a consumer of a stream that reads by the stream protocol.

`GET /api/stream/consumers` of the plugin rabbitmq_stream_management. Consumers of a stream that read by AMQP are not in
that list [measured on 3.10, 4.0 and 4.3]. Missing fields are None: unknown.
"""

from __future__ import annotations

from typing import Any

from brokers.rabbitmq.channels import ConnectionRef
from brokers.rabbitmq.structs import Answered, MaybeDict, QueueRef


class StreamConsumer(Answered, frozen=True, kw_only=True):
    """One subscription. `offset` is that of the last message sent to it, a word like "first" before there is one.

    `offset_lag` is how many messages lie between that and the end of the stream. Consumers of one group give the same
    name in `properties`; `active` is False for one of a group with a single active consumer that waits for its turn.
    """

    queue: QueueRef = QueueRef()
    subscription_id: int | None = None
    connection_details: ConnectionRef | list[Any] | None = None
    active: bool | None = None
    activity_status: str | None = None
    consumed: int | None = None
    credits: int | None = None
    offset: int | str | None = None
    offset_lag: int | None = None
    properties: MaybeDict = None

    @property
    def connection(self) -> str:
        """The connection's name, empty where unknown."""
        found = self.connection_details
        return (found.name or "") if isinstance(found, ConnectionRef) else ""

    @property
    def group(self) -> str:
        """The name that it gave itself, empty for none."""
        name = (self.properties or {}).get("name") if isinstance(self.properties, dict) else None
        return name if isinstance(name, str) else ""
