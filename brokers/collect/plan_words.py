"""A plan in sentences, and why a figure can't be had or is not there in every tick. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from brokers.collect.allot import slowest_ms
from brokers.collect.budget import Tier
from brokers.collect.frame import GLOBAL_COUNTERS, REASONS
from brokers.collect.measures import CallMeasure
from brokers.collect.plan import Abilities, Plan, Source
from brokers.collect.queue_table import COUNTERS, SELDOM
from brokers.collect.reasons import EXCHANGES, NODES, OVERVIEW, QUEUES, VHOSTS, without
from brokers.collect.vhost_table import VHOST_COUNTERS
from brokers.series.metrics import METRICS, Kind, Shape

_CHANNELS = (
    f"{Kind.QUEUE}.stream_lag",
    f"{Kind.BROKER}.unconfirmed",
    f"{Kind.BROKER}.unconfirmed_highest",
)
_QUEUE_COUNTERS = frozenset(f"{Kind.QUEUE}.{name}" for name in COUNTERS)


def explained(chosen: Plan, abilities: Abilities, *, streams: bool | None = None) -> Plan:
    """Return the plan with its sentences and, by `kind.metric`, why a figure can't be had or only now and then.

    `streams` tells whether the broker has any stream; None: not known.
    """
    unknown = sparse(chosen)
    if not chosen.prometheus:
        _without_prometheus(unknown, abilities.prometheus_missing)
    if chosen.source is not Source.PROMETHEUS:
        _counters_by_management(chosen, abilities, unknown)
    if not abilities.counts:
        reason = abilities.counts_missing or "The broker was set to count no messages (management rates mode none)."
        unknown |= {f"{Kind.QUEUE}.{name}": reason for name in COUNTERS}
        unknown |= {f"{Kind.VHOST}.{name}": reason for name in VHOST_COUNTERS}
    exposed = bool(chosen.prometheus)
    for path, reason in abilities.refused.items():
        if path == NODES or chosen.source is not Source.PROMETHEUS:  # else Prometheus tells it
            unknown |= dict.fromkeys(without(path, exposed=exposed), reason)
    if streams is False:
        unknown[f"{Kind.QUEUE}.stream_lag"] = "The broker has no streams."
    said = [*_asked(chosen, abilities), *abilities.remarks]
    said.append(f"Definitions, policies and bindings every {_span(chosen.definitions_every_ms)}.")
    return replace(chosen, sentences=tuple(sentence for sentence in said if sentence), unknown=unknown)


def told_by(chosen: Plan, tier: Tier) -> frozenset[str]:
    """Return the figures, as `kind.metric`, that only a tier of this plan tells."""
    if tier is Tier.CONSUMERS:
        # Details have them too, but seldomer.
        told = {f"{kind}.consumers" for kind in (Kind.QUEUE, Kind.VHOST, Kind.BROKER)}
        return frozenset(told | {f"{Kind.QUEUE}.prefetch"})
    if tier is Tier.DETAILS:
        return frozenset(f"{Kind.QUEUE}.{name}" for name in SELDOM)
    if tier is Tier.CHANNELS:
        return frozenset(_CHANNELS)
    if tier is Tier.LISTS:
        exchanges = {f"{Kind.EXCHANGE}.published"} if chosen.exchanges is tier else set()
        return frozenset(exchanges | (_QUEUE_COUNTERS if chosen.queues is tier else set()))
    if tier is Tier.COUNTERS:
        kinds = [Kind.BROKER, Kind.VHOST, Kind.NODE]
        if chosen.source is Source.PROMETHEUS:
            kinds += [Kind.EXCHANGE, Kind.QUEUE]
        counted = {
            f"{kind}.{metric.name}" for kind in kinds for metric in METRICS[kind] if metric.shape is Shape.COUNTER
        }
        return frozenset(counted | {f"{Kind.BROKER}.{name}" for name in ("connections", "channels")})
    return frozenset()


def not_told(chosen: Plan, measures: Iterable[CallMeasure]) -> dict[str, str]:
    """Return a sentence for each figure whose tier was asked in a tick and did not answer."""
    failed = {call.tier: call.error for call in measures if call.error and call.tier in set(chosen.tiers)}
    return {
        name: sentence
        for tier, sentence in failed.items()
        if tier != Tier.DEPTH
        for name in told_by(chosen, Tier(tier))
    }


def cadences(chosen: Plan) -> dict[str, int]:
    """Return how often each figure that is not in every tick is read, milliseconds, by `kind.metric`.

    What is left out is not in it: nobody may hold a value of an hour ago.
    """
    depth_ms = chosen.every_ms[Tier.DEPTH]
    return {
        name: chosen.every_ms[tier]
        for tier in chosen.tiers
        if tier not in chosen.left_out and chosen.every_ms[tier] > depth_ms
        for name in sorted(told_by(chosen, tier))
    }


def sparse(chosen: Plan) -> dict[str, str]:
    """Return a sentence for each figure that is not told in every tick."""
    depth_ms = chosen.every_ms[Tier.DEPTH]
    found: dict[str, str] = {}
    for tier in chosen.tiers:
        if tier in chosen.left_out:
            how, again = ("is expected to take", "") if tier in chosen.untried else ("takes", "again ")
            sentence = (
                f"It is not read: its answer {how} more than this broker's budget bears even once in "
                f"{_span(slowest_ms(tier))}. It is tried {again}after {_span(chosen.every_ms[tier])}."
            )
        elif chosen.every_ms[tier] > depth_ms:
            sentence = f"It is read every {_span(chosen.every_ms[tier])}, and is not due yet."
        else:
            continue
        found |= dict.fromkeys(told_by(chosen, tier), sentence)
    return found


def _asked(chosen: Plan, abilities: Abilities) -> Iterable[str]:
    depth = _often(chosen, Tier.DEPTH)
    if chosen.prometheus:
        nodes = len(chosen.prometheus)
        where = "the node's Prometheus endpoint" if nodes == 1 else f"the Prometheus endpoints of {nodes} nodes"
        yield f"Messages in each queue from {where}, {depth}."
        what = "of the broker, its nodes, each queue and exchange" if _counts_all(chosen) else "of the broker and nodes"
        yield f"Counters {what} from there, {_often(chosen, Tier.COUNTERS)}."
        yield f"Consumers of each queue from there, {_often(chosen, Tier.CONSUMERS)}."
        yield f"Capacity, bytes and memory of each queue from there, {_often(chosen, Tier.DETAILS)}."
        yield f"Channels and consumers of streams from there, {_often(chosen, Tier.CHANNELS)}."
    else:
        how = depth if chosen.queues else "which it refuses"
        yield f"Depth, consumers and counters from the management API's list of queues, {how}."
        yield abilities.prometheus_missing
    if chosen.nodes:
        yield f"Nodes, alarms and partitions from the management API, {depth}."
    if chosen.source is Source.MIXED:
        how = _often(chosen, Tier.LISTS) if chosen.queues else "which it refuses"
        yield f"Counters of each queue from the management API, {how}."


def _counts_all(chosen: Plan) -> bool:
    return chosen.source is Source.PROMETHEUS


def _often(chosen: Plan, tier: Tier) -> str:
    if tier in chosen.left_out:
        return "not read: the budget does not bear it"
    return f"every {_span(chosen.every_ms[tier])}"


def _span(milliseconds: int) -> str:
    # Cadences are found by measuring: two digits are all that they mean.
    value, unit = milliseconds / 1000, "s"
    for longer in ("min", "h"):
        if value >= 120:
            value, unit = value / 60, longer
    return f"{round(value) if value >= 10 else round(value, 1):g} {unit}"


def _without_prometheus(unknown: dict[str, str], missing: str) -> None:
    why = missing or "The broker has no Prometheus endpoint."
    reasons = (f"dead_lettered_{reason}" for reason in REASONS)
    for name in ("received_confirm", "dead_lettered", *reasons, "unconfirmed", "unconfirmed_highest"):
        unknown[f"{Kind.BROKER}.{name}"] = f"The management API does not count this. {why}"
    for name in ("connections", "leaders", "received", "confirmed"):
        unknown[f"{Kind.NODE}.{name}"] = f"The management API does not tell this by node. {why}"
    unknown[f"{Kind.QUEUE}.stream_lag"] = f"The management API is not asked for this. {why}"


def _counters_by_management(chosen: Plan, abilities: Abilities, unknown: dict[str, str]) -> None:
    mixed = chosen.source is Source.MIXED
    older = (
        f"RabbitMQ {abilities.version} has no counters of each queue in Prometheus"
        if mixed
        else "Without Prometheus counters come from the management API"
    )
    if mixed:
        told = f"RabbitMQ {abilities.version} does not tell this in Prometheus."
        unknown[f"{Kind.QUEUE}.stream_lag"] = told
    for name in ("confirmed", "returned", "dropped"):
        unknown[f"{Kind.EXCHANGE}.{name}"] = f"The management API does not count this by exchange. {older}."
    if chosen.queues is None:
        reason = abilities.refused.get(QUEUES, "The broker refuses its list of queues.")
        unknown |= dict.fromkeys(_QUEUE_COUNTERS, reason)
    elif mixed:
        unknown |= {name: f"{older}. {said}" for name, said in unknown.items() if name in _QUEUE_COUNTERS}
    if chosen.exchanges is None:
        unknown[f"{Kind.EXCHANGE}.published"] = abilities.refused.get(EXCHANGES, "The broker refuses this list.")
    if chosen.vhosts is None:
        reason = abilities.refused.get(VHOSTS, "The broker refuses its list of vhosts.")
        unknown |= {f"{Kind.VHOST}.{name}": reason for name in VHOST_COUNTERS}
    if not chosen.prometheus and not chosen.overview:
        reason = abilities.refused.get(OVERVIEW, "The broker refuses its overview.")
        unknown |= {f"{Kind.BROKER}.{name}": reason for name in GLOBAL_COUNTERS}
