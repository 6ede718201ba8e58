"""Moving snapshots into blocks, and short spans into long ones.

Everything is computed first and written in one short transaction per window (brokers.series.spans.write), so that a
process killed at any point leaves what was there before or what is there after, and polling never waits. What is due is
found from the rows alone: there is no watermark that could be wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from brokers.series import blocks, codec, snapshots, spans
from brokers.series.cells import Ticks, joined_ticks
from brokers.series.columns import CorruptBlockError, Floats
from brokers.series.coverage import Stretch
from brokers.series.levels import Level, window_of
from brokers.series.metrics import Kind
from brokers.series.models import Block, Snapshot
from brokers.series.pieces import Opened, Piece, piece_of
from brokers.series.snapshots import SnapshotRow
from brokers.series.spans import NewBlock, NewSpan, SpanRow

# Single snapshots are kept at least so long: live pages and the next poll read them.
KEEP_MS = 600_000
# Cells of one metric in memory while spans are merged: 16 MB.
_CELLS_AT_ONCE = 2_000_000
# And while blocks are built of snapshots: of those as they are stored (1 to 8 bytes a cell), so that each is unpacked
# once, and of them as floats: 2 MB, which the caches of a CPU hold.
_STORED_AT_ONCE, _FLOATS_AT_ONCE = 8_000_000, 250_000
# Spans of a broker with many objects become no longer than this, so that their transactions stay short.
_MERGED_BYTES = 12_000_000


@dataclass(frozen=True, slots=True)
class Log:
    """The snapshots of a broker that stand in no block; `newest_ms` is the time of the last written."""

    rows: list[SnapshotRow]
    newest_ms: int
    held: frozenset[int]


def log_of(broker_id: int) -> Log | None:
    """Return a broker's snapshots by time, None where there are none.

    The last written, and the last complete one, from which the next poll counts on, are *held*: they stay.
    """
    found = Snapshot.objects.filter(broker_id=broker_id).order_by("at_ms", "id")
    rows = [SnapshotRow(*row) for row in found.values_list("id", "at_ms", "stored_ms", "cadence_ms", "complete")]
    if not rows:
        return None
    newest = max(rows, key=lambda row: row.id)
    whole = max((row for row in rows if row.complete), key=lambda row: row.id, default=newest)
    return Log(rows, newest.at_ms, frozenset((newest.id, whole.id)))


def is_over(log: Log, end_ms: int) -> bool:
    """Tell whether a window is over for more than KEEP_MS."""
    return end_ms + KEEP_MS <= log.newest_ms


def is_past(log: Log, start_ms: int, end_ms: int) -> bool:
    """Tell whether a window is over for more than KEEP_MS. One that lies as far ahead is too: our clock jumped back."""
    return is_over(log, end_ms) or start_ms > log.newest_ms + KEEP_MS


def due_windows(log: Log) -> list[int]:
    """Return the beginnings of the first windows of which snapshots are to be moved into blocks."""
    length = Level.RAW.first_ms
    starts = {window_of(row.at_ms, length) for row in log.rows if row.id not in log.held}
    return sorted(start for start in starts if is_past(log, start, start + length))


def compact(broker_id: int, log: Log, start_ms: int) -> None:
    """Move the snapshots of one first window into blocks; where there are blocks already, into these.

    Raises ReplacedError where somebody else did it meanwhile.
    """
    end_ms = start_ms + Level.RAW.first_ms
    rows = [row for row in log.rows if start_ms <= row.at_ms < end_ms and row.id not in log.held]
    there = spans.spans_between(broker_id, start_ms, end_ms, (Level.RAW,))
    if there:
        start_ms, end_ms = there[0].start_ms, there[0].end_ms
    # Of two snapshots of one moment the one written later counts; both are deleted.
    unique = list({row.at_ms: row for row in rows}.values())
    piece = piece_of(Stretch(Level.RAW, start_ms, end_ms), there, unique, context_ms=0)
    span = NewSpan(Level.RAW, start_ms, end_ms, piece.ticks, list(_blocks_of(piece)))
    spans.write(broker_id, span, replaces=[row.id for row in there], snapshots=[row.id for row in rows])


def _blocks_of(piece: Piece) -> Iterator[NewBlock]:
    """Yield the blocks of single polls, of every kind in turn."""
    payloads = _payloads(piece)
    ids = [source.span_id for source in piece.sources]
    for kind in Kind:
        bare = _bare(payloads, kind)
        names: set[str] = set()
        for _, payload in payloads:
            names |= codec.columns_of(payload, kind)
        groups = set(Block.objects.filter(span_id__in=ids, kind=str(kind)).values_list("group", flat=True).distinct())
        for slots in _distinct(bare):
            groups.update(np.unique(slots // blocks.GROUP).tolist())
        for chunk in _chunks(sorted(groups), len(payloads), _STORED_AT_ONCE):
            opened = open_blocks(ids, kind, chunk)
            yield from _chunk_blocks(piece, kind, chunk, opened, payloads, bare, names - {""})


def _chunk_blocks(
    piece: Piece,
    kind: Kind,
    groups: Sequence[int],
    opened: Opened,
    payloads: Sequence[tuple[int, bytes]],
    bare: Sequence[tuple[int, codec.Packed]],
    names: set[str],
) -> Iterator[NewBlock]:
    slots = np.unique(np.concatenate([codec.EMPTY.slots, *_distinct(bare), *(one.slots for one in opened.values())]))
    numbers = slots // blocks.GROUP
    for block in opened.values():
        names = names | set(block.names()) - {blocks.THERE}
    edges = np.searchsorted(numbers, [*groups, groups[-1] + 1])
    builders = [blocks.Builder(slots[begin:end], len(piece.ticks)) for begin, end in pairwise(edges)]
    # Groups a part, so that a matrix of floats is small however many objects there are.
    many = max(1, _FLOATS_AT_ONCE // max(1, len(piece.ticks) * blocks.GROUP))
    for name in (blocks.THERE, *sorted(names)):
        wanted = () if name == blocks.THERE else (name,)
        tables = [
            (index, codec.packed(payload, kind, wanted, slots=table.slots) if wanted else table)
            for (index, payload), (_, table) in zip(payloads, bare, strict=True)
        ]
        for first in range(0, len(groups), many):
            part = range(first, min(first + many, len(groups)))
            begin = edges[part.start]
            there, values = piece.raw(slots[begin : edges[part.stop]], wanted, opened, tables)
            found = values[name] if wanted else there
            for number in part:
                builders[number].add(name, found[edges[number] - begin : edges[number + 1] - begin])
    for group, builder in zip(groups, builders, strict=True):
        yield NewBlock(kind, group, builder.payload(), builder.known)


def _bare(payloads: Sequence[tuple[int, bytes]], kind: Kind) -> list[tuple[int, codec.Packed]]:
    """Return the slots of each payload; those that are the same share one array."""
    found: list[tuple[int, codec.Packed]] = []
    for index, payload in payloads:
        table = codec.packed(payload, kind, ())
        if found and np.array_equal(found[-1][1].slots, table.slots):
            table = found[-1][1]
        found.append((index, table))
    return found


def _distinct(tables: Sequence[tuple[int, codec.Packed]]) -> list[NDArray[np.uint32]]:
    return list({id(table.slots): table.slots for _, table in tables}.values())


def _payloads(piece: Piece) -> list[tuple[int, bytes]]:
    """Return the snapshots' payloads by their index in the piece; what can't be read is a gap."""
    place = {row.id: index for index, row in enumerate(piece.rows)}
    found: list[tuple[int, bytes]] = []
    for row_id, payload in Snapshot.objects.filter(id__in=list(place)).values_list("id", "payload").iterator():
        try:
            codec.check(payload)
        except codec.CorruptSnapshotError as error:
            snapshots.logger.warning("Snapshot %s can't be read: %s", row_id, error)
            continue
        found.append((place[row_id], bytes(payload)))
    return found


def open_blocks(span_ids: Sequence[int], kind: Kind, groups: Sequence[int]) -> dict[tuple[int, int], blocks.Block]:
    """Open the blocks of some groups, which are neighbours; what can't be read is a gap."""
    if not span_ids or not groups:
        return {}
    rows = Block.objects.filter(
        span_id__in=span_ids, kind=str(kind), group__gte=min(groups), group__lte=max(groups)
    ).values_list("span_id", "group", "payload")
    found: dict[tuple[int, int], blocks.Block] = {}
    for span_id, group, payload in rows:
        try:
            found[span_id, group] = blocks.decode(payload, group)
        except CorruptBlockError as error:
            snapshots.logger.warning("A block of span %s can't be read: %s", span_id, error)
    return found


@dataclass(frozen=True, slots=True)
class Merge:
    """Spans that are to become one, which covers [start_ms, end_ms)."""

    start_ms: int
    end_ms: int
    members: tuple[SpanRow, ...]


def due_merges(found: Sequence[SpanRow], log: Log, unmade: Sequence[int] = ()) -> list[Merge]:
    """Return what of one level's spans (by time) is to be merged: those of a longer window that is over.

    `unmade`: where windows begin of which a span is still to be made; it would not fit in once they are merged.
    """
    due: list[Merge] = []
    if not found:
        return due
    level = found[0].level
    windows: dict[int, list[SpanRow]] = {}
    for span in found:
        windows.setdefault(window_of(span.start_ms, level.long_ms), []).append(span)
    for members in windows.values():
        per_ms = sum(span.stored_bytes for span in members) / sum(span.end_ms - span.start_ms for span in members)
        length = next((one for one in level.lengths_ms if one * per_ms <= _MERGED_BYTES), level.first_ms)
        parts: dict[int, list[SpanRow]] = {}
        for span in members:
            if span.end_ms - span.start_ms < length:
                parts.setdefault(window_of(span.start_ms, length), []).append(span)
        due += [
            Merge(start, start + length, tuple(part))
            for start, part in parts.items()
            if is_past(log, start, start + length)
            and not waiting(log, start, start + length)
            and not any(span.stale for span in part)
            and not any(start <= one < start + length for one in unmade)
        ]
    return due


def waiting(log: Log, start_ms: int, end_ms: int) -> bool:
    """Tell whether snapshots of a window are still to be moved into blocks."""
    return any(start_ms <= row.at_ms < end_ms and row.id not in log.held for row in log.rows)


def merge(broker_id: int, due: Merge) -> None:
    """Make one span of several. Raises ReplacedError where somebody else did it meanwhile."""
    level = due.members[0].level
    members = spans.spans_between(broker_id, due.start_ms, due.end_ms, (level,))
    if [span.id for span in members] != [span.id for span in due.members]:
        raise spans.ReplacedError
    ticks = joined_ticks([span.ticks for span in members])
    ids = [span.id for span in members]
    new: list[NewBlock] = []
    for kind in Kind:
        rows = Block.objects.filter(span_id__in=ids, kind=str(kind)).values_list("group", flat=True).distinct()
        for chunk in _chunks(sorted(set(rows)), len(ticks), _CELLS_AT_ONCE):
            opened = open_blocks(ids, kind, chunk)
            known = {group for _, group in opened}
            new += [_merged(kind, group, members, ticks, opened) for group in chunk if group in known]
    spans.write(broker_id, NewSpan(level, due.start_ms, due.end_ms, ticks, new), replaces=ids)


def _merged(kind: Kind, group: int, members: Sequence[SpanRow], ticks: Ticks, opened: Opened) -> NewBlock:
    held = [opened.get((span.id, group)) for span in members]
    known = [block for block in held if block is not None]
    slots = np.unique(np.concatenate([block.slots for block in known]))
    builder = blocks.Builder(slots, len(ticks))
    for name in dict.fromkeys(name for block in known for name in block.names()):
        values = np.full((len(slots), len(ticks)), 0.0 if name == blocks.THERE else np.nan)
        begin = 0
        for span, block in zip(members, held, strict=True):
            end = begin + len(span.ticks)
            if block is not None and block.has(name) and block.samples == end - begin:
                _place(values, slots, block, name, slice(begin, end))
            begin = end
        builder.add(name, values)
    return NewBlock(kind, group, builder.payload(), builder.known)


def _place(values: Floats, slots: NDArray[np.uint32], block: blocks.Block, name: str, where: slice) -> None:
    try:
        found = block.column(name, range(len(block.slots)))
    except CorruptBlockError as error:
        snapshots.logger.warning("A block can't be read: %s", error)
        return
    values[np.searchsorted(slots, block.slots), where] = found


def _chunks(groups: Sequence[int], samples: int, cells: int) -> Iterator[Sequence[int]]:
    many = max(1, cells // max(1, samples * blocks.GROUP))
    for begin in range(0, len(groups), many):
        yield groups[begin : begin + many]
