"""What stands around the chart on its page: the list of its series, and where to begin when there are none."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from django.urls import reverse

from brokers.series.metrics import Kind
from dashboard import formats
from dashboard.charts.address import Asked, Source
from dashboard.queries.attention_shown import queue_url, queues_url
from dashboard.queries.broker_facts import BrokerFacts
from dashboard.queries.explore import Explored, page_url
from dashboard.queries.explore_lines import Found
from dashboard.queries.queue_measures import why_measure
from dashboard.queries.queues_rows import visible

_NOTHING = "Nothing is known of it in this window."
# So many brokers are offered to begin with.
_STARTERS = 6
# So many vhosts of a broker stand in the form of top lists.
_PLACES = 200


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """One series in the list under the chart. `style` ends its colour's class; empty where it is not drawn."""

    key: str
    style: str
    measure: str
    says: str
    unit: str
    of: str
    where: str
    # Why nothing of it is known, where nothing is.
    why: str
    url: str
    # The chart without it; empty for one that came from a top list.
    less_url: str


@dataclass(frozen=True, slots=True)
class Starter:
    """A chart to begin with."""

    word: str
    url: str


def series_rows(shown: Explored) -> list[SeriesRow]:
    """Return the chart's series in their order."""
    told = {facts.id: facts.unknown for facts in shown.brokers}
    styles = {trace.metric: trace.style for trace in shown.figure.traces}
    return [
        SeriesRow(
            key=line.key,
            style=styles.get(line.key, ""),
            measure=line.measure.word,
            says=line.measure.says,
            unit=line.measure.unit,
            of=one.of,
            where=one.where if one.source.kind is not Kind.BROKER else "",
            why=why_measure(one.subject.kind, one.source.measure, told.get(one.source.broker_id, {})) or _NOTHING,
            url=object_url(one),
            less_url="" if one.top else page_url(shown.asked.without(one.source)),
        )
        for line, one in zip(shown.lines, shown.found, strict=True)
    ]


def stale(shown: Explored, zone: dt.tzinfo, now_ms: int) -> list[str]:
    """Say of each broker of the chart that gives no new figures since when, and why."""
    found = []
    for broker in shown.brokers:
        if broker.lags:
            when = f"figures of {formats.clock(broker.at_ms, zone, now_ms)}" if broker.at_ms else "no figures yet"
            found.append(f"{broker.name}: {when}, nothing newer. {broker.reason()}".strip())
    return found


def object_url(one: Found) -> str:
    """Return the page of what a series is of."""
    source = one.source
    if source.kind is Kind.QUEUE:
        return queue_url(source.broker_id, source.vhost, source.name)
    if source.kind is Kind.VHOST:
        return queues_url(source.broker_id, vhost=source.vhost)
    return reverse("pages:broker", args=[source.broker_id])


def starters(brokers: Sequence[BrokerFacts], asked: Asked) -> list[Starter]:
    """Return charts of the brokers that a person sees, to begin with."""
    found = []
    for broker in brokers[:_STARTERS]:
        flow = ("publish_rate", "deliver_rate", "ack_rate", "ready")
        chart = Asked(tuple(Source(name, Kind.BROKER, broker.id) for name in flow), window=asked.window)
        found.append(Starter(f"Flow and backlog of {broker.name}", page_url(chart)))
    return found


def top_places(brokers: Sequence[BrokerFacts]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return what top lists can be of, a group a broker: words and the form's value (`queue:1:%2F`)."""
    groups = []
    for broker in brokers:
        kinds = (Kind.QUEUE, Kind.EXCHANGE, Kind.VHOST, *((Kind.NODE,) if broker.whole else ()))
        places = [(f"{kind.value}s of {broker.name}", f"{kind.value}:{broker.id}") for kind in kinds]
        for vhost in broker.vhosts[:_PLACES]:
            place = f"{broker.id}:{quote(vhost.name, safe='')}"
            places += [(f"{kind.value}s of vhost {visible(vhost.name)}", f"{kind.value}:{place}") for kind in kinds[:2]]
        groups.append((broker.name, places))
    return groups
