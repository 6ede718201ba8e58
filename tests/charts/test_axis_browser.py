"""A chart's axis has round ticks, and lag on it is in seconds, from ten hours up in hours."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from tests.live.conftest import bare_page

__all__ = ["bare_page"]

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    ("kind", "top", "texts"),
    [
        ("seconds", 0.4, ["0 s", "0.25 s", "0.5 s", "0.75 s", "1 s"]),
        ("seconds", 1_900, ["0 s", "500 s", "1,000 s", "1,500 s", "2,000 s"]),
        ("seconds", 34_000, ["0 s", "10,000 s", "20,000 s", "30,000 s", "40,000 s"]),
        ("seconds", 50_000, ["0 h", "5 h", "10 h", "15 h"]),
        ("seconds", 3_000_000, ["0 h", "250 h", "500 h", "750 h", "1,000 h"]),
        ("stock", 39_000, ["0", "10k", "20k", "30k", "40k"]),
    ],
)
def test_it_is_told_in_the_unit_of_the_figures(
    bare_page: Callable[..., Page], kind: str, top: float, texts: list[str]
) -> None:
    page = bare_page("", script="chart_figure.js")
    axis = page.evaluate(
        "async ([kind, top]) => (await import('/static/js/chart_figure.js')).axisFor(kind, top, 1)", [kind, top]
    )
    assert axis["texts"] == texts
    assert axis["end"] >= top
