"""What history costs, by itself: bytes a value at each level, CPU of upkeep, time of reads. No broker is needed.

    python -m benchmarks.series_read [queues] [hours]

Synthetic traffic (benchmarks.synthetic) through the real tables, in a SQLite file of its own that is removed at the
end. Baselines are what was once measured of Prometheus: 2.2 bytes a sample, and its times for the same reads.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.results import Result, median_of, table

BEGIN_MS = 1_697_760_000_000
CADENCE_MS, HOUR_MS = 5_000, 3_600_000
# Prometheus, tried once with 10,000 queues: bytes a sample with its index; milliseconds for the reads.
PROMETHEUS_BYTES, PROMETHEUS_ONE_MS, PROMETHEUS_TOP_MS, PROMETHEUS_SUM_MS = 2.2, 1.0, 343.0, 237.0


def run(queues: int, hours: float) -> list[Result]:
    """Write, keep and read a history; Django is set up over an empty data folder."""
    from django.core.management import call_command  # the data folder is made first

    from benchmarks.synthetic import Queues, frames
    from brokers.registry.models import Broker
    from brokers.series import store, upkeep
    from brokers.series.levels import Level
    from brokers.series.metrics import Kind
    from brokers.series.models import Span
    from brokers.series.read import read
    from brokers.series.top import top

    call_command("migrate", verbosity=0)
    broker = Broker.objects.create(name="synthetic", management_url="http://127.0.0.1:9")
    end_ms = BEGIN_MS + round(hours * HOUR_MS)
    for frame in frames(Queues(queues), BEGIN_MS, end_ms, CADENCE_MS):
        store.append(broker.id, frame, CADENCE_MS)
    began = time.process_time()
    while upkeep.keep(broker.id, seconds=600):
        pass
    spent = time.process_time() - began
    against = "Prometheus, tried once"
    results = [
        Result(f"upkeep of {queues:,} queues", spent / hours, "CPU s an hour", "one core", 3600.0),
    ]
    for level in Level:
        rows = list(Span.objects.filter(level=int(level)).values_list("stored_bytes", "known"))
        if rows:
            each = sum(stored for stored, _ in rows) / sum(known for _, known in rows)
            results.append(Result(f"bytes a value, {level.name.lower()}", each, "B", against, PROMETHEUS_BYTES))

    def timed(read_it: Callable[[], object]) -> float:
        def once() -> float:
            since = time.perf_counter()
            read_it()
            return (time.perf_counter() - since) * 1000

        once()
        return median_of(once, 5)

    one = timed(lambda: read(broker.id, Kind.QUEUE, [queues // 2], ["ready"], BEGIN_MS, end_ms, step_ms=1))
    ranked = timed(lambda: top(broker.id, Kind.QUEUE, "ready", 20, end_ms - HOUR_MS, end_ms))
    total = timed(lambda: read(broker.id, Kind.QUEUE, range(queues), ["ready"], BEGIN_MS, end_ms))
    results += [
        Result(f"one queue, {hours:g} h of single polls", one, "ms", f"{against}, 10 min", PROMETHEUS_ONE_MS),
        Result(f"top 20 of {queues:,}, last hour", ranked, "ms", against, PROMETHEUS_TOP_MS),
        Result(f"sum of {queues:,}, {hours:g} h", total, "ms", against, PROMETHEUS_SUM_MS),
    ]
    return results


def main() -> None:
    """Run it over a folder of its own and print the table."""
    queues = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    hours = float(sys.argv[2]) if len(sys.argv) > 2 else 3.0
    folder = Path(tempfile.mkdtemp(prefix="warren-series-"))
    os.environ |= {"WARREN_DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "dashboard.settings"}
    import django

    django.setup()
    try:
        print(table(run(queues, hours)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
