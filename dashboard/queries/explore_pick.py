"""What can be added to a chart: objects by a part of their name, in what a person sees, that have the measure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from heapq import nsmallest

from brokers.series.metrics import Kind
from dashboard.accounts.rights import Rights
from dashboard.charts.address import RANKED, Asked, Source
from dashboard.charts.measures import Charted, all_measures, kinds_with, measures_of
from dashboard.queries.broker_facts import BrokerFacts
from dashboard.queries.explore import page_url
from dashboard.queries.find import LONGEST, Nearness, nearness
from dashboard.queries.queues_rows import visible

SHOWN = 12
USUAL_MEASURE = "ready"
_ICONS = {
    Kind.BROKER: "broker",
    Kind.NODE: "pulse",
    Kind.VHOST: "fleet",
    Kind.EXCHANGE: "exchange",
    Kind.QUEUE: "queue",
}


@dataclass(frozen=True, slots=True)
class Pick:
    """One object that can be added: `url` is the chart with it; empty where it is drawn already."""

    word: str
    kind: str
    icon: str
    where: str
    url: str


@dataclass(frozen=True, slots=True)
class Picked:
    """What answers: the best few, and how many there are."""

    asked: str
    measure: Charted
    picks: tuple[Pick, ...]
    total: int

    @property
    def more(self) -> int:
        """Those that are not shown."""
        return self.total - len(self.picks)


def measure_of(name: str) -> Charted:
    """Return a measure, the usual one where there is none of that name."""
    measures = all_measures()
    return measures.get(name) or measures[USUAL_MEASURE]


def grouped() -> list[tuple[str, list[Charted]]]:
    """Return the measures to choose from, by what has them: queues first, each where it is first had."""
    found: list[tuple[str, list[Charted]]] = []
    told: set[str] = set()
    for kind in (Kind.QUEUE, Kind.VHOST, Kind.EXCHANGE, Kind.BROKER, Kind.NODE):
        mine = [measure for name, measure in measures_of(kind).items() if name not in told]
        told |= {measure.name for measure in mine}
        by_kinds: dict[str, list[Charted]] = {}
        for measure in mine:
            by_kinds.setdefault(", ".join(f"{one.value}s" for one in kinds_with(measure.name)), []).append(measure)
        found += [(f"of {words}", measures) for words, measures in by_kinds.items()]
    return found


def ranked_measures() -> list[Charted]:
    """Return the measures that a top list can be of."""
    return [one for one in all_measures().values() if any(kind in RANKED for kind in kinds_with(one.name))]


def pick(rights: Rights, facts: Mapping[int, BrokerFacts], shown: Asked, name: str, text: str) -> Picked:
    """Return what has a measure and answers `text`; everything does where it is empty, the largest kinds first."""
    measure = measure_of(name)
    text = text[:LONGEST].encode("utf-8", "replace").decode().strip()
    kinds = kinds_with(measure.name)
    every = list(_candidates(rights, facts, kinds, measure.name, text))
    best = nsmallest(SHOWN, every, key=_by_nearness if text else _by_size)
    picks = tuple(
        Pick(
            visible(word),
            source.kind.value,
            _ICONS[source.kind],
            where,
            "" if source in shown.sources else page_url(shown.having(source)),
        )
        for _, source, word, where in best
    )
    return Picked(text, measure, picks, len(every))


_Candidate = tuple[Nearness, Source, str, str]
_SIZES = (Kind.BROKER, Kind.VHOST, Kind.NODE, Kind.EXCHANGE, Kind.QUEUE)


def _by_nearness(one: _Candidate) -> tuple[object, ...]:
    near, _, word, where = one
    return near, len(word), word.casefold(), where


def _by_size(one: _Candidate) -> tuple[object, ...]:
    _, source, word, where = one
    return _SIZES.index(source.kind), word.casefold(), where


def _candidates(
    rights: Rights, facts: Mapping[int, BrokerFacts], kinds: tuple[Kind, ...], measure: str, text: str
) -> Iterator[_Candidate]:
    for broker in facts.values():
        for kind, vhost, name in _objects(rights, broker, kinds):
            word = broker.name if kind is Kind.BROKER else vhost if kind is Kind.VHOST else name
            near = nearness(word, text) if text else Nearness.EXACT
            if near is None:
                continue
            where = f"{visible(vhost)} · {broker.name}" if kind in {Kind.QUEUE, Kind.EXCHANGE} else broker.name
            if kind is Kind.BROKER:
                where = "the whole broker" if broker.whole else "the sum over the vhosts that you see"
            yield near, Source(measure, kind, broker.id, vhost, name), word, where


def _objects(rights: Rights, broker: BrokerFacts, kinds: tuple[Kind, ...]) -> Iterator[tuple[Kind, str, str]]:
    if Kind.BROKER in kinds and (broker.whole or Kind.VHOST in kinds):
        yield Kind.BROKER, "", ""
    if Kind.VHOST in kinds:
        yield from ((Kind.VHOST, vhost.name, "") for vhost in broker.vhosts)
    if Kind.NODE in kinds:
        yield from ((Kind.NODE, "", node.name) for node in broker.nodes)
    sees = cache(rights.vhost_test(broker.id))
    for kind in {Kind.QUEUE, Kind.EXCHANGE} & set(kinds) if broker.shown else ():
        objects = broker.shown.table(kind).objects if broker.shown else []
        yield from ((kind, known.vhost, known.name) for known in objects if sees(known.vhost))
