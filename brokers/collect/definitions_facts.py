"""From what a broker declares to the details that the registry keeps of each object, and to what is gone. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from brokers.collect.channels import prefetches
from brokers.collect.definitions_read import Declared
from brokers.rabbitmq import dead_letters, policy
from brokers.rabbitmq.dead_letters import Dying, Sources
from brokers.rabbitmq.keys import Budget
from brokers.rabbitmq.routing import Router
from brokers.rabbitmq.structs import Binding, Exchange, Node, Policy, Queue
from brokers.registry.details import ExchangeDetail, NodeDetail, QueueDetail, VhostDetail
from brokers.registry.slots import KnownObject, ObjectName
from brokers.series.metrics import Kind

# The same facts are the same bytes, whatever order a broker tells them in: only what changed is written.
_encoder = msgspec.json.Encoder(order="deterministic")


V = TypeVar("V", Policy, Exchange, Binding)


@dataclass(slots=True)
class Told:
    """The objects that a broker told of, with their details as JSON."""

    details: dict[Kind, dict[ObjectName, bytes]] = field(default_factory=dict)
    # Kinds whose list came whole, as far as vhosts are open.
    whole: frozenset[Kind] = frozenset()
    listed: frozenset[str] = frozenset()
    closed: frozenset[str] = frozenset()
    said: list[str] = field(default_factory=list)

    def departed(self, kind: Kind, name: ObjectName) -> bool:
        """Tell whether an object that was seen before is not there any more."""
        if name in self.details.get(kind, {}):
            return False
        if kind in {Kind.VHOST, Kind.NODE}:
            return kind in self.whole
        if Kind.VHOST in self.whole and name.vhost not in self.listed:
            return True
        return kind in self.whole and name.vhost not in self.closed


def told(declared: Declared, known: Mapping[Kind, Mapping[ObjectName, KnownObject]]) -> Told:
    """Return the details of everything that was told. `known`: the objects as they are in the registry now."""
    found = Told(said=list(declared.said))
    found.whole = frozenset(
        kind
        for kind, answer in (
            (Kind.NODE, declared.nodes),
            (Kind.VHOST, declared.vhosts),
            # Without the vhosts nobody knows which of them are closed.
            (Kind.EXCHANGE, declared.exchanges if declared.closed is not None else None),
            (Kind.QUEUE, declared.queues if declared.closed is not None else None),
        )
        if answer is not None
    )
    found.listed = frozenset(vhost.name for vhost in declared.vhosts or ())
    found.closed = (declared.closed or frozenset()) | declared.unsure
    if declared.nodes is not None:
        found.details[Kind.NODE] = {
            ObjectName("", one.name): _node(one, declared) for one in declared.nodes if one.name
        }
    if declared.vhosts is not None:
        found.details[Kind.VHOST] = _vhosts(declared)
    if declared.exchanges is not None:
        found.details[Kind.EXCHANGE] = {ObjectName(one.vhost, one.name): _exchange(one) for one in declared.exchanges}
    if declared.queues is not None:
        before = known.get(Kind.QUEUE, {})
        found.details[Kind.QUEUE] = _queues(declared, before, found.said)
    return found


def _node(node: Node, declared: Declared) -> bytes:
    overview = declared.overview
    # Before 4.3 the list of nodes has no versions; the overview tells those of the node that answered.
    here = overview if overview is not None and overview.node == node.name else None
    return _encoder.encode(
        NodeDetail(
            type=node.type,
            rabbitmq_version=node.rabbitmq_version or (here.rabbitmq_version if here else None),
            erlang_version=node.erlang_version or (here.erlang_version if here else None),
            plugins=tuple(sorted(node.enabled_plugins or ())),
            partitions=tuple(sorted(node.partitions or ())),
        )
    )


def _vhosts(declared: Declared) -> dict[ObjectName, bytes]:
    policies = _by_vhost(declared.policies)
    operators = _by_vhost(declared.operator_policies)
    closed = declared.closed
    found = {}
    for vhost in declared.vhosts or ():
        shut = closed is not None and vhost.name in closed
        default_type = vhost.default_queue_type
        found[ObjectName("", vhost.name)] = _encoder.encode(
            VhostDetail(
                description=vhost.description or "",
                default_queue_type=None if default_type == "undefined" else default_type,
                readable=None if closed is None or vhost.name in declared.unsure else not shut,
                policies=None if shut or declared.policies is None else policies.get(vhost.name, ()),
                operator_policies=None if shut or declared.operator_policies is None else operators.get(vhost.name, ()),
            )
        )
    return found


def _exchange(exchange: Exchange) -> bytes:
    return _encoder.encode(
        ExchangeDetail(
            type=exchange.type or None,
            durable=exchange.durable,
            auto_delete=exchange.auto_delete,
            internal=exchange.internal,
            arguments=exchange.declared,
            policy=exchange.policy or None,
        )
    )


def _queues(declared: Declared, before: Mapping[ObjectName, KnownObject], said: list[str]) -> dict[ObjectName, bytes]:
    policies = {(one.vhost, one.name): one for one in declared.policies or ()}
    operators = _by_vhost(declared.operator_policies)
    drafts: dict[ObjectName, QueueDetail] = {}
    dying: dict[str, list[Dying]] = {}
    for queue in declared.queues or ():
        draft = _queue(queue, policies, operators.get(queue.vhost, ()))
        drafts[ObjectName(queue.vhost, queue.name)] = draft
        dying.setdefault(queue.vhost, []).append(
            # Nothing dies in a stream, whatever a policy for all queues says [RabbitMQ's source].
            Dying(queue.name)
            if draft.type == "stream"
            else dead_letters.dying(queue.name, draft.arguments, draft.effective_policy)
        )
    letters = _letters(declared, dying, said)
    held = prefetches(declared.consumers or ())
    found = {}
    for name, draft in drafts.items():
        limit, consumers = held.get(name, (None, None))
        part = letters.get(name, _NONE) if letters is not None else _remembered(before.get(name))
        found[name] = _encoder.encode(
            msgspec.structs.replace(
                draft,
                dead_letters_of=part.sources.names,
                dead_letter_sources=part.sources.count,
                waits=part.waits,
                prefetch=limit,
                prefetch_consumers=None if limit is None else consumers,
            )
        )
    return found


def _state(queue: Queue) -> str | None:
    """Return a queue's state. Without statistics 3.10 calls each `live`, whoever of its members is online."""
    if queue.state != "live":
        return queue.state
    if not queue.members or queue.online is None or 2 * len(queue.online) > len(queue.members):
        return "running"
    return "minority" if queue.online else "down"


def _queue(queue: Queue, policies: Mapping[tuple[str, str], Policy], operators: Sequence[Policy]) -> QueueDetail:
    effective = queue.effective
    operator = queue.operator_policy or None
    if effective is None:
        # Up to 4.0 the cheap list names the policy and tells neither the operator policy nor what both define.
        matched = policy.matching(operators, queue.vhost, queue.name, queue.type) if operators else None
        operator = operator or (matched.name if matched else None)
        own = policies.get((queue.vhost, queue.policy or ""))
        effective = policy.merged(own.keys if own else {}, matched.keys if matched else {})
    return QueueDetail(
        type=queue.type,
        durable=queue.durable,
        auto_delete=queue.auto_delete,
        exclusive=queue.exclusive,
        arguments=queue.declared,
        policy=queue.policy or None,
        operator_policy=operator,
        effective_policy=effective,
        state=_state(queue),
        node=queue.leader or queue.node,
        members=tuple(queue.members or ()),
        online=tuple(sorted(queue.online or ())),
        named_like_dlq=dead_letters.named_like_one(queue.name),
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """What part a queue has in where letters go: whose it gets, and whether they only wait in it."""

    sources: Sources
    waits: bool = False


_NONE = _Part(Sources((), 0))
_WAITS = _Part(Sources((), 0), waits=True)


def _letters(declared: Declared, dying: Mapping[str, list[Dying]], said: list[str]) -> dict[ObjectName, _Part] | None:
    """Return each queue's part, without those that have none; None where bindings or exchanges were not told."""
    if not declared.bindings_wanted:
        return {}
    if declared.bindings is None or declared.exchanges is None:
        return None
    exchanges = _by_vhost(declared.exchanges)
    bindings = _by_vhost(declared.bindings)
    policies = _by_vhost(declared.policies)
    found: dict[ObjectName, _Part] = {}
    budget = Budget()
    for vhost, queues in dying.items():
        if all(queue.exchange is None for queue in queues):
            continue
        router = Router(
            (queue.name for queue in queues),
            exchanges.get(vhost, ()),
            bindings.get(vhost, ()),
            policies.get(vhost, ()),
        )
        result = dead_letters.find(queues, router, budget)
        if not result.whole:
            said.append(
                f"The bindings of the vhost {vhost!r} are too many to be followed to their end: "
                "some of its dead-letter queues may not be marked as such."
            )
            budget = Budget()
        found |= {ObjectName(vhost, name): _Part(sources) for name, sources in result.dead_letter_queues.items()}
        # No queue in which letters only wait is where they come to rest.
        found |= {ObjectName(vhost, name): _WAITS for name in result.waiting}
    return found


def _remembered(known: KnownObject | None) -> _Part:
    if known is None:
        return _NONE
    try:
        detail = msgspec.json.decode(known.detail, type=QueueDetail)
    except msgspec.MsgspecError:
        return _NONE
    return _Part(Sources(detail.dead_letters_of, detail.dead_letter_sources), detail.waits)


def _by_vhost(told: Iterable[V] | None) -> dict[str, tuple[V, ...]]:
    found: dict[str, list[V]] = {}
    for one in told or ():
        found.setdefault(one.vhost, []).append(one)
    return {vhost: tuple(several) for vhost, several in found.items()}
