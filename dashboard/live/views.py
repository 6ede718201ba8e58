"""Computing what subscriptions show: in threads, and once for all sockets that show the same to the same rights."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from django.utils import timezone

from dashboard.accounts.rights import Rights
from dashboard.cells import View
from dashboard.live.tail import tail
from dashboard.live.threads import in_thread
from dashboard.live.topics import TOPICS

# A view counts for others that ask within this time, so long as the tail has found nothing new.
_SHARED_MS = 1_000

_Key = tuple[str, bytes, frozenset[Any], str]


class Views:
    """The views of one event loop: those that are being computed, and the ones of this moment."""

    def __init__(self) -> None:
        self._generation = -1
        self._tasks: dict[_Key, tuple[int, asyncio.Task[View]]] = {}

    async def view(self, topic: str, params: Mapping[str, Any], rights: Rights, zone: dt.tzinfo) -> View:
        """Return a topic's view. Raises Refused, and what the database raises."""
        now_ms = time.time_ns() // 1_000_000
        generation = tail().generation
        if generation != self._generation:
            self._generation = generation
            self._tasks.clear()
        key = (topic, msgspec.json.encode(params, order="sorted"), rights.scopes, str(zone))
        began_ms, task = self._tasks.get(key, (0, None))
        if task is None or (task.done() and now_ms - began_ms > _SHARED_MS):
            self._forget(now_ms)
            work = in_thread(lambda: compute(topic, params, rights, zone, now_ms))
            task = asyncio.get_running_loop().create_task(work)
            self._tasks[key] = (now_ms, task)
        # A socket that ends while it waits must not take the view away from the others.
        return await asyncio.shield(task)

    def _forget(self, now_ms: int) -> None:
        """Drop what nobody may share any more: where nothing happens for long, parameters still come and go."""
        old = [key for key, (at_ms, task) in self._tasks.items() if task.done() and now_ms - at_ms > _SHARED_MS]
        for key in old:
            del self._tasks[key]


def compute(topic: str, params: Mapping[str, Any], rights: Rights, zone: dt.tzinfo, now_ms: int) -> View:
    """Return a topic's view in the viewer's zone. Raises Refused."""
    with timezone.override(zone):
        return TOPICS[topic].view(rights, params, zone, now_ms)


_views: WeakKeyDictionary[asyncio.AbstractEventLoop, Views] = WeakKeyDictionary()


def views() -> Views:
    """Return the views of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _views:
        _views[loop] = Views()
    return _views[loop]
