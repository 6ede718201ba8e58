"""Reading and writing spans with their blocks; every write is one short transaction that either happens or does not."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from django.db import IntegrityError, transaction

from brokers.series import blocks, sql
from brokers.series.cells import Ticks, no_ticks
from brokers.series.columns import CorruptBlockError
from brokers.series.levels import Level
from brokers.series.metrics import Kind
from brokers.series.models import Snapshot, Span, Upkeep
from brokers.series.rates import HOLDS_LONGEST_MS

logger = logging.getLogger(__name__)

# A row's own bytes beside its payload: rowid, keys, the entry in the index [measured on SQLite].
ROW_BYTES = 56
# How far before a window its first rates may count from.
LOOKS_BACK_MS = HOLDS_LONGEST_MS + 60_000


@dataclass(frozen=True, slots=True)
class SpanRow:
    """A span without its blocks; `packed` are its samples as they are stored, empty where they were not asked for."""

    id: int
    level: Level
    start_ms: int
    end_ms: int
    stale: bool
    stored_bytes: int
    packed: bytes = b""

    @property
    def ticks(self) -> Ticks:
        """Return the samples; none where they were not asked for or can't be read. Not to be written into."""
        if not self.packed:
            return no_ticks()
        try:
            return unpacked_ticks(self.packed)
        except CorruptBlockError as error:
            # A gap, as if nothing had been stored.
            logger.warning("Span %s: %s", self.id, error)
            return no_ticks()


# A reader opens the same few spans again and again: hours of polls take 10 kB a span.
@lru_cache(maxsize=256)
def unpacked_ticks(packed: bytes) -> Ticks:
    """Return the samples of a span, which never change, from memory where they were asked for lately.

    Raises CorruptBlockError.
    """
    return blocks.decode_ticks(packed)


@dataclass(frozen=True, slots=True)
class NewBlock:
    """A block to be written, and how many known values it holds."""

    kind: Kind
    group: int
    payload: bytes
    known: int


@dataclass(frozen=True, slots=True)
class NewSpan:
    """A span to be written, all of it computed."""

    level: Level
    start_ms: int
    end_ms: int
    ticks: Ticks
    blocks: Sequence[NewBlock]


class ReplacedError(Exception):
    """What a span was computed from is no longer what is stored: somebody else was faster."""


def spans_between(
    broker_id: int, start_ms: int, end_ms: int, levels: Iterable[Level] = tuple(Level), *, ticks: bool = True
) -> list[SpanRow]:
    """Return the spans whose windows touch [start_ms, end_ms), by level and time; without `ticks` cheaper."""
    if ticks:
        rows = sql.span_rows(broker_id, start_ms, end_ms, [int(level) for level in levels])
        return [
            SpanRow(row_id, _LEVELS[level], start, end, bool(stale), stored, bytes(packed))
            for row_id, level, start, end, stale, stored, packed in rows
        ]
    found = Span.objects.filter(
        broker_id=broker_id, level__in=[int(level) for level in levels], end_ms__gt=start_ms, start_ms__lt=end_ms
    ).order_by("level", "start_ms")
    names = ("id", "level", "start_ms", "end_ms", "stale", "stored_bytes")
    return [
        SpanRow(row_id, _LEVELS[level], start, end, stale, stored)
        for row_id, level, start, end, stale, stored in found.values_list(*names)
    ]


_LEVELS = {int(level): level for level in Level}


def write(
    broker_id: int,
    span: NewSpan,
    *,
    replaces: Sequence[int] = (),
    made_of: Sequence[int] | None = None,
    snapshots: Sequence[int] = (),
) -> None:
    """Store a span, in one transaction with the deletion of what it is made of. All or nothing.

    `replaces`: ids of the spans that it takes the place of, `snapshots`: of snapshots that it now holds; both are
    deleted. `made_of`: ids of the finer level's spans, which stay and must be as they were. Where a late snapshot
    changed single polls, the roll-ups over them are marked, to be made anew. Raises ReplacedError where somebody else
    was faster, or something came meanwhile: nothing is changed then.
    """
    late = bool(snapshots)
    # Computed before others have to wait.
    row = Span(
        broker_id=broker_id,
        level=int(span.level),
        start_ms=span.start_ms,
        end_ms=span.end_ms,
        ticks=blocks.encode_ticks(span.ticks),
        samples=len(span.ticks),
        known=sum(block.known for block in span.blocks),
        stored_bytes=sum(len(block.payload) + ROW_BYTES for block in span.blocks),
    )
    try:
        with transaction.atomic():
            # One writes a broker's spans at a time. (On SQLite the transaction itself is that lock.)
            list(Upkeep.objects.select_for_update().filter(broker_id=broker_id).values_list("pk"))
            if made_of is not None:
                kept = _locked(broker_id, span.level.finer, span)
                if kept.keys() != set(made_of) or any(kept.values()):
                    raise ReplacedError
            if _locked(broker_id, span.level, span).keys() != set(replaces):
                raise ReplacedError
            Span.objects.filter(id__in=replaces).delete()
            if snapshots:
                deleted, _ = Snapshot.objects.filter(id__in=snapshots).delete()
                if deleted < len(snapshots):
                    raise ReplacedError
            row.save(force_insert=True)
            sql.insert_blocks(row.pk, ((str(block.kind), block.group, block.payload) for block in span.blocks))
            if late:
                Span.objects.filter(
                    broker_id=broker_id,
                    level__gt=int(span.level),
                    # Rates right after the window count from samples in it.
                    start_ms__lt=span.end_ms + LOOKS_BACK_MS,
                    end_ms__gt=span.start_ms,
                ).update(stale=True)
    except IntegrityError as error:
        # The window was written by somebody else meanwhile, or the broker was removed.
        raise ReplacedError from error


def _locked(broker_id: int, level: Level, span: NewSpan) -> dict[int, bool]:
    """Return the spans of a level in a new one's window, whether each is stale by id, and hold their rows.

    Of two that replace the same span one finds it gone; one that came meanwhile is seen.
    """
    rows = Span.objects.select_for_update().filter(
        broker_id=broker_id, level=int(level), end_ms__gt=span.start_ms, start_ms__lt=span.end_ms
    )
    return dict(rows.order_by("id").values_list("id", "stale"))
