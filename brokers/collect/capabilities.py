"""What a broker can be asked: found out now and then, remembered in its PollState."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from brokers.collect.clients import Clients
from brokers.collect.measures import CallMeasure
from brokers.collect.models import PollState
from brokers.collect.plan import Abilities
from brokers.rabbitmq.management import Management, Measure
from brokers.registry.models import Broker

# What a broker can do changes with upgrades and plugins; it is found out anew this often, and after every failure.
REFRESH_MS = 300_000


@dataclass(frozen=True, slots=True)
class Found:
    """A broker's abilities; `fresh`: found out just now, by the calls in `measures`."""

    abilities: Abilities
    version: str
    escapes_labels: bool
    encoded: bytes
    fresh: bool = False
    measures: tuple[CallMeasure, ...] = ()


class _Held(msgspec.Struct):
    version: str
    prometheus: dict[str, str]
    rates_mode: str


def find(clients: Clients, broker: Broker, state: PollState, now_ms: int) -> Found:
    """Return what the broker can be asked. Raises BrokerError where it has to be asked and does not tell."""
    if now_ms - state.capabilities_ms < REFRESH_MS and state.capabilities_revision == broker.revision:
        return _made(msgspec.json.decode(bytes(state.capabilities), type=_Held), bytes(state.capabilities))
    taken: list[CallMeasure] = []

    def measured(cost: Measure) -> None:
        taken.append(CallMeasure(cost.what, "", cost.seconds, cost.bytes, cost.wire_bytes))

    overview = Management(clients.endpoint, client=clients.management, measured=measured).overview()
    host = urlsplit(clients.endpoint.management_url).hostname
    prometheus = {
        listener.node: f"http://{host}:{listener.port}"
        for listener in overview.listeners or ()
        if listener.protocol == "http/prometheus"
    }
    held = _Held(overview.rabbitmq_version or "", prometheus, overview.rates_mode or "")
    found = _made(held, msgspec.json.encode(held))
    return Found(found.abilities, found.version, found.escapes_labels, found.encoded, fresh=True, measures=tuple(taken))


def _made(held: _Held, encoded: bytes) -> Found:
    release = tuple(int(part) for part in held.version.split(".")[:2] if part.isdigit())
    abilities = Abilities(
        version=held.version,
        prometheus=held.prometheus,
        prometheus_missing="" if held.prometheus else "The broker has no Prometheus endpoint.",
        counters_exposed=release >= (4, 0),
        counts=held.rates_mode != "none",
    )
    return Found(abilities, held.version, release >= (3, 11), encoded)
