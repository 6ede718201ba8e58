"""Figures are right by the model of metrics and by the style sheet: nothing is drawn that nobody stores or colours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from brokers.series.metrics import RATES, Kind, readable_names
from dashboard.charts.figures import Axis, Figure, broker_figures, metrics_of, queue_figures
from dashboard.charts.plotly_styles import style_ids

ROOT = Path(__file__).resolve().parents[2]
ALL = [
    *((Kind.QUEUE, figure) for figure in queue_figures()),
    *((kind, figure) for kind in (Kind.BROKER, Kind.VHOST) for figure in broker_figures(kind)),
]
IDS = [f"{kind}-{figure.key}" for kind, figure in ALL]


@pytest.mark.parametrize(("kind", "figure"), ALL, ids=IDS)
def test_it_reads_only_what_is_stored(kind: Kind, figure: Figure) -> None:
    assert figure.traces
    assert set(figure.metrics) <= set(readable_names(kind))


@pytest.mark.parametrize(("kind", "figure"), ALL, ids=IDS)
def test_it_never_puts_stocks_and_flows_on_one_axis(kind: Kind, figure: Figure) -> None:
    assert {metric in RATES for metric in figure.metrics} == {figure.axis is Axis.FLOW}


@pytest.mark.parametrize(("kind", "figure"), ALL, ids=IDS)
def test_it_colours_by_tokens_that_are_there(kind: Kind, figure: Figure) -> None:
    tokens = (ROOT / "static/css/tokens.css").read_text()
    lines = (ROOT / "static/css/charts.css").read_text()
    for trace in figure.traces:
        assert re.search(rf"{trace.token}:\s+light-dark", tokens)
        assert f".ln--{trace.style} " in lines


@pytest.mark.parametrize(("kind", "figure"), ALL, ids=IDS)
def test_it_tells_lines_apart_by_more_than_one_thing(kind: Kind, figure: Figure) -> None:
    looks = {(trace.token, trace.dash, trace.area) for trace in figure.traces}
    assert len(looks) == len(figure.traces) == len({trace.name for trace in figure.traces})


def test_it_has_no_connections_for_vhosts() -> None:
    limited = metrics_of(broker_figures(Kind.VHOST))
    assert "confirm_rate" in limited
    assert not [metric for metric in limited if metric.startswith(("connection", "channel"))]
    assert "confirm_rate" in metrics_of(broker_figures(Kind.BROKER))


def test_it_knows_the_style_sheets_of_the_plotly_that_is_installed() -> None:
    first, *digests = style_ids()
    assert first == "plotly.js-style-global"
    assert digests
    assert all(re.fullmatch("[0-9a-f]{64}", one) for one in digests)
