"""What channels and their consumers tell: what a queue's consumers may hold, who waits for confirms, who asks for none.

Pure. Channels come and go: this is what the last reading of the definitions saw, at most as old as that.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import msgspec

from brokers.rabbitmq.channels import Channel, Rate
from brokers.rabbitmq.structs import Consumer
from brokers.registry.slots import ObjectName

# Of channels with confirms and without, so many are kept.
KEPT = 20


def prefetches(consumers: Iterable[Consumer]) -> dict[ObjectName, tuple[int | None, int]]:
    """Return by queue what its consumers may hold unacknowledged, all together, and how many consumers it has.

    None where one of them has no limit: it asked for none, or acknowledges nothing. One that waits for its turn (single
    active consumer) holds nothing.
    """
    found: dict[ObjectName, tuple[int | None, int]] = {}
    for one in consumers:
        name = ObjectName(one.queue.vhost, one.queue.name)
        limit, many = found.get(name, (0, 0))
        if one.activity_status != "waiting":
            unlimited = limit is None or not one.prefetch_count or one.ack_required is False
            limit = None if unlimited else (limit or 0) + (one.prefetch_count or 0)
        found[name] = limit, many + 1
    return found


class Publisher(msgspec.Struct, frozen=True, omit_defaults=True):
    """A channel on which somebody publishes; names as the broker tells them. None is *unknown*.

    `unconfirmed` in messages, `published` since the channel was opened, `rate` in messages a second.
    """

    channel: str
    connection: str
    vhost: str
    user: str | None = None
    unconfirmed: int | None = None
    prefetch: int | None = None
    published: int | None = None
    rate: float | None = None


class Publishers(msgspec.Struct, frozen=True):
    """The channels that wait for most confirms, and those without confirms that publish most, most first.

    `at_ms`: when they were read, Unix milliseconds; `channels`: how many there were; both None where they were not
    read, and `why` says why.
    """

    at_ms: int | None = None
    channels: int | None = None
    waiting: tuple[Publisher, ...] = ()
    without_confirms: tuple[Publisher, ...] = ()
    # How many publish without confirms, those left out included.
    without_confirms_count: int | None = None
    why: str = ""


def publishers(channels: Iterable[Channel] | None, at_ms: int, why: str = "") -> Publishers:
    """Return who waits for confirms and who asks for none; None: the channels were not told, for the reason `why`."""
    if channels is None:
        return Publishers(why=why)
    told = list(channels)
    waiting = [one for one in told if one.confirm and one.messages_unconfirmed]
    # A transaction's commit is a confirm of another kind.
    bare = [one for one in told if one.confirm is False and not one.transactional and one.stats.publish]
    return Publishers(
        at_ms=at_ms,
        channels=len(told),
        waiting=tuple(map(_publisher, heapq.nlargest(KEPT, waiting, key=lambda one: one.messages_unconfirmed or 0))),
        without_confirms=tuple(map(_publisher, heapq.nlargest(KEPT, bare, key=_publishes))),
        without_confirms_count=len(bare),
    )


def encode(found: Publishers) -> bytes:
    """Return them as JSON."""
    return msgspec.json.encode(found)


def decode(stored: bytes | memoryview) -> Publishers:
    """Return stored ones; nothing is known where there are none."""
    try:
        return msgspec.json.decode(bytes(stored), type=Publishers) if stored else Publishers()
    except msgspec.MsgspecError:
        return Publishers()


def _publisher(channel: Channel) -> Publisher:
    return Publisher(
        channel=channel.name,
        connection=channel.connection,
        vhost=channel.vhost,
        user=channel.user,
        unconfirmed=channel.messages_unconfirmed,
        prefetch=channel.prefetch_count or None,
        published=channel.stats.publish,
        rate=_rate(channel),
    )


def _rate(channel: Channel) -> float | None:
    details = channel.stats.publish_details
    return details.rate if isinstance(details, Rate) else None


def _publishes(channel: Channel) -> tuple[float, int]:
    return _rate(channel) or 0.0, channel.stats.publish or 0
