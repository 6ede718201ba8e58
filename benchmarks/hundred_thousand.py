"""A day of 100,000 objects by simulated snapshots: whether ingest keeps up, and what memory, disk and CPU it takes.

    python -m benchmarks.hundred_thousand             # 24 h of ticks 10 s apart, at 1,000, 10,000 and 100,000 objects
    python -m benchmarks.hundred_thousand --hours 2

Each number of objects is a process of its own with a database of its own, so that memory is its own too. Everything
goes through the code that a worker runs: the snapshot's row, and after that compaction, roll-ups and retention whenever
something is due. CPU seconds are the process's own, whoever else uses the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.results import Result, save, table

TICK_MS = 10_000
START_MS = 1_700_000_400_000  # where ten minutes begin
OBJECTS = (1_000, 10_000, 100_000)
# The upkeep of what is due is looked for as often as beat does.
UPKEEP_EVERY_TICKS = 6
# Before the prediction a few windows of each kind were built, from which it knows this broker's bytes a sample.
PREDICT_AFTER_SHARE = 0.25
MEMORY_LIMIT_MB = 1_500.0


@dataclass(frozen=True)
class Measured:
    """What one number of objects took. Seconds are CPU; bytes as the database counts them."""

    objects: int
    ticks: int
    append_s: float
    slowest_append_s: float
    upkeep_s: float
    slowest_upkeep_s: float
    peak_mb: float
    used_bytes: float
    predicted_bytes: float
    file_bytes: float
    bytes_a_sample: float
    wall_s: float

    @property
    def tick_s(self) -> float:
        """CPU seconds a tick, with its share of the upkeep."""
        return (self.append_s + self.upkeep_s) / self.ticks

    @property
    def microseconds(self) -> float:
        """CPU microseconds an object and tick."""
        return self.tick_s / self.objects * 1e6


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--objects", type=int, nargs="*", default=list(OBJECTS))
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/latest.json")
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(asdict(_measure(asked.one, asked.hours))))
        return 0
    measured = [_apart(objects, asked.hours) for objects in asked.objects]
    results = results_of(measured, asked.hours)
    print(table(results))
    if asked.save:
        save(results)
    return 0


def results_of(measured: list[Measured], hours: float) -> list[Result]:
    """Return the rows of the table."""
    found: list[Result] = []
    for one in measured:
        what = f"{one.objects:,} objects, {hours:g} h"
        tick_s = TICK_MS / 1000
        found += [
            Result(f"{what}: CPU a tick, with upkeep", one.tick_s, "s", "the tick", tick_s),
            Result(f"{what}: slowest snapshot", one.slowest_append_s, "s", "the tick", tick_s),
            Result(f"{what}: slowest upkeep", one.slowest_upkeep_s, "s", "ten minutes", 600.0),
            Result(f"{what}: peak memory", one.peak_mb, "MB", "the limit", MEMORY_LIMIT_MB),
            Result(f"{what}: disk used", one.used_bytes / 1e6, "MB", "as predicted", one.predicted_bytes / 1e6),
            Result(f"{what}: database file", one.file_bytes / 1e6, "MB", "used", one.used_bytes / 1e6),
            Result(f"{what}: bytes a sample", one.bytes_a_sample, "B", "a float64", 8.0),
        ]
    least = measured[0]
    found += [
        Result(
            f"CPU an object and tick at {one.objects:,}", one.microseconds, "µs", f"at {least.objects:,}",
            least.microseconds,
        )
        for one in measured[1:]
    ]  # fmt: skip
    return found


def _apart(objects: int, hours: float) -> Measured:
    """Measure in a process and on a database of its own."""
    with tempfile.TemporaryDirectory(prefix="warren-bench-") as folder:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("WARREN_")}
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.hundred_thousand", "--one", str(objects), "--hours", str(hours)],
            env={**clean, "WARREN_DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "dashboard.settings"},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        sys.exit(f"{objects} objects could not be measured: see above.")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def _measure(objects: int, hours: float) -> Measured:
    import django

    django.setup()
    from benchmarks import simulated_day

    began = time.monotonic()
    day = simulated_day.Day(objects, START_MS, TICK_MS)
    ticks = int(hours * 3_600_000 / TICK_MS)
    predicted = 0.0
    for tick, _ in enumerate(day.ticks(ticks)):
        if (tick + 1) % UPKEEP_EVERY_TICKS == 0 or tick + 1 == ticks:
            day.tend()
        if tick + 1 == int(ticks * PREDICT_AFTER_SHARE):
            predicted = day.predicted_bytes(hours)
        if (tick + 1) % max(1, ticks // 12) == 0:
            told = f"{objects:,} objects: {(tick + 1) * TICK_MS / 3_600_000:.1f} h, {day.says()}, {peak_mb():.0f} MB"
            print(told, file=sys.stderr, flush=True)
    day.close()
    return Measured(
        objects=objects,
        ticks=ticks,
        append_s=day.append_s,
        slowest_append_s=day.slowest_append_s,
        upkeep_s=day.upkeep_s,
        slowest_upkeep_s=day.slowest_upkeep_s,
        peak_mb=peak_mb(),
        used_bytes=day.used_bytes(),
        predicted_bytes=predicted,
        file_bytes=sum(path.stat().st_size for path in Path(os.environ["WARREN_DATA_DIR"]).glob("warren.sqlite3*")),
        bytes_a_sample=day.bytes_a_sample(),
        wall_s=time.monotonic() - began,
    )


def peak_mb() -> float:
    """Return the most memory that this process ever had resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
