"""Series over time, read from the snapshot log: which snapshots to open, gauges, rates from counters, gaps."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from django.db.models import BinaryField
from django.db.models.functions import Substr
from numpy.typing import NDArray

from brokers.series.codec import HEADER_BYTES, CorruptSnapshotError, columns_of, decode
from brokers.series.metrics import RATES, Kind
from brokers.series.models import Snapshot

logger = logging.getLogger(__name__)

# Snapshots further apart than this many cadences have a gap between them: the time in between is unknown.
GAP_CADENCES = 2.5
# How many points a reader gets when it asks for no number.
DEFAULT_POINTS = 600
# Counters that are too dear for every tick are read once a minute at most: a rate holds until the next reading is due.
HOLDS_MS = 130_000
# RabbitMQ's per-object figures move every 5 s. A rate over less than this would show that beat, not the traffic.
MIN_RATE_SPAN_MS = 9_000


@dataclass(frozen=True, slots=True)
class Series:
    """`times_ms` ascending (Unix milliseconds); each value array as long as it, NaN for *unknown*.

    A gap in the log shows as one point in its middle at which every value is unknown, so that no line crosses it.
    """

    times_ms: NDArray[np.int64]
    values: dict[str, NDArray[np.float64]]
    step_ms: int


@dataclass(frozen=True, slots=True)
class _Row:
    id: int
    at_ms: int
    cadence_ms: int
    complete: bool = True


def history_starts_ms(broker_id: int) -> int | None:
    """Return the time of the oldest snapshot stored for a broker."""
    return Snapshot.objects.filter(broker_id=broker_id).order_by("at_ms").values_list("at_ms", flat=True).first()


def read(
    broker_id: int,
    kind: Kind,
    slots: Sequence[int],
    metrics: Sequence[str],
    start_ms: int,
    end_ms: int,
    *,
    step_ms: int | None = None,
    points: int = DEFAULT_POINTS,
) -> Series:
    """Return metrics (gauges, counters or rates) of one object, or summed over several, between two moments.

    A sum is unknown where any of its parts that is in the snapshot is unknown; an object that is not in a snapshot
    adds nothing. Where there are more snapshots than points, the last of each step is taken: counters lose
    nothing by that, and gauges are then samples.

    Counters that only some snapshots have, being too dear for every tick, give a rate where they were read; it holds in
    the snapshots between.
    """
    if not slots or end_ms <= start_ms:
        return Series(np.empty(0, dtype=np.int64), {name: np.empty(0) for name in metrics}, step_ms or 0)
    step = step_ms or max(1, (end_ms - start_ms) // points)
    wanted = {RATES.get(name, name) for name in metrics}
    # One snapshot before the range gives the first rate in it.
    logged = _rows(broker_id, start_ms - 60_000, end_ms)
    rows = _thinned(logged, start_ms, step)
    times, stored = _columns(rows, kind, slots, wanted)
    counters = [counter for name in metrics if (counter := RATES.get(name))]
    if any(_is_sparse(stored[counter]) for counter in counters):
        logged = _rows(broker_id, start_ms - HOLDS_MS - 60_000, end_ms)
        rows = _thinned(
            logged, start_ms, step, prefer=_having(logged, kind, counters) if len(rows) < len(logged) else ()
        )
        times, stored = _columns(rows, kind, slots, wanted)
    values: dict[str, NDArray[np.float64]] = {}
    for name in metrics:
        counter = RATES.get(name)
        values[name] = _rates(rows, times, stored[counter]) if counter else stored[name]
    inside = times >= start_ms
    series = Series(times[inside], {name: column[inside] for name, column in values.items()}, int(step))
    return _with_gaps(series, [row for row in rows if row.at_ms >= start_ms], step)


def rates(times_ms: NDArray[np.int64], counter: NDArray[np.float64], gap_ms: float) -> NDArray[np.float64]:
    """Return a counter's rate per second at each time: what was counted since a moment at least 9 s before, or since
    the previous sample where that lies further back.

    Unknown at the first sample, where either end is unknown, where the counter fell in between (it restarted) and
    across more than `gap_ms`.
    """
    count = len(times_ms)
    found = np.full(count, np.nan)
    if count < 2:
        return found
    back = np.searchsorted(times_ms, times_ms - MIN_RATE_SPAN_MS, side="right") - 1
    back = np.clip(back, 0, np.arange(count) - 1)
    here = np.arange(1, count)
    base = back[1:]
    with np.errstate(invalid="ignore"):
        fell = np.concatenate(([False], np.diff(counter) < 0))
    falls = np.cumsum(fell)
    span = (times_ms[here] - times_ms[base]).astype(np.float64)
    difference = counter[here] - counter[base]
    ok = (span > 0) & (span <= max(gap_ms, MIN_RATE_SPAN_MS * 2)) & (falls[here] == falls[base])
    with np.errstate(invalid="ignore"):
        ok &= difference >= 0
    found[1:] = np.where(ok, difference / np.where(span > 0, span, 1) * 1000.0, np.nan)
    return found


def _is_sparse(counter: NDArray[np.float64]) -> bool:
    """Tell whether a counter is known now and then only, or not at all."""
    return len(counter) > 1 and int((~np.isnan(counter)).sum()) * 2 < len(counter)


def _rates(rows: Sequence[_Row], times_ms: NDArray[np.int64], counter: NDArray[np.float64]) -> NDArray[np.float64]:
    gap_ms = rows_gap_ms(rows)
    known = np.flatnonzero(~np.isnan(counter))
    if not _is_sparse(counter) or len(known) < 2:
        return rates(times_ms, counter, gap_ms)
    return held(times_ms, counter, gap_ms, np.array([row.complete for row in rows]))


def held(
    times_ms: NDArray[np.int64], counter: NDArray[np.float64], gap_ms: float, complete: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the rate of a counter that few snapshots have: that of its last two readings, at most HOLDS_MS long.

    It holds across no gap in the log, and not in an incomplete snapshot, where the counter may be missing for
    another reason.
    """
    known = np.flatnonzero(~np.isnan(counter))
    # Which stretch of the log without a gap a snapshot belongs to.
    stretch = np.concatenate(([0], np.cumsum(np.diff(times_ms) > gap_ms)))
    read_ms = times_ms[known]
    found = rates(read_ms, counter[known], float(HOLDS_MS))
    same = np.concatenate(([False], stretch[known][1:] == stretch[known][:-1]))
    found = np.where(same, found, np.nan)
    last = np.searchsorted(read_ms, times_ms, side="right") - 1
    place = np.maximum(last, 0)
    holds = (last >= 0) & (times_ms - read_ms[place] <= HOLDS_MS) & (stretch == stretch[known][place])
    return np.where(holds & (complete | ~np.isnan(counter)), found[place], np.nan)


def rows_gap_ms(rows: Sequence[_Row]) -> float:
    """Return the distance between neighbouring samples above which the time between them counts as unknown."""
    if len(rows) < 2:
        return GAP_CADENCES * 5000
    distances = np.diff([row.at_ms for row in rows])
    cadence = max(row.cadence_ms for row in rows)
    return float(GAP_CADENCES * max(cadence, float(np.median(distances))))


def _rows(broker_id: int, start_ms: int, end_ms: int) -> list[_Row]:
    found = Snapshot.objects.filter(broker_id=broker_id, at_ms__gte=start_ms, at_ms__lte=end_ms).order_by("at_ms")
    return [_Row(*row) for row in found.values_list("id", "at_ms", "cadence_ms", "complete")]


def _thinned(rows: list[_Row], start_ms: int, step_ms: int, prefer: Collection[int] = ()) -> list[_Row]:
    """Return the last row of each step, of those in `prefer` (ids) where there is one."""
    last: dict[int, _Row] = {}
    for row in rows:
        step = (row.at_ms - start_ms) // step_ms
        if row.id in prefer or step not in last or last[step].id not in prefer:
            last[step] = row
    return list(last.values())


def _having(rows: Sequence[_Row], kind: Kind, counters: Sequence[str]) -> set[int]:
    """Return the ids of the snapshots that have one of the counters. Only the beginning of each is read."""
    ids = [row.id for row in rows]
    found: set[int] = set()
    for begin in range(0, len(ids), 500):
        beginnings = Snapshot.objects.filter(id__in=ids[begin : begin + 500]).annotate(
            beginning=Substr("payload", 1, HEADER_BYTES, output_field=BinaryField())
        )
        for row_id, beginning in beginnings.values_list("id", "beginning").iterator(chunk_size=200):
            if not columns_of(beginning, kind).isdisjoint(counters):
                found.add(row_id)
    return found


def _columns(
    rows: Sequence[_Row], kind: Kind, slots: Sequence[int], metrics: set[str]
) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
    wanted = np.unique(np.asarray(slots, dtype=np.uint32))
    times = np.array([row.at_ms for row in rows], dtype=np.int64)
    columns = {name: np.full(len(rows), np.nan) for name in metrics}
    place = {row.id: index for index, row in enumerate(rows)}
    ids = [row.id for row in rows]
    for begin in range(0, len(ids), 200):
        part = Snapshot.objects.filter(id__in=ids[begin : begin + 200]).values_list("id", "payload")
        for row_id, payload in part.iterator(chunk_size=50):
            try:
                table = decode(payload, (kind,), metrics).table(kind)
            except CorruptSnapshotError as error:
                # A gap, as if its poll had failed.
                logger.warning("Snapshot %s can't be read: %s", row_id, error)
                continue
            if len(table.slots) == 0:
                continue
            positions = np.searchsorted(table.slots, wanted)
            positions = positions[positions < len(table.slots)]
            positions = positions[np.isin(table.slots[positions], wanted)]
            if len(positions) == 0:
                continue
            for name in metrics:
                columns[name][place[row_id]] = table.column(name)[positions].sum()
    return times, columns


def _with_gaps(series: Series, rows: Sequence[_Row], step_ms: int) -> Series:
    if len(series.times_ms) < 2:
        return series
    distances = np.diff(series.times_ms)
    limits = np.array([max(row.cadence_ms * GAP_CADENCES, step_ms * 2.0) for row in rows[:-1]])
    holes = np.flatnonzero(distances > limits)
    if len(holes) == 0:
        return series
    middles = series.times_ms[holes] + distances[holes] // 2
    return Series(
        np.insert(series.times_ms, holes + 1, middles),
        {name: np.insert(column, holes + 1, np.nan) for name, column in series.values.items()},
        series.step_ms,
    )
