"""What a benchmark found, as a row of the table and of results/latest.json."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

LATEST = Path(__file__).parent / "results" / "latest.json"


@dataclass(frozen=True)
class Result:
    """One figure beside its baseline from the same run; `ratio` is value / baseline_value (below 1: we are cheaper)."""

    name: str
    value: float
    unit: str
    baseline: str
    baseline_value: float

    @property
    def ratio(self) -> float:
        """Return value / baseline_value."""
        return self.value / self.baseline_value if self.baseline_value else float("inf")


def median_of(run: Callable[[], float], times: int) -> float:
    """Return the median of what `run` answers, called several times."""
    return statistics.median(run() for _ in range(times))


def save(results: Sequence[Result]) -> None:
    """Write results/latest.json."""
    rows = [{**asdict(result), "ratio": round(result.ratio, 4)} for result in results]
    LATEST.parent.mkdir(exist_ok=True)
    LATEST.write_text(json.dumps(rows, indent=2) + "\n")


def table(results: Sequence[Result]) -> str:
    """Return the results as a table to read."""
    rows = [("what", "value", "unit", "against", "value", "ratio")]
    rows += [
        (r.name, f"{r.value:.4g}", r.unit, r.baseline, f"{r.baseline_value:.4g}", f"{r.ratio:.3f}") for r in results
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
