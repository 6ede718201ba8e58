"""What a page says of a queue that is not there, or that the person may not see: the names that are nearest to it."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from brokers.series.metrics import Kind
from dashboard.accounts.rights import Rights
from dashboard.queries.attention_shown import queue_url
from dashboard.queries.broker_facts import BrokerFacts

SHOWN = 5
# Names that have less in common than this share are not offered.
_LEAST = 0.3


@dataclass(frozen=True, slots=True)
class Near:
    """A queue that the person may have meant."""

    vhost: str
    name: str
    url: str


def nearest(rights: Rights, facts: BrokerFacts, vhost: str, name: str) -> tuple[Near, ...]:
    """Return the queues with the nearest names, of those that the person sees; the same vhost first where alike."""
    if facts.shown is None:
        return ()
    sees = rights.vhost_test(facts.id)
    objects = facts.shown.table(Kind.QUEUE).objects
    allowed = {one: sees(one) for one in {known.vhost for known in objects}}
    names = ((known.vhost, known.name) for known in objects if allowed[known.vhost])
    return tuple(Near(*one, queue_url(facts.id, *one)) for one in closest(names, vhost, name))


def closest(names: Iterable[tuple[str, str]], vhost: str, name: str, most: int = SHOWN) -> list[tuple[str, str]]:
    """Return the (vhost, name) pairs whose names have most in common with a name, the nearest first. Pure."""
    wanted = _parts(name)
    scored = ((_alike(wanted, _parts(one[1])) + (0.05 if one[0] == vhost else 0.0), one) for one in names)
    best = heapq.nsmallest(most, (pair for pair in scored if pair[0] >= _LEAST), key=lambda pair: (-pair[0], pair[1]))
    return [one for _, one in best]


def _parts(name: str) -> frozenset[str]:
    """Return the runs of three characters in a name, its ends marked, without case."""
    marked = f"  {name.casefold()[:300]} "
    return frozenset(marked[start : start + 3] for start in range(len(marked) - 2))


def _alike(one: frozenset[str], other: frozenset[str]) -> float:
    """Return how much two sets have in common: 0 nothing, 1 everything."""
    return 2 * len(one & other) / (len(one) + len(other))
