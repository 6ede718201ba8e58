"""Finds out what a broker can be asked, now and then: brokers.collect.known decides when, and what is remembered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from brokers.collect.clients import TICK_LIMITS, Clients
from brokers.collect.known import LOOK_MS, Known, abilities_of, decode, locate_due, look_due, tried_again
from brokers.collect.measures import CallMeasure
from brokers.collect.models import PollState
from brokers.collect.plan import Abilities
from brokers.rabbitmq.capabilities import capabilities, located
from brokers.rabbitmq.errors import BrokerError, ErrorKind, UnreachableError
from brokers.rabbitmq.http import Limits
from brokers.rabbitmq.management import Management, Measure
from brokers.rabbitmq.prometheus import locate
from brokers.rabbitmq.structs import FeatureFlag
from brokers.registry.models import Broker

# What a Prometheus endpoint says that is there and can't cope. It is not absent.
_STRUGGLING = frozenset(
    {ErrorKind.TOO_SLOW, ErrorKind.CONNECT_TIMEOUT, ErrorKind.RESET, ErrorKind.TRUNCATED, ErrorKind.SERVER_ERROR}
)
# Only after so many ticks in a row that brought nothing its figures are asked of the management API, which is dearer.
PATIENCE = 3
# Seconds; part of a tick goes to finding out who answers where.
_LOCATING = Limits(connect=1.5, read=1.5, total=2.0)
# Two calls of the management API, and that.
LONGEST_S = 2 * TICK_LIMITS.total + _LOCATING.total
Measured = Callable[[Measure], None]


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of a broker; `measures` are the calls that told it just now, `looked`: its overview is among them.

    `looked_ms` is when its overview was asked for last, `before` what was known before.
    """

    known: Known
    before: Known | None
    abilities: Abilities
    looked_ms: int
    looked: bool = False
    measures: tuple[CallMeasure, ...] = ()

    @property
    def blind(self) -> bool:
        """Nothing shows when the overview is to be looked at again: it is looked at often."""
        return self.known.upgrading or (self.before is not None and not self.before.nodes)


def find(
    clients: Clients,
    broker: Broker,
    state: PollState,
    now_ms: int,
    every_ms: int = LOOK_MS,
    asking: Callable[[], None] = lambda: None,
) -> Found:
    """Return what the broker can be asked. Raises BrokerError where it has to be asked and does not tell.

    `every_ms` is how often its overview is looked at where nothing shows that it may say something else now. `asking`
    is called before anything is asked, which may take `LONGEST_S`.
    """
    taken: list[CallMeasure] = []

    def measured(cost: Measure) -> None:
        taken.append(CallMeasure(cost.what, "", cost.seconds, cost.bytes, cost.wire_bytes, own_s=cost.own_s))

    # An edit makes another broker of it.
    before = decode(state.capabilities) if state.capabilities_revision == broker.revision else None
    if before is None or look_due(before, state.capabilities_ms, now_ms, every_ms):
        asking()
        told = _located(clients, _looked(clients, measured), before, state.failures, now_ms, measured)
        return Found(told, before, abilities_of(told), now_ms, looked=True, measures=tuple(taken))
    known = tried_again(before, now_ms)
    if locate_due(known, state.failures, now_ms):
        asking()
        known = _located(clients, known, before, state.failures, now_ms, measured)
    return Found(known, before, abilities_of(known), state.capabilities_ms, measures=tuple(taken))


def _looked(clients: Clients, measured: Measured) -> Known:
    """Return what the broker says of itself, and nothing yet of who answers where. Raises BrokerError."""
    management = Management(clients.endpoint, client=clients.management, measured=measured)
    overview = management.overview()
    told = capabilities(overview, clients.endpoint)
    if told.counters_exposed:
        told = capabilities(overview, clients.endpoint, _flags(management))
    return Known(
        version=told.version,
        prometheus={},
        counters_exposed=told.counters_exposed,
        escapes_labels=told.escapes_labels,
        counts=told.counts and told.product == "RabbitMQ",
        # Elsewhere nobody knows whether a count that is not shown is zero or is not kept.
        counts_missing="" if told.product == "RabbitMQ" else f"{told.product} does not tell it.",
        remarks=told.remarks,
        addresses=dict(told.addresses),
        upgrading=told.release >= (4, 0) and not told.counters_exposed,
    )


def _flags(management: Management) -> list[FeatureFlag] | None:
    """Return the feature flags, None where they are not told."""
    try:
        return management.feature_flags()
    except UnreachableError:
        raise
    except BrokerError:
        return None


def _located(
    clients: Clients, told: Known, before: Known | None, failures: int, now_ms: int, measured: Measured
) -> Known:
    """Return it with who answers where. Raises BrokerError where its Prometheus is too slow to say who it is."""
    asked = [one for several in told.addresses.values() for one in several]
    reached, failed = located(told.addresses, locate(clients.prometheus, asked, _LOCATING, measured))
    misses = 0
    if not reached:
        misses = before.misses if before is not None else failures
        known = before.prometheus if before is not None else None
        reached = _believed(told.addresses, failed, known, min(failures, misses))
        misses += 1
    return msgspec.structs.replace(
        told,
        prometheus=reached,
        prometheus_missing="" if reached else _why_missing(failed),
        whole=not failed,
        misses=misses,
        located_ms=now_ms,
    )


def _believed(
    addresses: Mapping[str, tuple[str, ...]],
    failed: Mapping[str, BrokerError],
    known: Mapping[str, str] | None,
    failures: int,
) -> dict[str, str]:
    """Return the nodes' addresses where none answered: those of before, or the likeliest, where one only struggles.

    A broker that has no time to answer the cheap question must not be asked the dear one for that. Where it had no
    Prometheus before, or brought nothing for `PATIENCE` ticks, there is none: {}. Raises BrokerError where an address
    that a person entered may be any node's. `known` are those of before, None: nothing is known of before.
    """
    struggling = [error for error in failed.values() if error.kind in _STRUGGLING]
    # A port that a firewall closes looks as one that is too busy to take a connection.
    if known is None:
        struggling = [error for error in struggling if error.kind is not ErrorKind.CONNECT_TIMEOUT]
    if not struggling or failures >= PATIENCE or known == {}:
        return {}
    if known:
        return dict(known)
    likeliest = {node: several[0] for node, several in addresses.items() if node and several}
    if not likeliest:
        raise struggling[0]
    return likeliest


def _why_missing(failed: Mapping[str, BrokerError]) -> str:
    first = next(iter(failed.values()), None)
    return first.sentence if first else "The broker has no Prometheus endpoint."
