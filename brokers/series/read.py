"""Series over time, read from the snapshot log: which snapshots to open, gauges, rates from counters, gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brokers.series.codec import decode
from brokers.series.metrics import RATES, Kind
from brokers.series.models import Snapshot

# Snapshots further apart than this many cadences have a gap between them: the time in between is unknown.
GAP_CADENCES = 2.5
# How many points a reader gets when it asks for no number.
DEFAULT_POINTS = 600
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
    """
    if not slots or end_ms <= start_ms:
        return Series(np.empty(0, dtype=np.int64), {name: np.empty(0) for name in metrics}, step_ms or 0)
    step = step_ms or max(1, (end_ms - start_ms) // points)
    wanted = {RATES.get(name, name) for name in metrics}
    # One snapshot before the range gives the first rate in it.
    rows = _thinned(_rows(broker_id, start_ms - 60_000, end_ms), start_ms, step)
    times, stored = _columns(rows, kind, slots, wanted)
    values: dict[str, NDArray[np.float64]] = {}
    for name in metrics:
        counter = RATES.get(name)
        values[name] = rates(times, stored[counter], rows_gap_ms(rows)) if counter else stored[name]
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


def rows_gap_ms(rows: Sequence[_Row]) -> float:
    """Return the distance between neighbouring samples above which the time between them counts as unknown."""
    if len(rows) < 2:
        return GAP_CADENCES * 5000
    distances = np.diff([row.at_ms for row in rows])
    cadence = max(row.cadence_ms for row in rows)
    return float(GAP_CADENCES * max(cadence, float(np.median(distances))))


def _rows(broker_id: int, start_ms: int, end_ms: int) -> list[_Row]:
    found = Snapshot.objects.filter(broker_id=broker_id, at_ms__gte=start_ms, at_ms__lte=end_ms).order_by("at_ms")
    return [_Row(*row) for row in found.values_list("id", "at_ms", "cadence_ms")]


def _thinned(rows: list[_Row], start_ms: int, step_ms: int) -> list[_Row]:
    last: dict[int, _Row] = {}
    for row in rows:
        last[(row.at_ms - start_ms) // step_ms] = row
    return list(last.values())


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
            table = decode(payload, (kind,), metrics).table(kind)
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
