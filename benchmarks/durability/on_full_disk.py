"""Compaction and roll-ups on a disk that is full, then has a little room, then more: `python -m … FOLDER`.

FOLDER is a small file system. Everything that was committed is judged between the tries, and after there is room. It
prints one line of JSON: how many tries failed for want of room, what is wrong, and what was made in the end.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import django

_TICKS = 560
_STEP = 100 * 1024


def main() -> None:
    """Run on the folder that is the only argument."""
    place = Path(sys.argv[1])
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "dashboard.settings",
        "WARREN_DATA_DIR": str(place / "var"),
        "WARREN_LOG_LEVEL": "CRITICAL",
    }
    (place / "var").mkdir()
    django.setup()
    print(json.dumps(_run(place)))


def _run(place: Path) -> dict[str, object]:
    from django.core.management import call_command
    from django.db import OperationalError, connection

    from benchmarks.durability import figures
    from benchmarks.durability.judge import judge
    from benchmarks.durability.ledger import Ledger
    from brokers.collect.room import is_full
    from brokers.registry.models import Broker
    from brokers.series import tasks, upkeep
    from brokers.series.models import Snapshot, Span
    from brokers.series.store import append

    call_command("migrate", verbosity=0, interactive=False)
    broker_id = Broker.objects.create(name="simulated", management_url="http://127.0.0.1:9", paused=True).id
    for tick in range(_TICKS):
        append(broker_id, figures.frame(tick), figures.TICK_MS)
    ledger = Ledger(intended=set(range(_TICKS + 1000)), committed=set(range(_TICKS)))
    # SQLite's log of writes has room from before; without it every write needs some.
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    fill(place)
    refused: dict[str, int] = {"append": 0, "keep": 0}
    wrong: list[str] = []
    tick, tries = _TICKS, 0
    while Snapshot.objects.count() > _TICKS // 4 and tries < 60:
        tries += 1
        try:
            # Polling stops long before (brokers.collect.room): it must not take the room that compaction waits for.
            if not refused["append"]:
                append(broker_id, figures.frame(tick), figures.TICK_MS)
                ledger.committed.add(tick)
                tick += 1
        except OperationalError as error:
            refused["append"] += is_full(error)
        try:
            # Without the claim of `upkeep.keep`, which may stand for minutes where even its end finds no room.
            for step in upkeep.steps(broker_id):
                step()
        except OperationalError as error:
            refused["keep"] += is_full(error)
        tasks.keep(broker_id)  # as the worker calls it: it raises nothing
        if tries % 5 == 1:
            wrong += judge(ledger, broker_id, None)[0]
        give(place, _STEP)
    (place / "filler").unlink()
    for step in upkeep.steps(broker_id):
        step()
    told, counted = judge(ledger, broker_id, None)
    return {
        "refused": refused,
        "tries": tries,
        "wrong": wrong + told,
        "spans": Span.objects.count(),
        "snapshots": Snapshot.objects.count(),
        **counted,
    }


def fill(place: Path) -> None:
    """Fill the file system to the last byte."""
    with (place / "filler").open("ab", buffering=0) as file:
        for size in (2**20, 4096):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue


def give(place: Path, size: int) -> None:
    """Give a little of it back."""
    with (place / "filler").open("rb+") as file:
        file.truncate(max(0, (place / "filler").stat().st_size - size))


if __name__ == "__main__":
    main()
