"""What is asked of a broker, how, and how often: chosen from what it can do and from its size. Pure.

Prometheus first: `/metrics/detailed` costs the broker about a seventieth of `/api/queues` at 10,000 queues
[measured on 3.10.8]. What can't be had is named with its reason, metric by metric.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from brokers.collect.basis import Reading
from brokers.collect.frame import GLOBAL_COUNTERS, REASONS
from brokers.collect.queue_table import COUNTERS
from brokers.collect.reasons import EXCHANGES, NODES, OVERVIEW, QUEUES, VHOSTS, without
from brokers.collect.vhost_table import VHOST_COUNTERS
from brokers.series.metrics import Kind

# Above this many queues the management API is not asked for statistics of each queue in every tick.
SMALL = 1_000
# How often definitions are read, and how soon after new names appeared; milliseconds.
DEFINITIONS_EVERY_MS = 60_000
DEFINITIONS_SOON_MS = 15_000
_SLOWEST_DEFINITIONS_MS = 600_000

_GAUGE_FAMILIES = ("queue_coarse_metrics", "queue_consumer_count")
# Since 4.0.
_COUNTER_FAMILIES = ("queue_delivery_metrics", "queue_exchange_metrics", "exchange_metrics")


class Source(StrEnum):
    """Who counts; see brokers.collect.counters."""

    PROMETHEUS = "prometheus"
    MIXED = "prometheus and management"
    MANAGEMENT = "management"


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a broker can be asked, as far as the plan needs it.

    `prometheus` has the address of each node's Prometheus endpoint by node name, `prometheus_missing` says why there is
    none. `counts` is False where the broker was set not to count messages (management rates mode none).
    """

    version: str
    prometheus: Mapping[str, str]
    prometheus_missing: str = ""
    counters_exposed: bool = False
    counts: bool = True
    # Why what has no count yet is not known to have none; empty where `counts`.
    counts_missing: str = ""
    remarks: tuple[str, ...] = ()
    # Calls of the management API that were refused or are not known there, with the reason, by the call's path.
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """The calls of a tick. `…_every_ms` 0: in every tick; None: not at all."""

    source: Source
    prometheus: Mapping[str, str]
    families: tuple[str, ...]
    nodes: bool
    overview: bool
    # Per-queue figures, or counters alone, from the management API.
    queues_every_ms: int | None
    exchanges_every_ms: int | None
    vhosts: bool
    definitions_every_ms: int
    reading: Reading
    sentences: tuple[str, ...]
    # Why a figure can't be had, by `kind.metric`.
    unknown: dict[str, str]


def plan(abilities: Abilities, queues: int, exchanges: int, cadence_s: float, definitions_s: float = 0.0) -> Plan:
    """Choose the plan for a broker with so many queues and exchanges, asked every `cadence_s` seconds.

    `definitions_s` is how long the last reading of definitions kept it busy.
    """
    exposed = bool(abilities.prometheus)
    if not exposed:
        source = Source.MANAGEMENT
    elif abilities.counters_exposed:
        source = Source.PROMETHEUS
    else:
        source = Source.MIXED
    managed = source is not Source.PROMETHEUS
    queues_every = _statistics_every_ms(queues, depth=not exposed, refused=QUEUES in abilities.refused)
    exchanges_every = _statistics_every_ms(exchanges, depth=False, refused=EXCHANGES in abilities.refused)
    found = Plan(
        source=source,
        prometheus=dict(abilities.prometheus),
        families=(*_GAUGE_FAMILIES, *(_COUNTER_FAMILIES if source is Source.PROMETHEUS else ())),
        nodes=NODES not in abilities.refused,
        overview=not exposed and OVERVIEW not in abilities.refused,
        queues_every_ms=queues_every if managed else None,
        exchanges_every_ms=exchanges_every if managed else None,
        vhosts=managed and VHOSTS not in abilities.refused,
        definitions_every_ms=definitions_every_ms(queues + exchanges, definitions_s),
        reading=Reading(str(source), counters_exposed=source is Source.PROMETHEUS, counted=abilities.counts),
        sentences=(),
        unknown={},
    )
    return _explained(found, abilities, cadence_s)


def definitions_every_ms(objects: int, broker_s: float = 0.0) -> int:
    """Return how often definitions are read: a minute, and longer where the lists are long or the broker is slow.

    `broker_s` is how long the last reading kept the broker busy: readings take a fiftieth of its time at most, as
    far as ten minutes allow.
    """
    return min(_SLOWEST_DEFINITIONS_MS, max(DEFINITIONS_EVERY_MS, objects * 12, int(broker_s * 50_000)))


def definitions_soon_ms(broker_s: float) -> int:
    """Return how long after the last reading they are read again where names appeared that have none yet.

    A broker whose queues come and go all the time has such names in every tick: even then readings take a tenth of
    its time at most.
    """
    return min(_SLOWEST_DEFINITIONS_MS, max(DEFINITIONS_SOON_MS, int(broker_s * 10_000)))


def _statistics_every_ms(objects: int, *, depth: bool, refused: bool) -> int | None:
    """Return how often the management API is asked for statistics of each object; None: never.

    A page of 500 costs the broker 0.1 to 0.2 s; depth is wanted in every tick as long as that is bearable.
    """
    if refused:
        return None
    if objects <= SMALL:
        return 0
    if depth:
        return 0 if objects <= 5 * SMALL else 30_000
    return 30_000 if objects <= 10 * SMALL else 60_000


def _explained(chosen: Plan, abilities: Abilities, cadence_s: float) -> Plan:
    every = f"every {cadence_s:g} s"
    exposed = bool(chosen.prometheus)
    said: list[str] = []
    unknown: dict[str, str] = {}
    if chosen.prometheus:
        nodes = len(chosen.prometheus)
        where = "the node's Prometheus endpoint" if nodes == 1 else f"the Prometheus endpoints of {nodes} nodes"
        said.append(f"Depth, consumers and broker-wide counters from {where}, {every}.")
        if chosen.source is Source.PROMETHEUS:
            said.append(f"Counters of each queue and exchange from the same answer, {every}.")
    else:
        said.append(f"Depth, consumers and counters from the management API's list of queues, {_often(chosen, every)}.")
        said.append(abilities.prometheus_missing)
        _without_prometheus(unknown, abilities.prometheus_missing)
    if chosen.nodes:
        said.append(f"Nodes, alarms and partitions from the management API, {every}.")
    if chosen.source is Source.MIXED:
        said.append(f"Counters of each queue from the management API, {_often(chosen, every)}.")
    if chosen.source is not Source.PROMETHEUS:
        _counters_by_management(chosen, abilities, unknown)
    if not abilities.counts:
        reason = abilities.counts_missing or "The broker was set to count no messages (management rates mode none)."
        unknown |= {f"{Kind.QUEUE}.{name}": reason for name in COUNTERS}
        unknown |= {f"{Kind.VHOST}.{name}": reason for name in VHOST_COUNTERS}
    for path, reason in abilities.refused.items():
        if path == NODES or chosen.source is not Source.PROMETHEUS:  # else Prometheus tells it
            unknown |= dict.fromkeys(without(path, exposed=exposed), reason)
    said += abilities.remarks
    said.append(f"Definitions, policies and bindings every {chosen.definitions_every_ms // 1000} s.")
    return Plan(
        **{name: getattr(chosen, name) for name in Plan.__dataclass_fields__ if name not in {"sentences", "unknown"}},
        sentences=tuple(sentence for sentence in said if sentence),
        unknown=unknown,
    )


def _often(chosen: Plan, every: str) -> str:
    if chosen.queues_every_ms is None:
        return "which it refuses"
    return every if chosen.queues_every_ms == 0 else f"every {chosen.queues_every_ms // 1000} s"


def _without_prometheus(unknown: dict[str, str], missing: str) -> None:
    why = missing or "The broker has no Prometheus endpoint."
    reasons = (f"dead_lettered_{reason}" for reason in REASONS)
    for name in ("received_confirm", "dead_lettered", *reasons, "unconfirmed", "unconfirmed_highest"):
        unknown[f"{Kind.BROKER}.{name}"] = f"The management API does not count this. {why}"
    for name in ("connections", "leaders", "received", "confirmed"):
        unknown[f"{Kind.NODE}.{name}"] = f"The management API does not tell this by node. {why}"


def _counters_by_management(chosen: Plan, abilities: Abilities, unknown: dict[str, str]) -> None:
    older = (
        f"RabbitMQ {abilities.version} has no counters of each queue in Prometheus"
        if chosen.source is Source.MIXED
        else "Without Prometheus counters come from the management API"
    )
    for name in ("confirmed", "returned", "dropped"):
        unknown[f"{Kind.EXCHANGE}.{name}"] = f"The management API does not count this by exchange. {older}."
    if chosen.queues_every_ms is None:
        reason = abilities.refused.get(QUEUES, "The broker refuses its list of queues.")
        unknown |= {f"{Kind.QUEUE}.{name}": reason for name in COUNTERS}
    elif chosen.queues_every_ms:
        reason = (
            f"{older}, and with this many queues they are read every {chosen.queues_every_ms // 1000} s only; "
            "in between they are unknown."
        )
        unknown |= {f"{Kind.QUEUE}.{name}": reason for name in COUNTERS}
    if not chosen.vhosts:
        reason = abilities.refused.get(VHOSTS, "The broker refuses its list of vhosts.")
        unknown |= {f"{Kind.VHOST}.{name}": reason for name in VHOST_COUNTERS}
    if not chosen.prometheus and not chosen.overview:
        reason = abilities.refused.get(OVERVIEW, "The broker refuses its overview.")
        unknown |= {f"{Kind.BROKER}.{name}": reason for name in GLOBAL_COUNTERS}
