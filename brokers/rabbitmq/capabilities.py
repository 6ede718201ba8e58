"""From version, listeners, feature flags and settings to what a broker can be asked, and what can't and why. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from brokers.rabbitmq.endpoint import Endpoint
from brokers.rabbitmq.errors import BrokerError
from brokers.rabbitmq.prometheus import Identity
from brokers.rabbitmq.structs import FeatureFlag, Listener, Overview

OLDEST, NEWEST = (3, 10), (4, 3)
_PROTOCOLS = {"http/prometheus": "http", "https/prometheus": "https"}
# Enabled only once every node of the cluster runs 4.0 or later.
_EVERY_NODE_4_0 = "rabbitmq_4.0.0"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a broker can be asked.

    `addresses` has, for each node with a Prometheus listener, the addresses at which it may be reached, the likeliest
    first; under "" those that a person entered, whose nodes are not known yet.
    """

    product: str
    version: str
    release: tuple[int, ...]
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # Prometheus counts per queue and exchange: since 4.0, and only once the whole cluster is that new.
    counters_exposed: bool = False
    # Label values are escaped as the format wants it: since 3.11 [3.10 writes names as they are, measured].
    escapes_labels: bool = True
    # False: the broker was set to count no messages (management's rates mode none), or to keep no statistics.
    counts: bool = True
    remarks: tuple[str, ...] = ()


def capabilities(overview: Overview, endpoint: Endpoint, flags: Iterable[FeatureFlag] | None = None) -> Capabilities:
    """Return what a broker can be asked, from what it says of itself. `flags` None: they are not known."""
    product, version = _product(overview)
    release = release_of(version) if product == "RabbitMQ" else ()
    states = {flag.name: flag.state for flag in flags or ()}
    return Capabilities(
        product=product,
        version=version,
        release=release,
        addresses=_addresses(overview, endpoint),
        counters_exposed=release >= (4, 0) and states.get(_EVERY_NODE_4_0, "enabled") == "enabled",
        escapes_labels=release >= (3, 11),
        counts=overview.rates_mode != "none" and not overview.disable_stats,
        remarks=tuple(_remarks(product, version, release, overview)),
    )


def located(
    addresses: Mapping[str, tuple[str, ...]], answers: Mapping[str, Identity | BrokerError]
) -> tuple[dict[str, str], dict[str, BrokerError]]:
    """Return each node's Prometheus address, and why a node can't be reached by any; `addresses` as in Capabilities.

    A node that is not reached now keeps its likeliest address as long as another node is reached: it is down, and will
    be back. Where none is, the broker's Prometheus is out of reach from here.
    """
    reached: dict[str, str] = {}
    for address in (one for several in addresses.values() for one in several):
        told = answers.get(address)
        if isinstance(told, Identity) and told.node:
            reached.setdefault(told.node, address)
    failed: dict[str, BrokerError] = {}
    for node, several in addresses.items():
        if node in reached or (not node and any(isinstance(answers.get(one), Identity) for one in several)):
            continue
        errors = [one for one in (answers.get(address) for address in several) if isinstance(one, BrokerError)]
        if errors:
            failed[node] = errors[0]
    if reached:
        reached |= {node: addresses[node][0] for node in failed if node}
    return reached, failed


def release_of(version: str) -> tuple[int, ...]:
    """Return (4, 3) of "4.3.6", "4.3.0-rc.1" and the like; () where that is no version."""
    match = re.match(r"(\d{1,4})\.(\d{1,4})", version)
    return (int(match[1]), int(match[2])) if match else ()


def _product(overview: Overview) -> tuple[str, str]:
    if overview.lavinmq_version:
        return "LavinMQ", overview.lavinmq_version
    return "RabbitMQ", overview.rabbitmq_version or ""


def _remarks(product: str, version: str, release: tuple[int, ...], overview: Overview) -> Iterable[str]:
    if product != "RabbitMQ":
        yield f"{product} speaks a part of RabbitMQ's API: figures that it does not tell stay unknown."
    elif not release:
        yield "The broker does not tell its version, so nothing that depends on it is asked."
    elif release < OLDEST:
        yield f"RabbitMQ {version} is older than 3.10, the oldest that Warren is tested with."
    elif release > NEWEST:
        yield f"RabbitMQ {version} is newer than 4.3, the newest that Warren is tested with."
    if overview.rates_mode == "none":
        yield "The broker was set to count no messages (management.rates_mode = none): management shows no rates."
    if overview.disable_stats:
        yield (
            "The broker was set to keep no statistics for the management API "
            "(management_agent.disable_metrics_collector = true): what only that tells is unknown."
        )


def _addresses(overview: Overview, endpoint: Endpoint) -> dict[str, tuple[str, ...]]:
    if endpoint.prometheus_urls:
        return {"": endpoint.prometheus_urls}
    listeners = [one for one in overview.listeners or () if one.protocol in _PROTOCOLS and one.port]
    several = len({one.node for one in listeners}) > 1
    found: dict[str, list[str]] = {}
    for listener in listeners:
        hosts = _hosts(listener, endpoint.host, several=several)
        scheme = _PROTOCOLS[listener.protocol]
        found.setdefault(listener.node, []).extend(f"{scheme}://{_bracketed(host)}:{listener.port}" for host in hosts)
    return {node: tuple(dict.fromkeys(several)) for node, several in found.items()}


def _hosts(listener: Listener, entered: str, *, several: bool) -> list[str]:
    """Return hosts at which a node's listener may be: the entered one, the node name's, the address it listens on.

    Of a cluster the node's own name comes first: the entered host is one node of several, or a balancer before them.
    Loopback names mean this machine only where the entered host is one.
    """
    here = _is_loopback(entered)
    named = listener.node.partition("@")[2]
    own = [host for host in (named, listener.ip_address or "") if host and not _is_wildcard(host)]
    own = [host for host in own if here or not _is_loopback(host)]
    own = [host for host in own if _is_host(host)]
    return list(dict.fromkeys([*own[:1], entered, *own[1:]] if several and not here else [entered, *own]))


def _is_host(text: str) -> bool:
    try:
        return urlsplit(f"http://{_bracketed(text)}:1").hostname is not None and not re.search(r"[\s/?#@%\\]", text)
    except ValueError:
        return False


def _is_wildcard(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
