"""A broker of simulated objects over a day, stored and kept as a worker does it, with what that took."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

from django.core.management import call_command
from django.db import connection
from django.db.models import Sum

from benchmarks.simulated_frames import Simulated
from brokers.registry.models import Broker
from brokers.series import retention, store, upkeep
from brokers.series.levels import Level
from brokers.series.models import Span
from brokers.series.retention import Retention

# What is kept: a whole day of single polls and of minutes is as long as this becomes.
KEPT = Retention(raw_h=24, minute_d=1, ten_minutes_d=3, hour_d=3)


class Day:
    """The broker, its database and the CPU seconds that it took so far."""

    def __init__(self, objects: int, start_ms: int, tick_ms: int) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        self._broker = Broker.objects.create(name="simulated", management_url="http://127.0.0.1:9", paused=True)
        retention.set_retention(self._broker.id, KEPT)
        self._simulated = Simulated(objects)
        self._start_ms, self._tick_ms = start_ms, tick_ms
        self.append_s = self.slowest_append_s = self.upkeep_s = self.slowest_upkeep_s = 0.0
        self.by_step: Counter[str] = Counter()

    def ticks(self, count: int) -> Iterator[None]:
        """Store one snapshot after the other; making them is not counted."""
        for frame in self._simulated.frames(self._start_ms, self._tick_ms, count):
            began = time.process_time()
            store.append(self._broker.id, frame, self._tick_ms)
            took = time.process_time() - began
            self.append_s += took
            self.slowest_append_s = max(self.slowest_append_s, took)
            yield

    def tend(self) -> None:
        """Compact, roll up and let go what is due, step by step as `upkeep.keep` does."""
        whole = began = time.process_time()
        for step in upkeep.steps(self._broker.id):
            step()
            ended = time.process_time()
            self.by_step[getattr(getattr(step, "func", step), "__name__", "step")] += ended - began
            began = ended
        took = time.process_time() - whole
        self.upkeep_s += took
        self.slowest_upkeep_s = max(self.slowest_upkeep_s, took)

    def predicted_bytes(self, hours: float) -> float:
        """Return what the history is expected to take after so many hours in all."""
        found = retention.predicted_bytes(self._broker.id, KEPT)
        shares = {level: min(1.0, hours * 3_600_000 / KEPT.lasts_ms(level)) for level in Level}
        return sum(size * shares[level] for level, size in found.by_level.items())

    def used_bytes(self) -> float:
        """Return what it takes now."""
        return float(retention.used_bytes(self._broker.id))

    def bytes_a_sample(self) -> float:
        """Return the bytes of a single poll's value in its block, index and row included."""
        rows = Span.objects.filter(broker_id=self._broker.id, level=int(Level.RAW))
        found = rows.aggregate(stored=Sum("stored_bytes"), known=Sum("known"))
        return float(found["stored"] or 0) / max(1, found["known"] or 0)

    def says(self) -> str:
        """Tell how it goes."""
        steps = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in sorted(self.by_step.items()))
        rows = Span.objects.filter(broker_id=self._broker.id).values_list("level").annotate(stored=Sum("stored_bytes"))
        levels = ", ".join(
            f"{Level(level).name.lower()} {stored / 1e6:.1f} MB" for level, stored in rows.order_by("level")
        )
        return f"snapshots {self.append_s:.0f} s, {steps}; {levels}"

    def close(self) -> None:
        """Bring the log of writes into the file."""
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
