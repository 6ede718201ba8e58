"""Figures and times: each row of the design's table of numbers, by example and for every number there is."""

from __future__ import annotations

import datetime as dt
import math
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import formats

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
NIGHT_MS = int(dt.datetime(2026, 11, 23, 3, 8, 44, 500_000, BERLIN).timestamp() * 1000)
HOUR_MS = 3_600_000

figures = st.floats(min_value=0, max_value=1e15)
anything = st.floats()


def number(text: str) -> float:
    """Read the figure back that a text begins with."""
    return float(text.split(maxsplit=1)[0].replace(",", "").replace("−", "-").lstrip("<"))


@pytest.mark.parametrize(
    ("value", "text", "exact"),
    [
        (0, "0", ""),
        (14, "14", ""),
        (32_949, "32,949", ""),
        (9_999_999, "9,999,999", ""),
        (10_000_000, "10.0 M", "10,000,000"),
        (12_345_678, "12.3 M", "12,345,678"),
        (412_038_117, "412 M", "412,038,117"),
        (1_204_000_000, "1,204 M", "1,204,000,000"),
        (-1_200, "−1,200", ""),
        (math.nan, "—", ""),
        (math.inf, "—", ""),
    ],
)
def test_it_writes_counts_in_full_until_ten_million(value: float, text: str, exact: str) -> None:
    assert formats.count(value) == text
    assert formats.exact_count(value) == exact


@pytest.mark.parametrize(
    ("value", "rate", "change"),
    [
        (42.0817, "", ""),
        (9_999_999, "", ""),
        (52_301_877.4, "52,301,877", "+52,301,877"),
        (-52_301_877.4, "−52,301,877", "−52,301,877"),
        (math.nan, "", ""),
    ],
)
def test_it_tells_what_millions_shorten(value: float, rate: str, change: str) -> None:
    assert formats.exact_rate(value) == rate
    assert formats.exact_change(value) == change


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.001, "<0.01"),
        (0.04, "0.04"),
        (0.4, "0.4"),
        (42.0817, "42.1"),
        (99.96, "100"),
        (118.4, "118"),
        (1_180.2, "1,180"),
        (52_300_000, "52.3 M"),
        (-3.25, "−3.2"),
        (math.nan, "—"),
    ],
)
def test_it_gives_rates_three_digits(value: float, text: str) -> None:
    assert formats.rate(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 s"),
        (0.02, "<0.1 s"),
        (3.24, "3.2 s"),
        (9.96, "10 s"),
        (794, "794 s"),
        (7_943, "7,943 s"),
        (35_999.4, "35,999 s"),
        (35_999.7, "10 h"),
        (147_600, "41 h"),
        (-2, "0 s"),
        (math.nan, "—"),
    ],
)
def test_it_keeps_lag_in_seconds_since_rules_are_in_seconds(value: float, text: str) -> None:
    assert formats.lag(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (431, "7 min 11 s"),
        (11_160, "3 h 06 min"),
        (7_200, "2 h"),
        (35_999, "9 h 59 min"),
        (68_400, "19 h"),
        (172_799, "47 h"),
        (172_800, "2 d"),
        (3_600_000, "41 d"),
        (-5, "0 s"),
        (math.nan, "—"),
    ],
)
def test_it_says_durations_in_the_units_that_people_use(value: float, text: str) -> None:
    assert formats.duration(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 ms"),
        (0.0005, "<1 ms"),
        (0.0714, "71 ms"),
        (0.9994, "999 ms"),
        (0.9997, "1.0 s"),
        (1.24, "1.2 s"),
        (41.6, "42 s"),
        (61, "1 min 1 s"),
        (math.nan, "—"),
    ],
)
def test_it_says_how_long_a_call_took(value: float, text: str) -> None:
    assert formats.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text", "exact"),
    [
        (0, "0 B", ""),
        (512, "512 B", ""),
        (1_023, "1,023 B", ""),
        (2_253, "2.2 KiB", "2,253 B"),
        (75_000_000, "72 MiB", "75,000,000 B"),
        (1_073_636_966, "1.0 GiB", "1,073,636,966 B"),
        (5e15, "4,547 TiB", "5,000,000,000,000,000 B"),
        (math.nan, "—", ""),
    ],
)
def test_it_gives_sizes_in_binary_units(value: float, text: str, exact: str) -> None:
    assert formats.size(value) == text
    assert formats.exact_size(value) == exact


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 %"),
        (0.0001, "<0.1 %"),
        (0.009, "0.9 %"),
        (0.0996, "10 %"),
        (0.61, "61 %"),
        (0.997, "99.7 %"),
        (0.99999, "99.9 %"),
        (1, "100 %"),
        (1.2, "120 %"),
        (math.nan, "—"),
    ],
)
def test_it_never_rounds_a_share_to_nothing_or_to_all(value: float, text: str) -> None:
    assert formats.percent(value) == text


def test_it_says_a_time_of_today_without_its_day() -> None:
    assert formats.time_of_day(NIGHT_MS, BERLIN, NIGHT_MS + HOUR_MS) == "03:08"
    assert formats.clock(NIGHT_MS, BERLIN, NIGHT_MS + HOUR_MS) == "03:08:44"


def test_it_puts_the_day_before_a_time_that_is_not_of_today() -> None:
    assert formats.time_of_day(NIGHT_MS, BERLIN, NIGHT_MS + 24 * HOUR_MS) == "23 Nov 03:08"
    assert formats.clock(NIGHT_MS, BERLIN, NIGHT_MS - 4 * HOUR_MS) == "23 Nov 03:08:44"
    assert formats.time_of_day(NIGHT_MS, BERLIN, NIGHT_MS + 50 * 24 * HOUR_MS) == "23 Nov 2026 03:08"


def test_it_reads_today_in_the_viewers_zone() -> None:
    utc = zoneinfo.ZoneInfo("UTC")
    # 23:30 in UTC is past midnight in Berlin: the same two moments are of one day there, of two here.
    late = int(dt.datetime(2026, 11, 22, 23, 30, tzinfo=utc).timestamp() * 1000)
    assert formats.time_of_day(late, BERLIN, NIGHT_MS) == "00:30"
    assert formats.time_of_day(late, utc, NIGHT_MS) == "22 Nov 23:30"


def test_it_gives_the_whole_time_with_its_offset() -> None:
    assert formats.full_time(NIGHT_MS, BERLIN) == "2026-11-23 03:08:44 +01:00"


def test_it_says_unknown_of_a_time_that_never_was() -> None:
    assert formats.clock(None) == formats.time_of_day(0) == formats.full_time(None) == "—"


@given(anything)
def test_it_writes_every_number_as_a_figure_or_as_unknown(value: float) -> None:
    for text in (formats.count(value), formats.rate(value), formats.size(value), formats.lag(value)):
        assert text == "—" if not math.isfinite(value) else math.isfinite(number(text))
        assert "-" not in text


@given(figures)
def test_it_never_shows_nothing_where_there_is_something(value: float) -> None:
    for text in (formats.rate(value), formats.percent(value), formats.lag(value), formats.seconds(value)):
        assert (text.split()[0] == "0") == (value == 0)


@given(figures)
def test_it_stays_within_half_of_the_last_digit_shown(value: float) -> None:
    shown = number(formats.rate(value)) * (1e6 if value >= 1e7 else 1)
    assert math.isclose(shown, value, rel_tol=0.006, abs_tol=0.0501 if value >= 0.095 else 0.01)
    whole = round(value)
    assert math.isclose(number(formats.count(whole)) * (1e6 if whole >= 1e7 else 1), whole, rel_tol=0.006)


@given(st.floats(min_value=1, max_value=1e18))
def test_it_gives_a_size_that_reads_back_to_itself(value: float) -> None:
    figure, unit = formats.size(value).split()
    back = float(figure.replace(",", "")) * 1024 ** ("B", "KiB", "MiB", "GiB", "TiB").index(unit)
    assert math.isclose(back, value, rel_tol=0.051) or abs(back - value) <= 0.5


@given(figures, figures)
def test_it_keeps_the_order_of_what_it_shortens(one: float, other: float) -> None:
    less, more = sorted((one, other))
    if (less >= 1e7) == (more >= 1e7):
        assert number(formats.count(less)) <= number(formats.count(more))
    if more < 10 * 3600 - 1 and less >= 0.05:
        assert number(formats.lag(less)) <= number(formats.lag(more))


@pytest.mark.parametrize("name", ["\u202eabc", "abc\u202e", "\u05d0\u05d1", "a\u2067b", "a\u2069\u202eb"])
def test_a_name_that_turns_the_direction_turns_no_sentence(name: str) -> None:
    assert formats.isolated(name) == f"\u2068{name}\u2069"


@pytest.mark.parametrize("name", ["orders.eu", "\u00fcn\u00ef-\u30b3", "=cmd|' <b>", ""])
def test_other_names_stand_as_they_are(name: str) -> None:
    assert formats.isolated(name) == name
