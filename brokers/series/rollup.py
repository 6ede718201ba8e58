"""Roll-ups: what minutes, ten minutes and hours say of the polls in them. Each level is made of the finer one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from brokers.series import blocks, snapshots, spans
from brokers.series.cells import reduce_ticks, shape_of, steps_of
from brokers.series.compact import Log, is_over, waiting
from brokers.series.coverage import Window, cover
from brokers.series.history import History, Part, history_of, level_of
from brokers.series.levels import ROLLED, Level, window_of
from brokers.series.metrics import METRICS, Kind
from brokers.series.pieces import KEPT, LONG_CONTEXT_MS, piece_of
from brokers.series.spans import NewBlock, NewSpan, ReplacedError, SpanRow


def due_windows(level: Level, found: Sequence[SpanRow], log: Log) -> list[int]:
    """Return the beginnings of the windows of a level that are to be made of the finer level, oldest first.

    A window is due when it is over, all of its snapshots are in blocks, nothing finer is due in it, and it is stale, or
    something finer is there and it is not made yet.
    """
    before = due_windows(level.finer, found, log) if level.finer in ROLLED else []
    finer = [span for span in found if span.level is level.finer]
    mine = [span for span in found if span.level is level]
    starts: set[int] = set()
    for span in finer:
        begin = window_of(span.start_ms, level.first_ms)
        starts.update(range(begin, span.end_ms, level.first_ms))
    made = [start for start in starts if any(span.start_ms <= start < span.end_ms for span in mine)]
    due = [start for start in starts if start not in set(made)]
    ends = {start: start + level.first_ms for start in due} | {
        span.start_ms: span.end_ms for span in mine if span.stale
    }
    return sorted(
        start
        for start, end in ends.items()
        if _is_ready(start, end, finer, log) and not any(start <= one < end for one in before)
    )


def premature(broker_id: int, found: Sequence[SpanRow], log: Log) -> list[int]:
    """Return the ids of roll-ups of windows that are not over, coarse ones first: our clock was ahead, and set back.

    They would hide what is polled until they are made anew. One of which the finer level was let go stays.
    """
    early = [span for span in found if span.level in ROLLED and span.end_ms > log.newest_ms]
    if not early:
        return []
    start_ms, end_ms = min(span.start_ms for span in early), max(span.end_ms for span in early)
    told = spans.spans_between(broker_id, start_ms, end_ms)
    due = []
    for old in [span for span in told if span.id in {span.id for span in early}]:
        finer = [span for span in told if span.level is old.level.finer]
        if sum(_polls(span, old.start_ms, old.end_ms) for span in finer) >= _polls(old, old.start_ms, old.end_ms):
            due.append(old)
    return [span.id for span in sorted(due, key=lambda span: -span.level)]


def roll_up(broker_id: int, level: Level, start_ms: int, found: Sequence[SpanRow]) -> None:
    """Make one window of a level, or a stale span anew. Raises ReplacedError where its sources changed meanwhile."""
    stale = [span for span in found if span.level is level and span.start_ms == start_ms]
    end_ms = stale[0].end_ms if stale else start_ms + level.first_ms
    history = _history_of_stale(broker_id, stale[0]) if stale else level_of(broker_id, level.finer, start_ms, end_ms)
    sources = [
        span.id for span in found if span.level is level.finer and span.end_ms > start_ms and span.start_ms < end_ms
    ]
    begins = steps_of(history.ticks, start_ms, level.resolution_ms)
    ticks = reduce_ticks(history.ticks, begins)
    ticks = type(ticks)(
        ticks.times_ms, ticks.cadences_ms, ticks.complete, ticks.polls, np.full(len(ticks), level.resolution_ms)
    )
    new = [block for kind in Kind for block in _blocks_of(history, kind, level)] if len(ticks) else []
    spans.write(
        broker_id,
        NewSpan(level, start_ms, end_ms, ticks, new),
        replaces=[span.id for span in stale],
        made_of=sources,
    )


def _history_of_stale(broker_id: int, stale: SpanRow) -> History:
    """Return what a roll-up is to be made anew of: the finer level, and itself where that tells of fewer polls.

    So it is where the finer level was let go before a snapshot came late: what is known of those polls stays.
    """
    level, start_ms, end_ms = stale.level, stale.start_ms, stale.end_ms
    rows = snapshots.rows_between(broker_id, start_ms - LONG_CONTEXT_MS, end_ms - 1) if level.finer is Level.RAW else []
    there = spans.spans_between(broker_id, start_ms - LONG_CONTEXT_MS, end_ms, (level.finer, level))
    old = next((span for span in there if span.id == stale.id), None)
    if old is None:
        raise ReplacedError
    windows = [Window(level, start_ms, end_ms)]
    for span in there:
        begin, end = max(span.start_ms, start_ms), min(span.end_ms, end_ms)
        waiting_rows = sum(begin <= row.at_ms < end for row in rows)
        if span.level is level.finer and _polls(span, begin, end) + waiting_rows >= _polls(old, begin, end):
            windows.append(Window(span.level, begin, end))
    stretches = cover(windows, start_ms, end_ms, level.finer)
    return history_of(broker_id, [piece_of(stretch, there, rows, LONG_CONTEXT_MS) for stretch in stretches])


def _polls(span: SpanRow, start_ms: int, end_ms: int) -> int:
    ticks = span.ticks
    return int(ticks.polls[(ticks.times_ms >= start_ms) & (ticks.times_ms < end_ms)].sum())


def _blocks_of(history: History, kind: Kind, level: Level) -> list[NewBlock]:
    metrics = [metric.name for metric in METRICS[kind]]
    return [
        _block(kind, group, part)
        # No step reaches beyond a piece: windows nest.
        for part in history.parts(kind, None, metrics, step_ms=level.resolution_ms)
        for group in np.unique(part.slots // blocks.GROUP).tolist()
    ]


def _block(kind: Kind, group: int, part: Part) -> NewBlock:
    rows = slice(*np.searchsorted(part.slots, (group * blocks.GROUP, (group + 1) * blocks.GROUP)))
    builder = blocks.Builder(part.slots[rows], part.there.shape[1])
    builder.add(blocks.THERE, part.there[rows])
    for name, cells in part.cells.items():
        if np.isnan(cells.last[rows]).all() and np.isnan(cells.high[rows]).all():
            continue
        for field in KEPT[shape_of(kind, name)]:
            builder.add(f"{name}:{field}", getattr(cells, field)[rows])
    return NewBlock(kind, group, builder.payload(), builder.known)


def _is_ready(start_ms: int, end_ms: int, finer: Sequence[SpanRow], log: Log) -> bool:
    if any(span.stale and span.end_ms > start_ms and span.start_ms < end_ms for span in finer):
        return False
    return is_over(log, end_ms) and not waiting(log, start_ms, end_ms)
