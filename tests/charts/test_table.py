"""A chart as CSV: exact values, ISO times, a column a series, and no name that a spreadsheet would run."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.charts.table import rows, safe, written


def read(columns: list[tuple[str, list[int], list[float]]]) -> list[list[str]]:
    made = [(name, np.array(times, dtype=np.int64), np.array(values)) for name, times, values in columns]
    return list(csv.reader("".join(rows(made)).splitlines(keepends=True)))


def test_it_writes_a_row_a_time_and_a_column_a_series() -> None:
    found = read([("ready a", [1_000, 2_500], [1.0, math.nan]), ("ready b", [2_500, 4_000], [0.1, 2**40])])
    assert found == [
        ["time", "ready a", "ready b"],
        ["1970-01-01T00:00:01.000Z", "1", ""],
        ["1970-01-01T00:00:02.500Z", "", "0.1"],
        ["1970-01-01T00:00:04.000Z", "", "1099511627776"],
    ]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\r=1", '=HYPERLINK("x")', "|calc"])
def test_it_makes_no_formula_of_a_name(name: str) -> None:
    assert safe(name).startswith("'")


def test_it_leaves_other_names() -> None:
    assert safe("orders=1") == "orders=1"


@given(st.text(), st.floats(allow_nan=False, allow_infinity=False))
def test_it_loses_nothing(name: str, value: float) -> None:
    assert float(written(value)) == value
    name = name.replace("\x00", "").encode("utf-8", "replace").decode()
    found = list(csv.reader(iter("".join(rows([(name, np.array([5]), np.array([value]))])).splitlines(keepends=True))))
    if not any(end in name for end in "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"):
        assert found[0][1] == safe(name)
        assert len(found) == 2
