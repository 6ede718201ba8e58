"""What is stored of a broker between two moments, as samples: which rows to open, and what they hold of objects."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from brokers.registry.models import Broker
from brokers.series import blocks, bulk, snapshots, sql
from brokers.series.cells import Cells, Sum, Ticks, joined_cells, joined_ticks, reduce_cells, shape_of
from brokers.series.codec import Packed
from brokers.series.columns import CorruptBlockError, Floats
from brokers.series.coverage import Stretch, Window, cover
from brokers.series.levels import Level, preferred
from brokers.series.metrics import RATES, SELDOM, Kind, Shape
from brokers.series.models import Block, Span
from brokers.series.pieces import ALL_FIELDS, CONTEXT_MS, LONG_CONTEXT_MS, Piece, piece_of
from brokers.series.snapshots import MovedError
from brokers.series.spans import spans_between

logger = logging.getLogger(__name__)

# Cells of all metrics of a part in memory: each takes its five figures, and as much again while they are computed.
_CELLS_AT_ONCE = 2_000_000
_ATTEMPTS = 6

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part:
    """Some objects' cells over all samples of a history: `there` in how many polls of each sample each object was."""

    slots: NDArray[np.uint32]
    there: Floats
    cells: dict[str, Cells]


@dataclass(frozen=True, slots=True)
class History:
    """The samples of one broker between two moments, by piece; what they hold is read part by part."""

    broker_id: int
    ticks: Ticks
    pieces: Sequence[Piece]

    def parts(
        self,
        kind: Kind,
        slots: Sequence[int] | None,
        metrics: Sequence[str],
        fields: frozenset[str] = ALL_FIELDS,
        *,
        whole: bool = False,
        step_ms: int = 0,
    ) -> Iterator[Part]:
        """Yield the stored metrics of objects (None: of all that are there), whole groups at a time, slots ascending.

        Objects that are asked for and in no sample are not left out. Only `fields` of the cells are wanted. `whole`:
        each piece as one sample, without `there`. `step_ms`: the samples of each step of a piece, counted from 1970, as
        one. Raises MovedError where what was found when the history was opened is no longer there.
        """
        tables = [list(snapshots.opened(piece.rows, kind, metrics)) for piece in self.pieces]
        wanted = None if slots is None else np.unique(np.asarray(slots, dtype=np.uint32))
        # Where all blocks were moved no group is found.
        unseen = wanted is None
        for chunk, opened in self._chunks(kind, wanted, tables, 1 if whole else len(metrics)):
            if wanted is None:
                found = _slots_in(chunk, opened, tables)
            else:
                found = wanted[np.isin(wanted // blocks.GROUP, chunk)]
            unseen = unseen or len(opened) < len(chunk) * len(self._span_ids())
            if len(found):
                yield self._part(kind, found, metrics, opened, tables, fields, whole=whole, step_ms=step_ms)
        self._check(unseen=unseen)

    def slots(self, kind: Kind) -> NDArray[np.uint32]:
        """Return all objects of a kind that are in any sample, ascending. Raises MovedError like `parts`."""
        tables = [list(snapshots.opened(piece.rows, kind, ())) for piece in self.pieces]
        chunks = self._chunks(kind, None, tables, 1)
        found = [_slots_in(chunk, opened, tables) for chunk, opened in chunks]
        self._check(unseen=True)
        return np.concatenate([np.empty(0, dtype=np.uint32), *found])

    def add_up(self, kind: Kind, slots: Sequence[int], metrics: Sequence[str], sums: Mapping[str, Sum]) -> None:
        """Add the stored metrics of objects to sums, by the metrics' names or those of their rates.

        Raises MovedError like `parts`.
        """
        if not sums:
            return
        tables = [list(snapshots.opened(piece.rows, kind, metrics)) for piece in self.pieces]
        wanted = np.unique(np.asarray(slots, dtype=np.uint32))
        unseen = False
        for chunk, opened in self._chunks(kind, wanted, tables, len(metrics)):
            mine = wanted[np.isin(wanted // blocks.GROUP, chunk)]
            for name, total in sums.items():
                stored = RATES.get(name, name)
                left = bulk.add_up(self.pieces, kind, mine, name, opened, tables, total) if len(mine) > 1 else mine
                if len(left):
                    part = self._part(kind, left, [stored], opened, tables)
                    total.add(part.cells[stored], part.there)
            unseen = unseen or len(opened) < len(chunk) * len(self._span_ids())
        self._check(unseen=unseen)

    def _chunks(
        self, kind: Kind, wanted: NDArray[np.uint32] | None, tables: Sequence[list[tuple[int, Packed]]], metrics: int
    ) -> Iterator[tuple[NDArray[np.integer], dict[tuple[int, int], blocks.Block]]]:
        """Yield groups with their blocks, as many at a time as memory allows."""
        groups = self._groups(kind, tables) if wanted is None else np.unique(wanted // blocks.GROUP)
        samples = sum(len(piece.ticks) for piece in self.pieces)
        many = max(1, _CELLS_AT_ONCE // max(1, samples * blocks.GROUP * metrics))
        for begin in range(0, len(groups), many):
            chunk = groups[begin : begin + many]
            yield chunk, self._open(kind, chunk)

    def _check(self, *, unseen: bool) -> None:
        """Raise MovedError where a block was not there because its span was moved; most objects are in every span."""
        ids = self._span_ids()
        if unseen and ids and Span.objects.filter(id__in=ids).count() < len(ids):
            raise MovedError

    def _part(
        self,
        kind: Kind,
        slots: NDArray[np.uint32],
        metrics: Sequence[str],
        opened: dict[tuple[int, int], blocks.Block],
        tables: Sequence[list[tuple[int, Packed]]],
        fields: frozenset[str] = ALL_FIELDS,
        *,
        whole: bool = False,
        step_ms: int = 0,
    ) -> Part:
        if whole:
            found = [
                _whole(piece, kind, slots, metrics, opened, table, fields)
                for piece, table in zip(self.pieces, tables, strict=True)
                if len(piece.ticks) > piece.first
            ]
        else:
            found = [
                piece.read(kind, slots, metrics, opened, table, fields, step_ms)
                for piece, table in zip(self.pieces, tables, strict=True)
            ]
        return Part(
            slots,
            np.concatenate([there for there, _ in found], axis=1) if len(found) > 1 else found[0][0],
            {name: joined_cells([cells[name] for _, cells in found]) for name in metrics},
        )

    def _span_ids(self) -> list[int]:
        # Two pieces may share a span: what lies between them may be there in another resolution.
        return list(dict.fromkeys(source.span_id for piece in self.pieces for source in piece.sources))

    def _groups(self, kind: Kind, tables: Sequence[list[tuple[int, Packed]]]) -> NDArray[np.int64]:
        stored = Block.objects.filter(span_id__in=self._span_ids(), kind=str(kind)).values_list("group", flat=True)
        found = set(stored.distinct())
        for slots in _distinct(tables):
            found.update(np.unique(slots // blocks.GROUP).tolist())
        return np.array(sorted(found), dtype=np.int64)

    def _open(self, kind: Kind, groups: NDArray[np.integer]) -> dict[tuple[int, int], blocks.Block]:
        ids = self._span_ids()
        found: dict[tuple[int, int], blocks.Block] = {}
        if not ids or not len(groups):
            return found
        for span_id, group, payload in sql.block_rows(ids, str(kind), groups.tolist()):
            try:
                found[span_id, group] = blocks.decode(payload, group)
            except CorruptBlockError as error:
                # A gap, as if nothing had been stored.
                logger.warning("A block of span %s can't be read: %s", span_id, error)
        return found


def open_history(
    broker_id: int, start_ms: int, end_ms: int, step_ms: int = 1, *, context_ms: int = CONTEXT_MS
) -> History:
    """Return what is stored between two moments, both inclusive, of the resolution that is fit for a step.

    Polls from `context_ms` before are read too, for the first rates and for what holds on: see `context_of`.
    """
    rows = snapshots.rows_between(broker_id, start_ms - context_ms, end_ms)
    spans = spans_between(broker_id, start_ms - context_ms, end_ms + 1)
    windows = [Window(span.level, span.start_ms, span.end_ms) for span in spans]
    stretches = cover(windows, start_ms, end_ms + 1, preferred(step_ms))
    pieces = [piece_of(stretch, spans, rows, context_ms) for stretch in stretches]
    return history_of(broker_id, pieces)


def history_of(broker_id: int, pieces: Sequence[Piece]) -> History:
    """Return pieces as one history; at least one piece remains, if only an empty one."""
    kept = [piece for piece in pieces if len(piece.ticks) > piece.first] or list(pieces[:1])
    return History(broker_id, joined_ticks([piece.inside for piece in kept]), kept)


def context_of(broker_id: int, metrics: Sequence[str]) -> int:
    """Return how far before a range polls are needed to tell these metrics at its beginning."""
    # Consumers come with each tick, save where a broker has so many queues that its budget does not bear it.
    if not (SELDOM - {"consumers"}).isdisjoint(metrics):
        return LONG_CONTEXT_MS
    wanted = {RATES.get(name, name) for name in metrics if name in RATES or name in SELDOM}
    if not wanted:
        return 0
    told = Broker.objects.filter(id=broker_id).values_list("read_every_ms", flat=True).first() or {}
    every_ms = max((every for name, every in told.items() if name.partition(".")[2] in wanted), default=0)
    usual_ms = CONTEXT_MS if any(name in RATES for name in metrics) else 0
    return max(usual_ms, min(LONG_CONTEXT_MS, int(2.5 * every_ms)))


def level_of(broker_id: int, level: Level, start_ms: int, end_ms: int) -> History:
    """Return what one level has of [start_ms, end_ms), in blocks or snapshots."""
    rows = snapshots.rows_between(broker_id, start_ms - LONG_CONTEXT_MS, end_ms - 1) if level is Level.RAW else []
    spans = spans_between(broker_id, start_ms - LONG_CONTEXT_MS, end_ms, (level,))
    return history_of(broker_id, [piece_of(Stretch(level, start_ms, end_ms), spans, rows, LONG_CONTEXT_MS)])


def _whole(
    piece: Piece,
    kind: Kind,
    slots: NDArray[np.uint32],
    metrics: Sequence[str],
    opened: dict[tuple[int, int], blocks.Block],
    tables: list[tuple[int, Packed]],
    fields: frozenset[str],
) -> tuple[Floats, dict[str, Cells]]:
    quick = {name: bulk.whole(piece, kind, name, slots, opened, tables) for name in metrics}
    found = {name: cells for name, cells in quick.items() if cells is not None}
    others = [name for name in metrics if name not in found]
    # Who was there in how many polls is nothing that a whole range can tell.
    there = np.full((len(slots), 1), np.nan)
    for name in others:
        # Most counters stand still: one of these tells of all.
        still = np.full(len(slots), np.nan)
        if piece.level is Level.RAW and shape_of(kind, name) is Shape.COUNTER:
            still = bulk.standing_still(piece, name, slots, opened, tables)
        alike = ~np.isnan(still)
        like = np.where(alike, slots[np.argmax(alike)], slots)
        asked = np.unique(like)
        _, read = piece.read(kind, asked, [name], opened, tables, fields)
        cells = reduce_cells(read[name], np.zeros(1, dtype=np.intp), fields)
        found[name] = cells.rows(np.searchsorted(asked, like))
        found[name].last[alike, 0] = still[alike]
    return there, found


def _distinct(tables: Sequence[list[tuple[int, Packed]]]) -> list[NDArray[np.uint32]]:
    return list({id(table.slots): table.slots for piece in tables for _, table in piece}.values())


def _slots_in(
    groups: NDArray[np.integer],
    opened: dict[tuple[int, int], blocks.Block],
    tables: Sequence[list[tuple[int, Packed]]],
) -> NDArray[np.uint32]:
    found = [block.slots for block in opened.values()]
    found += [slots[np.isin(slots // blocks.GROUP, groups)] for slots in _distinct(tables)]
    return np.unique(np.concatenate(found)) if found else np.empty(0, dtype=np.uint32)


def consistent(read: Callable[[], T]) -> T:
    """Call `read`, and again where compaction moved what it was about to open.

    The tables are asked in several queries that see different moments; a move takes milliseconds and is minutes apart.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return read()
        except MovedError:
            continue
    return read()
