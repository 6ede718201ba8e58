"""Pooled connections to brokers, one pool a broker and process, dropped when the broker is edited."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from ipaddress import ip_address

from brokers.rabbitmq.connection import resolve
from brokers.rabbitmq.endpoint import Endpoint
from brokers.rabbitmq.exposition_again import Bodies
from brokers.rabbitmq.http import Client, Limits
from brokers.registry.models import Broker
from brokers.registry.services import endpoint_of

# Seconds; a tick as a whole has 4 (brokers.collect.claims), a long list 20.
TICK_LIMITS = Limits(connect=2.5, read=3.5, total=3.7)
# To find out whether a broker is near; where its name is not found by then it counts as far.
_RESOLVING_S = 0.5
LIST_LIMITS = Limits(connect=2.5, read=15.0, total=19.0)


@dataclass(frozen=True, slots=True)
class Clients:
    """How to call one broker: signed in for management, and for its nodes' Prometheus with what belongs there."""

    revision: int
    endpoint: Endpoint
    management: Client
    # For long lists, which take the broker longer than a tick may.
    patient: Client
    prometheus: Client
    patient_prometheus: Client
    # The broker is on this machine or in a private network: the line to it is short.
    near: bool = False
    # What Prometheus answered last.
    bodies: Bodies = field(default_factory=Bodies)

    def close(self) -> None:
        """Close every pooled connection."""
        for client in (self.management, self.patient, self.prometheus, self.patient_prometheus):
            client.close()


_held: dict[int, Clients] = {}
_lock = threading.Lock()


def clients_of(broker: Broker) -> Clients:
    """Return the broker's pools, new ones after an edit. Raises SealedError and BadEndpointError."""
    with _lock:
        held = _held.get(broker.id)
        if held is not None and held.revision == broker.revision:
            return held
    endpoint = endpoint_of(broker)
    made = Clients(
        revision=broker.revision,
        endpoint=endpoint,
        management=Client(endpoint, TICK_LIMITS),
        patient=Client(endpoint, LIST_LIMITS),
        prometheus=Client(endpoint.at_prometheus(), TICK_LIMITS),
        patient_prometheus=Client(endpoint.at_prometheus(), LIST_LIMITS),
        near=_near(endpoint),
    )
    with _lock:
        old, _held[broker.id] = _held.get(broker.id), made
    if old is not None:
        old.close()
    return made


def _near(endpoint: Endpoint) -> bool:
    try:
        found = resolve(endpoint.host, endpoint.port, _RESOLVING_S)
    except OSError:
        return False
    return all(ip_address(str(address[0]).partition("%")[0]).is_private for _, address in found)


def forget(broker_id: int | None = None) -> None:
    """Close the pools of a broker, or of all."""
    with _lock:
        ids = list(_held) if broker_id is None else [broker_id]
        gone = [_held.pop(one) for one in ids if one in _held]
    for one in gone:
        one.close()
