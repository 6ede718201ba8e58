"""What a broker can be asked: found out now and then, remembered in its PollState."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from brokers.collect.clients import Clients
from brokers.collect.measures import CallMeasure
from brokers.collect.models import PollState
from brokers.collect.plan import Abilities
from brokers.rabbitmq.capabilities import Capabilities, capabilities, located
from brokers.rabbitmq.errors import BrokerError, ErrorKind, UnreachableError
from brokers.rabbitmq.http import Limits
from brokers.rabbitmq.management import Management, Measure
from brokers.rabbitmq.prometheus import locate
from brokers.rabbitmq.structs import FeatureFlag
from brokers.registry.models import Broker

# What a broker can do changes with upgrades and plugins; it is found out anew this often, and after every failure.
REFRESH_MS = 300_000
# The same while some node's Prometheus is out of reach.
REFRESH_SOON_MS = 60_000
# Answers that will be the same in the next tick: the user may not ask it, or the server does not offer it.
_FOR_GOOD = frozenset(
    {ErrorKind.FORBIDDEN, ErrorKind.NOT_FOUND, ErrorKind.PLUGIN_OFF, ErrorKind.REFUSED_REQUEST, ErrorKind.NOT_RABBITMQ}
)
# What a Prometheus endpoint says that is there and can't cope. It is not absent.
_STRUGGLING = frozenset(
    {ErrorKind.TOO_SLOW, ErrorKind.CONNECT_TIMEOUT, ErrorKind.RESET, ErrorKind.TRUNCATED, ErrorKind.SERVER_ERROR}
)
# Only after so many ticks in a row that brought nothing its figures are asked of the management API, which is dearer.
PATIENCE = 3
# Seconds; part of a tick goes to finding out who answers where.
_LOCATING = Limits(connect=1.5, read=1.5, total=2.0)


@dataclass(frozen=True, slots=True)
class Found:
    """A broker's abilities; `fresh`: found out just now, by the calls in `measures`."""

    abilities: Abilities
    version: str
    escapes_labels: bool
    encoded: bytes
    fresh: bool = False
    measures: tuple[CallMeasure, ...] = ()


class _Held(msgspec.Struct, frozen=True):
    """What is remembered of a broker's abilities. `whole` is False where a node could not be reached."""

    version: str
    prometheus: dict[str, str]
    prometheus_missing: str = ""
    counters_exposed: bool = False
    escapes_labels: bool = False
    counts: bool = True
    whole: bool = True
    # Why what has no count is not known to have none.
    counts_missing: str = ""
    remarks: tuple[str, ...] = ()
    # Calls that were refused since, with the sentence, by path: not asked again until abilities are found out anew.
    refused: dict[str, str] = {}
    # So many times in a row no node's Prometheus told who it is, and was there.
    misses: int = 0


def find(clients: Clients, broker: Broker, state: PollState, now_ms: int) -> Found:
    """Return what the broker can be asked. Raises BrokerError where it has to be asked and does not tell."""
    # Where our clock was set back, nobody knows how old they are.
    if state.capabilities_revision == broker.revision and 0 <= now_ms - state.capabilities_ms < REFRESH_MS:
        held = msgspec.json.decode(bytes(state.capabilities), type=_Held)
        if held.whole or now_ms - state.capabilities_ms < REFRESH_SOON_MS:
            return _made(held, bytes(state.capabilities))
    taken: list[CallMeasure] = []

    def measured(cost: Measure) -> None:
        taken.append(CallMeasure(cost.what, "", cost.seconds, cost.bytes, cost.wire_bytes))

    management = Management(clients.endpoint, client=clients.management, measured=measured)
    overview = management.overview()
    told = capabilities(overview, clients.endpoint)
    if told.counters_exposed:
        told = capabilities(overview, clients.endpoint, _flags(management))
    held = _held(clients, told, _before(broker, state), state.failures)
    found = _made(held, msgspec.json.encode(held))
    return Found(found.abilities, found.version, found.escapes_labels, found.encoded, fresh=True, measures=tuple(taken))


def refused(encoded: bytes, untold: Mapping[str, BrokerError]) -> bytes | None:
    """Return abilities with what a tick found to be refused for good in them; None where there is nothing new."""
    held = msgspec.json.decode(encoded, type=_Held)
    fresh = {
        path: error.sentence for path, error in untold.items() if error.kind in _FOR_GOOD and path not in held.refused
    }
    return msgspec.json.encode(msgspec.structs.replace(held, refused=held.refused | fresh)) if fresh else None


def _flags(management: Management) -> list[FeatureFlag] | None:
    """Return the feature flags, None where they are not told."""
    try:
        return management.feature_flags()
    except UnreachableError:
        raise
    except BrokerError:
        return None


def _before(broker: Broker, state: PollState) -> _Held | None:
    """Return what was known before; None where that was of another address, or nothing."""
    if state.capabilities_revision != broker.revision or not state.capabilities:
        return None
    try:
        return msgspec.json.decode(bytes(state.capabilities), type=_Held)
    except msgspec.MsgspecError:
        return None


def _held(clients: Clients, told: Capabilities, before: _Held | None, failures: int) -> _Held:
    """Return what the broker can do. Raises BrokerError where its Prometheus is too slow to say who it is."""
    answers = locate(clients.prometheus, [one for several in told.addresses.values() for one in several], _LOCATING)
    reached, failed = located(told, answers)
    misses = 0
    if not reached:
        misses = before.misses if before is not None else failures
        reached = _believed(told, failed, before, min(failures, misses))
        misses += 1
    return _Held(
        version=told.version,
        prometheus=reached,
        prometheus_missing="" if reached else _why_missing(failed),
        counters_exposed=told.counters_exposed,
        escapes_labels=told.escapes_labels,
        counts=told.counts and told.product == "RabbitMQ",
        whole=not failed,
        # Elsewhere nobody knows whether a count that is not shown is zero or is not kept.
        counts_missing="" if told.product == "RabbitMQ" else f"{told.product} does not tell it.",
        remarks=told.remarks,
        misses=misses,
    )


def _believed(
    told: Capabilities, failed: Mapping[str, BrokerError], before: _Held | None, failures: int
) -> dict[str, str]:
    """Return the nodes' addresses where none answered: those of before, or the likeliest, where one only struggles.

    A broker that has no time to answer the cheap question must not be asked the dear one for that. Where it had no
    Prometheus before, or brought nothing for `PATIENCE` ticks, there is none: {}. Raises BrokerError where an address
    that a person entered may be any node's.
    """
    known = before.prometheus if before is not None else None
    struggling = [error for error in failed.values() if error.kind in _STRUGGLING]
    # A port that a firewall closes looks as one that is too busy to take a connection.
    if known is None:
        struggling = [error for error in struggling if error.kind is not ErrorKind.CONNECT_TIMEOUT]
    if not struggling or failures >= PATIENCE or known == {}:
        return {}
    if known:
        return dict(known)
    likeliest = {node: several[0] for node, several in told.addresses.items() if node and several}
    if not likeliest:
        raise struggling[0]
    return likeliest


def _why_missing(failed: Mapping[str, BrokerError]) -> str:
    first = next(iter(failed.values()), None)
    return first.sentence if first else "The broker has no Prometheus endpoint."


def _made(held: _Held, encoded: bytes) -> Found:
    abilities = Abilities(
        version=held.version,
        prometheus=held.prometheus,
        prometheus_missing=held.prometheus_missing,
        counters_exposed=held.counters_exposed,
        counts=held.counts,
        counts_missing=held.counts_missing,
        remarks=held.remarks,
        refused=held.refused,
    )
    return Found(abilities, held.version, held.escapes_labels, encoded)
