"""Roll-ups: what minutes, ten minutes and hours say of the polls in them. Each level is made of the finer one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from brokers.series import blocks, spans
from brokers.series.cells import reduce_cells, reduce_ticks, shape_of, steps_of
from brokers.series.compact import Log, is_past, waiting
from brokers.series.history import History, Part, level_of
from brokers.series.levels import Level, window_of
from brokers.series.metrics import METRICS, Kind
from brokers.series.pieces import KEPT
from brokers.series.spans import NewBlock, NewSpan, SpanRow


def due_windows(level: Level, found: Sequence[SpanRow], log: Log) -> list[int]:
    """Return the beginnings of the windows of a level that are to be made of the finer level, oldest first.

    A window is due when it is over, all of its snapshots are in blocks, something finer is there, and it is not made
    yet or stale; a stale one only while all that it was made of is there.
    """
    finer = [span for span in found if span.level is level.finer]
    mine = [span for span in found if span.level is level]
    starts: set[int] = set()
    for span in finer:
        begin = window_of(span.start_ms, level.first_ms)
        starts.update(range(begin, span.end_ms, level.first_ms))
    made = [start for start in starts if any(span.start_ms <= start < span.end_ms for span in mine)]
    due = [start for start in starts if start not in set(made)]
    due += [span.start_ms for span in mine if span.stale and _is_covered(span, finer)]
    return sorted(start for start in due if _is_ready(start, level, finer, log))


def roll_up(broker_id: int, level: Level, start_ms: int, found: Sequence[SpanRow]) -> None:
    """Make one window of a level, or a stale span anew. Raises ReplacedError where its sources changed meanwhile."""
    stale = [span for span in found if span.level is level and span.start_ms == start_ms]
    end_ms = stale[0].end_ms if stale else start_ms + level.first_ms
    history = level_of(broker_id, level.finer, start_ms, end_ms)
    sources = [
        span.id for span in found if span.level is level.finer and span.end_ms > start_ms and span.start_ms < end_ms
    ]
    begins = steps_of(history.ticks, start_ms, level.resolution_ms)
    ticks = reduce_ticks(history.ticks, begins)
    ticks = type(ticks)(
        ticks.times_ms, ticks.cadences_ms, ticks.complete, ticks.polls, np.full(len(ticks), level.resolution_ms)
    )
    new = [block for kind in Kind for block in _blocks_of(history, kind, begins)] if len(ticks) else []
    spans.write(
        broker_id,
        NewSpan(level, start_ms, end_ms, ticks, new),
        replaces=[span.id for span in stale],
        made_of=sources,
    )


def _blocks_of(history: History, kind: Kind, begins: np.ndarray) -> list[NewBlock]:
    metrics = [metric.name for metric in METRICS[kind]]
    return [
        _block(kind, group, part, begins)
        for part in history.parts(kind, None, metrics)
        for group in np.unique(part.slots // blocks.GROUP).tolist()
    ]


def _block(kind: Kind, group: int, part: Part, begins: np.ndarray) -> NewBlock:
    rows = np.flatnonzero(part.slots // blocks.GROUP == group)
    builder = blocks.Builder(part.slots[rows], len(begins))
    builder.add(blocks.THERE, np.add.reduceat(part.there[rows], begins, axis=1))
    for name, whole in part.cells.items():
        cells = reduce_cells(whole.rows(rows), begins)
        if np.isnan(cells.last).all() and np.isnan(cells.high).all():
            continue
        for field in KEPT[shape_of(kind, name)]:
            builder.add(f"{name}:{field}", getattr(cells, field))
    return NewBlock(kind, group, builder.payload(), builder.known)


def _is_covered(span: SpanRow, finer: Sequence[SpanRow]) -> bool:
    """Tell whether the finer level reaches back to the beginning of a span: else it was let go in part."""
    oldest = min((one.start_ms for one in finer), default=None)
    return oldest is not None and oldest <= span.start_ms


def _is_ready(start_ms: int, level: Level, finer: Sequence[SpanRow], log: Log) -> bool:
    end_ms = start_ms + level.first_ms
    if any(span.stale and span.end_ms > start_ms and span.start_ms < end_ms for span in finer):
        return False
    return is_past(log, start_ms, end_ms) and not waiting(log, start_ms, end_ms)
