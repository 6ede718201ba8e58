"""Who reads a stream by the stream protocol, and how far behind its end: of the last reading of the definitions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from brokers.collect.models import PollState
from brokers.collect.streams import Reader, Readers, decode
from dashboard import formats

READERS_SHOWN = 200


@dataclass(frozen=True, slots=True)
class ReaderRow:
    """One consumer, figures formatted. `waits`: it waits for its turn in its group."""

    connection: str
    subscription: str
    waits: bool
    offset: str
    behind: str
    age: str


@dataclass(frozen=True, slots=True)
class GroupRow:
    """Consumers of one name ("" for none). `behind` and `age` are those of the one furthest behind."""

    name: str
    behind: str
    age: str
    readers: tuple[ReaderRow, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """The consumers of a stream by group; `why` says why they are not known, where they are not."""

    groups: tuple[GroupRow, ...] = ()
    many: int = 0
    more: int = 0
    read_at: dt.datetime | None = None
    why: str = ""


def readers_of(broker_id: int, vhost: str, stream: str) -> tuple[Readers, tuple[Reader, ...]]:
    """Return what the last reading told of all streams, and of one."""
    stored = PollState.objects.filter(broker_id=broker_id).values_list("stream_readers", flat=True).first()
    told = decode(stored or b"")
    return told, told.of(vhost, stream)


def reading(broker_id: int, vhost: str, stream: str, zone: dt.tzinfo) -> Reading:
    """Return the consumers of a stream as a page shows them."""
    told, found = readers_of(broker_id, vhost, stream)
    if told.at_ms is None:
        return Reading(why=told.why or "The broker has not told its definitions since streams are asked for.")
    shown = found[:READERS_SHOWN]
    return Reading(
        groups=tuple(_group(name, list(ones)) for name, ones in groupby(shown, key=lambda one: one.group)),
        many=len(found),
        more=len(found) - len(shown),
        read_at=formats.moment(told.at_ms, zone),
    )


def furthest(readers: Sequence[Reader]) -> Reader:
    """Return the one furthest behind of those that are not waiting for their turn, or of all."""
    reading_now = [one for one in readers if one.active is not False] or list(readers)
    return max(reading_now, key=lambda one: -1 if one.behind is None else one.behind)


def _group(name: str, ones: Sequence[Reader]) -> GroupRow:
    last = furthest(ones)
    return GroupRow(name, _behind(last), _age(last), tuple(map(_row, ones)))


def _row(one: Reader) -> ReaderRow:
    return ReaderRow(
        one.connection,
        "" if one.subscription is None else str(one.subscription),
        one.active is False,
        formats.UNKNOWN if one.offset is None else f"{one.offset:,}",
        _behind(one),
        _age(one),
    )


def _behind(one: Reader) -> str:
    return formats.UNKNOWN if one.behind is None else formats.count(one.behind)


def _age(one: Reader) -> str:
    if one.behind_s is None:
        return formats.UNKNOWN
    return f"{'> ' if one.at_least else ''}{formats.lag(one.behind_s)}"
