"""The nodes of a broker and its health, as cells and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard import formats
from dashboard.cells import Cell, Cells
from dashboard.queries import broker_cells as cell
from dashboard.queries.attention import AT_THE_LIMIT, DISK_NEAR, NEAR
from dashboard.queries.broker_analysis import NodeFacts
from dashboard.queries.broker_facts import BrokerFacts


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the health card."""

    state: str
    sentence: str
    detail: str = ""


def node_cells(facts: BrokerFacts) -> Cells:
    """Return every node's figures: `n.BROKER.SLOT.FIELD`."""
    cells: Cells = {}
    for node in facts.nodes:
        key = f"n.{facts.id}.{node.slot}"
        cells[f"{key}.state"] = _state(node) if facts.fresh else Cell(text="Unknown", state="stale")
        cells[f"{key}.memory"] = _of(node.memory_share, node.memory_used, node.memory_limit)
        cells[f"{key}.disk"] = _disk(node)
        cells[f"{key}.fd"] = cell.share(node.fd_share, _NOT_TOLD, tone=_tone(node.fd_share))
        cells[f"{key}.processes"] = cell.share(node.processes_share, _NOT_TOLD, tone=_tone(node.processes_share))
        cells[f"{key}.connections"] = cell.count(node.connections, _NOT_TOLD)
        cells[f"{key}.leaders"] = cell.count(node.leaders, _NOT_TOLD)
        cells[f"{key}.uptime"] = cell.duration(node.uptime, _NOT_TOLD)
    return cells


_NOT_TOLD = "The node does not tell it."


def _state(node: NodeFacts) -> Cell:
    if node.running == 0:
        return Cell(text="Down", state="critical")
    if node.memory_alarm == 1:
        return Cell(text="Memory alarm", state="critical")
    if node.disk_alarm == 1:
        return Cell(text="Disk alarm", state="critical")
    if node.partitions:
        return Cell(text="Partitioned", state="critical")
    if node.running == 1:
        return Cell(text="Running", state="ok")
    return Cell(text="Unknown", state="unknown")


def _tone(share: float | None) -> str:
    if share is None or share < NEAR:
        return ""
    return "critical" if share >= AT_THE_LIMIT else "warning"


def _of(share: float | None, used: float, limit: float) -> Cell:
    if share is None:
        return cell.share(None, _NOT_TOLD)
    text = f"{formats.size(used)} of {formats.size(limit)}"
    return Cell(text=text, share=min(1.0, share), state=_tone(share), exact=formats.percent(share))


def _disk(node: NodeFacts) -> Cell:
    share = node.disk_share
    if share is None:
        return cell.share(None, _NOT_TOLD)
    tone = "critical" if share >= 1 else "warning" if share > 1 / DISK_NEAR else ""
    return Cell(
        text=f"{formats.size(node.disk_free)} free",
        share=share,
        state=tone,
        exact=f"Publishers are blocked below {formats.size(node.disk_limit)}.",
    )


def health(facts: BrokerFacts) -> list[Finding]:
    """Return what was checked of the cluster, good news too; empty where nothing can be known."""
    nodes = facts.nodes
    if not nodes:
        return []
    return [_alarms(nodes), _running(nodes), _partitions(nodes), _versions(nodes), *_leaders(nodes)]


def _alarms(nodes: Sequence[NodeFacts]) -> Finding:
    memory = [node.short for node in nodes if node.memory_alarm == 1]
    disk = [node.short for node in nodes if node.disk_alarm == 1]
    if memory or disk:
        parts = [f"memory on {', '.join(memory)}"] if memory else []
        parts += [f"disk on {', '.join(disk)}"] if disk else []
        return Finding("critical", f"Alarm: {' and '.join(parts)}", "Publishers are blocked on every node.")
    if any(node.memory_alarm != 0 or node.disk_alarm != 0 for node in nodes):
        return Finding("unknown", "Alarms are unknown", "Not every node tells whether an alarm is up.")
    return Finding("ok", "No memory or disk alarm")


def _running(nodes: Sequence[NodeFacts]) -> Finding:
    down = [node.short for node in nodes if node.running == 0]
    if down:
        running = sum(node.running == 1 for node in nodes)
        return Finding("critical", f"{running} of {len(nodes)} nodes run", f"Down: {', '.join(down)}.")
    if len(nodes) == 1:
        return Finding("ok", "The only node runs", "One node: when it stops, so does the broker.")
    return Finding("ok", f"All {len(nodes)} nodes run")


def _partitions(nodes: Sequence[NodeFacts]) -> Finding:
    apart = [node.short for node in nodes if node.partitions]
    if apart:
        return Finding("critical", "The cluster is partitioned", f"Not in agreement: {', '.join(apart)}.")
    return Finding("ok", "No partition")


def _versions(nodes: Sequence[NodeFacts]) -> Finding:
    versions = sorted({node.rabbitmq_version for node in nodes if node.rabbitmq_version})
    if len(versions) > 1:
        return Finding("notice", f"Nodes run different versions: {', '.join(versions)}", "An upgrade is under way.")
    erlang = sorted({node.erlang_version for node in nodes if node.erlang_version})
    if not versions:
        return Finding("unknown", "The version is unknown", "The management API did not tell it.")
    return Finding("ok", f"RabbitMQ {versions[0]}", f"On Erlang {', '.join(erlang)}." if erlang else "")


def _leaders(nodes: Sequence[NodeFacts]) -> list[Finding]:
    """Uneven leaders are worth a word from 50 queues on, where a node leads less than half of its share."""
    counts = [node.leaders for node in nodes if node.running == 1 and node.leaders == node.leaders]
    if len(counts) < 2 or sum(counts) < 50 or min(counts) * len(counts) * 2 >= sum(counts):
        return []
    figures = " · ".join(formats.count(number) for number in counts)
    return [
        Finding(
            "notice",
            f"Leaders are uneven: {figures}",
            "The command rabbitmq-queues rebalance all would spread them again.",
        )
    ]
