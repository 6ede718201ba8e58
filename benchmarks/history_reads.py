"""Four reads over history, and bytes a sample, against Prometheus over the same synthetic figures in the same run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.prometheus import Prometheus, binaries, bytes_of
from benchmarks.results import Result
from benchmarks.same_figures import SETS, write_openmetrics

_METRIC = "rabbitmq_detailed_queue_messages_ready"
_TIMES = 7


def run(folder: Path) -> list[Result]:
    """Make both histories and measure them; takes about five minutes of two cores."""
    ours = folder / "warren"
    filled = ask(ours, "fill")
    theirs = Prometheus(binaries(folder / "package"), folder / "prometheus")
    samples = {}
    for one in SETS:
        path = folder / f"{one.name}.om"
        samples[one.name] = write_openmetrics(one, path)
        theirs.backfill(path, one.longest_block)
        path.unlink()
    theirs.start()
    try:
        # One after the other, so that neither waits for the other's work.
        reads = ask(ours, "read")
        found = {name: _timed(theirs, query) for name, query in _queries().items()}
    finally:
        theirs.stop()
    results = []
    for name, says in (
        ("day", "one queue, 24 h of every poll (17,280 points)"),
        ("month", "one queue, 30 d at 1 h"),
        ("hour", "the top 20 of 10,000 queues over 1 h"),
        ("week", "a vhost's sum over 7 d (1,000 queues at 20 min)"),
    ):
        results.append(Result(f"read: {says}", reads[name]["best"], "ms", "Prometheus", found[name]))
    stored = filled["sizes"]
    raw = [one["levels"].get("RAW", [0, 0, 0]) for one in stored.values()]
    known = sum(one[1] for one in raw)
    blocks = [path for path in theirs.data.iterdir() if (path / "meta.json").exists()]
    size = sum(map(bytes_of, blocks))
    results.append(
        Result(
            "synthetic history: bytes a sample, every poll",
            sum(one[0] for one in raw) / known if known else float("nan"),
            "B",
            "Prometheus, compacted blocks with index",
            size / sum(json.loads((path / "meta.json").read_text())["stats"]["numSamples"] for path in blocks),
        )
    )
    every = sum(level[0] for one in stored.values() for level in one["levels"].values())
    results.append(
        Result("synthetic history: all that is kept, roll-ups too", every / 1e6, "MB", "Prometheus", size / 1e6)
    )
    return results


def ask(folder: Path, do: str) -> Any:
    """Run our side in a process of its own and return what it found."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.history_of_ours", do, str(folder)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ},
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def _queries() -> dict[str, Callable[[Prometheus], float]]:
    by_name = {one.name: one for one in SETS}
    day, month, week = by_name["day"], by_name["month"], by_name["week"]
    seventh = f'{_METRIC}{{set="%s",queue="{day.queue(7)}"}}'
    end = by_name["hour"].end_ms / 1000

    def ranged(query: str, start_ms: int, step_s: int) -> Callable[[Prometheus], float]:
        return lambda it: it.timed("query_range", query=query, start=start_ms / 1000, end=end, step=step_s)[0]

    return {
        "day": lambda it: it.timed("query", query=f"{seventh % 'day'}[24h]", time=end)[0],
        "month": ranged(seventh % "month", month.start_ms, 3600),
        "hour": lambda it: it.timed("query", query=f'topk(20, avg_over_time({_METRIC}{{set="hour"}}[1h]))', time=end)[
            0
        ],
        "week": ranged(f'sum({_METRIC}{{set="week",vhost="v"}})', week.start_ms, 1200),
    }


def _timed(theirs: Prometheus, query: Callable[[Prometheus], float]) -> float:
    query(theirs)
    return min(query(theirs) for _ in range(_TIMES))
