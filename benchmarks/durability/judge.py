"""Holds what is stored against the ledger: every committed sample is there exactly once, and nothing else is."""

from __future__ import annotations

from collections import Counter

import numpy as np
from django.db import connection

from benchmarks.durability import figures
from benchmarks.durability.ledger import Ledger
from brokers.series.codec import decode
from brokers.series.metrics import Kind
from brokers.series.models import Snapshot

MOST_TOLD = 5


def judge(ledger: Ledger, simulated: int, real: int | None) -> tuple[list[str], dict[str, int]]:
    """Return what is wrong, as sentences, and what was counted."""
    wrong = [*_whole_file()]
    counted: dict[str, int] = {}
    for name, found in (("simulated", _simulated(ledger, simulated)), ("polled", _polled(ledger, real))):
        told, samples = found
        wrong += told
        counted[name] = samples
    return wrong, counted


def _whole_file() -> list[str]:
    """SQLite's own check of its file."""
    if connection.vendor != "sqlite":
        return []
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA integrity_check")
        said = [row[0] for row in cursor.fetchall()]
    return [] if said == ["ok"] else [f"SQLite: {line}" for line in said[:MOST_TOLD]]


def _presence(name: str, there: Counter[int], committed: set[int], intended: set[int]) -> list[str]:
    lost = sorted(committed - set(there))
    twice = sorted(at for at, times in there.items() if times > 1)
    strange = sorted(set(there) - intended)
    return [
        f"{name}: {len(found)} {what}, the first {found[:MOST_TOLD]}"
        for what, found in (("lost", lost), ("there twice", twice), ("never written", strange))
        if found
    ]


def _simulated(ledger: Ledger, broker_id: int) -> tuple[list[str], int]:
    there: Counter[int] = Counter()
    wrong: list[str] = []
    samples = 0
    for at_ms, payload in Snapshot.objects.filter(broker_id=broker_id).values_list("at_ms", "payload").iterator():
        tick = figures.tick_at(at_ms)
        there[tick] += 1
        table = decode(payload).table(Kind.QUEUE)
        expected = figures.frame(tick).table(Kind.QUEUE)
        samples += len(table.slots)
        same = np.array_equal(table.slots, expected.slots) and all(
            np.array_equal(table.column(name), expected.column(name), equal_nan=True) for name in figures.METRICS
        )
        if not same:
            wrong.append(f"simulated: tick {tick} has other values than were written")
    return wrong[:MOST_TOLD] + _presence("simulated", there, ledger.committed, ledger.intended), samples


def _polled(ledger: Ledger, broker_id: int | None) -> tuple[list[str], int]:
    there: Counter[int] = Counter()
    wrong: list[str] = []
    samples = 0
    rows = Snapshot.objects.filter(broker_id=broker_id).values_list("at_ms", "payload") if broker_id else ()
    for at_ms, payload in rows:
        there[at_ms] += 1
        tables = decode(payload).tables
        for kind, (slots, columns) in ledger.polls_intended.get(at_ms, {}).items():
            table = tables[Kind(kind)]
            samples += len(slots)
            if not np.array_equal(table.slots, slots) or not all(
                np.array_equal(table.column(name), column, equal_nan=True) for name, column in columns.items()
            ):
                wrong.append(f"polled: the {kind} table of {at_ms} has other values than were written")
    intended = set(ledger.polls_intended)
    return wrong[:MOST_TOLD] + _presence("polled", there, ledger.polls_committed, intended), samples
