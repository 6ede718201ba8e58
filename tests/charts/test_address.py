"""The address of a chart: what it says comes back the same, and anything else is a sentence."""

from __future__ import annotations

import datetime as dt
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.series.metrics import Kind
from dashboard.charts.address import (
    BYS,
    COMPARES,
    MOST_SERIES,
    MOST_TOPS,
    RANKED,
    Asked,
    Source,
    Top,
    asked_of,
    moment_ms,
)
from dashboard.charts.measures import measures_of

# What RabbitMQ takes for a name: any text of UTF-8; NUL is in none that Warren stores.
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=60)
ids = st.integers(1, 2**63 - 1)


@st.composite
def sources(draw: st.DrawFn) -> Source:
    kind = draw(st.sampled_from(Kind))
    vhost = draw(names) if kind in {Kind.QUEUE, Kind.EXCHANGE, Kind.VHOST} else ""
    name = draw(names) if kind in {Kind.QUEUE, Kind.EXCHANGE, Kind.NODE} else ""
    return Source(draw(st.sampled_from(sorted(measures_of(kind)))), kind, draw(ids), vhost, name)


@st.composite
def tops(draw: st.DrawFn) -> Top:
    kind = draw(st.sampled_from(RANKED))
    vhost = draw(st.none() | names) if kind in {Kind.QUEUE, Kind.EXCHANGE} else None
    measure = draw(st.sampled_from(sorted(measures_of(kind))))
    return Top(draw(st.integers(1, MOST_SERIES)), measure, draw(st.sampled_from(sorted(BYS))), kind, draw(ids), vhost)


charts = st.builds(
    Asked,
    st.lists(sources(), max_size=MOST_SERIES, unique=True).map(tuple),
    st.lists(tops(), max_size=MOST_TOPS, unique=True).map(tuple),
    st.sampled_from(["", *COMPARES]),
    st.sampled_from([{}, {"range": "1h"}, {"from": "1790000000000", "to": "1790003600000"}]),
    st.integers(0, 99_999_999),
)


@given(charts)
@settings(deadline=None)
def test_it_says_all_that_the_chart_shows(chart: Asked) -> None:
    assert asked_of(parse_qs(chart.query(), keep_blank_values=True)) == chart


@given(st.dictionaries(st.sampled_from(["s", "top", "compare", "step", "range", "from", "to"]), st.lists(st.text())))
@settings(deadline=None)
def test_it_takes_any_address_for_a_chart_or_says_why_not(params: dict[str, list[str]]) -> None:
    asked = asked_of(params)
    assert all(sentence.endswith(".") for sentence in asked.problems)
    assert asked_of(parse_qs(asked.query(), keep_blank_values=True)).sources == asked.sources
    assert bool(params.get("s")) <= bool(asked.sources or asked.problems)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"s": ["secret:queue:1:%2F:orders"]}, "A queue has no measure “secret”"),
        ({"s": ["ready:planet:1:%2F:orders"]}, "There is no kind “planet”"),
        ({"s": ["ready:queue:0:%2F:orders"]}, "There is no broker “0”"),
        ({"s": ["ready:queue:²:%2F:orders"]}, "There is no broker “²”"),
        ({"s": [f"ready:queue:{2**63}:%2F:orders"]}, "There is no broker"),
        ({"s": ["ready"]}, "can't be read"),
        ({"s": ["ready:broker:1:%2F:"]}, "a name too many"),
        ({"s": ["ready:queue:1:%2F:%00"]}, "no name that RabbitMQ could have"),
        ({"s": ["published:queue:1:%2F:orders"]}, "no measure “published”"),
        ({"s": [f"ready:queue:1:%2F:{number}" for number in range(12)]}, "2 of these are left out"),
        ({"top": ["11:ready:mean:queue:1"]}, "1 to 10 series"),
        ({"top": ["000500000:ready:mean:queue:1"]}, "1 to 10 series"),
        ({"top": ["5:ready:median:queue:1"]}, "ranked by"),
        ({"top": ["5:ready:mean:broker:1"]}, "There is no kind “broker”"),
        ({"compare": ["year"]}, "compared with nothing"),
        ({"step": ["-1"]}, "whole number of seconds"),
    ],
)
def test_it_says_what_can_not_be_shown(params: dict[str, list[str]], says: str) -> None:
    assert any(says in sentence for sentence in asked_of(params).problems), asked_of(params).problems


def test_it_reads_times_of_the_viewers_zone() -> None:
    madrid = ZoneInfo("Europe/Madrid")
    local = dt.datetime(2026, 7, 1, 12, 30, tzinfo=madrid)
    assert moment_ms("2026-07-01T12:30", madrid) == str(int(local.timestamp() * 1000))
    assert moment_ms("2026-07-01T10:30:00Z", madrid) == str(int(local.timestamp() * 1000))
    assert moment_ms("2026-07-01T12:30:00 02:00", dt.UTC) == str(int(local.timestamp() * 1000))
    assert moment_ms("yesterday", madrid) == "yesterday"
