"""docs/measures.md is what the registry says, whole."""

from __future__ import annotations

from pathlib import Path

from brokers.lag.document import page
from brokers.lag.measures import measures_of
from brokers.series.metrics import Kind

DOCUMENT = Path(__file__).parents[2] / "docs" / "measures.md"


def test_the_page_is_what_the_registry_says() -> None:
    assert DOCUMENT.read_text() == page(), "Write it anew: python -m brokers.lag.document > docs/measures.md"


def test_every_measure_of_every_kind_has_its_row() -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    named = [name for kind in Kind for name in (one.name for one in measures_of(kind))]
    assert len(rows) == len(named) + len([line for line in rows if line.startswith("| `consumer_state` | name")])
    for name in named:
        assert any(line.startswith(f"| `{name}` |") for line in rows), name
    for line in rows:
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        assert all(cells), f"A measure without its formula, unit or source: {line}"
