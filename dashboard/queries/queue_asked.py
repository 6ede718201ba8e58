"""What a queue's broker is asked when somebody looks: its consumers, its bindings, its policies. Nothing else.

Two to four reads of the management API with the watching credential, and one of each channel of its consumers, each
bounded in time, shared for some seconds by all who look at the same queue. They read definitions and lists: no
message is fetched, none is touched.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace

import msgspec

from brokers.collect.clients import clients_of
from brokers.rabbitmq.channels import Channel
from brokers.rabbitmq.errors import BrokerError, NoPermissionRowError, NotFoundError
from brokers.rabbitmq.management import Management
from brokers.rabbitmq.structs import Binding, Consumer, Policy, Queue
from brokers.registry.credentials import SealedError
from brokers.registry.details import QueueDetail
from brokers.registry.models import Broker
from dashboard import formats
from dashboard.queries.queue import Known
from dashboard.queries.queue_definition import Setting, arguments_text, settings

CONSUMERS_SHOWN = 100
BINDINGS_SHOWN = 200
# Of so many channels it is asked how they keep up, 2 ms each [measured].
CHANNELS_ASKED = 25
# Answers are shared for so long, seconds.
_KEPT_S = 4.0
_KEPT = 64
# A person waits for the answers: what has not been asked by then is left out. Each read has the limits of a tick.
_PATIENCE_S = 4.0


@dataclass(frozen=True, slots=True)
class ConsumerRow:
    """One consumer. `icon` and `word` are its state.

    `prefetch`, `held` (not acknowledged yet) and `pace` (what it acknowledges a second; what is delivered to it, where
    that is automatic) are empty where unknown: `unknown` says why. `shared`: the last two are of a channel that has so
    many consumers, 0 where it has this one alone.
    """

    tag: str
    who: str
    channel: str
    icon: str
    word: str
    prefetch: str
    acks: str
    arguments: tuple[tuple[str, str], ...]
    held: str = ""
    pace: str = ""
    shared: int = 0
    unknown: str = "The broker does not tell it."


@dataclass(frozen=True, slots=True)
class BindingRow:
    """One binding that leads to the queue; an empty `source` is the default exchange."""

    source: str
    key: str
    arguments: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the broker answered. `problem` and `remedy` are sentences where it did not; what it did answer is there.

    `consumers` and `bindings` are None where they are not known.
    """

    queue: Queue | None = None
    consumers: tuple[ConsumerRow, ...] | None = None
    consumers_more: int = 0
    bindings: tuple[BindingRow, ...] | None = None
    bindings_more: int = 0
    policy: Policy | None = None
    operator_policy: Policy | None = None
    problem: str = ""
    remedy: str = ""
    gone: bool = False
    closed: bool = False

    @property
    def consumers_in_all(self) -> int:
        """How many consumers there are."""
        return len(self.consumers or ()) + self.consumers_more

    @property
    def bindings_in_all(self) -> int:
        """How many bindings there are."""
        return len(self.bindings or ()) + self.bindings_more


_Key = tuple[int, int, str, str]
_answers: OrderedDict[_Key, tuple[float, Asked]] = OrderedDict()
_asking: dict[_Key, threading.Lock] = {}
_lock = threading.Lock()


def ask(known: Known) -> Asked:
    """Ask the queue's broker; never raises for what the broker does."""
    broker = Broker.objects.filter(pk=known.facts.id).first()
    if broker is None or broker.paused:
        return Asked(problem=f"Polling of {known.facts.name} is paused: nothing is asked of it." if broker else "")
    key = (broker.pk, broker.revision, known.vhost, known.name)
    with _lock:
        mine = _asking.setdefault(key, threading.Lock())
    # Whoever comes while the broker is being asked waits for that answer instead of asking again.
    with mine:
        held = _answers.get(key)
        if held is not None and time.monotonic() - held[0] < _KEPT_S:
            return held[1]
        found = _ask(broker, known)
        with _lock:
            _answers[key] = (time.monotonic(), found)
            while len(_answers) > _KEPT:
                old, _ = _answers.popitem(last=False)
                _asking.pop(old, None)
        return found


def forget() -> None:
    """Drop every answer."""
    with _lock:
        _answers.clear()
        _asking.clear()


def for_person(asked: Asked, known: Known) -> Asked:
    """Return what a person may know of an answer: sentences that name hosts and users are for the broker's own."""
    if known.facts.whole or not asked.problem:
        return asked
    said = (
        "Warren may not look into this vhost."
        if asked.closed
        else f"{known.facts.name} does not tell it at the moment."
    )
    return replace(asked, problem=said, remedy="")


def detail_with(detail: QueueDetail, queue: Queue | None) -> QueueDetail:
    """Return the definition as the broker tells it now, what it does not tell as it is stored."""
    if queue is None or queue.type is None:
        return detail
    return msgspec.structs.replace(
        detail,
        type=queue.type,
        durable=queue.durable,
        auto_delete=queue.auto_delete,
        exclusive=queue.exclusive,
        arguments=queue.declared,
        policy=queue.policy or None,
        operator_policy=queue.operator_policy or None,
        effective_policy=detail.effective_policy if queue.effective is None else queue.effective,
        state=queue.state or detail.state,
        node=queue.leader or queue.node or detail.node,
        members=tuple(queue.members or ()),
        online=tuple(queue.online or ()),
    )


def settings_of(asked: Asked, detail: QueueDetail, version: str) -> tuple[Setting, ...]:
    """Return the queue's settings with where each comes from, as far as policies could be read."""
    return settings(detail, version, asked.policy, asked.operator_policy)


def _ask(broker: Broker, known: Known) -> Asked:
    began = time.monotonic()
    try:
        pool = clients_of(broker)
        management = Management(pool.endpoint, client=pool.management)
        queue = management.queue(known.vhost, known.name)
    except NoPermissionRowError as error:
        return Asked(problem=error.sentence, remedy=error.remedy, closed=True)
    except NotFoundError:
        return Asked(gone=True, problem=f"{broker.name} has no such queue now.")
    except BrokerError as error:
        return Asked(problem=error.sentence, remedy=error.remedy)
    except SealedError as error:
        return Asked(problem=str(error))
    asked = _with_consumers(queue)
    reads = (_with_bindings, _with_policy, _with_operator_policy, _with_paces)
    for read in reads:
        if time.monotonic() - began > _PATIENCE_S:
            return replace(
                asked, problem=f"{broker.name} takes longer than {_PATIENCE_S:g} s to tell what is asked of this queue."
            )
        try:
            asked = read(asked, management, queue)
        except BrokerError as error:
            asked = replace(asked, problem=error.sentence, remedy=error.remedy)
    return asked


def _with_consumers(queue: Queue) -> Asked:
    found = queue.consumer_details
    if found is None:
        return Asked(queue=queue)
    ordered = sorted(found, key=_by_channel)
    shown = tuple(map(consumer_row, ordered[:CONSUMERS_SHOWN]))
    return Asked(queue=queue, consumers=shown, consumers_more=len(ordered) - len(shown))


def _with_bindings(asked: Asked, management: Management, queue: Queue) -> Asked:
    ordered = sorted(management.queue_bindings(queue.vhost, queue.name), key=_binding_order)
    shown = tuple(map(binding_row, ordered[:BINDINGS_SHOWN]))
    return replace(asked, bindings=shown, bindings_more=len(ordered) - len(shown))


def _with_policy(asked: Asked, management: Management, queue: Queue) -> Asked:
    if not queue.policy:
        return asked
    return replace(asked, policy=_named(management.policies(queue.vhost), queue.policy))


def _with_operator_policy(asked: Asked, management: Management, queue: Queue) -> Asked:
    if not queue.operator_policy:
        return asked
    return replace(asked, operator_policy=_named(management.operator_policies(queue.vhost), queue.operator_policy))


def _with_paces(asked: Asked, management: Management, _: Queue) -> Asked:
    """Ask the channels of the consumers what they hold and how fast they acknowledge: who of several is at fault."""
    rows = asked.consumers or ()
    names = list(dict.fromkeys(row.channel for row in rows if row.channel))
    channels: dict[str, Channel] = {}
    for name in names[:CHANNELS_ASKED]:
        # One that is closed meanwhile has nothing to tell.
        with contextlib.suppress(NotFoundError):
            channels[name] = management.channel(name)
    few = f"Only the first {CHANNELS_ASKED} channels are asked."
    left_out = set(names[CHANNELS_ASKED:])
    told = (
        paced(row, channels[row.channel])
        if row.channel in channels
        else replace(row, unknown=few if row.channel in left_out else row.unknown)
        for row in rows
    )
    return replace(asked, consumers=tuple(told))


def paced(row: ConsumerRow, channel: Channel) -> ConsumerRow:
    """Return a consumer with what its channel tells."""
    held, stats = channel.messages_unacknowledged, channel.stats
    pace = stats.deliver_rate if row.acks == "automatic" else stats.ack_rate
    many = channel.consumer_count or 0
    return replace(
        row,
        held="" if held is None else formats.count(held),
        pace="" if pace is None else formats.rate(pace),
        shared=many if many > 1 else 0,
    )


def _named(policies: list[Policy], name: str) -> Policy | None:
    return next((one for one in policies if one.name == name), None)


def _by_channel(consumer: Consumer) -> tuple[str, str]:
    return consumer.channel.name or "", consumer.consumer_tag


def _binding_order(binding: Binding) -> tuple[bool, str, str]:
    return binding.source == "", binding.source, binding.routing_key


def consumer_row(consumer: Consumer) -> ConsumerRow:
    """Return a consumer as the table shows it."""
    channel = consumer.channel
    icon, word = _activity(consumer)
    prefetch = (
        ""
        if consumer.prefetch_count is None
        else "no limit"
        if consumer.prefetch_count == 0
        else f"{consumer.prefetch_count:,}"
    )
    arguments = consumer.arguments if isinstance(consumer.arguments, dict) else {}
    return ConsumerRow(
        tag=consumer.consumer_tag,
        who=channel.user or "",
        channel=channel.name or channel.connection_name or "",
        icon=icon,
        word=word,
        prefetch=prefetch,
        acks={True: "manual", False: "automatic", None: ""}[consumer.ack_required],
        arguments=arguments_text(arguments),
    )


def binding_row(binding: Binding) -> BindingRow:
    """Return a binding as the table shows it."""
    return BindingRow(binding.source, binding.routing_key, arguments_text(binding.declared))


def _activity(consumer: Consumer) -> tuple[str, str]:
    """Return a consumer's state: of a single active consumer's queue the others wait."""
    told = consumer.activity_status
    if told == "suspected_down":
        return "warning", "Suspected down"
    # Before 4.3 consumers of streams are `up` and yet not `active` [measured on 3.10 and 4.0].
    if told in {"waiting", "single_active_waiting"} or (told is None and consumer.active is False):
        return "idle", "Waiting its turn"
    if told in {"up", "single_active"} or consumer.active:
        return "ok", "Active" if told != "single_active" else "The active one"
    return "unknown", "Unknown"
