"""What follows from one snapshot of a broker, whoever looks at it: nodes, vhosts, queues nobody consumes, dead letters.

Worked out once per snapshot and process. Which part of it a person sees is decided in dashboard.queries.broker_facts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from brokers.lag.evidence import Seen, evidence
from brokers.lag.present import column
from brokers.lag.state import ConsumerState
from brokers.registry.details import NodeDetail, QueueDetail, VhostDetail
from brokers.registry.slots import KnownObject
from brokers.series.current import aligned
from brokers.series.metrics import RATES, Kind
from brokers.series.present import Present, PresentTable
from dashboard.queries.queue_full import full

NAN = float("nan")
# Of so many queues of a group, the largest, it is looked up since when they are in trouble.
SLOTS_KEPT = 32
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """One node of a cluster. Figures are NaN where unknown; sizes in bytes, uptime in seconds."""

    slot: int
    name: str
    running: float = NAN
    memory_used: float = NAN
    memory_limit: float = NAN
    disk_free: float = NAN
    disk_limit: float = NAN
    fd_used: float = NAN
    fd_limit: float = NAN
    processes_used: float = NAN
    processes_limit: float = NAN
    memory_alarm: float = NAN
    disk_alarm: float = NAN
    uptime: float = NAN
    connections: float = NAN
    leaders: float = NAN
    partitions: tuple[str, ...] = ()
    rabbitmq_version: str = ""
    erlang_version: str = ""

    @property
    def short(self) -> str:
        """The part of the name that tells nodes apart for people: `rabbit@host` is `host`."""
        return short_node(self.name)

    @property
    def memory_share(self) -> float | None:
        """Memory used over its limit, None where unknown."""
        return _share(self.memory_used, self.memory_limit)

    @property
    def disk_share(self) -> float | None:
        """How much of the way to the disk limit is gone: the limit over what is free, 1 at the limit."""
        return None if math.isnan(self.disk_free) else _share(min(self.disk_limit, self.disk_free), self.disk_free)

    @property
    def fd_share(self) -> float | None:
        """File descriptors used over their limit, None where unknown."""
        return _share(self.fd_used, self.fd_limit)

    @property
    def processes_share(self) -> float | None:
        """Erlang processes used over their limit, None where unknown."""
        return _share(self.processes_used, self.processes_limit)


_NODE_FIGURES = (
    "running",
    "memory_used",
    "memory_limit",
    "disk_free",
    "disk_limit",
    "fd_used",
    "fd_limit",
    "processes_used",
    "processes_limit",
    "memory_alarm",
    "disk_alarm",
    "uptime",
    "connections",
    "leaders",
)


@dataclass(frozen=True, slots=True)
class VhostFacts:
    """One vhost; figures NaN where unknown, rates a second. `unconsumed`: queues with a backlog and no consumer."""

    slot: int
    name: str
    readable: bool | None = None
    queues: float = NAN
    ready: float = NAN
    unacked: float = NAN
    publish_rate: float = NAN
    ack_rate: float = NAN
    deliver_rate: float = NAN
    confirm_rate: float = NAN
    confirm_gap: float = NAN
    return_rate: float = NAN
    drop_rate: float = NAN
    unconsumed: int = 0


@dataclass(frozen=True, slots=True)
class Unconsumed:
    """The queues of one vhost that have messages and no consumer, and should have one: no dead-letter queue is one of
    them, no stream, and no queue in which messages only wait for their time.

    `hour_ago` is what the same queues held `hour_span_s` seconds before, None where that is unknown.
    """

    vhost: str
    vhost_slot: int
    queues: int
    ready: float
    largest: str
    largest_ready: float
    # The slots of the largest of them, at most SLOTS_KEPT.
    slots: tuple[int, ...] = ()
    # What becomes of messages where there is one such queue and it is full.
    full: str = ""
    hour_ago: float | None = None
    hour_span_s: float = 0


@dataclass(frozen=True, slots=True)
class Troubled:
    """The queues of one vhost whose consumers do not keep up, all in the same state; `evidence` is of the largest."""

    state: ConsumerState
    vhost: str
    vhost_slot: int
    queues: int
    total: float
    largest: str
    evidence: str
    # As of Unconsumed.
    slots: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Messages that rest in the dead-letter queues of one vhost."""

    vhost: str
    queues: int
    letters: float


@dataclass(frozen=True, slots=True)
class Analysed:
    """What follows from one snapshot alone, whoever looks at it."""

    nodes: tuple[NodeFacts, ...]
    vhosts: tuple[VhostFacts, ...]
    unconsumed: tuple[Unconsumed, ...]
    troubled: tuple[Troubled, ...]
    dead_letters: tuple[DeadLetters, ...]
    totals: Mapping[str, float]


# By broker: the present that was worked on, and what came of it.
_analysed: dict[int, tuple[Present, Analysed]] = {}


def analyse(shown: Present) -> Analysed:
    """Return what follows from a snapshot, worked out once per snapshot and process."""
    held = _analysed.get(shown.broker_id)
    if held is not None and held[0] is shown:
        return held[1]
    unconsumed, letters = _queues(shown)
    troubled = _troubled(shown)
    lonely = {group.vhost: group.queues for group in unconsumed}
    table = shown.table(Kind.BROKER)
    made = Analysed(
        nodes=tuple(_node(shown.table(Kind.NODE), row) for row in range(len(shown.table(Kind.NODE).slots))),
        vhosts=tuple(_vhost(shown, row, lonely) for row in range(len(shown.table(Kind.VHOST).slots))),
        unconsumed=unconsumed,
        troubled=troubled,
        dead_letters=letters,
        totals={name: float(values[0]) for name, values in table.columns.items() if len(values)},
    )
    _analysed[shown.broker_id] = (shown, made)
    return made


def _node(table: PresentTable, row: int) -> NodeFacts:
    known = table.objects[row]
    detail = _detail(known.detail, NodeDetail)
    figures = {name: float(table.column(name)[row]) for name in _NODE_FIGURES}
    return NodeFacts(
        slot=known.slot,
        name=known.name,
        partitions=detail.partitions,
        rabbitmq_version=detail.rabbitmq_version or "",
        erlang_version=detail.erlang_version or "",
        **figures,
    )


_VHOST_FIGURES = (
    *("queues", "ready", "unacked", "publish_rate", "ack_rate", "deliver_rate"),
    *("confirm_rate", "confirm_gap", "return_rate", "drop_rate"),
)


def _vhost(shown: Present, row: int, lonely: Mapping[str, int]) -> VhostFacts:
    known = shown.table(Kind.VHOST).objects[row]
    detail = _detail(known.detail, VhostDetail)
    figures = {name: float(column(shown, Kind.VHOST, name)[row]) for name in _VHOST_FIGURES}
    return VhostFacts(known.slot, known.name, detail.readable, **figures, unconsumed=lonely.get(known.name, 0))


def _queues(shown: Present) -> tuple[tuple[Unconsumed, ...], tuple[DeadLetters, ...]]:
    table = shown.table(Kind.QUEUE)
    ready, consumers = table.column("ready"), table.column("consumers")
    with np.errstate(invalid="ignore"):
        waiting = np.flatnonzero(ready > 0)
    named = table.column("consumer_state")
    # As it was named at the poll; of a queue that has only just been seen its figures must do.
    nobody = np.where(np.isnan(named), consumers == 0, named == ConsumerState.STOPPED)
    lonely: dict[str, list[int]] = {}
    dead: dict[str, list[int]] = {}
    for row in waiting.tolist():
        known = table.objects[row]
        holds_letters, wants_consumer = _traits(known)
        if holds_letters:
            dead.setdefault(known.vhost, []).append(row)
        elif nobody[row] and wants_consumer:
            lonely.setdefault(known.vhost, []).append(row)
    vhosts = {known.name: known.slot for known in shown.table(Kind.VHOST).objects}
    groups = tuple(_group(shown, table, vhost, vhosts.get(vhost, -1), rows) for vhost, rows in lonely.items())
    letters = tuple(DeadLetters(vhost, len(rows), float(ready[rows].sum())) for vhost, rows in dead.items())
    return groups, letters


_TROUBLES = (ConsumerState.STALLED, ConsumerState.STARVED, ConsumerState.FALLING_BEHIND)


def _troubled(shown: Present) -> tuple[Troubled, ...]:
    table = shown.table(Kind.QUEUE)
    named = table.column("consumer_state")
    vhosts = {known.name: known.slot for known in shown.table(Kind.VHOST).objects}
    found = []
    for state in _TROUBLES:
        by_vhost: dict[str, list[int]] = {}
        for row in np.flatnonzero(named == state).tolist():
            by_vhost.setdefault(table.objects[row].vhost, []).append(row)
        for vhost, rows in by_vhost.items():
            total = np.nan_to_num(column(shown, Kind.QUEUE, "total")[rows])
            largest = rows[int(total.argmax())]
            stream = _detail(table.objects[largest].detail, QueueDetail).type == "stream"
            found.append(
                Troubled(
                    state=state,
                    vhost=vhost,
                    vhost_slot=vhosts.get(vhost, -1),
                    queues=len(rows),
                    total=float(total.sum()),
                    largest=table.objects[largest].name,
                    evidence=evidence(state, _seen(shown, largest), stream=stream),
                    slots=_largest(table, rows, total),
                )
            )
    return tuple(found)


def _full(shown: Present, row: int) -> str:
    table = shown.table(Kind.QUEUE)
    detail = _detail(table.objects[row].detail, QueueDetail)
    return full(detail, "", float(table.column("ready")[row]), float(table.column("publish_rate")[row]))


def _seen(shown: Present, row: int) -> Seen:
    return Seen(**{name: float(column(shown, Kind.QUEUE, name)[row]) for name in Seen.__dataclass_fields__})


def _group(shown: Present, table: PresentTable, vhost: str, slot: int, rows: list[int]) -> Unconsumed:
    ready = table.column("ready")[rows]
    most = int(ready.argmax())
    before, span_s = None, 0.0
    if shown.spark_frames:
        first = shown.spark_frames[0]
        held = aligned(first.table(Kind.QUEUE), table.slots[rows], "ready")
        span_s = (shown.at_ms - first.at_ms) / 1000
        if span_s >= 120 and not np.isnan(held).all():
            before = float(np.nansum(held))
    return Unconsumed(
        vhost=vhost,
        vhost_slot=slot,
        queues=len(rows),
        ready=float(ready.sum()),
        largest=table.objects[rows[most]].name,
        largest_ready=float(ready[most]),
        slots=_largest(table, rows, ready),
        full=_full(shown, rows[0]) if len(rows) == 1 else "",
        hour_ago=before,
        hour_span_s=span_s,
    )


def _largest(table: PresentTable, rows: list[int], sizes: NDArray[np.float64]) -> tuple[int, ...]:
    """Return the slots of the rows with the greatest sizes, the greatest first."""
    order = np.argsort(-sizes, kind="stable")[:SLOTS_KEPT]
    return tuple(table.slots[np.array(rows)[order]].tolist())


_traits_held: dict[bytes, tuple[bool, bool]] = {}


def _traits(known: KnownObject) -> tuple[bool, bool]:
    """Tell whether a queue is a dead-letter queue, and whether somebody is to consume what is in it.

    Many queues share one definition.
    """
    found = _traits_held.get(known.detail)
    if found is None:
        detail = _detail(known.detail, QueueDetail)
        found = (detail.holds_letters, detail.type != "stream" and not detail.waits)
        if len(_traits_held) > 50_000:
            _traits_held.clear()
        _traits_held[known.detail] = found
    return found


def _detail(raw: bytes, kind: type[T]) -> T:
    """Decode what the registry keeps of an object; what an older version wrote and this one can't read is *unknown*."""
    try:
        return msgspec.json.decode(raw or b"{}", type=kind)
    except msgspec.MsgspecError:
        return kind()


def _share(part: float, whole: float) -> float | None:
    if math.isnan(part) or math.isnan(whole) or whole <= 0:
        return None
    return part / whole


def short_node(name: str) -> str:
    """Return what follows the `@` of a node's name."""
    return name.split("@", 1)[-1] or name


def spark(
    shown: Present, kind: Kind, slots: NDArray[np.uint32], metric: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return an hour of one gauge or rate, summed over objects: a point a minute, and now. NaN for *unknown*."""
    counter = RATES.get(metric)
    name = counter or metric
    values = [_sum(aligned(frame.table(kind), slots, name)) for frame in shown.spark_frames]
    now = shown.table(kind)
    rows = np.isin(now.slots, slots)
    values.append(_sum(now.column(name)[rows]))
    times = np.append(shown.spark_times_ms, shown.at_ms)
    series = np.array(values, dtype=np.float64)
    if len(times) > 1 and times[-1] == times[-2]:
        times, series = times[:-1], series[:-1]
    if counter and len(series):
        with np.errstate(invalid="ignore", divide="ignore"):
            steps = np.diff(series) / np.diff(times) * 1000.0
        series = np.append(np.nan, np.where(steps >= 0, steps, np.nan))
    return times, series


def _sum(values: NDArray[np.float64]) -> float:
    """Sum what is known; unknown where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.sum()) if len(known) else NAN
