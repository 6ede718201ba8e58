"""Series over time: of one object, of a sum, of many objects at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from django.db.models import Min
from numpy.typing import NDArray

from brokers.series.cells import Cells, Shown, Sum, Ticks, holes, reduce_cells, reduce_ticks, show, steps_of
from brokers.series.history import History, consistent, context_of, open_history
from brokers.series.metrics import RATES, Kind
from brokers.series.models import Snapshot, Span
from brokers.series.rates import GAP_CADENCES, HOLDS_MS, MIN_RATE_SPAN_MS, held, rates
from brokers.series.spans import spans_between

__all__ = [
    "DEFAULT_POINTS",
    "GAP_CADENCES",
    "HOLDS_MS",
    "MIN_RATE_SPAN_MS",
    "Many",
    "Series",
    "held",
    "history_starts_ms",
    "rates",
    "read",
    "read_each",
]

# How many points a reader gets when it asks for no number.
DEFAULT_POINTS = 600


@dataclass(frozen=True, slots=True)
class Series:
    """`times_ms` ascending (Unix milliseconds); each value array as long as it, NaN for *unknown*.

    `values` holds the mean of each step (of counters and states the last), `low` and `high` the least and greatest
    inside it, under the same names. A gap in the log shows as one point in its middle at which every value is unknown,
    so that no line crosses it. `resolution_ms` is that of the coarsest roll-up read, 0 where all are single polls.
    """

    times_ms: NDArray[np.int64]
    values: dict[str, NDArray[np.float64]]
    step_ms: int
    low: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    high: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    resolution_ms: int = 0

    def part(self, where: slice) -> Series:
        """Return some of the points."""
        return Series(
            self.times_ms[where],
            {name: column[where] for name, column in self.values.items()},
            self.step_ms,
            {name: column[where] for name, column in self.low.items()},
            {name: column[where] for name, column in self.high.items()},
            self.resolution_ms,
        )


@dataclass(frozen=True, slots=True)
class Many:
    """Like Series, of several objects: the arrays of `values`, `low` and `high` are `slots` × `times_ms`."""

    slots: NDArray[np.uint32]
    times_ms: NDArray[np.int64]
    values: dict[str, NDArray[np.float64]]
    low: dict[str, NDArray[np.float64]]
    high: dict[str, NDArray[np.float64]]
    step_ms: int
    resolution_ms: int = 0


def history_starts_ms(broker_id: int) -> int | None:
    """Return the time of the oldest figures stored for a broker."""
    snapshot: int | None = Snapshot.objects.filter(broker_id=broker_id).aggregate(oldest=Min("at_ms"))["oldest"]
    spans = Span.objects.filter(broker_id=broker_id, samples__gt=0).order_by("start_ms")
    first = spans.values_list("start_ms", flat=True).first()
    if first is None:
        return snapshot
    # Where its samples can't be read, its window tells.
    times = [int(span.ticks.times_ms[0]) for span in spans_between(broker_id, first, first + 1) if len(span.ticks)]
    return min(moment for moment in (snapshot, *(times or [first])) if moment is not None)


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
    """Return metrics (gauges, counters, states or rates) of one object, or summed over several, between two moments.

    A sum is unknown where any of its parts that is there is unknown; an object that is not there adds nothing, and
    neither does a counter that came in the last two minutes and has no rate yet. A step's time is that of
    its last sample. Sums from roll-ups are exact in their means; their `low` and `high` are sums of the
    parts' bounds, which no single moment need have reached.
    """
    step = _step(start_ms, end_ms, step_ms, points)
    if not slots or end_ms <= start_ms:
        none = {name: np.empty(0) for name in metrics}
        return Series(np.empty(0, dtype=np.int64), none, step_ms or 0, dict(none), dict(none))

    def find() -> tuple[History, dict[str, Cells]]:
        history = open_history(broker_id, start_ms, end_ms, step, context_ms=context_of(broker_id, metrics))
        sums = {name: Sum.of(history.ticks, kind, name) for name in metrics}
        history.add_up(kind, slots, _stored(metrics), sums)
        return history, {name: total.cells() for name, total in sums.items()}

    history, found = consistent(find)
    ticks, shown = _stepped(history.ticks, found, kind, start_ms, step)
    times, columns = _with_gaps(ticks, shown, step)
    return Series(
        times,
        {name: one.values[0] for name, one in columns.items()},
        step,
        {name: one.low[0] for name, one in columns.items()},
        {name: one.high[0] for name, one in columns.items()},
        int(history.ticks.resolution_ms.max(initial=0)),
    )


def read_each(
    broker_id: int,
    kind: Kind,
    slots: Sequence[int],
    metrics: Sequence[str],
    start_ms: int,
    end_ms: int,
    *,
    step_ms: int | None = None,
    points: int = DEFAULT_POINTS,
) -> Many:
    """Return metrics of several objects at once, each by itself; rows as `slots` are given. Else like `read`."""
    step = _step(start_ms, end_ms, step_ms, points)
    rows = np.asarray(slots, dtype=np.uint32)
    if not len(rows) or end_ms <= start_ms:
        none = {name: np.empty((len(rows), 0)) for name in metrics}
        return Many(rows, np.empty(0, dtype=np.int64), none, dict(none), dict(none), step_ms or 0)

    def find() -> tuple[History, list[tuple[Ticks, dict[str, Shown]]]]:
        history = open_history(broker_id, start_ms, end_ms, step, context_ms=context_of(broker_id, metrics))
        parts = []
        for part in history.parts(kind, slots, _stored(metrics)):
            cells = {name: part.cells[RATES.get(name, name)] for name in metrics}
            parts.append(_stepped(history.ticks, cells, kind, start_ms, step))
        return history, parts

    history, parts = consistent(find)
    place = np.searchsorted(np.unique(rows), rows)
    whole = {
        name: Shown(
            np.concatenate([shown[name].values for _, shown in parts])[place],
            np.concatenate([shown[name].low for _, shown in parts])[place],
            np.concatenate([shown[name].high for _, shown in parts])[place],
        )
        for name in metrics
    }
    times, columns = _with_gaps(parts[0][0], whole, step)
    return Many(
        rows,
        times,
        {name: one.values for name, one in columns.items()},
        {name: one.low for name, one in columns.items()},
        {name: one.high for name, one in columns.items()},
        step,
        int(history.ticks.resolution_ms.max(initial=0)),
    )


def _step(start_ms: int, end_ms: int, step_ms: int | None, points: int) -> int:
    return int(step_ms or max(1, (end_ms - start_ms) // points))


def _stored(metrics: Sequence[str]) -> list[str]:
    return sorted({RATES.get(name, name) for name in metrics})


def _stepped(
    ticks: Ticks, cells: dict[str, Cells], kind: Kind, start_ms: int, step_ms: int
) -> tuple[Ticks, dict[str, Shown]]:
    begins = steps_of(ticks, start_ms, step_ms)
    return reduce_ticks(ticks, begins), {
        name: show(reduce_cells(one, begins), kind, name) for name, one in cells.items()
    }


def _with_gaps(ticks: Ticks, shown: dict[str, Shown], step_ms: int) -> tuple[NDArray[np.int64], dict[str, Shown]]:
    gaps = holes(ticks, step_ms)
    if len(gaps) == 0:
        return ticks.times_ms, shown
    middles = ticks.times_ms[gaps] + np.diff(ticks.times_ms)[gaps] // 2
    return np.insert(ticks.times_ms, gaps + 1, middles), {
        name: Shown(
            np.insert(one.values, gaps + 1, np.nan, axis=1),
            np.insert(one.low, gaps + 1, np.nan, axis=1),
            np.insert(one.high, gaps + 1, np.nan, axis=1),
        )
        for name, one in shown.items()
    }
