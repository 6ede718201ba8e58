"""A cell looks the same whether the server drew it or a live frame set it, and nothing in it becomes markup."""

from __future__ import annotations

import time
import zoneinfo
from collections.abc import Callable
from itertools import pairwise

import msgspec
import pytest
from django.template import Context, Template
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page

from dashboard import formats
from dashboard.cells import Cell, Cells, Spark
from dashboard.charts.sparkline import sparkline
from dashboard.live import frames
from dashboard.templatetags.live import TONES, live
from tests.live.client import Shown
from tests.live.test_frames import over_the_wire, views

NASTY = "<script>alert(1)</script>\"'&amp;\u202e🐇"
NOW_MS = time.time_ns() // 1_000_000
# Each at least half an hour from the next change of its text: long ago, in the middle of an hour, and yet to come.
AGES_MS = (NOW_MS - 400 * 86_400_000 - 40_000_000, NOW_MS - 13 * 3_600_000 - 1_800_000, NOW_MS + 3_600_000)

KINDS: dict[str, Cell] = {
    "text": Cell(text="32,949"),
    "nasty": Cell(text=NASTY, exact=NASTY),
    "empty": Cell(),
    "zero": Cell(text="0", zero=True),
    "unit": Cell(text="846", unit="/s", exact="846.31 /s"),
    "zero unit": Cell(text="0", unit="/s", zero=True),
    "unknown": Cell(text="—", unknown=f"{NASTY} does not tell it."),
    "unknown of a share": Cell(unknown="No.", share=0.5, state="ok", zero=True),
    "share": Cell(text="61 %", share=0.61),
    "share of nothing": Cell(text="0 %", share=0),
    "share too large": Cell(text="140 %", share=1.4, state="critical", exact="7 of 5"),
    "half a per cent": Cell(text="0.5 %", share=0.005, state="warning"),
    "hidden": Cell(text="not now", hidden=True),
    "state made up": Cell(text="Odd", state="constructor"),
    "read before": Cell(text="42", unit="/s", read_ms=NOW_MS - 40_000),
    "read before, exact": Cell(text="2.2 KiB", exact="2,253 B", read_ms=1),
    "since": Cell(since_ms=AGES_MS[0]),
    "since, stale": Cell(since_ms=AGES_MS[1], state="stale"),
    "since, told": Cell(since_ms=AGES_MS[2], exact="Since the restart."),
    **{f"state {name}": Cell(text="A word", state=name) for name in TONES},
}
SPARKS: dict[str, Cell] = {
    "full": Cell(spark=sparkline([1, 2, None, 4], second=[2, 1, 1, 0])),
    "short": Cell(spark=sparkline([0, 0])),
    "nothing": Cell(spark=Spark()),
    "hidden": Cell(spark=sparkline([3, 4]), hidden=True),
}

# Sets every cell in turn on one element, and returns what the element then is.
IN_TURN = """async ({start, cells}) => {
  const { show, setClock } = await import('/static/js/cells.js');
  setClock(Date.now());
  const holder = document.createElement('div');
  holder.innerHTML = start;
  const element = holder.firstElementChild;
  return cells.map((cell) => { show(element, cell); return holder.innerHTML; });
}"""
# Brings both to one form: order of attributes and of classes does not matter, ages are what they are by now.
NORMALISED = """(texts) => texts.map((text) => {
  const holder = document.createElement('div');
  holder.innerHTML = text;
  for (const element of holder.querySelectorAll('*')) {
    const attributes = [...element.attributes].map(({ name, value }) => [
      name, name === 'class' ? value.split(/ +/).sort().join(' ') : value,
    ]).sort();
    for (const [name] of attributes) element.removeAttribute(name);
    for (const [name, value] of attributes) element.setAttribute(name, value);
  }
  return holder.innerHTML;
})"""


def drawn(cells: Cells, key: str, classes: str = "") -> str:
    with timezone.override(zoneinfo.ZoneInfo("Asia/Tokyo")):
        return str(live(cells, key, classes))


@pytest.mark.browser
@pytest.mark.parametrize(("kinds", "key"), [(KINDS, "q.1.2.ready"), (SPARKS, "b.1.flow.spark")])
def test_it_is_the_same_from_server_and_frame_whatever_stood_there(
    kinds: dict[str, Cell], key: str, bare_page: Callable[..., Page]
) -> None:
    page = bare_page("", script="cells.js")
    names = list(kinds)
    by_server = {name: drawn({key: kinds[name]}, key, "kpi__s") for name in names}
    # Each kind after each other kind.
    walk = [name for one in names for other in names for name in (one, other)]
    cells = [msgspec.to_builtins(kinds[name]) for name in walk]
    by_client = page.evaluate(IN_TURN, {"start": by_server[names[0]], "cells": cells})
    normal = dict(zip(names, page.evaluate(NORMALISED, [by_server[name] for name in names]), strict=True))
    for before, name, found in zip(["", *walk], walk, page.evaluate(NORMALISED, by_client), strict=False):
        assert found == normal[name], f"{name} after {before}"


@pytest.mark.browser
def test_it_shows_what_is_missing_as_the_server_does(bare_page: Callable[..., Page]) -> None:
    page = bare_page("", script="cells.js")
    start = drawn({"x": Cell(text="1", state="ok")}, "x")
    [found] = page.evaluate(NORMALISED, page.evaluate(IN_TURN, {"start": start, "cells": [None]}))
    assert [found] == page.evaluate(NORMALISED, [drawn({}, "x")])


@pytest.mark.browser
def test_it_counts_ages_and_writes_times_as_the_server_does(bare_page: Callable[..., Page]) -> None:
    page = bare_page("", script="cells.js")
    spans = [0, 1, 59, 60, 61, 600, 3599, 3600, 3660, 35_999, 36_000, 172_799, 172_800, 40_000_000, 900_000_000]
    moments = [1, 951_782_400_000, 1_774_746_000_123, NOW_MS]
    told = page.evaluate(
        """async ({spans, moments}) => {
          const { duration, fullTime } = await import('/static/js/cells.js');
          return [spans.map(duration), moments.map(fullTime)];
        }""",
        {"spans": spans, "moments": moments},
    )
    tokyo = zoneinfo.ZoneInfo("Asia/Tokyo")
    assert told == [
        [formats.duration(span) for span in spans],
        [formats.full_time(moment, tokyo) for moment in moments],
    ]


@pytest.mark.browser
def test_it_takes_frames_in_as_the_protocol_says(bare_page: Callable[..., Page]) -> None:
    walks: list[list[dict[str, object]]] = []

    @settings(max_examples=60, deadline=None)
    @given(st.lists(views, min_size=2, max_size=5))
    def collect(coming: list[object]) -> None:
        walk = [frames.state("page", 1, coming[0], 0)]  # type: ignore[arg-type]
        for before, after in pairwise(coming):
            frame = frames.change("page", 2, before, after, 0)  # type: ignore[arg-type]
            walk += [frame] if frame else []
        walks.append([over_the_wire(frame) for frame in walk])

    collect()
    found = bare_page("", script="frames.js").evaluate(
        """async (walks) => {
          const { emptyView, applied } = await import('/static/js/frames.js');
          return walks.map((walk) => {
            const view = walk.reduce(applied, emptyView());
            return { ...view, cells: Object.fromEntries(view.cells), charts: Object.fromEntries(view.charts) };
          });
        }""",
        walks,
    )
    for walk, view in zip(walks, found, strict=True):
        shown = Shown()
        for frame in walk:
            shown = shown.after(frame)
        assert view == {
            "cells": shown.cells,
            "charts": shown.charts,
            "order": shown.order,
            "shape": shown.shape,
            "atMs": shown.at_ms,
        }


@pytest.mark.parametrize("cells", [None, {}, {"other": Cell(text="1")}])
def test_it_draws_a_missing_figure_as_unknown(cells: Cells | None) -> None:
    assert 'class="unknown"' in live(cells, "q.1.2.ready")
    assert 'd=""' in live(cells, "q.1.2.ready.spark")


def test_it_escapes_keys_classes_and_parameters() -> None:
    page = Template(
        '{% load live %}<main {% subscribe "queues" params %}>{% live cells key|add:".ready" classes %}</main>'
    ).render(
        Context({"params": {"q": NASTY}, "cells": {f"{NASTY}.ready": Cell(text=NASTY)}, "key": NASTY, "classes": NASTY})
    )
    assert "<script" not in page
    assert 'alert(1)"' not in page
    assert page.count("<") == 4
