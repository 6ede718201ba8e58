"""Finding brokers, vhosts, queues, exchanges and nodes by name, in what a person sees. From memory; bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from heapq import nsmallest
from typing import NamedTuple

from django.urls import reverse

from brokers.series.metrics import Kind
from dashboard import formats
from dashboard.accounts.rights import Rights
from dashboard.queries.attention_shown import queue_url, queues_url
from dashboard.queries.broker_facts import BrokerFacts, facts_of
from dashboard.queries.queues_rows import visible

# Hits shown of a kind; of the rest the number is told.
SHOWN = 10
# A longer question is cut off: no name is longer than 255 bytes, save an address that somebody pasted.
LONGEST = 300


class Nearness(IntEnum):
    """How well a name answers a question, the best first."""

    EXACT = 0
    CASE = 1
    BEGINS = 2
    WORD = 3
    CONTAINS = 4


class Match(NamedTuple):
    """A name that answers, before it is known whether it is shown. `where` is what tells it from others of its name."""

    nearness: Nearness
    name: str
    where: tuple[str, ...]
    broker_id: int

    @property
    def order(self) -> tuple[bool, int, int, str, tuple[str, ...]]:
        """What matches are ordered by; exchanges that every vhost has (`amq.…`) stand last."""
        return (self.name.startswith("amq."), self.nearness, len(self.name), self.name.casefold(), self.where)


@dataclass(frozen=True, slots=True)
class Hit:
    """One thing found, as a page shows it."""

    name: str
    url: str
    where: tuple[str, ...]
    nearness: Nearness

    @property
    def word(self) -> str:
        """Its name as a link's text."""
        return visible(self.name)


@dataclass(frozen=True, slots=True)
class Group:
    """The hits of one kind, best first; `total` is how many there are, `more_url` a page that shows all, or empty."""

    title: str
    icon: str
    hits: tuple[Hit, ...]
    total: int
    more_url: str = ""

    @property
    def more(self) -> int:
        """Hits that are not shown."""
        return self.total - len(self.hits)

    @property
    def number(self) -> str:
        """How many there are, as a page shows it."""
        return formats.count(self.total)


@dataclass(frozen=True, slots=True)
class Found:
    """The groups in which something was found, and the one queue that is exactly meant, where nothing else is."""

    asked: str
    groups: tuple[Group, ...]
    meant_url: str = ""

    @property
    def total(self) -> int:
        """All hits."""
        return sum(group.total for group in self.groups)


def nearness(name: str, asked: str) -> Nearness | None:
    """Tell how well a name answers, None where it does not; a word begins behind what is no letter or digit."""
    if name == asked:
        return Nearness.EXACT
    folded, wanted = name.casefold(), asked.casefold()
    at = folded.find(wanted)
    if at < 0:
        return None
    if folded == wanted:
        return Nearness.CASE
    if at == 0:
        return Nearness.BEGINS
    while at > 0:
        if not folded[at - 1].isalnum():
            return Nearness.WORD
        at = folded.find(wanted, at + 1)
    return Nearness.CONTAINS


def find(rights: Rights, asked: str, now_ms: int) -> Found:
    """Return what answers a question among what the person sees: two queries, and one a broker."""
    asked = asked[:LONGEST].encode("utf-8", "replace").decode().strip()
    if not asked:
        return Found("", ())
    all_facts = facts_of(rights, now_ms)
    several = len(all_facts) > 1
    more = queues_url(None if several or not all_facts else all_facts[0].id, name=asked)
    groups = [
        _group("Queues", "queue", _in_vhosts(rights, all_facts, Kind.QUEUE, asked), _queue, more),
        _group("Brokers", "broker", _brokers(all_facts, asked), _broker),
        _group("Vhosts", "fleet", _vhosts(all_facts, asked), _vhost),
        _group("Exchanges", "exchange", _in_vhosts(rights, all_facts, Kind.EXCHANGE, asked), _broker),
        _group("Nodes", "pulse", _nodes(all_facts, asked), _broker),
    ]
    exact = [hit for group in groups for hit in group.hits if hit.nearness is Nearness.EXACT]
    meant = exact[0].url if len(exact) == 1 and exact[0] in groups[0].hits else ""
    found = [group for group in groups if group.total]
    # The kind with the best hit stands first.
    found.sort(key=lambda group: group.hits[0].nearness)
    return Found(asked, tuple(found), meant)


def _group(
    title: str, icon: str, matches: Iterable[Match], address: Callable[[Match], str], more_url: str = ""
) -> Group:
    every = list(matches)
    best = nsmallest(SHOWN, every, key=lambda match: match.order)
    hits = tuple(Hit(match.name, address(match), match.where, match.nearness) for match in best)
    return Group(title, icon, hits, len(every), more_url)


def _in_vhosts(rights: Rights, all_facts: Iterable[BrokerFacts], kind: Kind, asked: str) -> Iterator[Match]:
    for facts in all_facts:
        if facts.shown is None:
            continue
        sees = cache(rights.vhost_test(facts.id))
        for known in facts.shown.table(kind).objects:
            near = nearness(known.name, asked)
            if near is not None and sees(known.vhost):
                yield Match(near, known.name, (known.vhost, facts.name), facts.id)


def _brokers(all_facts: Iterable[BrokerFacts], asked: str) -> Iterator[Match]:
    for facts in all_facts:
        near = nearness(facts.name, asked)
        if near is not None:
            yield Match(near, facts.name, (), facts.id)


def _vhosts(all_facts: Iterable[BrokerFacts], asked: str) -> Iterator[Match]:
    for facts in all_facts:
        for vhost in facts.vhosts:
            near = nearness(vhost.name, asked)
            if near is not None:
                yield Match(near, vhost.name, (facts.name,), facts.id)


def _nodes(all_facts: Iterable[BrokerFacts], asked: str) -> Iterator[Match]:
    """Find nodes; facts of people limited to vhosts have none."""
    for facts in all_facts:
        for node in facts.nodes:
            near = nearness(node.name, asked)
            if near is not None:
                yield Match(near, node.name, (facts.name,), facts.id)


def _queue(match: Match) -> str:
    return queue_url(match.broker_id, match.where[0], match.name)


def _vhost(match: Match) -> str:
    return queues_url(match.broker_id, vhost=match.name)


def _broker(match: Match) -> str:
    return reverse("pages:broker", args=[match.broker_id])
