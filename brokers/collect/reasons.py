"""Why a figure can't be had now: a sentence by `kind.metric`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from brokers.collect.definitions_read import MOST_CONSUMERS
from brokers.collect.queue_table import COUNTERS
from brokers.collect.vhost_table import VHOST_COUNTERS
from brokers.series.codec import Frame
from brokers.series.metrics import METRICS, Kind

NODES, OVERVIEW, QUEUES = "/api/nodes", "/api/overview", "/api/queues"
EXCHANGES, VHOSTS = "/api/exchanges", "/api/vhosts"
_SUMS = ("ready", "unacked", "consumers")


def without(path: str, *, exposed: bool) -> frozenset[str]:
    """Return the figures that only a call of the management API tells, where Prometheus is there or is not."""
    if path == NODES:
        return frozenset({f"{Kind.NODE}.running"}) if exposed else _all_of(Kind.NODE)
    if path == OVERVIEW:
        own = {f"{Kind.BROKER}.queues", *(f"{Kind.BROKER}.{name}" for name in _SUMS)}
        return frozenset() if exposed else _all_of(Kind.BROKER) - own
    if path == EXCHANGES:
        return frozenset({f"{Kind.EXCHANGE}.published"})
    if path == VHOSTS:
        return frozenset(f"{Kind.VHOST}.{name}" for name in VHOST_COUNTERS)
    if path == QUEUES and exposed:
        return frozenset(f"{Kind.QUEUE}.{name}" for name in COUNTERS)
    if path == QUEUES:
        sums = {f"{kind}.{name}" for kind in (Kind.BROKER, Kind.VHOST) for name in ("queues", *_SUMS)}
        return _all_of(Kind.QUEUE) | sums
    return frozenset()


def now(untold: Mapping[str, str], silent: Iterable[str], *, exposed: bool) -> dict[str, str]:
    """Return what one tick lacks: `untold` has the sentence of each call that failed, `silent` the nodes that did not
    answer and should have."""
    found: dict[str, str] = {}
    for path, sentence in untold.items():
        found |= dict.fromkeys(without(path, exposed=exposed), sentence)
    missing = tuple(silent)
    if missing:
        who = missing[0] if len(missing) == 1 else f"{', '.join(missing[:-1])} and {missing[-1]}"
        sentence = f"{who} did not answer: sums that it has a part in are unknown."
        if len(missing) > 1:
            sentence = f"{who} did not answer: sums that they have a part in are unknown."
        sums = {f"{kind}.{metric.name}" for kind in (Kind.BROKER, Kind.VHOST) for metric in METRICS[kind]}
        told = {f"{Kind.BROKER}.{name}" for name in ("vhosts", "exchanges", "nodes", "nodes_running")}
        found |= dict.fromkeys(sums - told, sentence)
    return found


def by_size(frame: Frame) -> dict[str, str]:
    """Return what is not asked of a broker that has too much of it."""
    consumers = frame.table(Kind.BROKER).value(0, "consumers")
    if not consumers > MOST_CONSUMERS:
        return {}
    sentence = f"The broker has {consumers:,.0f} consumers: a list of more than {MOST_CONSUMERS:,} is too dear."
    return {f"{Kind.QUEUE}.prefetch": sentence}


def _all_of(kind: Kind) -> frozenset[str]:
    return frozenset(f"{kind}.{metric.name}" for metric in METRICS[kind])
