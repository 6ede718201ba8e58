"""From a chart's address to what may be read: the object of each series, as far as the person sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from brokers.registry.models import BrokerObject
from brokers.series.metrics import Kind
from dashboard.accounts.rights import Rights
from dashboard.charts.address import Source, Top
from dashboard.charts.explored import Line
from dashboard.charts.measures import measures_of
from dashboard.queries.broker_facts import BrokerFacts
from dashboard.queries.chart_series import Subject
from dashboard.queries.queues_rows import visible


@dataclass(frozen=True, slots=True)
class Found:
    """A series that can be read: `subject` is its one object, or the vhosts that it is summed over."""

    source: Source
    subject: Subject
    broker: str
    # What it is of, as people read it: `queue orders`, `shop, sum over 3 vhosts`.
    of: str
    # The list that it came from; None: it is named by itself.
    top: Top | None = None

    @property
    def where(self) -> str:
        """The vhost (of what is in one) and the broker."""
        in_vhost = self.source.kind in {Kind.QUEUE, Kind.EXCHANGE}
        return f"{visible(self.source.vhost)} · {self.broker}" if in_vhost else self.broker


def find(
    rights: Rights, facts: Mapping[int, BrokerFacts], wanted: Sequence[tuple[Source, Top | None]]
) -> tuple[list[Found], list[str]]:
    """Return what the person sees of some series, and a sentence for each that there is not, or not for them.

    The two are not told apart, neither by words nor by what is asked of the database.
    """
    slots = _slots(source for source, _ in wanted)
    found: list[Found] = []
    problems: list[str] = []
    for source, top in wanted:
        broker = facts.get(source.broker_id)
        if broker is None:
            problems.append(f"There is no broker {source.broker_id}, or none that you may see.")
        elif source.kind is Kind.BROKER:
            _add_broker(broker, source, found, problems)
        else:
            slot = slots.get(_place(source)) if _sees(rights, broker, source) else None
            if slot is None:
                problems.append(
                    f"{broker.name} has no {source.kind.value} “{visible(source.name or source.vhost)}”"
                    f"{f' in vhost “{visible(source.vhost)}”' if source.name else ''}, or none that you may see."
                )
                continue
            subject = Subject(broker.id, source.kind, (slot,), (source.measure,))
            found.append(Found(source, subject, broker.name, named(source, broker.name), top))
    return found, list(dict.fromkeys(problems))


def named(source: Source, broker: str) -> str:
    """Return what a series is of, without saying where that is."""
    if source.kind is Kind.BROKER:
        return broker
    return visible(source.vhost if source.kind is Kind.VHOST else source.name)


def lines_of(found: Sequence[Found]) -> list[Line]:
    """Return the lines of a chart, named as briefly as tells them apart."""
    brokers = len({one.source.broker_id for one in found}) > 1
    vhosts = len({(one.source.broker_id, one.source.vhost) for one in found if one.source.vhost}) > 1
    lines = []
    for number, one in enumerate(found):
        measure = measures_of(one.subject.kind)[one.source.measure]
        parts = [measure.word, one.of]
        if vhosts and one.source.kind in {Kind.QUEUE, Kind.EXCHANGE}:
            parts.append(visible(one.source.vhost))
        if brokers and one.source.kind is not Kind.BROKER:
            parts.append(one.broker)
        lines.append(Line(f"s{number}", " · ".join(parts), measure))
    return lines


def _add_broker(broker: BrokerFacts, source: Source, found: list[Found], problems: list[str]) -> None:
    if broker.whole:
        subject = Subject(broker.id, Kind.BROKER, (0,), (source.measure,))
        found.append(Found(source, subject, broker.name, broker.name))
        return
    if source.measure not in measures_of(Kind.VHOST):
        word = measures_of(Kind.BROKER)[source.measure].word
        problems.append(f"{word} of {broker.name} belongs to the broker as a whole; you see some of its vhosts.")
        return
    slots = tuple(broker.vhost_slots.tolist())
    of = f"{broker.name}, sum over {len(slots)} vhost{'' if len(slots) == 1 else 's'}"
    found.append(Found(source, Subject(broker.id, Kind.VHOST, slots, (source.measure,)), broker.name, of))


def _sees(rights: Rights, broker: BrokerFacts, source: Source) -> bool:
    return broker.whole if source.kind is Kind.NODE else rights.sees_vhost(broker.id, source.vhost)


_Place = tuple[int, str, str, str]


def _place(source: Source) -> _Place:
    """Return where the registry has an object: it names a vhost as an object without a vhost."""
    vhost, name = ("", source.vhost) if source.kind is Kind.VHOST else (source.vhost, source.name)
    return source.broker_id, source.kind.value, vhost, name


def _slots(sources: Iterable[Source]) -> dict[_Place, int]:
    places = {_place(source) for source in sources if source.kind is not Kind.BROKER}
    found: dict[_Place, int] = {}
    for broker_id, kind in sorted({place[:2] for place in places}):
        names = {place[3] for place in places if place[:2] == (broker_id, kind)}
        rows = BrokerObject.objects.filter(broker_id=broker_id, kind=kind, name__in=names)
        for vhost, name, slot in rows.values_list("vhost", "name", "slot"):
            found[broker_id, kind, vhost, name] = slot
    return found
