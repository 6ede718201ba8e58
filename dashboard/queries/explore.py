"""The page of charts: any measures of any objects on one chart, with its points, over the time that is asked for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from django.urls import reverse
from numpy.typing import NDArray

from brokers.series.metrics import Kind
from brokers.series.read import history_starts_ms
from dashboard import formats
from dashboard.accounts.rights import Rights
from dashboard.annotations.seen import Place
from dashboard.cells import ChartPoints, View, shape_of
from dashboard.charts.address import COMPARES, MOST_SERIES, Asked, Source, Top
from dashboard.charts.explored import KEY, Line, does_not_fit, figure_of
from dashboard.charts.figures import Figure
from dashboard.charts.grid import grid, last_known, places
from dashboard.charts.points import band_of, plain, resolution_words
from dashboard.charts.table import Column
from dashboard.charts.window import DEFAULT_RANGE, MAX_POINTS, RANGES, Window, shifted, window_of
from dashboard.queries.broker_facts import BrokerFacts, facts_of
from dashboard.queries.chart_series import all_series, at_once
from dashboard.queries.charts import ChartCard, Charts, RangeLink
from dashboard.queries.explore_lines import Found, find, lines_of
from dashboard.queries.explore_tops import sources_of
from dashboard.queries.marks import Mark, marks

# What a chart without a broker is polled at.
_CADENCE_MS = 5_000


@dataclass(frozen=True, slots=True)
class Explored:
    """A chart as one person sees it: its series, what of them is drawn, over which window, and what can't be shown."""

    asked: Asked
    found: tuple[Found, ...]
    lines: tuple[Line, ...]
    figure: Figure
    window: Window
    # How long before lies what it is compared with; 0: nothing.
    shift_ms: int
    cadence_ms: int
    brokers: tuple[BrokerFacts, ...]
    problems: tuple[str, ...]
    marks: tuple[Mark, ...] = ()

    @property
    def resolved(self) -> Asked:
        """The same, every series by its own name: top lists are ranked once, when the page is opened."""
        return replace(self.asked, sources=tuple(one.source for one in self.found), tops=())

    @property
    def drawn(self) -> list[tuple[Line, Found]]:
        """The lines that the figure has, with what they are of."""
        keys = {trace.metric for trace in self.figure.traces}
        return [(line, one) for line, one in zip(self.lines, self.found, strict=True) if line.key in keys]

    @property
    def shape(self) -> str:
        """What stands for all that the page draws and that is no point."""
        return shape_of(
            [one.source for one in self.found], self.problems, self.marks, [_standing(one) for one in self.brokers]
        )


def explored(rights: Rights, asked: Asked, zone: dt.tzinfo, now_ms: int) -> Explored:
    """Return the chart that an address asks for."""
    wanted: list[tuple[Source, Top | None]] = [(source, None) for source in asked.sources]
    ids = {source.broker_id for source, _ in wanted} | {top.broker_id for top in asked.tops}
    facts = {one.id: one for one in facts_of(rights, now_ms, ids)} if ids else {}
    cadence_ms = max((int(one.cadence_s * 1000) for one in facts.values()), default=_CADENCE_MS)
    oldest = min((at for one in facts if (at := history_starts_ms(one)) is not None), default=None)
    window = window_of(asked.times, now_ms, oldest, max(cadence_ms, asked.step_s * 1000))
    told_of_tops = []
    for top in asked.tops:
        ranked, problem = sources_of(rights, facts, top, window)
        told_of_tops.append(problem)
        there = {source for source, _ in wanted}
        wanted += [(source, top) for source in ranked if source not in there]
    if len(wanted) > MOST_SERIES:
        told_of_tops.append(f"A chart has at most {MOST_SERIES} series: {len(wanted) - MOST_SERIES} are left out.")
    found, problems = find(rights, facts, wanted[:MOST_SERIES])
    lines = lines_of(found)
    shift_ms = shift_of(asked.compare, window.end_ms, zone) if asked.compare else 0
    figure = figure_of(lines, then=COMPARES[asked.compare][0] if asked.compare else "")
    told = (
        *asked.problems,
        window.problem,
        _step_problem(asked, window),
        *told_of_tops,
        *problems,
        does_not_fit(lines),
    )
    return Explored(
        asked=asked,
        found=tuple(found),
        lines=tuple(lines),
        figure=figure,
        window=window,
        shift_ms=shift_ms,
        cadence_ms=cadence_ms,
        brokers=tuple(facts.values()),
        problems=tuple(sentence for sentence in told if sentence),
        marks=marks(rights, _places(found), zone, now_ms),
    )


def shift_of(compare: str, end_ms: int, zone: dt.tzinfo) -> int:
    """Return how long ago the same time of day was, a day or a week before, also where clocks turned meanwhile; ms."""
    end = dt.datetime.fromtimestamp(end_ms / 1000, zone)
    before = (end.replace(tzinfo=None) - dt.timedelta(days=COMPARES[compare][1])).replace(tzinfo=zone)
    return end_ms - int(before.timestamp() * 1000) if before.timestamp() > 0 else 0


@dataclass(frozen=True, slots=True)
class Points:
    """A chart's points, and the coarsest resolution that they were read at (ms; 0: every poll)."""

    points: ChartPoints
    resolution_ms: int


def points_of(shown: Explored) -> Points:
    """Return the points of a chart, all its series on one grid of times. Reads what is not in memory."""
    window, drawn = shown.window, shown.drawn
    at_ms = grid(window.start_ms, window.end_ms, window.step_ms)
    columns: dict[str, NDArray[np.float64]] = {}
    known: list[NDArray[np.float64]] = []
    read = all_series([one.subject for _, one in drawn], window)
    for (line, one), series in zip(drawn, read, strict=True):
        where, name = places(series.times_ms, at_ms, window.step_ms), one.source.measure
        columns[line.key] = where.take(series.values[name])
        known.append(columns[line.key])
        columns |= {f"{line.key}:{part}": where.take(column) for part, column in band_of(series, name)}
    if shown.shift_ms:
        before = all_series([one.subject for _, one in drawn], shifted(window, shown.shift_ms))
        for (line, one), series in zip(drawn, before, strict=True):
            where = places(series.times_ms + shown.shift_ms, at_ms, window.step_ms)
            columns[f"{line.key}:then"] = where.take(series.values[one.source.measure])
    # What goes on is drawn to its newest point; what it is compared with may lie beyond.
    upto = last_known(known) if window.follows and not shown.shift_ms else len(at_ms)
    points = ChartPoints(
        [int(at) for at in at_ms[:upto].tolist()], {key: plain(column[:upto]) for key, column in columns.items()}
    )
    return Points(points, max((series.resolution_ms for series in read), default=0))


def charts_of(shown: Explored, zone: str) -> Charts:
    """Return the chart's card, with its points where they are at hand."""
    window = shown.window
    cheap = all(at_once(one.subject, window) for _, one in shown.drawn) and not shown.shift_ms
    points_url = f"{reverse('pages:charts_points')}?{shown.resolved.query({})}"
    told = points_of(shown) if cheap else None
    card = ChartCard(
        figure=shown.figure,
        label=f"Chart of {', '.join(line.name for line, _ in shown.drawn)}",
        points=told.points if told else None,
        window=window,
        points_url=points_url,
        zone=zone,
        cadence_ms=shown.cadence_ms,
        says=_words(shown, told) if told else "",
    )
    return Charts(
        cards={KEY: card},
        window=window,
        ranges=tuple(
            RangeLink(name, word, page_url(shown.asked, {"range": name}), name == window.range)
            for name, (word, _) in RANGES.items()
        ),
        follow_url=page_url(shown.asked, {"range": window.range or DEFAULT_RANGE}),
        points_url=points_url,
        ranked=bool(shown.asked.tops),
        marks=shown.marks,
    )


def asked_points(shown: Explored) -> dict[str, object]:
    """Return the points as the endpoint of points answers them."""
    window, told = shown.window, points_of(shown)
    return {
        "window": {
            "start": window.start_ms,
            "end": window.end_ms,
            "step": window.step_ms,
            "range": window.range,
            "says": _words(shown, told),
        },
        "charts": {KEY: {"times": told.points.times, "values": told.points.values}},
    }


def columns_of(shown: Explored) -> list[Column]:
    """Return every series of the chart as it was read, and what it is compared with: names, times and values.

    The times are those of the readings, not of the chart's steps, as far as the resolution has them.
    """
    exact = replace(shown.window, range="")
    columns: list[Column] = []
    names = [_column_name(one) for one in shown.found]
    subjects = [one.subject for one in shown.found]
    for one, name, series in zip(shown.found, names, all_series(subjects, exact), strict=True):
        columns.append((name, series.times_ms, series.values[one.source.measure]))
    if shown.shift_ms:
        then = COMPARES[shown.asked.compare][0]
        before = all_series(subjects, shifted(exact, shown.shift_ms))
        for one, name, series in zip(shown.found, names, before, strict=True):
            columns.append((f"{name}, {then}", series.times_ms + shown.shift_ms, series.values[one.source.measure]))
    return columns


def _column_name(one: Found) -> str:
    where = f" ({one.where})" if one.where != one.of else ""
    return f"{one.source.measure} {one.of}{where}"


def live(shown: Explored) -> View:
    """Return what a subscription gets: points where the chart follows the present, none where its window is fixed."""
    at_ms = max((one.at_ms or 0 for one in shown.brokers), default=0)
    charts = {KEY: points_of(shown).points} if shown.window.follows and shown.figure.traces else {}
    return View(cells={}, charts=charts, at_ms=at_ms, shape=shown.shape)


def page_url(asked: Asked, window: Mapping[str, str] | None = None) -> str:
    """Return the page's address that shows this, or the same over another window."""
    query = asked.query(window)
    return f"{reverse('pages:charts')}?{query}" if query else reverse("pages:charts")


def _places(found: Sequence[Found]) -> set[Place]:
    """Return the vhosts that a chart's series are of, and the brokers of which they are more than that."""
    in_vhost = {Kind.QUEUE, Kind.EXCHANGE, Kind.VHOST}
    return {(one.source.broker_id, one.source.vhost if one.source.kind in in_vhost else None) for one in found}


def _words(shown: Explored, told: Points) -> str:
    lines = {line.key for line, _ in shown.drawn}
    if all(value is None for key, values in told.points.values.items() if key in lines for value in values):
        return "nothing is known of this time"
    words = resolution_words(shown.window.step_ms, told.resolution_ms, shown.cadence_ms)
    before = [values for key, values in told.points.values.items() if key.endswith(":then")]
    if before and all(value is None for values in before for value in values):
        # A line that is not there would leave it open whether all was as it is now.
        words += f"; nothing is stored of the same time {COMPARES[shown.asked.compare][0]}"
    return words


def _step_problem(asked: Asked, window: Window) -> str:
    if not asked.step_s or asked.step_s * 1000 >= window.step_ms:
        return ""
    span = window.end_ms - window.start_ms
    points = span // (asked.step_s * 1000)
    return (
        f"{formats.duration(span / 1000)} with a point each {formats.duration(asked.step_s)} would be {points:,} "
        f"points; a chart has at most {MAX_POINTS}, and no more than were polled, so there is one each "
        f"{formats.duration(window.step_ms / 1000)}."
    )


def _standing(facts: BrokerFacts) -> Sequence[object]:
    return facts.id, facts.condition, facts.reason_sentence
