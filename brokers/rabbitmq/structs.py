"""What the management API answers, as far as Warren reads it. Missing or unreadable fields are None: unknown."""

from __future__ import annotations

from typing import Any

import msgspec

# RabbitMQ up to 3.x shows an empty object as an empty list in some places.
MaybeDict = dict[str, Any] | list[Any] | None


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """Base: unknown fields are ignored, every field may be missing."""


class Whoami(Answered, frozen=True, kw_only=True):
    """`GET /api/whoami`. Tags come as text ("a,b") or as a list."""

    name: str = ""
    tags: list[str] | str = ""
    is_internal_user: bool | None = None

    @property
    def tag_set(self) -> frozenset[str]:
        """The user's tags."""
        return _tags(self.tags)


class MessageStats(Answered, frozen=True, kw_only=True):
    """Cumulative counters in messages, since the object's statistics began."""

    publish: int | None = None
    publish_in: int | None = None
    publish_out: int | None = None
    confirm: int | None = None
    deliver: int | None = None
    deliver_no_ack: int | None = None
    deliver_get: int | None = None
    get: int | None = None
    get_no_ack: int | None = None
    get_empty: int | None = None
    ack: int | None = None
    redeliver: int | None = None
    return_unroutable: int | None = None
    drop_unroutable: int | None = None


MaybeStats = MessageStats | list[Any] | None


class Listener(Answered, frozen=True, kw_only=True):
    """One listener of one node. `protocol` is amqp, http, https, http/prometheus, clustering, …"""

    node: str = ""
    protocol: str = ""
    ip_address: str | None = None
    port: int | None = None
    tls: bool | None = None


class WebContext(Answered, frozen=True, kw_only=True):
    """One web application of one node, as the overview lists them; the path is its prefix."""

    node: str = ""
    description: str | None = None
    path: str | None = None
    protocol: str | None = None
    ip: str | None = None
    port: str | int | None = None


class ObjectTotals(Answered, frozen=True, kw_only=True):
    """Counts in the whole cluster."""

    connections: int | None = None
    channels: int | None = None
    exchanges: int | None = None
    queues: int | None = None
    consumers: int | None = None


class QueueTotals(Answered, frozen=True, kw_only=True):
    """Messages in the whole cluster; all None until the first statistics tick, and where there is no queue."""

    messages: int | None = None
    messages_ready: int | None = None
    messages_unacknowledged: int | None = None


class ChurnRates(Answered, frozen=True, kw_only=True):
    """Cumulative counts of what came and went."""

    connection_created: int | None = None
    connection_closed: int | None = None
    channel_created: int | None = None
    channel_closed: int | None = None
    queue_declared: int | None = None
    queue_created: int | None = None
    queue_deleted: int | None = None


class Overview(Answered, frozen=True, kw_only=True):
    """`GET /api/overview`."""

    rabbitmq_version: str | None = None
    management_version: str | None = None
    product_name: str | None = None
    product_version: str | None = None
    # LavinMQ's own.
    lavinmq_version: str | None = None
    erlang_version: str | None = None
    cluster_name: str | None = None
    node: str | None = None
    rates_mode: str | None = None
    disable_stats: bool | None = None
    enable_queue_totals: bool | None = None
    default_queue_type: str | None = None
    statistics_db_event_queue: int | None = None
    listeners: list[Listener] | None = None
    contexts: list[WebContext] | None = None
    object_totals: ObjectTotals | list[Any] | None = None
    queue_totals: QueueTotals | list[Any] | None = None
    churn_rates: ChurnRates | list[Any] | None = None
    message_stats: MaybeStats = None

    @property
    def totals(self) -> ObjectTotals:
        """`object_totals`, all unknown where the broker shows none."""
        return self.object_totals if isinstance(self.object_totals, ObjectTotals) else ObjectTotals()

    @property
    def messages(self) -> QueueTotals:
        """`queue_totals`, all unknown where the broker shows none."""
        return self.queue_totals if isinstance(self.queue_totals, QueueTotals) else QueueTotals()

    @property
    def churn(self) -> ChurnRates:
        """`churn_rates`, all unknown where the broker shows none."""
        return self.churn_rates if isinstance(self.churn_rates, ChurnRates) else ChurnRates()

    @property
    def stats(self) -> MessageStats:
        """`message_stats`, all unknown where the broker shows none."""
        return _stats(self.message_stats)


class Node(Answered, frozen=True, kw_only=True):
    """One node; a node that is down has its name and `running` False only. Bytes, counts; `uptime` in ms."""

    name: str = ""
    type: str | None = None
    running: bool | None = None
    being_drained: bool | None = None
    partitions: list[str] | None = None
    rabbitmq_version: str | None = None
    erlang_version: str | None = None
    mem_used: int | None = None
    mem_limit: int | float | None = None
    mem_alarm: bool | None = None
    disk_free: int | float | None = None
    disk_free_limit: int | float | None = None
    disk_free_alarm: bool | None = None
    fd_used: int | None = None
    fd_total: int | None = None
    sockets_used: int | None = None
    sockets_total: int | None = None
    proc_used: int | None = None
    proc_total: int | None = None
    uptime: int | None = None
    run_queue: int | None = None
    processors: int | None = None
    rates_mode: str | None = None
    enabled_plugins: list[str] | None = None


class Vhost(Answered, frozen=True, kw_only=True):
    """One vhost. `cluster_state` says by node name whether it runs there ("running", "stopped", …)."""

    name: str = ""
    description: str | None = None
    tags: list[str] | str | None = None
    default_queue_type: str | None = None
    tracing: bool | None = None
    protected_from_deletion: bool | None = None
    cluster_state: dict[str, str] | list[Any] | None = None
    messages: int | None = None
    messages_ready: int | None = None
    messages_unacknowledged: int | None = None
    message_stats: MaybeStats = None

    @property
    def tag_set(self) -> frozenset[str]:
        """The vhost's tags."""
        return _tags(self.tags or "")

    @property
    def states(self) -> dict[str, str]:
        """`cluster_state`, empty where unknown."""
        return self.cluster_state if isinstance(self.cluster_state, dict) else {}

    @property
    def stats(self) -> MessageStats:
        """`message_stats`, all unknown where the broker shows none."""
        return _stats(self.message_stats)


class ChannelDetails(Answered, frozen=True, kw_only=True):
    """Which channel a consumer is on."""

    name: str | None = None
    connection_name: str | None = None
    peer_host: str | None = None
    peer_port: int | str | None = None
    user: str | None = None
    node: str | None = None
    number: int | None = None


class QueueRef(Answered, frozen=True, kw_only=True):
    """Name of a queue inside another object."""

    name: str = ""
    vhost: str = ""


class Consumer(Answered, frozen=True, kw_only=True):
    """One consumer. `prefetch_count` 0 means no limit."""

    consumer_tag: str = ""
    queue: QueueRef = QueueRef()
    channel_details: ChannelDetails | list[Any] | None = None
    ack_required: bool | None = None
    active: bool | None = None
    activity_status: str | None = None
    exclusive: bool | None = None
    prefetch_count: int | None = None
    consumer_timeout: int | str | None = None
    arguments: MaybeDict = None

    @property
    def channel(self) -> ChannelDetails:
        """`channel_details`, all unknown where the broker shows none."""
        return self.channel_details if isinstance(self.channel_details, ChannelDetails) else ChannelDetails()


class Queue(Answered, frozen=True, kw_only=True):
    """One queue. Which fields are there depends on what was asked, the queue's type and the statistics' age."""

    name: str = ""
    vhost: str = ""
    type: str | None = None
    durable: bool | None = None
    auto_delete: bool | None = None
    exclusive: bool | None = None
    arguments: MaybeDict = None
    state: str | None = None
    node: str | None = None
    leader: str | None = None
    members: list[str] | None = None
    online: list[str] | None = None
    policy: str | None = None
    operator_policy: str | None = None
    effective_policy_definition: MaybeDict = None
    messages: int | None = None
    messages_ready: int | None = None
    messages_unacknowledged: int | None = None
    messages_dlx: int | None = None
    message_bytes: int | None = None
    message_bytes_ready: int | None = None
    memory: int | None = None
    consumers: int | None = None
    consumer_utilisation: float | None = None
    consumer_capacity: float | None = None
    head_message_timestamp: int | None = None
    idle_since: str | None = None
    # A number or "unlimited"; absent on a 4.x quorum queue means the default, 20.
    delivery_limit: int | str | None = None
    storage_version: int | None = None
    single_active_consumer_tag: str | None = None
    consumer_details: list[Consumer] | None = None
    message_stats: MaybeStats = None

    @property
    def stats(self) -> MessageStats:
        """`message_stats`, all unknown where the broker shows none."""
        return _stats(self.message_stats)

    @property
    def declared(self) -> dict[str, Any]:
        """The queue's own arguments."""
        return self.arguments if isinstance(self.arguments, dict) else {}

    @property
    def effective(self) -> dict[str, Any] | None:
        """The effective policy's definition as the broker tells it; None where it does not."""
        found = self.effective_policy_definition
        return {} if isinstance(found, list) and not found else found if isinstance(found, dict) else None


class Exchange(Answered, frozen=True, kw_only=True):
    """One exchange; the default one is named "". `auto_delete` None also where an import left it undefined."""

    name: str = ""
    vhost: str = ""
    type: str = ""
    durable: bool | None = None
    auto_delete: bool | None = None
    internal: bool | None = None
    arguments: MaybeDict = None
    policy: str | None = None
    user_who_performed_action: str | None = None
    message_stats: MaybeStats = None

    @property
    def stats(self) -> MessageStats:
        """`message_stats`, all unknown where the broker shows none."""
        return _stats(self.message_stats)

    @property
    def declared(self) -> dict[str, Any]:
        """The exchange's own arguments."""
        return self.arguments if isinstance(self.arguments, dict) else {}


class Binding(Answered, frozen=True, kw_only=True):
    """One binding; `destination_type` is "queue" or "exchange"."""

    source: str = ""
    vhost: str = ""
    destination: str = ""
    destination_type: str = "queue"
    routing_key: str = ""
    arguments: MaybeDict = None
    properties_key: str | None = None

    @property
    def declared(self) -> dict[str, Any]:
        """The binding's arguments."""
        return self.arguments if isinstance(self.arguments, dict) else {}


class Policy(Answered, frozen=True, kw_only=True):
    """A policy or an operator policy. `apply_to` is all, queues, exchanges, classic_queues, quorum_queues, streams."""

    vhost: str = ""
    name: str = ""
    pattern: str = ""
    apply_to: str = msgspec.field(name="apply-to", default="all")
    definition: MaybeDict = None
    priority: int = 0

    @property
    def keys(self) -> dict[str, Any]:
        """The definition, empty where unknown."""
        return self.definition if isinstance(self.definition, dict) else {}


class FeatureFlag(Answered, frozen=True, kw_only=True):
    """One feature flag; `state` is enabled, disabled or unavailable."""

    name: str = ""
    state: str | None = None
    stability: str | None = None


class Page(Answered, frozen=True, kw_only=True):
    """The head of a paged answer; the items are decoded apart."""

    items: msgspec.Raw = msgspec.Raw(b"[]")
    page: int = 1
    page_count: int = 1
    page_size: int = 500
    filtered_count: int | None = None
    item_count: int | None = None
    total_count: int | None = None


class Refusal(Answered, frozen=True, kw_only=True):
    """The body of an error."""

    error: str | None = None
    reason: Any = None


def _stats(found: MaybeStats) -> MessageStats:
    return found if isinstance(found, MessageStats) else MessageStats()


def _tags(found: list[str] | str) -> frozenset[str]:
    several = found.split(",") if isinstance(found, str) else found
    return frozenset(tag.strip() for tag in several if tag.strip())
