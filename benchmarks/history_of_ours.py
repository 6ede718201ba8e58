"""Our side of the comparison of histories, in a process of its own: `python -m benchmarks.history_of_ours DO FOLDER`.

`fill` writes the same synthetic figures that Prometheus gets into the log, and keeps them as the worker would;
`read` times the four reads; `size` compacts the log of a server that ran, and measures it. The answer is the last line,
JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.same_figures import SETS, Set, values_of


def main() -> None:
    """Run one of the three in a data folder."""
    do, folder = sys.argv[1], Path(sys.argv[2])
    os.environ["WARREN_DATA_DIR"] = str(folder)
    os.environ["DJANGO_SETTINGS_MODULE"] = "dashboard.settings"
    import django

    django.setup()
    print(json.dumps({"fill": fill, "read": read, "size": size}[do]()))


def fill() -> dict[str, Any]:
    """Write every set as a broker of its own, then compact, roll up and let go as the worker does."""
    from django.core.management import call_command
    from django.db import transaction

    from brokers.registry import slots
    from brokers.registry.models import Broker
    from brokers.registry.slots import ObjectName
    from brokers.series import upkeep
    from brokers.series.codec import Frame, Table, encode
    from brokers.series.metrics import Kind
    from brokers.series.models import Snapshot

    call_command("migrate", verbosity=0)
    import numpy as np

    took: dict[str, float] = {}
    for one in SETS:
        began = time.process_time()
        broker = Broker.objects.create(name=one.name, management_url="http://127.0.0.1:9")
        slots.assign(broker, Kind.QUEUE.value, [ObjectName("v", one.queue(n)) for n in range(one.queues)], one.start_ms)
        numbers = np.arange(one.queues, dtype=np.uint32)
        times, values = one.times_ms(), values_of(one)
        for first in range(0, len(times), 500):
            with transaction.atomic():
                Snapshot.objects.bulk_create(
                    Snapshot(
                        broker=broker,
                        at_ms=int(times[at]),
                        stored_ms=int(times[at]),
                        cadence_ms=one.step_ms,
                        payload=encode(Frame(int(times[at]), {Kind.QUEUE: Table(numbers, {"ready": values[:, at]})})),
                    )
                    for at in range(first, min(first + 500, len(times)))
                )
        if one.span_ms > 2 * 3_600_000:
            _keep_in_long_windows(broker.pk)
        while upkeep.keep(broker.pk, seconds=3600):
            pass
        took[one.name] = time.process_time() - began
    return {"cpu_s": took, **size()}


def _keep_in_long_windows(broker_id: int) -> None:
    """Make at once the long spans that short ones are merged into in time: what is old is kept alike, made sooner."""
    from brokers.series import upkeep
    from brokers.series.levels import Level

    short = Level.first_ms
    Level.first_ms = property(lambda level: level.long_ms)  # type: ignore[assignment, method-assign]
    try:
        while upkeep.keep(broker_id, seconds=3600):
            pass
    finally:
        Level.first_ms = short  # type: ignore[method-assign]


def size() -> dict[str, Any]:
    """Compact what is due and what is not yet, and measure by broker: bytes and known values, by level."""
    from django.db.models import Count, Sum
    from django.db.models.functions import Length

    from brokers.registry.models import Broker
    from brokers.series import compact
    from brokers.series.levels import Level, window_of
    from brokers.series.models import Snapshot, Span

    found: dict[str, Any] = {}
    for broker in Broker.objects.all():
        rows = Snapshot.objects.filter(broker=broker).aggregate(n=Count("id"), size=Sum(Length("payload")))
        before = {"snapshots": rows["n"], "snapshot_bytes": rows["size"] or 0}
        log = compact.log_of(broker.pk)
        length = Level.RAW.first_ms
        for start_ms in sorted({window_of(row.at_ms, length) for row in log.rows}) if log else ():
            compact.compact(broker.pk, log, start_ms)
        spans = Span.objects.filter(broker=broker)
        levels = spans.values("level").annotate(size=Sum("stored_bytes"), known=Sum("known"), samples=Sum("samples"))
        found[broker.name] = {
            **before,
            "levels": {Level(one["level"]).name: [one["size"], one["known"], one["samples"]] for one in levels},
        }
    return {"sizes": found}


def read() -> dict[str, Any]:
    """Time the four reads, each several times; milliseconds, the best and the median."""
    from brokers.lag import read as lag
    from brokers.registry.models import Broker
    from brokers.series.metrics import Kind

    def timed(work: Callable[[], Any], count: Callable[[Any], int], times: int = 7) -> dict[str, float]:
        work()
        took = []
        for _ in range(times):
            began = time.perf_counter()
            result = work()
            took.append((time.perf_counter() - began) * 1000)
        took.sort()
        return {"best": took[0], "median": took[len(took) // 2], "points": count(result)}

    by_name = {one.name: one for one in SETS}
    ids = dict(Broker.objects.values_list("name", "id"))

    def of(name: str) -> tuple[Set, int]:
        return by_name[name], ids[name]

    found = {}
    one, broker = of("day")
    found["day"] = timed(
        lambda: lag.read(broker, Kind.QUEUE, [7], ["ready"], one.start_ms, one.end_ms, step_ms=one.step_ms),
        lambda series: len(series.times_ms),
    )
    month, month_id = of("month")
    found["month"] = timed(
        lambda: lag.read(month_id, Kind.QUEUE, [7], ["ready"], month.start_ms, month.end_ms, step_ms=3_600_000),
        lambda series: len(series.times_ms),
    )
    hour, hour_id = of("hour")
    found["hour"] = timed(lambda: lag.top(hour_id, Kind.QUEUE, "ready", 20, hour.start_ms, hour.end_ms, by="mean"), len)
    week, week_id = of("week")
    every = list(range(week.queues))
    found["week"] = timed(
        lambda: lag.read(week_id, Kind.QUEUE, every, ["ready"], week.start_ms, week.end_ms, step_ms=1_200_000),
        lambda series: len(series.times_ms),
    )
    return found


if __name__ == "__main__":
    main()
