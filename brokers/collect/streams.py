"""Who reads which stream by the stream protocol, and how far behind its end, in messages and in time. Pure.

Read with the definitions, so at most as old as those.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence

import msgspec

from brokers.rabbitmq.streams import StreamConsumer

# Of all streams together so many consumers are kept, those that are furthest behind.
KEPT = 1_000


class Reader(msgspec.Struct, frozen=True, omit_defaults=True):
    """A consumer of a stream; names as the broker tells them. None is *unknown*.

    `behind` is in messages, `behind_s` in seconds: the age of the next message that it gets; `at_least`: it is older
    than what is known of the stream. `consumed` counts messages, `active` is False where it waits for its turn in its
    group.
    """

    vhost: str
    stream: str
    group: str = ""
    connection: str = ""
    subscription: int | None = None
    active: bool | None = None
    offset: int | None = None
    behind: int | None = None
    behind_s: float | None = None
    at_least: bool = False
    consumed: int | None = None


class Readers(msgspec.Struct, frozen=True):
    """Consumers of streams, those furthest behind first.

    `at_ms`: when they were read, Unix milliseconds, None where they were not; then `why` says why. `many`: how many
    there were, those left out included. `streams`: whether the broker has any stream; None: not known.
    """

    at_ms: int | None = None
    many: int = 0
    readers: tuple[Reader, ...] = ()
    why: str = ""
    streams: bool | None = None

    def of(self, vhost: str, stream: str) -> tuple[Reader, ...]:
        """Return the consumers of one stream, by group, those furthest behind first."""
        found = [one for one in self.readers if (one.vhost, one.stream) == (vhost, stream)]
        return tuple(sorted(found, key=lambda one: (one.group, -_behind(one), one.connection)))


# Seconds since the message came in that has so many messages behind it, and whether it is at least that: of
# (vhost, stream, messages) each. None: unknown.
Ages = Callable[[Sequence[tuple[str, str, int]]], Sequence[tuple[float, bool] | None]]


def readers(
    consumers: Iterable[StreamConsumer] | None, at_ms: int, ages: Ages, why: str = "", *, streams: bool | None = None
) -> Readers:
    """Return who reads which stream; None: consumers were not told, for the reason `why`.

    `streams` tells whether the broker has any, None where that is not known.
    """
    if consumers is None:
        return Readers(why=why, streams=streams)
    told = list(consumers)
    kept = heapq.nlargest(KEPT, map(_reader, told), key=_behind)
    asked = [place for place, one in enumerate(kept) if one.behind is not None]
    found = ages([(kept[place].vhost, kept[place].stream, kept[place].behind or 0) for place in asked])
    for place, age in zip(asked, found, strict=True):
        if age is not None:
            kept[place] = msgspec.structs.replace(kept[place], behind_s=round(age[0], 1), at_least=age[1])
    return Readers(at_ms=at_ms, many=len(told), readers=tuple(kept), streams=streams)


def encode(found: Readers) -> bytes:
    """Return them as JSON."""
    return msgspec.json.encode(found)


def decode(stored: bytes | memoryview) -> Readers:
    """Return stored ones; nothing is known where there are none."""
    try:
        return msgspec.json.decode(bytes(stored), type=Readers) if stored else Readers()
    except msgspec.MsgspecError:
        return Readers()


def _reader(one: StreamConsumer) -> Reader:
    begun = isinstance(one.offset, int)
    return Reader(
        vhost=one.queue.vhost,
        stream=one.queue.name,
        group=one.group,
        connection=one.connection,
        subscription=one.subscription_id,
        active=one.active,
        offset=one.offset if isinstance(one.offset, int) else None,
        # Before the first message was sent to it the broker says that it is not behind at all [measured on 4.3].
        behind=max(0, one.offset_lag) if begun and one.offset_lag is not None else None,
        consumed=one.consumed,
    )


def _behind(one: Reader) -> int:
    return -1 if one.behind is None else one.behind
