"""What very many objects come to: sums and whole ranges, told from blocks as they are stored.

Most objects stand still most of the time, and a block has one number for such a one: no matrix of all objects × samples
is made, which is what `Piece.read` does. What can't be told so, the caller reads there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from brokers.series import blocks
from brokers.series.cells import Cells, Sum, of_values, reduce_cells, shape_of
from brokers.series.columns import CorruptBlockError, Floats
from brokers.series.levels import Level
from brokers.series.metrics import RATES, SELDOM, Kind, Shape
from brokers.series.pieces import KEPT, Opened, Piece, Source, Tables, common, run

_ONE = np.zeros(1, dtype=np.intp)


def whole(
    piece: Piece, kind: Kind, metric: str, slots: NDArray[np.uint32], opened: Opened, tables: Tables
) -> Cells | None:
    """Return a stored metric of objects (slots ascending) with all samples of a piece as one; None: `read` has to tell.

    Of single polls rates hang on neighbours, and what is read seldom holds in between: `read` tells these, and what
    came late.
    """
    is_raw = piece.level is Level.RAW
    if piece.first or not _is_in_order(piece):
        return None
    if is_raw and (metric in SELDOM or shape_of(kind, metric) is Shape.COUNTER):
        return None
    folded = _Folded(len(slots))
    certain = 0
    numbers = np.unique(slots // blocks.GROUP).tolist()
    try:
        for source in piece.sources:
            found = [
                (opened[key], _reduced(opened[key], source, kind, metric, is_raw))
                for key in _keys(source, numbers, opened)
            ]
            if not found:
                continue
            if any((cells.weight == len(source.samples)).any() for _, cells in found):
                certain += len(source.samples)
            targets, rows = common(slots, np.concatenate([block.slots for block, _ in found]))
            parts = zip(*(_fields(cells) for _, cells in found), strict=True)
            folded.add(targets, Cells(*(np.concatenate(part)[rows] for part in parts)))
    except CorruptBlockError:
        return None
    certain += _fold_snapshots(folded, slots, metric, tables)
    # One that only some polls read would have to hold in between.
    if is_raw and certain * 2 < len(piece.ticks):
        return None
    return folded.cells()


def standing_still(piece: Piece, metric: str, slots: NDArray[np.uint32], opened: Opened, tables: Tables) -> Floats:
    """Return the value of each object (slots ascending) that has one and the same in all samples of a piece.

    NaN for the others. The piece is of single polls. Counters that stand still grow alike, whatever their values.
    """
    count = len(slots)
    nothing = np.full(count, np.nan)
    value, is_still = nothing.copy(), np.ones(count, dtype=np.bool_)

    def told(targets: NDArray[np.intp], values: Floats) -> None:
        here = np.full(count, np.nan)
        here[targets] = values
        value[:] = np.where(np.isnan(value), here, value)
        # NaN equals nothing: who is not there, or not known, or moves, does not stand still.
        is_still[:] &= here == value

    numbers = np.unique(slots // blocks.GROUP).tolist()
    for source in piece.sources:
        if not len(source.samples):
            continue
        held = [opened[key] for key in _keys(source, numbers, opened)]
        if not held:
            return nothing
        try:
            values = [np.where(block.still(blocks.THERE) == 1, block.still(metric), np.nan) for block in held]
        except CorruptBlockError:
            return nothing
        targets, rows = common(slots, np.concatenate([block.slots for block in held]))
        told(targets, np.concatenate(values)[rows])
    for targets, column in _columns(slots, metric, tables):
        told(targets, np.full(len(targets), np.nan) if column is None else column)
    # A snapshot that can't be read is in no table.
    return np.where(is_still, value, np.nan) if len(tables) == len(piece.rows) else nothing


def _columns(
    slots: NDArray[np.uint32], metric: str, tables: Tables
) -> Iterator[tuple[NDArray[np.intp], Floats | None]]:
    """Yield of each snapshot which of the slots it has, as places in them, and their values; None: no such column."""
    seen: NDArray[np.uint32] | None = None
    targets = rows = np.empty(0, dtype=np.intp)
    for _, table in tables:
        # Most snapshots share one array of slots.
        if table.slots is not seen:
            seen = table.slots
            targets, rows = common(slots, seen)
        yield targets, table.some(metric, rows)


def _fold_snapshots(folded: _Folded, slots: NDArray[np.uint32], metric: str, tables: Tables) -> int:
    """Add snapshots to what is folded; return how many know the metric of any object."""
    certain = 0
    for targets, column in _columns(slots, metric, tables):
        if column is not None and len(column):
            known = ~np.isnan(column)
            certain += int(known.any())
            folded.add(targets, Cells(column, column, column, np.where(known, column, 0.0), known.astype(np.float64)))
    return certain


class _Folded:
    """Objects' cells, a stretch of time after the other made one."""

    def __init__(self, count: int) -> None:
        self._last, self._low, self._high = (np.full(count, np.nan) for _ in range(3))
        self._total, self._weight = np.zeros(count), np.zeros(count)

    def add(self, places: NDArray[np.intp], later: Cells) -> None:
        targets = run(places)
        self._last[targets] = np.where(np.isnan(later.last), self._last[targets], later.last)
        self._low[targets] = np.fmin(self._low[targets], later.low)
        self._high[targets] = np.fmax(self._high[targets], later.high)
        self._total[targets] += later.total
        self._weight[targets] += later.weight

    def cells(self) -> Cells:
        return Cells(*(part[:, np.newaxis] for part in (self._last, self._low, self._high, self._total, self._weight)))


def _fields(cells: Cells) -> tuple[Floats, ...]:
    return cells.last, cells.low, cells.high, cells.total, cells.weight


def _reduced(block: blocks.Block, source: Source, kind: Kind, metric: str, is_raw: bool) -> Cells:
    """Return one sample of all that a span has, as arrays by object of the block."""
    if len(source.samples) < block.samples:
        return _reduced_part(block, source, kind, metric, is_raw)
    count = len(block.slots)
    unknown, zero = np.full(count, np.nan), np.zeros(count)
    if is_raw:
        found = block.reduced(metric)
        if found is None:
            return Cells(unknown, unknown, unknown, zero, zero)
        return Cells(found.last, found.least, found.greatest, found.total, found.count)
    kept = {field: block.reduced(f"{metric}:{field}") for field in KEPT[shape_of(kind, metric)]}
    last, low, high = kept["last"], kept.get("low", kept["last"]), kept["high"]
    total, weight = kept.get("total"), kept.get("weight")
    return Cells(
        unknown if last is None else last.last,
        unknown if low is None else low.least,
        unknown if high is None else high.greatest,
        zero if total is None else total.total,
        zero if weight is None else weight.total,
    )


def _reduced_part(block: blocks.Block, source: Source, kind: Kind, metric: str, is_raw: bool) -> Cells:
    rows = range(len(block.slots))
    if is_raw:
        cells = of_values(block.column(metric, rows)[:, source.samples])
    else:
        names = KEPT[shape_of(kind, metric)]
        kept = {field: block.column(f"{metric}:{field}", rows)[:, source.samples] for field in names}
        last, zero = kept["last"], np.zeros(kept["last"].shape)
        total, weight = (np.nan_to_num(kept[name]) if name in kept else zero for name in ("total", "weight"))
        cells = Cells(last, kept.get("low", last), kept["high"], total, weight)
    return Cells(*(part[:, 0] for part in _fields(reduce_cells(cells, _ONE))))


def _is_in_order(piece: Piece) -> bool:
    """Tell whether spans and snapshots follow each other: none came late into the time of a block."""
    places = np.concatenate([*(source.places for source in piece.sources), piece.row_places])
    return bool((places == np.arange(len(places))).all())


def _keys(source: Source, numbers: Sequence[int], opened: Opened) -> list[tuple[int, int]]:
    if not len(source.samples):
        return []
    keys = ((source.span_id, group) for group in numbers)
    return [key for key in keys if key in opened and source.fits(opened[key])]


def add_up(
    pieces: Sequence[Piece],
    kind: Kind,
    slots: NDArray[np.uint32],
    metric: str,
    opened: Opened,
    tables: Sequence[Tables],
    total: Sum,
) -> NDArray[np.uint32]:
    """Add a gauge of whole groups to a sum over all pieces; return the slots that are left, for `read` to tell.

    Those are of groups of which something is unknown somewhere, or not all objects are asked for.
    """
    if metric in SELDOM or metric in RATES or shape_of(kind, metric) is not Shape.GAUGE:
        return slots
    if any(not _is_read_mostly(metric, table) for table in tables):
        return slots
    begins = np.cumsum([0, *(len(piece.ticks) - piece.first for piece in pieces)]).tolist()
    groups = slots // blocks.GROUP
    left: list[int] = []
    for group in np.unique(groups).tolist():
        found = _group_sums(pieces, begins, group, slots[groups == group], metric, opened)
        if not found:
            left.append(group)
        for places, sums in found:
            total.add_known(places, sums)
    is_left = np.isin(groups, left)
    for piece, table, begin in zip(pieces, tables, begins, strict=False):
        _add_snapshots(piece, table, slots[~is_left], metric, begin, total)
    return slots[is_left]


def _group_sums(
    pieces: Sequence[Piece],
    begins: Sequence[int],
    group: int,
    slots: NDArray[np.uint32],
    metric: str,
    opened: Opened,
) -> list[tuple[NDArray[np.intp], dict[str, Floats]]]:
    """Return what a group comes to in each span: at which samples, and the sums; nothing where it can't be told so."""
    found = []
    for piece, begin in zip(pieces, begins, strict=False):
        for source in piece.sources:
            block = opened.get((source.span_id, group))
            if block is None or not len(source.samples):
                continue
            try:
                sums = _summed(piece, source, block, slots, metric) if source.fits(block) else None
            except CorruptBlockError:
                # `read` tells what of it can be read.
                return []
            if sums is None:
                return []
            inside = source.places >= piece.first
            places = source.places[inside] - piece.first + begin
            found.append((places, {name: part[inside] for name, part in sums.items()}))
    return found


def _is_read_mostly(metric: str, table: Tables) -> bool:
    return sum(one.columns.get(metric) is not None for _, one in table) * 2 >= len(table)


def _summed(
    piece: Piece, source: Source, block: blocks.Block, slots: NDArray[np.uint32], metric: str
) -> Mapping[str, Floats] | None:
    """Return what a block's objects come to at each sample; None where not all are asked for, there and known."""
    if len(common(slots, block.slots)[1]) < len(block.slots):
        return None
    if piece.level is Level.RAW:
        one = block.summed(metric)
        return None if one is None else dict.fromkeys(("total", "low", "high", "last"), one[source.samples])
    polls = piece.ticks.polls[source.places]
    for name in (blocks.THERE, f"{metric}:weight"):
        same = block.same_for_all(name)
        if same is None or not (same[source.samples] == polls).all():
            return None
    found = {}
    for name in ("total", "low", "high", "last"):
        one = block.summed(f"{metric}:{name}")
        if one is None:
            return None
        found[name] = one[source.samples]
    found["total"] = found["total"] / polls
    return found


def _add_snapshots(piece: Piece, table: Tables, slots: NDArray[np.uint32], metric: str, begin: int, total: Sum) -> None:
    seen: tuple[NDArray[np.uint32], NDArray[np.intp]] | None = None
    sums: list[float] = []
    places: list[int] = []
    for index, one in table:
        if seen is None or seen[0] is not one.slots:
            seen = one.slots, common(slots, one.slots)[1]
        place = int(piece.row_places[index]) - piece.first
        if place < 0 or not len(seen[1]):
            continue
        column = one.some(metric, seen[1])
        sums.append(float("nan") if column is None else float(column.sum()))
        places.append(place + begin)
    if places:
        added = np.array(sums)
        total.add_known(np.array(places, dtype=np.intp), dict.fromkeys(("total", "low", "high", "last"), added))
