"""One queue: how it stands and from what that is known, its figures, its definition, its charts."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import numpy as np
from django.urls import reverse

from brokers.lag.evidence import Seen
from brokers.lag.present import value
from brokers.rabbitmq.errors import grant_command
from brokers.registry.details import QueueDetail
from brokers.registry.models import BrokerObject
from brokers.series.metrics import Kind
from dashboard import formats
from dashboard.accounts.rights import Rights
from dashboard.cells import Cell, Cells, ChartPoints, View, shape_of
from dashboard.charts.address import Source
from dashboard.charts.figures import metrics_of, queue_figures
from dashboard.charts.window import Window
from dashboard.queries import queue_cells, queue_state
from dashboard.queries.attention_shown import queue_url
from dashboard.queries.broker_cells import age, reason, why_unknown
from dashboard.queries.broker_facts import LARGEST_ID, BrokerFacts, facts_of
from dashboard.queries.chart_series import Subject, series_of
from dashboard.queries.charts import Charts, charts, live_points
from dashboard.queries.held import held, read_ms
from dashboard.queries.keys import queue_key
from dashboard.queries.lasting import begun_of
from dashboard.queries.marks import Mark
from dashboard.queries.queue_definition import Row, Setting, rows, settings
from dashboard.queries.queue_full import full
from dashboard.queries.queue_measures import why_measure
from dashboard.queries.queue_state import Around, Judged, Standing
from dashboard.queries.queues_states import of_one
from dashboard.queries.queues_table import detail_of

_GONE = "The queue is not there any more."
_CLOSED = "The watching user may not look into this vhost."


@dataclass(frozen=True, slots=True)
class Known:
    """A queue that the person may see: what the registry knows of it, and the broker as they see it."""

    facts: BrokerFacts
    vhost: str
    name: str
    slot: int
    detail: QueueDetail
    first_seen_ms: int
    # When it was last there; None while it is.
    gone_ms: int | None
    # The watching user has no permission row in its vhost.
    closed: bool

    @property
    def key(self) -> str:
        """What the keys of its cells begin with."""
        return queue_key(self.facts.id, self.slot)

    @property
    def subject(self) -> Subject:
        """What its charts are read of."""
        return Subject(self.facts.id, Kind.QUEUE, (self.slot,), metrics_of(queue_figures()))

    @property
    def stale(self) -> bool:
        """Its broker gives no figures of now."""
        return not self.facts.fresh


@dataclass(frozen=True, slots=True)
class QueuePage:
    """All that the page shows; times in the viewer's zone."""

    queue: Known
    standing: Standing
    at: dt.datetime | None
    since: dt.datetime | None
    command: str
    definition: tuple[Row, ...]
    settings: tuple[Setting, ...]
    cells: Cells
    # The notes in time on its charts.
    marks: tuple[Mark, ...]

    @property
    def facts(self) -> BrokerFacts:
        """The queue's broker."""
        return self.queue.facts

    @property
    def key(self) -> str:
        """What the keys of its cells begin with."""
        return self.queue.key

    @property
    def measures(self) -> tuple[tuple[str, str], ...]:
        """What is shown beside the strip of figures: labels and the ends of keys."""
        return queue_cells.STREAM_SHOWN if self.queue.detail.type == "stream" else queue_cells.SHOWN

    @property
    def stale(self) -> bool:
        """The figures are not of now."""
        return self.queue.stale

    def view(self, points: dict[str, ChartPoints]) -> View:
        """Return what a live subscription gets."""
        return View(cells=self.cells, charts=points, at_ms=self.facts.at_ms or 0, shape=self.shape)

    @property
    def shape(self) -> str:
        """What stands for all that is drawn and is no cell."""
        known = self.queue
        return shape_of(known.stale, known.gone_ms, known.closed, self.since, known.detail, self.marks)


def find_queue(rights: Rights, broker_id: int, vhost: str, name: str, now_ms: int) -> Known | None:
    """Return a queue that is there or once was, None where the person may not see it or it never was.

    The same is asked of the database whether it is hidden or not there, so that neither answer nor time tells.
    """
    found = facts_of(rights, now_ms, [broker_id])
    # NUL is in no name, and PostgreSQL takes none in a question.
    asked = {"vhost": vhost.replace("\x00", ""), "name": name.replace("\x00", "")}
    # A number from an address may be one that no column holds; zero is no broker's either.
    known_id = broker_id if 0 < broker_id <= LARGEST_ID else 0
    row = BrokerObject.objects.filter(broker_id=known_id, kind=Kind.QUEUE.value, **asked).first()
    if asked != {"vhost": vhost, "name": name}:
        return None
    if not found or row is None or not rights.sees_vhost(broker_id, vhost):
        return None
    [facts] = found
    closed = any(one.name == vhost and one.readable is False for one in facts.vhosts)
    return Known(
        facts, vhost, name, row.slot, detail_of(bytes(row.detail)), row.first_seen_ms, _gone_ms(facts, row), closed
    )


def _gone_ms(facts: BrokerFacts, row: BrokerObject) -> int | None:
    if row.gone_ms is not None:
        return row.gone_ms
    shown = facts.shown
    if shown is None or not shown.complete or shown.table(Kind.QUEUE).row(row.slot) is not None:
        return None
    # A complete snapshot without it: it went since definitions were last read.
    last = [frame.at_ms for frame in shown.spark_frames if row.slot in frame.table(Kind.QUEUE).slots]
    return max(last, default=row.first_seen_ms)


def queue_page(known: Known, zone: dt.tzinfo, now_ms: int, marked: tuple[Mark, ...] = ()) -> QueuePage:
    """Make the page of a queue, with the notes on its charts."""
    facts = known.facts
    gone = known.gone_ms is not None
    anchor = facts.at_ms if facts.at_ms and not facts.fresh else now_ms
    hour = series_of(
        Subject(facts.id, Kind.QUEUE, (known.slot,), queue_cells.STRIP_METRICS),
        _window(anchor, queue_cells.STRIP_MS, queue_cells.STRIP_STEP_MS),
    )
    lately = series_of(
        Subject(facts.id, Kind.QUEUE, (known.slot,), queue_state.EVIDENCE_METRICS),
        _window(anchor, queue_state.EVIDENCE_MS, 1_000),
    )
    around = Around(
        broker=facts.name,
        stale=known.stale,
        stale_since=formats.clock(facts.failing_since_ms, zone) if facts.failing_since_ms else "",
        figures_of=formats.clock(facts.at_ms, zone) if facts.at_ms else "",
        gone_at=formats.clock(known.gone_ms, zone) if known.gone_ms else "",
        closed=known.closed,
        full=_full(known),
        lasts=_lasts(known, zone, now_ms),
    )
    times = lately.times_ms[~np.isnan(lately.values["ready"])]
    begun = formats.clock(int(times[0]), zone) if len(times) else ""
    judged = _judged(known)
    standing = queue_state.standing(known.detail, around, judged, queue_state.polls(lately, begun))
    at = f"at {formats.clock(facts.at_ms, zone)}" if known.stale and facts.at_ms else ""
    why = _why(known)
    figures = queue_cells.figures(known.key, _now(known), hour, why, at="" if gone else at, zone=zone)
    figures |= queue_cells.derived(
        known.key, _now(known), why, past=known.stale or gone, stream=known.detail.type == "stream"
    )
    if known.detail.type == "stream":
        figures[f"{known.key}.ack.detail"] = Cell(text="reading removes nothing")
    cells: Cells = {
        **_as_read(known, figures),
        f"{known.key}.state": Cell(text=standing.word, state=standing.icon),
        "page.says": Cell(text=standing.sentence),
        "page.evidence": Cell(text=standing.evidence, hidden=not standing.evidence),
        "page.age": age(facts),
        "page.reason": reason(facts),
    }
    undefined = _CLOSED if known.closed else "The broker has not told the queue’s definition yet."
    return QueuePage(
        queue=known,
        standing=standing,
        at=formats.moment(facts.at_ms, zone),
        since=formats.moment(facts.failing_since_ms, zone),
        command=grant_command(known.vhost, facts.username) if known.closed and facts.whole else "",
        definition=rows(known.detail, whole=facts.whole, why=undefined),
        settings=settings(known.detail, facts.version.split(" ")[0]),
        cells=cells,
        marks=marked,
    )


def queue_charts(
    known: Known, asked: Mapping[str, str], now_ms: int, zone: str, marked: tuple[Mark, ...] = ()
) -> Charts:
    """Return the charts of a queue's page, with notes in time."""
    address = {"vhost": known.vhost, "name": known.name}
    points = f"{reverse('pages:queue_points', args=[known.facts.id])}?{urlencode(address)}"
    return charts(
        known.subject,
        queue_figures(),
        asked,
        page_url=queue_url(known.facts.id, known.vhost, known.name),
        points_url=points,
        of=known.name,
        now_ms=now_ms,
        zone=zone,
        cadence_ms=int(known.facts.cadence_s * 1000),
        source=Source("", Kind.QUEUE, known.facts.id, known.vhost, known.name),
        marked=marked,
    )


def queue_live(known: Known, asked: Mapping[str, str], now_ms: int) -> dict[str, ChartPoints]:
    """Return the points of a queue's charts for a subscription."""
    return live_points(known.subject, queue_figures(), asked, now_ms)


def _window(end_ms: int, span_ms: int, step_ms: int) -> Window:
    # A range of its own name, so that what was read is kept and grown.
    return Window((end_ms - span_ms) // step_ms * step_ms, end_ms, step_ms, "strip")


def _full(known: Known) -> str:
    found = _now(known, ("ready", "publish_rate"))
    return full(known.detail, known.facts.version.split(" ")[0], found["ready"], found["publish_rate"])


def _lasts(known: Known, zone: dt.tzinfo, now_ms: int) -> str:
    if known.stale:
        return ""
    named = _now(known, ("consumer_state",))["consumer_state"]
    found = begun_of(known.facts.id, {known.slot: named}, now_ms).get(known.slot)
    if found is None:
        return ""
    return f"since {'before ' if found.before else ''}{formats.time_of_day(found.at_ms, zone)}"


def _judged(known: Known) -> Judged:
    names = (*Seen.__dataclass_fields__, "consumer_state", "deliver_rate")
    found = _now(known, names)
    seen = Seen(**{name: found[name] for name in Seen.__dataclass_fields__})
    return Judged(of_one(known.detail, found), found["consumer_state"], seen)


def _now(known: Known, names: Sequence[str] = queue_cells.METRICS) -> dict[str, float]:
    shown = known.facts.shown
    if shown is None or known.gone_ms is not None:
        return dict.fromkeys(names, math.nan)
    return {name: value(shown, Kind.QUEUE, known.slot, name) for name in names}


def _as_read(known: Known, cells: Cells) -> Cells:
    """Let the cells of figures that are not of the newest poll say when they were read."""
    shown = known.facts.shown
    ages = {f"{known.key}.{word}": read_ms(shown, Kind.QUEUE, metric) for word, metric in queue_cells.FIGURES.items()}
    return {key: held(made, ages.get(key)) for key, made in cells.items()}


def _why(known: Known) -> dict[str, str]:
    """Say of each metric why it would be unknown."""
    if known.gone_ms is not None:
        return dict.fromkeys(queue_cells.METRICS, _GONE)
    usual = _CLOSED if known.closed else why_unknown(known.facts)
    told = known.facts.unknown if known.facts.fresh else {}
    return {name: why_measure(Kind.QUEUE, name, told) or usual for name in queue_cells.METRICS}
