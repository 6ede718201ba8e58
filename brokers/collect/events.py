"""What changed on a broker as a whole between two polls, as events with a sentence for a person. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import msgspec


class EventKind(StrEnum):
    """What happened."""

    UNREACHABLE = "unreachable"
    BACK = "back"
    MEMORY_ALARM = "memory_alarm"
    MEMORY_ALARM_OVER = "memory_alarm_over"
    DISK_ALARM = "disk_alarm"
    DISK_ALARM_OVER = "disk_alarm_over"
    NODE_DOWN = "node_down"
    NODE_UP = "node_up"
    NODE_JOINED = "node_joined"
    NODE_LEFT = "node_left"
    PARTITION = "partition"
    PARTITION_HEALED = "partition_healed"
    VERSION = "version"


class Severity(StrEnum):
    """How much an event needs a person."""

    CRITICAL = "critical"
    WARNING = "warning"
    NOTICE = "notice"
    OK = "ok"


class NodeFacts(msgspec.Struct, frozen=True):
    """One node; None is *unknown*, and neither begins nor ends anything."""

    running: bool | None = None
    memory_alarm: bool | None = None
    disk_alarm: bool | None = None
    # Nodes that it has lost sight of.
    partitions: tuple[str, ...] = ()


class BrokerFacts(msgspec.Struct, frozen=True):
    """One broker as a whole, as a poll saw it."""

    version: str = ""
    nodes: dict[str, NodeFacts] = {}
    # The broker told which nodes there are; else they are those that were seen, and there may be others.
    listed: bool = True


@dataclass(frozen=True, slots=True)
class Event:
    """One change; `node` is empty where it concerns the broker."""

    kind: EventKind
    severity: Severity
    sentence: str
    node: str = ""
    detail: str = ""


def changes(before: BrokerFacts | None, after: BrokerFacts) -> list[Event]:
    """Return what happened between two polls; on the first sight (`before` is None) what is wrong already."""
    found: list[Event] = []
    if before and before.version and after.version and before.version != after.version:
        found.append(
            Event(EventKind.VERSION, Severity.NOTICE, f"RabbitMQ {before.version} has become {after.version}.")
        )
    known = before.nodes if before else {}
    for name, node in after.nodes.items():
        if before is not None and before.listed and name not in known:
            found.append(Event(EventKind.NODE_JOINED, Severity.NOTICE, f"Node {name} joined the cluster.", name))
        found += _node_changes(name, known.get(name, NodeFacts()), node)
    found += [
        Event(EventKind.NODE_LEFT, Severity.NOTICE, f"Node {name} does not belong to the cluster any more.", name)
        for name in known
        if after.listed and name not in after.nodes
    ]
    return found


def reachability(name: str, failures_before: int, failures_after: int, sentence: str, failing_ms: int) -> list[Event]:
    """Return the event of a broker that became unreachable (second failure in a row) or is back after that."""
    if failures_before < 2 <= failures_after:
        return [Event(EventKind.UNREACHABLE, Severity.CRITICAL, f"{name} is unreachable. {sentence}".rstrip())]
    if failures_before >= 2 and failures_after == 0:
        return [Event(EventKind.BACK, Severity.OK, f"{name} answers again after {_span(failing_ms)}.")]
    return []


def merge(before: BrokerFacts | None, after: BrokerFacts) -> BrokerFacts:
    """Fill what this poll could not see with what was seen before, so that an alarm that lasts is not raised twice."""
    if before is None:
        return after
    nodes = {name: _merged(before.nodes.get(name, NodeFacts()), node) for name, node in after.nodes.items()}
    if not after.listed:
        nodes = before.nodes | nodes
    return BrokerFacts(after.version or before.version, nodes, after.listed or before.listed)


def _merged(before: NodeFacts, after: NodeFacts) -> NodeFacts:
    return NodeFacts(
        running=before.running if after.running is None else after.running,
        memory_alarm=before.memory_alarm if after.memory_alarm is None else after.memory_alarm,
        disk_alarm=before.disk_alarm if after.disk_alarm is None else after.disk_alarm,
        partitions=after.partitions,
    )


# For each alarm: the kinds of its two events and what they say of a node.
_ALARMS: Mapping[str, tuple[EventKind, str, EventKind, str]] = {
    "memory_alarm": (
        EventKind.MEMORY_ALARM,
        "The memory alarm is up on {node}: the broker blocks publishers.",
        EventKind.MEMORY_ALARM_OVER,
        "The memory alarm on {node} is over.",
    ),
    "disk_alarm": (
        EventKind.DISK_ALARM,
        "The disk alarm is up on {node}: the broker blocks publishers.",
        EventKind.DISK_ALARM_OVER,
        "The disk alarm on {node} is over.",
    ),
}


def _node_changes(name: str, before: NodeFacts, after: NodeFacts) -> list[Event]:
    found: list[Event] = []
    if after.running is False and before.running is not False:
        found.append(Event(EventKind.NODE_DOWN, Severity.CRITICAL, f"Node {name} is down.", name))
    if after.running is True and before.running is False:
        found.append(Event(EventKind.NODE_UP, Severity.OK, f"Node {name} runs again.", name))
    for alarm, (up, up_says, over, over_says) in _ALARMS.items():
        was, now = getattr(before, alarm), getattr(after, alarm)
        if now is True and was is not True:
            found.append(Event(up, Severity.CRITICAL, up_says.format(node=name), name))
        if now is False and was is True:
            found.append(Event(over, Severity.OK, over_says.format(node=name), name))
    lost = sorted(set(after.partitions) - set(before.partitions))
    if lost:
        found.append(
            Event(
                EventKind.PARTITION,
                Severity.CRITICAL,
                f"Node {name} has lost sight of {', '.join(lost)}: the cluster is partitioned.",
                name,
            )
        )
    if before.partitions and not after.partitions:
        found.append(Event(EventKind.PARTITION_HEALED, Severity.OK, f"Node {name} sees every other node again.", name))
    return found


def _span(span_ms: int) -> str:
    seconds = max(0, span_ms) // 1000
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
