"""Does a plan's calls: the nodes side by side, so that one that is dead delays nobody for longer than the deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from brokers.collect import figures
from brokers.collect.answers import Samples, Scrape
from brokers.collect.budget import Tier
from brokers.collect.calls import Job, run_all, too_slow
from brokers.collect.claims import TICK_DEADLINE_S
from brokers.collect.clients import Clients
from brokers.collect.frame import DETAILED_NAMES, PLAIN_NAMES
from brokers.collect.measures import CallMeasure
from brokers.collect.plan import Plan
from brokers.collect.reasons import EXCHANGES, NODES, OVERVIEW, QUEUES, VHOSTS
from brokers.rabbitmq.errors import BrokerError, UnauthorisedError
from brokers.rabbitmq.http import Client
from brokers.rabbitmq.management import Management, Measure
from brokers.rabbitmq.prometheus import Prometheus

# A tick in which a long list is due waits for it this long.
SLOW_DEADLINE_S = 20.0
_COLUMNS = (
    "name,vhost,messages_ready,messages_unacknowledged,consumers,consumer_capacity,message_bytes,memory,"
    "message_stats.publish,message_stats.deliver_get,message_stats.ack,message_stats.redeliver"
)
_RATE_COLUMNS = "name,vhost,message_stats.publish,message_stats.deliver_get,message_stats.ack,message_stats.redeliver"
_NODES, _OVERVIEW, _QUEUES, _EXCHANGES, _VHOSTS = NODES, OVERVIEW, QUEUES, EXCHANGES, VHOSTS


# What a node is asked in a job of its own, behind the rest: an answer that is long must not cost the tick its depth.
_BEHIND = (Tier.CONSUMERS, Tier.DETAILS, Tier.CHANNELS)


def scrape(clients: Clients, chosen: Plan, due: Collection[Tier] | None = None) -> Scrape:
    """Ask what the plan says in the tiers that are due; None: in all.

    Raises BrokerError where nothing of use came: the sign-in was refused, or no source of depth answered.
    """
    now = frozenset(chosen.tiers if due is None else (*due, Tier.DEPTH))
    deadline_s = SLOW_DEADLINE_S if patient(chosen, now) else TICK_DEADLINE_S
    asked = _management_jobs(clients, chosen, now)
    nodes = {
        name: Job("Prometheus", name, _ask_node(clients, chosen, name, address, now))
        for name, address in chosen.prometheus.items()
    }
    behind = {
        name: Job("Prometheus", name, _ask_behind(clients, chosen, nodes[name], address, now))
        for name, address in chosen.prometheus.items()
        if _behind(chosen, now)
    }
    jobs: list[Job[Any]] = [*asked.values(), *nodes.values(), *behind.values()]
    run_all(jobs, deadline_s, lambda: _only_dead_left(asked, nodes, behind))
    measures = tuple(measure for job in jobs for measure in job.measures) + _unended(
        chosen, now, nodes, behind, deadline_s
    )
    try:
        _refuse_useless(clients, chosen, asked, nodes, deadline_s)
    except BrokerError as error:
        error.measures = measures  # type: ignore[attr-defined]
        raise
    seen = figures.nodes_seen(_answer(asked, _NODES))
    running = {node.name for node in seen if node.running is not False} if seen is not None else set(nodes)
    answered = {name: job.answer for name, job in nodes.items() if job.answer is not None}
    # The moment is that of depth: a long answer behind it may come seconds later.
    told: list[Job[Any]] = list(nodes.values()) if chosen.prometheus else list(asked.values())
    return Scrape(
        at_ms=max((job.ended_ms for job in told if job.answer is not None), default=time.time_ns() // 1_000_000),
        nodes=seen,
        exposed={name: found | _more(behind.get(name)) for name, found in answered.items()}
        if chosen.prometheus
        else None,
        silent=tuple(sorted((running if chosen.prometheus else set()) - answered.keys())),
        queues=figures.of_queues(_answer(asked, _QUEUES), counted=chosen.reading.counted),
        exchanges=figures.of_exchanges(_answer(asked, _EXCHANGES), counted=chosen.reading.counted),
        vhosts=figures.of_vhosts(_answer(asked, _VHOSTS), counted=chosen.reading.counted),
        overview=figures.of_overview(_answer(asked, _OVERVIEW), counted=chosen.reading.counted),
        asked_counters=Tier.COUNTERS in now,
        untold=_untold(clients, asked, deadline_s),
        measures=measures,
        cpu_s=sum(job.cpu_s for job in jobs),
    )


def _unended(
    chosen: Plan,
    due: Collection[Tier],
    nodes: Mapping[str, Job[Any]],
    behind: Mapping[str, Job[Any]],
    deadline_s: float,
) -> tuple[CallMeasure, ...]:
    """Return what the slower tiers cost that had not ended at the deadline: at least until then the node was busy."""
    return tuple(
        CallMeasure(f"/metrics/detailed ({tier})", name, deadline_s, error=f"No answer in {deadline_s:g} s.", tier=tier)
        for name, job in behind.items()
        if not job.done.is_set() and nodes[name].answer is not None
        for tier in _behind(chosen, due)
    )


def patient(chosen: Plan, due: Collection[Tier]) -> bool:
    """Tell whether a tick in which these tiers are due may take longer than others: what is long is waited for."""
    return any(tier in due and _long(chosen, tier) for tier in (*_BEHIND, Tier.LISTS) if tier in chosen.tiers)


def _long(chosen: Plan, tier: Tier) -> bool:
    """Tell whether an answer may be long: it is not had in every tick, or nobody knows yet."""
    return tier in chosen.untried or chosen.every_ms[tier] > chosen.every_ms[Tier.DEPTH]


def _more(job: Job[dict[str, Samples]] | None) -> dict[str, Samples]:
    return job.answer if job is not None and job.done.is_set() and job.answer is not None else {}


def _management_jobs(clients: Clients, chosen: Plan, due: Collection[Tier]) -> dict[str, Job[Any]]:
    columns = _RATE_COLUMNS if chosen.prometheus else _COLUMNS
    wanted: dict[str, tuple[Tier | None, Callable[[Management], object]]] = {
        _NODES: (Tier.DEPTH if chosen.nodes else None, Management.nodes),
        _OVERVIEW: (chosen.overview, Management.overview),
        _VHOSTS: (chosen.vhosts, Management.vhosts),
        _QUEUES: (chosen.queues, lambda api: api.queues(columns=columns)),
        _EXCHANGES: (chosen.exchanges, Management.exchanges),
    }
    return {
        what: Job(what, "", _ask_management(clients, _client(clients, chosen, tier), call, tier), tier=str(tier))
        for what, (tier, call) in wanted.items()
        if tier is not None and tier in due
    }


def _client(clients: Clients, chosen: Plan, tier: Tier) -> Client:
    return clients.patient if tier is Tier.LISTS and _long(chosen, tier) else clients.management


def _ask_management(
    clients: Clients, client: Client, call: Callable[[Management], object], tier: Tier
) -> Callable[[list[CallMeasure]], object]:
    def ask(taken: list[CallMeasure]) -> object:
        return call(Management(clients.endpoint, client=client, measured=_adding(taken, "", tier)))

    return ask


def _adding(taken: list[CallMeasure], node: str, tier: Tier) -> Callable[[Measure], None]:
    def measured(cost: Measure) -> None:
        taken.append(
            CallMeasure(cost.what, node, cost.seconds, cost.bytes, cost.wire_bytes, own_s=cost.own_s, tier=str(tier))
        )

    return measured


def _only_dead_left(
    asked: Mapping[str, Job[Any]], nodes: Mapping[str, Job[Any]], behind: Mapping[str, Job[Any]]
) -> bool:
    """Tell whether all that is not done yet are nodes that the management API says are down."""
    told = _answer(asked, _NODES)
    if told is None or not all(job.done.is_set() for job in asked.values()):
        return False
    down = {node.name for node in told if node.running is False}
    return all(job.done.is_set() or name in down for several in (nodes, behind) for name, job in several.items())


def _refuse_useless(
    clients: Clients, chosen: Plan, asked: Mapping[str, Job[Any]], nodes: Mapping[str, Job[Any]], deadline_s: float
) -> None:
    for job in asked.values():
        if isinstance(job.error, UnauthorisedError):
            raise job.error
    where = clients.endpoint.address
    if chosen.prometheus:
        if any(job.answer is not None for job in nodes.values()):
            return
        told = _answer(asked, _NODES)
        # Management first: it is the address that a person entered.
        source = [*([asked[_NODES]] if told is None and _NODES in asked else []), *nodes.values()]
    else:
        source = [asked[what] for what in (_QUEUES, _OVERVIEW, _NODES) if what in asked]
        if not source or any(job.answer is not None for job in source):
            return
    for job in source:
        if job.error is not None:
            raise job.error
    raise too_slow(source[0].what, where, deadline_s)


def _untold(clients: Clients, asked: Mapping[str, Job[Any]], deadline_s: float) -> dict[str, BrokerError]:
    """Return why each call of the management API that brought nothing did not."""
    return {
        path: job.error or too_slow(path, clients.endpoint.address, deadline_s)
        for path, job in asked.items()
        if job.answer is None or not job.done.is_set()
    }


def _answer(asked: Mapping[str, Job[Any]], what: str) -> Any:
    job = asked.get(what)
    return job.answer if job is not None and job.done.is_set() else None


def _behind(chosen: Plan, due: Collection[Tier]) -> list[Tier]:
    """Return the tiers that are asked behind the others. Details have the consumers with them."""
    found = [tier for tier in _BEHIND if tier in due and chosen.families.get(tier)]
    return [tier for tier in found if tier is not Tier.CONSUMERS or Tier.DETAILS not in found]


def _ask_node(
    clients: Clients, chosen: Plan, node: str, address: str, due: Collection[Tier]
) -> Callable[[list[CallMeasure]], dict[str, Samples]]:
    def ask(taken: list[CallMeasure]) -> dict[str, Samples]:
        packed = chosen.packed
        depth = _endpoint(clients.prometheus, address, node, taken, Tier.DEPTH, packed=packed)
        found = depth.detailed(chosen.families[Tier.DEPTH], DETAILED_NAMES)
        if Tier.COUNTERS in due:
            counting = _endpoint(clients.prometheus, address, node, taken, Tier.COUNTERS, packed=packed)
            found |= counting.plain(PLAIN_NAMES)
            families = chosen.families.get(Tier.COUNTERS, ())
            found |= counting.detailed(families, DETAILED_NAMES) if families else {}
        return found

    return ask


def _ask_behind(
    clients: Clients, chosen: Plan, front: Job[dict[str, Samples]], address: str, due: Collection[Tier]
) -> Callable[[list[CallMeasure]], dict[str, Samples]]:
    """Ask a node's slower tiers once its tick is answered; one that brings nothing costs only itself."""
    slow = patient(chosen, due)

    def ask(taken: list[CallMeasure]) -> dict[str, Samples]:
        found: dict[str, Samples] = {}
        front.done.wait(TICK_DEADLINE_S)
        for tier in _behind(chosen, due) if front.answer is not None else ():
            client = clients.patient_prometheus if slow else clients.prometheus
            began = time.perf_counter()
            try:
                endpoint = _endpoint(client, address, front.node, taken, tier, packed=chosen.packed)
                found |= endpoint.detailed(chosen.families[tier], DETAILED_NAMES)
            except BrokerError as error:
                took = time.perf_counter() - began
                taken.append(
                    CallMeasure(f"/metrics/detailed ({tier})", front.node, took, error=error.sentence, tier=str(tier))
                )
        return found

    return ask


def _endpoint(
    client: Client, address: str, node: str, taken: list[CallMeasure], tier: Tier, *, packed: bool
) -> Prometheus:
    return Prometheus(client, address, node=node, measured=_adding(taken, node, tier), packed=packed)
