"""Does a plan's calls: the nodes side by side, so that one that is dead delays nobody for longer than the deadline."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
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
from brokers.rabbitmq.endpoint import Endpoint
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


# What a node is asked in jobs of their own, behind depth: an answer that is long must not cost the tick its depth.
_BEHIND = (Tier.CONSUMERS, Tier.DETAILS, Tier.CHANNELS)


def scrape(clients: Clients, chosen: Plan, due: Collection[Tier] | None = None) -> Scrape:
    """Ask what the plan says in the tiers that are due; None: in all.

    Raises BrokerError where nothing of use came: the sign-in was refused, or no source of depth answered.
    """
    now = frozenset(chosen.tiers if due is None else (*due, Tier.DEPTH))
    deadline_s = SLOW_DEADLINE_S if patient(chosen, now) else TICK_DEADLINE_S
    ends = time.monotonic() + deadline_s
    asked = _management_jobs(clients, chosen, now, ends)
    nodes = {
        name: Job("Prometheus", name, _ask_depth(clients, chosen, name, address))
        for name, address in chosen.prometheus.items()
    }
    counting = {
        name: Job("Prometheus", name, _ask_counters(clients, chosen, nodes[name], address, ends))
        for name, address in chosen.prometheus.items()
        if Tier.COUNTERS in now
    }
    behind = {
        name: Job(
            "Prometheus", name, _ask_behind(clients, chosen, (nodes[name], counting.get(name)), address, now, ends)
        )
        for name, address in chosen.prometheus.items()
        if _behind(chosen, now)
    }
    later: list[tuple[Job[Any], tuple[Tier, ...]]] = [(job, (Tier.COUNTERS,)) for job in counting.values()]
    later += [(job, tuple(_behind(chosen, now))) for job in behind.values()]
    jobs: list[Job[Any]] = [*asked.values(), *nodes.values(), *counting.values(), *behind.values()]
    run_all(jobs, deadline_s, lambda: _only_dead_left(asked, [*nodes.values(), *(job for job, _ in later)]))
    measures = tuple(measure for job in jobs for measure in job.measures) + _unended(asked, nodes, later, deadline_s)
    try:
        _refuse_useless(clients, chosen, asked, nodes, deadline_s)
    except BrokerError as error:
        error.measures = measures  # type: ignore[attr-defined]
        raise
    seen = figures.nodes_seen(_answer(asked, _NODES))
    running = {node.name for node in seen if node.running is not False} if seen is not None else set(nodes)
    answered = {name: job.answer for name, job in nodes.items() if job.answer is not None}
    counts = {name: counting[name].answer for name in answered if name in counting and counting[name].done.is_set()}
    # The moment is that of depth: a long answer behind it may come seconds later.
    told: list[Job[Any]] = [*nodes.values(), *counting.values()] if chosen.prometheus else list(asked.values())
    return Scrape(
        at_ms=max((job.ended_ms for job in told if job.answer is not None), default=time.time_ns() // 1_000_000),
        nodes=seen,
        exposed={name: found | (counts.get(name) or {}) | _more(behind.get(name)) for name, found in answered.items()}
        if chosen.prometheus
        else None,
        silent=tuple(sorted((running if chosen.prometheus else set()) - answered.keys())),
        queues=figures.of_queues(_answer(asked, _QUEUES), counted=chosen.reading.counted),
        exchanges=figures.of_exchanges(_answer(asked, _EXCHANGES), counted=chosen.reading.counted),
        vhosts=figures.of_vhosts(_answer(asked, _VHOSTS), counted=chosen.reading.counted),
        overview=figures.of_overview(_answer(asked, _OVERVIEW), counted=chosen.reading.counted),
        asked_counters=Tier.COUNTERS in now
        and (not chosen.prometheus or all(counts.get(name) is not None for name in answered)),
        untold=_untold(clients, asked, deadline_s),
        measures=measures,
        cpu_s=sum(job.cpu_s for job in jobs),
    )


def _unended(
    asked: Mapping[str, Job[Any]],
    nodes: Mapping[str, Job[Any]],
    later: Sequence[tuple[Job[Any], tuple[Tier, ...]]],
    deadline_s: float,
) -> tuple[CallMeasure, ...]:
    """Return what cost that had not ended at the deadline: at least until then the node was busy."""
    late = [(job.what, "", job.tier) for job in asked.values() if not job.done.is_set()]
    late += [
        (f"/metrics/detailed ({tier})", job.node, str(tier))
        for job, tiers in later
        if not job.done.is_set() and nodes[job.node].answer is not None
        for tier in tiers
    ]
    said = f"No answer in {deadline_s:g} s."
    return tuple(CallMeasure(what, node, deadline_s, error=said, tier=tier) for what, node, tier in late)


def patient(chosen: Plan, due: Collection[Tier]) -> bool:
    """Tell whether a tick in which these tiers are due may take longer than others: what is long is waited for."""
    return any(
        tier in due and _long(chosen, tier) for tier in (Tier.DEPTH, *_BEHIND, Tier.LISTS) if tier in chosen.tiers
    )


def _long(chosen: Plan, tier: Tier) -> bool:
    """Tell whether an answer may be long: it is not had in every tick, or nobody knows yet."""
    if tier is Tier.DEPTH:
        return chosen.queues is tier  # from the management API's list
    return tier in chosen.untried or tier in chosen.left_out or chosen.every_ms[tier] > chosen.every_ms[Tier.DEPTH]


def _more(job: Job[dict[str, Samples]] | None) -> dict[str, Samples]:
    return job.answer if job is not None and job.done.is_set() and job.answer is not None else {}


def _management_jobs(clients: Clients, chosen: Plan, due: Collection[Tier], ends: float) -> dict[str, Job[Any]]:
    columns = _RATE_COLUMNS if chosen.prometheus else _COLUMNS
    wanted: dict[str, tuple[Tier | None, Callable[[Management], object]]] = {
        _NODES: (Tier.DEPTH if chosen.nodes else None, Management.nodes),
        _OVERVIEW: (chosen.overview, Management.overview),
        _VHOSTS: (chosen.vhosts, Management.vhosts),
        _QUEUES: (chosen.queues, lambda api: api.queues(columns=columns)),
        _EXCHANGES: (chosen.exchanges, Management.exchanges),
    }
    return {
        what: Job(
            what, "", _ask_management(clients, _client(clients, chosen, what, tier), call, tier, ends), tier=str(tier)
        )
        for what, (tier, call) in wanted.items()
        if tier is not None and tier in due
    }


def _client(clients: Clients, chosen: Plan, what: str, tier: Tier) -> Client:
    listed = tier is Tier.LISTS or what == _QUEUES
    return clients.patient if listed and _long(chosen, tier) else clients.management


def _ask_management(
    clients: Clients, client: Client, call: Callable[[Management], object], tier: Tier, ends: float
) -> Callable[[list[CallMeasure]], object]:
    def ask(taken: list[CallMeasure]) -> object:
        return call(
            Management(clients.endpoint, client=client, measured=_adding(taken, "", tier, clients.endpoint, ends))
        )

    return ask


def _adding(
    taken: list[CallMeasure], node: str, tier: Tier, endpoint: Endpoint, ends: float
) -> Callable[[Measure], None]:
    """Return what notes each call's cost. Past the tick's end it raises: nobody waits for the next call any more."""

    def measured(cost: Measure) -> None:
        taken.append(
            CallMeasure(cost.what, node, cost.seconds, cost.bytes, cost.wire_bytes, own_s=cost.own_s, tier=str(tier))
        )
        if time.monotonic() > ends:
            raise too_slow(cost.what.partition("?")[0], endpoint.address, sum(one.seconds for one in taken))

    return measured


def _only_dead_left(asked: Mapping[str, Job[Any]], of_nodes: Sequence[Job[Any]]) -> bool:
    """Tell whether all that is not done yet are nodes that the management API says are down or gone."""
    told = _answer(asked, _NODES)
    if told is None or not all(job.done.is_set() for job in asked.values()):
        return False
    # One that is in the list no more was taken out of the cluster.
    running = {node.name for node in told if node.running is not False}
    return all(job.done.is_set() or job.node not in running for job in of_nodes)


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


def _ask_depth(
    clients: Clients, chosen: Plan, node: str, address: str
) -> Callable[[list[CallMeasure]], dict[str, Samples]]:
    def ask(taken: list[CallMeasure]) -> dict[str, Samples]:
        depth = _endpoint(clients, clients.prometheus, address, node, taken, Tier.DEPTH, chosen)
        return depth.detailed(chosen.families[Tier.DEPTH], DETAILED_NAMES)

    return ask


def _ask_counters(
    clients: Clients, chosen: Plan, front: Job[dict[str, Samples]], address: str, ends: float
) -> Callable[[list[CallMeasure]], dict[str, Samples] | None]:
    """Ask what a node counted once its depth is told; None where it does not tell."""

    def ask(taken: list[CallMeasure]) -> dict[str, Samples] | None:
        if not _told(front, ends):
            return None
        counting = _endpoint(clients, clients.prometheus, address, front.node, taken, Tier.COUNTERS, chosen)
        families = chosen.families.get(Tier.COUNTERS, ())

        def all_of_it() -> dict[str, Samples]:
            found = counting.plain(PLAIN_NAMES)
            return found | (counting.detailed(families, DETAILED_NAMES) if families else {})

        return _or_noted(all_of_it, taken, "/metrics", front.node, Tier.COUNTERS)

    return ask


def _ask_behind(
    clients: Clients,
    chosen: Plan,
    before: tuple[Job[dict[str, Samples]], Job[dict[str, Samples] | None] | None],
    address: str,
    due: Collection[Tier],
    ends: float,
) -> Callable[[list[CallMeasure]], dict[str, Samples]]:
    """Ask a node's slower tiers once the others are answered; one that brings nothing costs only itself."""
    front, counting = before
    client = clients.patient_prometheus if patient(chosen, due) else clients.prometheus

    def ask(taken: list[CallMeasure]) -> dict[str, Samples]:
        found: dict[str, Samples] = {}
        if not _told(front, ends):
            return found
        if counting is not None:
            counting.done.wait(TICK_DEADLINE_S)
        for tier in _behind(chosen, due):
            if time.monotonic() > ends:
                break  # nobody waits for it any more: the broker is spared
            endpoint = _endpoint(clients, client, address, front.node, taken, tier, chosen)
            families = chosen.families[tier]
            what = f"/metrics/detailed ({tier})"
            found |= (
                _or_noted(partial(endpoint.detailed, families, DETAILED_NAMES), taken, what, front.node, tier) or {}
            )
        return found

    return ask


def _told(front: Job[dict[str, Samples]], ends: float) -> bool:
    """Wait for a node's depth, and tell whether it came."""
    front.done.wait(min(TICK_DEADLINE_S, max(0.0, ends - time.monotonic())))
    return front.answer is not None


def _or_noted(
    call: Callable[[], dict[str, Samples]], taken: list[CallMeasure], what: str, node: str, tier: Tier
) -> dict[str, Samples] | None:
    """Return what a call brings, None where it failed: why stands in its measure."""
    began, before = time.perf_counter(), len(taken)
    try:
        return call()
    except BrokerError as error:
        took = time.perf_counter() - began - sum(one.seconds for one in taken[before:])
        taken.append(CallMeasure(what, node, max(0.0, took), error=error.sentence, tier=str(tier)))
        return None


def _endpoint(
    clients: Clients, client: Client, address: str, node: str, taken: list[CallMeasure], tier: Tier, chosen: Plan
) -> Prometheus:
    measured = _adding(taken, node, tier, clients.endpoint, math.inf)
    return Prometheus(client, address, node=node, measured=measured, packed=chosen.packed, bodies=clients.bodies)
