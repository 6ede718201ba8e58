"""The charts of a page: which figures, of what, over which time, with their first points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

import msgspec
from django.urls import reverse

from brokers.series.read import history_starts_ms
from dashboard.cells import ChartPoints
from dashboard.charts.address import Asked, Source
from dashboard.charts.figures import Figure
from dashboard.charts.points import by_figure, resolution_words
from dashboard.charts.window import DEFAULT_RANGE, RANGES, Window, window_of
from dashboard.queries.chart_series import Subject, at_once, series_of
from dashboard.queries.marks import Mark


@dataclass(frozen=True, slots=True)
class RangeLink:
    """One range to choose: a link, so that it works without a script and is what a copied address says."""

    name: str
    word: str
    url: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class ChartCard:
    """One chart as its template draws it; `points` None: they come by `points_url`."""

    figure: Figure
    label: str
    points: ChartPoints | None
    window: Window
    points_url: str
    zone: str
    cadence_ms: int
    # The resolution in words, where it is known.
    says: str = ""
    # The page of charts with the same series.
    explore_url: str = ""

    @property
    def description(self) -> dict[str, object]:
        """What charts.js needs to know, as JSON."""
        return {
            "figure": {
                "key": self.figure.key,
                "title": self.figure.title,
                "axis": self.figure.axis.value,
                "floor": self.figure.floor,
                "right": self.figure.right.value if self.figure.right else None,
                "right_floor": self.figure.right_floor,
                "ends": self.figure.ends,
                "traces": [msgspec.structs.asdict(trace) for trace in self.figure.traces],
            },
            "window": {
                "start": self.window.start_ms,
                "end": self.window.end_ms,
                "step": self.window.step_ms,
                "range": self.window.range,
                "says": self.says,
            },
            "points": None if self.points is None else {"times": self.points.times, "values": self.points.values},
            "cadence": self.cadence_ms,
            "zone": self.zone,
        }


@dataclass(frozen=True, slots=True)
class Charts:
    """All charts of a page, by the key of their figure, and the control of their time."""

    cards: Mapping[str, ChartCard]
    window: Window
    ranges: tuple[RangeLink, ...]
    follow_url: str
    points_url: str
    # Series are ranked over the window: another one has others.
    ranked: bool = False
    # Notes in time.
    marks: tuple[Mark, ...] = ()

    @property
    def drawn_marks(self) -> list[dict[str, object]]:
        """The notes as the browser draws them."""
        return [mark.drawn for mark in self.marks]

    def __getitem__(self, key: str) -> ChartCard:
        return self.cards[key]


def charts(
    subject: Subject,
    figures: tuple[Figure, ...],
    asked: Mapping[str, str],
    *,
    page_url: str,
    points_url: str,
    of: str,
    now_ms: int,
    zone: str = "UTC",
    cadence_ms: int = 5_000,
    source: Source | None = None,
    marked: tuple[Mark, ...] = (),
) -> Charts:
    """Return a page's charts over the time that its address asks for.

    `page_url` and `points_url` are the addresses of the page and of its points without a window; `of` names what the
    charts are of. `source` is what the page of charts is led to, of each measure; `marked` are the notes to show.
    Points that take long to read are left out: the browser asks for them when the page stands.
    """
    window = window_of(asked, now_ms, history_starts_ms(subject.broker_id))
    series = series_of(subject, window) if at_once(subject, window) else None
    found = by_figure(series, figures) if series else {}
    says = resolution_words(window.step_ms, series.resolution_ms, cadence_ms) if series else ""
    cards = {
        figure.key: ChartCard(
            figure=figure,
            label=f"{figure.title} of {of}, {figure.says}",
            points=found.get(figure.key),
            window=window,
            points_url=points_url,
            zone=zone,
            cadence_ms=cadence_ms,
            says=says,
            explore_url=_explore_url(source, figure, window) if source else "",
        )
        for figure in figures
    }
    return Charts(
        cards=cards,
        window=window,
        ranges=tuple(
            RangeLink(name, word, with_query(page_url, {"range": name}), name == window.range)
            for name, (word, _) in RANGES.items()
        ),
        follow_url=with_query(page_url, {"range": window.range or DEFAULT_RANGE}),
        points_url=points_url,
        marks=marked,
    )


def _explore_url(source: Source, figure: Figure, window: Window) -> str:
    sources = tuple(replace(source, measure=metric) for metric in figure.metrics)
    return f"{reverse('pages:charts')}?{Asked(sources, window=window.query).query()}"


def asked_points(
    subject: Subject, figures: tuple[Figure, ...], asked: Mapping[str, str], now_ms: int, cadence_ms: int = 5_000
) -> dict[str, object]:
    """Return the points of a window as the endpoints of points answer them."""
    window = window_of(asked, now_ms, history_starts_ms(subject.broker_id))
    series = series_of(subject, window)
    found = by_figure(series, figures)
    return {
        "window": {
            "start": window.start_ms,
            "end": window.end_ms,
            "step": window.step_ms,
            "range": window.range,
            "says": resolution_words(window.step_ms, series.resolution_ms, cadence_ms),
        },
        "charts": {key: {"times": points.times, "values": points.values} for key, points in found.items()},
    }


def live_points(
    subject: Subject, figures: tuple[Figure, ...], asked: Mapping[str, str], now_ms: int
) -> dict[str, ChartPoints]:
    """Return the points of a subscription: of the whole window where it follows the present, none where it is fixed."""
    if not asked.get("range"):
        return {}
    window = window_of({"range": asked["range"]}, now_ms, history_starts_ms(subject.broker_id))
    return by_figure(series_of(subject, window), figures)


def with_query(url: str, more: Mapping[str, str]) -> str:
    """Return an address with parameters added to those it has."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(more)}"
