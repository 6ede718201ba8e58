"""Does a plan's calls: the nodes side by side, so that one that is dead delays nobody for longer than the deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from brokers.collect import figures
from brokers.collect.answers import Samples, Scrape
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


def scrape(clients: Clients, chosen: Plan, *, with_lists: bool) -> Scrape:
    """Ask what the plan says; `with_lists` tells whether the lists that are too long for every tick are due.

    Raises BrokerError where nothing of use came: the sign-in was refused, or no source of depth answered.
    """
    deadline_s = SLOW_DEADLINE_S if with_lists and _slow(chosen) else TICK_DEADLINE_S
    asked = _management_jobs(clients, chosen, with_lists=with_lists)
    nodes: dict[str, Job[Any]] = {
        name: Job("Prometheus", name, _ask_node(clients, name, address, chosen.families))
        for name, address in chosen.prometheus.items()
    }
    run_all([*asked.values(), *nodes.values()], deadline_s, lambda: _only_dead_left(asked, nodes))
    jobs = [*asked.values(), *nodes.values()]
    measures = tuple(measure for job in jobs for measure in job.measures)
    try:
        _refuse_useless(clients, chosen, asked, nodes, deadline_s)
    except BrokerError as error:
        error.measures = measures  # type: ignore[attr-defined]
        raise
    seen = figures.nodes_seen(_answer(asked, _NODES))
    running = {node.name for node in seen if node.running is not False} if seen is not None else set(nodes)
    answered = {name: job.answer for name, job in nodes.items() if job.answer is not None}
    return Scrape(
        at_ms=max((job.ended_ms for job in jobs if job.answer is not None), default=time.time_ns() // 1_000_000),
        nodes=seen,
        exposed=answered if chosen.prometheus else None,
        silent=tuple(sorted((running if chosen.prometheus else set()) - answered.keys())),
        queues=figures.of_queues(_answer(asked, _QUEUES), counted=chosen.reading.counted),
        exchanges=figures.of_exchanges(_answer(asked, _EXCHANGES), counted=chosen.reading.counted),
        vhosts=figures.of_vhosts(_answer(asked, _VHOSTS), counted=chosen.reading.counted),
        overview=figures.of_overview(_answer(asked, _OVERVIEW), counted=chosen.reading.counted),
        untold=_untold(clients, asked, deadline_s),
        measures=measures,
        cpu_s=sum(job.cpu_s for job in jobs),
    )


def _slow(chosen: Plan) -> bool:
    return bool(chosen.queues_every_ms or chosen.exchanges_every_ms)


def _management_jobs(clients: Clients, chosen: Plan, *, with_lists: bool) -> dict[str, Job[Any]]:
    columns = _RATE_COLUMNS if chosen.prometheus else _COLUMNS
    wanted: dict[str, tuple[bool, Callable[[Management], object]]] = {
        _NODES: (chosen.nodes, Management.nodes),
        _OVERVIEW: (chosen.overview, Management.overview),
        _VHOSTS: (chosen.vhosts, Management.vhosts),
        _QUEUES: (_due(chosen.queues_every_ms, with_lists=with_lists), lambda api: api.queues(columns=columns)),
        _EXCHANGES: (_due(chosen.exchanges_every_ms, with_lists=with_lists), Management.exchanges),
    }
    return {
        what: Job(what, "", _ask_management(clients, _client(clients, chosen, what), call))
        for what, (asked, call) in wanted.items()
        if asked
    }


def _client(clients: Clients, chosen: Plan, what: str) -> Client:
    every_ms = {_QUEUES: chosen.queues_every_ms, _EXCHANGES: chosen.exchanges_every_ms}.get(what)
    return clients.patient if every_ms else clients.management


def _due(every_ms: int | None, *, with_lists: bool) -> bool:
    return every_ms is not None and (every_ms == 0 or with_lists)


def _ask_management(
    clients: Clients, client: Client, call: Callable[[Management], object]
) -> Callable[[list[CallMeasure]], object]:
    def ask(taken: list[CallMeasure]) -> object:
        def measured(cost: Measure) -> None:
            taken.append(CallMeasure(cost.what, "", cost.seconds, cost.bytes, cost.wire_bytes))

        return call(Management(clients.endpoint, client=client, measured=measured))

    return ask


def _only_dead_left(asked: Mapping[str, Job[Any]], nodes: Mapping[str, Job[Any]]) -> bool:
    """Tell whether all that is not done yet are nodes that the management API says are down."""
    told = _answer(asked, _NODES)
    if told is None or not all(job.done.is_set() for job in asked.values()):
        return False
    down = {node.name for node in told if node.running is False}
    return all(job.done.is_set() or name in down for name, job in nodes.items())


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


def _ask_node(
    clients: Clients, node: str, address: str, families: Iterable[str]
) -> Callable[[list[CallMeasure]], dict[str, Samples]]:
    def ask(taken: list[CallMeasure]) -> dict[str, Samples]:
        return _expose(clients, node, address, families, taken)

    return ask


def _expose(
    clients: Clients, node: str, address: str, families: Iterable[str], taken: list[CallMeasure]
) -> dict[str, Samples]:
    def measured(cost: Measure) -> None:
        taken.append(CallMeasure(cost.what, node, cost.seconds, cost.bytes, cost.wire_bytes))

    endpoint = Prometheus(clients.prometheus, address, node=node, measured=measured)
    return endpoint.plain(PLAIN_NAMES) | endpoint.detailed(families, DETAILED_NAMES)
