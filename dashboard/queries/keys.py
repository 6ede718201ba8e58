"""Keys of queues, exchanges and vhosts in pages and frames: a number that stands for the slot and tells nothing of it.

Slots are dense: whoever sees slot 917 knows that its broker has had 918 queues, which is no business of a person
limited to one vhost.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

from django.conf import settings

_ROUNDS = 4


def queue_key(broker_id: int, slot: int) -> str:
    """Return what the keys of a queue's cells begin with."""
    return f"q.{broker_id}.{disguised('q', broker_id, slot)}"


def vhost_key(broker_id: int, slot: int) -> str:
    """Return what the keys of a vhost's cells begin with."""
    return f"v.{broker_id}.{disguised('v', broker_id, slot)}"


def exchange_key(broker_id: int, slot: int) -> str:
    """Return what the keys of an exchange's cells begin with."""
    return f"x.{broker_id}.{disguised('x', broker_id, slot)}"


@lru_cache(maxsize=65_536)
def disguised(kind: str, broker_id: int, slot: int) -> int:
    """Return a number for a slot (32 bits), one to one, by a Feistel network under the installation's key."""
    left, right = slot >> 16, slot & 0xFFFF
    for number in range(_ROUNDS):
        left, right = right, left ^ _mixed(f"{kind} {broker_id} {number} {right}")
    return left << 16 | right


def _mixed(text: str) -> int:
    key = settings.SECRET_KEY.encode()[:64]
    return int.from_bytes(blake2b(text.encode(), key=key, digest_size=2).digest())
