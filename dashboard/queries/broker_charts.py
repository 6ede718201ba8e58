"""The charts of a broker: of the whole for those who see it, else of the sum over the vhosts that a person sees."""

from __future__ import annotations

from collections.abc import Mapping

from django.urls import reverse

from brokers.series.metrics import Kind
from dashboard.cells import ChartPoints
from dashboard.charts.address import Source
from dashboard.charts.figures import Figure, broker_figures, metrics_of
from dashboard.queries.broker_facts import BrokerFacts
from dashboard.queries.chart_series import Subject
from dashboard.queries.charts import Charts, asked_points, charts, live_points
from dashboard.queries.marks import Mark


def figures(facts: BrokerFacts) -> tuple[Figure, ...]:
    """Return the charts that a person gets: connections can't be told for vhosts alone."""
    return broker_figures(facts.kind)


def subject(facts: BrokerFacts) -> Subject:
    """Return what the charts are of. A sum is unknown where any vhost in it is: half a sum would read as the whole."""
    slots = (0,) if facts.whole else tuple(facts.vhost_slots.tolist())
    kind = facts.kind
    return Subject(facts.id, kind, slots, metrics_of(figures(facts)))


def broker_charts(
    facts: BrokerFacts, asked: Mapping[str, str], now_ms: int, zone: str, marked: tuple[Mark, ...] = ()
) -> Charts:
    """Return the charts of a broker's page, with notes in time."""
    seen = len(facts.vhost_slots)
    part = "" if facts.whole else f", {seen} vhost{'' if seen == 1 else 's'} of it"
    return charts(
        subject(facts),
        figures(facts),
        asked,
        page_url=reverse("pages:broker", args=[facts.id]),
        points_url=reverse("pages:broker_points", args=[facts.id]),
        of=f"{facts.name}{part}",
        now_ms=now_ms,
        zone=zone,
        cadence_ms=int(facts.cadence_s * 1000),
        source=Source("", Kind.BROKER, facts.id),
        marked=marked,
    )


def broker_points(facts: BrokerFacts, asked: Mapping[str, str], now_ms: int) -> dict[str, object]:
    """Return the points of a window, for the endpoint that charts ask."""
    return asked_points(subject(facts), figures(facts), asked, now_ms, int(facts.cadence_s * 1000))


def broker_live(facts: BrokerFacts, asked: Mapping[str, str], now_ms: int) -> dict[str, ChartPoints]:
    """Return the points of a broker's charts for a subscription."""
    return live_points(subject(facts), figures(facts), asked, now_ms)
