"""Holds what is stored against the ledger: every committed sample is there exactly once, and nothing else is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from django.db import connection

from benchmarks.durability import figures
from benchmarks.durability.ledger import Ledger
from benchmarks.durability.rolled import rolled
from brokers.series.levels import Level
from brokers.series.metrics import SELDOM, Kind
from brokers.series.models import Snapshot
from brokers.series.read import Many, read_each
from brokers.series.spans import spans_between

MOST_TOLD = 5
_EVER_MS = 2**62
_STRETCH_MS = 6 * 3_600_000


def judge(ledger: Ledger, simulated: int, real: int | None) -> tuple[list[str], dict[str, int]]:
    """Return what is wrong, as sentences, and what was counted."""
    wrong = [*_whole_file()]
    counted: dict[str, int] = {}
    ticks = Counter(figures.tick_at(at_ms) for at_ms in _stored(simulated).elements())
    wrong += _presence("simulated", ticks, ledger.committed, ledger.intended)
    told, counted["simulated"] = _simulated(simulated, sorted(ticks))
    wrong += told
    told, counted["rolled up"] = rolled(simulated, sorted(ticks))
    wrong += told
    counted["polled"] = 0
    if real is not None:
        stored = _stored(real)
        wrong += _presence("polled", stored, ledger.polls_committed, set(ledger.polls_intended))
        told, counted["polled"] = _polled(ledger, real, sorted(stored))
        wrong += told
    return wrong, counted


def _whole_file() -> list[str]:
    """SQLite's own check of its file."""
    if connection.vendor != "sqlite":
        return []
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA integrity_check")
        said = [row[0] for row in cursor.fetchall()]
        cursor.execute("PRAGMA foreign_key_check")
        said += [f"an orphan: {row}" for row in cursor.fetchall()]
    return [f"SQLite: {line}" for line in said[:MOST_TOLD] if line != "ok"]


def _stored(broker_id: int) -> Counter[int]:
    """Return how often each moment is stored, in snapshots and blocks: as the rows say, not as readers take it."""
    found = Counter(Snapshot.objects.filter(broker_id=broker_id).values_list("at_ms", flat=True))
    for span in spans_between(broker_id, -_EVER_MS, _EVER_MS, (Level.RAW,)):
        found.update(span.ticks.times_ms.tolist())
    return found


def _presence(name: str, there: Counter[int], committed: set[int], intended: set[int]) -> list[str]:
    lost = sorted(committed - set(there))
    twice = sorted(at for at, times in there.items() if times > 1)
    strange = sorted(set(there) - intended)
    return [
        f"{name}: {len(found)} {what}, the first {found[:MOST_TOLD]}"
        for what, found in (("lost", lost), ("there twice", twice), ("never written", strange))
        if found
    ]


def _stretches(start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
    for begin in range(start_ms, end_ms, _STRETCH_MS):
        yield begin, min(begin + _STRETCH_MS, end_ms) - 1


def _simulated(broker_id: int, ticks: list[int]) -> tuple[list[str], int]:
    """Read every value back and compare it with what its object and tick make it."""
    wrong: list[str] = []
    samples = 0
    slots = list(range(figures.OBJECTS))
    for begin, end in _stretches(figures.at_ms(0), figures.at_ms(ticks[-1] + 1) if ticks else 0):
        here = [tick for tick in ticks if begin <= figures.at_ms(tick) <= end]
        found = read_each(
            broker_id, Kind.QUEUE, slots, list(figures.METRICS), begin, end, step_ms=figures.TICK_MS
        )  # fmt: skip
        expected = [figures.values(tick) for tick in here]
        samples += int(sum(figures.present(tick).sum() for tick in here))
        wrong += _compared(found, [figures.at_ms(tick) for tick in here], expected)
    return wrong[:MOST_TOLD], samples


def _compared(found: Many, times_ms: list[int], expected: list[dict[str, np.ndarray]]) -> list[str]:
    """Compare what was read with what it must be, moment by moment; a moment more must be a gap."""
    wrong: list[str] = []
    place = {at_ms: index for index, at_ms in enumerate(found.times_ms.tolist())}
    if missing := [at_ms for at_ms in times_ms if at_ms not in place]:
        return [f"{len(missing)} moments are not read, the first {missing[:MOST_TOLD]}"]
    columns = [place[at_ms] for at_ms in times_ms]
    others = np.setdiff1d(np.arange(len(found.times_ms)), columns)
    for name, values in found.values.items():
        if not np.isnan(values[:, others]).all():
            wrong.append(f"{name} is known at moments at which nothing was stored")
        wanted = np.array([one[name] for one in expected]).T
        if columns and name in SELDOM:
            wanted = _held(wanted, values[:, columns])
        if columns and not np.array_equal(values[:, columns], wanted, equal_nan=True):
            bad = np.flatnonzero(
                (np.nan_to_num(values[:, columns], nan=-1) != np.nan_to_num(wanted, nan=-1)).any(axis=0)
            )
            wrong.append(f"{name} has other values at {len(bad)} moments, the first {times_ms[bad[0]]}")
    return wrong


def _held(wanted: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return what is wanted of a figure that is read seldom, objects × moments: between two readings a reader may hold
    the last of them, or know nothing. Before the first one here it may hold one that is not here."""
    held = wanted.copy()
    for moment in range(1, held.shape[1]):
        held[:, moment] = np.where(np.isnan(wanted[:, moment]), held[:, moment - 1], wanted[:, moment])
    allowed = np.isnan(wanted) & (np.isnan(held) | np.isnan(found) | (found == held))
    return np.where(allowed, found, wanted)


def _polled(ledger: Ledger, broker_id: int, times_ms: list[int]) -> tuple[list[str], int]:
    """Read back what was polled of the real broker and compare it with what each poll was about to store."""
    wrong: list[str] = []
    samples = 0
    for kind in Kind:
        frames = [ledger.polls_intended[at_ms].get(kind.value) for at_ms in times_ms if at_ms in ledger.polls_intended]
        slots = sorted({slot for frame in frames if frame for slot in frame[0].tolist()})
        names = sorted({name for frame in frames if frame for name in frame[1]})
        if not slots or not names:
            continue
        # Queues of a large broker are many: every so manieth stands for the others.
        slots = slots[:: max(1, len(slots) // 300)]
        found = read_each(broker_id, kind, slots, names, times_ms[0], times_ms[-1] + 1, step_ms=1)
        expected = [_of_slots(frame, slots, names) for frame in frames]
        samples += len(frames) * len(slots)
        wrong += [f"polled {kind}: {one}" for one in _compared(found, times_ms, expected)]
    return wrong[:MOST_TOLD], samples


def _of_slots(
    frame: tuple[np.ndarray, dict[str, np.ndarray]] | None, slots: list[int], names: list[str]
) -> dict[str, np.ndarray]:
    """Return a frame's columns for slots, NaN where it has none."""
    found = {name: np.full(len(slots), np.nan) for name in names}
    if frame is not None:
        _, mine, theirs = np.intersect1d(np.array(slots), frame[0], assume_unique=True, return_indices=True)
        for name, column in frame[1].items():
            found[name][mine] = column[theirs]
    return found
