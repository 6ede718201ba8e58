"""The names in a tick's answers that have no slot yet. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from brokers.collect.answers import Figures, Scrape
from brokers.collect.labels import LabelCache
from brokers.registry.slots import ObjectName, fits
from brokers.series.metrics import Kind


def names_in(scrape: Scrape, labels: LabelCache) -> dict[Kind, set[ObjectName]]:
    """Return the names that can be kept by kind; of queues and exchanges also the vhosts that they are in."""
    found: dict[Kind, set[ObjectName]] = {
        Kind.NODE: {ObjectName("", node.name) for node in scrape.nodes or ()}
        | {ObjectName("", name) for name in (*(scrape.exposed or {}), *scrape.silent)},
        Kind.VHOST: _named(scrape.vhosts),
        Kind.EXCHANGE: _named(scrape.exchanges),
        Kind.QUEUE: _named(scrape.queues),
    }
    for kind in (Kind.NODE, Kind.VHOST, Kind.EXCHANGE, Kind.QUEUE):
        known = labels.directory.by_name.get(kind, {})
        found[kind] = {name for name in found[kind] if name not in known}
    for families in (scrape.exposed or {}).values():
        for family, (raw, _) in families.items():
            labelled = kind_of(family)
            if labelled is not None:
                found[labelled] |= labels.unknown(labelled, raw)
    homes = {ObjectName("", name.vhost) for kind in (Kind.EXCHANGE, Kind.QUEUE) for name in found[kind]}
    found[Kind.VHOST] |= homes - labels.directory.by_name.get(Kind.VHOST, {}).keys()
    return {kind: set(filter(fits, names)) for kind, names in found.items()}


def kind_of(family: str) -> Kind | None:
    """Return the kind of object whose labels a family carries, None for families of the node."""
    if family.startswith(("rabbitmq_detailed_queue_", "rabbitmq_detailed_stream_consumer_")):
        return Kind.QUEUE
    if family.startswith("rabbitmq_detailed_exchange_"):
        return Kind.EXCHANGE
    return None


def _named(figures: Figures | None) -> set[ObjectName]:
    named: Iterable[tuple[str, str]] = figures.names if figures else ()
    return {ObjectName(*name) for name in named}
