"""The three queries that every read of history makes, and the one that writes blocks, in plain SQL.

Composing them by the ORM takes longer than the database takes to answer: a third of reading one queue's day, and half
of the time for which a span of a hundred thousand objects keeps others from writing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db import connection

from brokers.series.models import Block, Snapshot, Span

_SNAPSHOTS, _SPANS, _BLOCKS = (table._meta.db_table for table in (Snapshot, Span, Block))  # noqa: SLF001 # public, by name


def snapshot_rows(broker_id: int, start_ms: int, end_ms: int) -> list[tuple[Any, ...]]:
    """Return (id, at_ms, stored_ms, cadence_ms, complete) of the log between two moments, inclusive, by time and id."""
    sql = (
        f"SELECT id, at_ms, stored_ms, cadence_ms, complete FROM {_SNAPSHOTS} "  # noqa: S608 # names of ours
        "WHERE broker_id = %s AND at_ms >= %s AND at_ms <= %s ORDER BY at_ms, id"
    )
    return list(_rows(sql, [broker_id, start_ms, end_ms]))


def span_rows(broker_id: int, start_ms: int, end_ms: int, levels: Sequence[int]) -> list[tuple[Any, ...]]:
    """Return (id, level, start_ms, end_ms, stale, stored_bytes, ticks) of spans that touch [start_ms, end_ms)."""
    sql = (
        f"SELECT id, level, start_ms, end_ms, stale, stored_bytes, ticks FROM {_SPANS} "  # noqa: S608
        f"WHERE broker_id = %s AND level IN ({_marks(levels)}) AND end_ms > %s AND start_ms < %s "
        "ORDER BY level, start_ms"
    )
    return list(_rows(sql, [broker_id, *levels, start_ms, end_ms]))


def block_rows(span_ids: Sequence[int], kind: str, groups: Sequence[int]) -> Iterator[tuple[int, int, bytes]]:
    """Yield (span id, group, payload) of the blocks of a kind; of many groups, all from the first to the last."""
    near = len(groups) > 1 and groups[-1] - groups[0] < 2 * len(groups)
    which = "BETWEEN %s AND %s" if near else f"IN ({_marks(groups)})"
    sql = (
        f'SELECT span_id, "group", payload FROM {_BLOCKS} '  # noqa: S608
        f'WHERE span_id IN ({_marks(span_ids)}) AND kind = %s AND "group" {which}'
    )
    # psycopg and sqlite3 both give bytes.
    yield from _rows(sql, [*span_ids, kind, *((groups[0], groups[-1]) if near else groups)])


def insert_blocks(span_id: int, blocks: Iterable[tuple[str, int, bytes]]) -> None:
    """Write blocks of a span: each one's kind, group and payload."""
    sql = f'INSERT INTO {_BLOCKS} (span_id, kind, "group", payload) VALUES (%s, %s, %s, %s)'  # noqa: S608
    with connection.cursor() as cursor:
        cursor.executemany(sql, [(span_id, *block) for block in blocks])


def _marks(values: Sequence[object]) -> str:
    return ", ".join(["%s"] * len(values))


def _rows(sql: str, values: Sequence[int | str]) -> Iterator[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        while found := cursor.fetchmany(50):
            yield from found
