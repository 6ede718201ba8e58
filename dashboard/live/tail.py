"""The tail of the snapshot log: one task a process notices what is new, and wakes the sockets that wait for it.

There is no channel layer and no Redis: the database is asked four times a second for the highest snapshot id, newest
event, the state of polling and the rights epoch. A broker that fails writes no snapshot, so how each broker stands is
decided here anew each time, also as time alone passes. The task runs while there is a socket.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from weakref import WeakKeyDictionary

from django.db import Error as DatabaseError
from django.db.models import Max

from brokers.collect.models import BrokerEvent
from brokers.collect.state import state_of
from brokers.registry.models import Broker, ObjectRevision
from brokers.series.models import Snapshot
from dashboard.accounts.rights import rights_epoch
from dashboard.live.threads import in_thread

logger = logging.getLogger(__name__)

INTERVAL_S = 0.25
# While the database does not answer it is asked less often.
_FAILED_INTERVAL_S = 2.0
# Ids below the highest seen are looked at again: a transaction may end after one with a higher id.
_LOOK_BACK = 64
# Columns that may be large and tell nothing of how a broker stands.
_LARGE = (
    *("sealed", "ca_pem", "client_cert_pem"),
    *("poll_state__capabilities", "poll_state__base_parts", "poll_state__facts", "poll_state__unknown"),
    *("poll_state__measures", "poll_state__definitions_measures", "poll_state__definitions_error"),
)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the database found. Two looks with equal entries for a broker mean: nothing new of it."""

    snapshots: Mapping[int, int] = field(default_factory=dict)  # broker → highest snapshot id seen
    highest: int = 0
    brokers: Mapping[int, Hashable] = field(default_factory=dict)  # broker → how it stands
    event: int = 0
    epoch: int = 0


def look(before: Look, now_ms: int) -> Look:
    """Ask the database: five cheap queries, whatever the number of brokers."""
    since = before.highest or Snapshot.objects.aggregate(highest=Max("id"))["highest"] or 0
    newer = Snapshot.objects.filter(id__gt=since - _LOOK_BACK).order_by().values_list("broker_id")
    newest_by_broker = dict(newer.annotate(newest=Max("id")))
    snapshots = dict(before.snapshots)
    for broker_id, newest in newest_by_broker.items():
        snapshots[broker_id] = max(newest, snapshots.get(broker_id, 0))
    revisions = dict(ObjectRevision.objects.values_list("broker_id", "value"))
    brokers = {
        broker.id: _standing(broker, revisions.get(broker.id, 0), now_ms)
        for broker in Broker.objects.select_related("poll_state").defer(*_LARGE)
    }
    return Look(
        snapshots=snapshots,
        highest=max(since, *newest_by_broker.values()) if newest_by_broker else since,
        brokers=brokers,
        event=BrokerEvent.objects.aggregate(newest=Max("id"))["newest"] or 0,
        epoch=rights_epoch(),
    )


def _standing(broker: Broker, revision: int, now_ms: int) -> Hashable:
    """All of a broker, apart from its snapshots, that a page may show."""
    poll = getattr(broker, "poll_state", None)
    polled = (poll.last_tick_ms, poll.failures, poll.definitions_ms, poll.cadence_ms) if poll is not None else None
    return broker.name, broker.revision, broker.paused, revision, polled, state_of(broker, now_ms)


def news(before: Look, after: Look) -> frozenset[int] | None:
    """Return the brokers of which there is something new; None where a page on any of them may show it. Pure."""
    if after.event != before.event or before.brokers.keys() != after.brokers.keys():
        return None
    return frozenset(
        broker_id
        for broker_id, standing in after.brokers.items()
        if standing != before.brokers[broker_id] or after.snapshots.get(broker_id) != before.snapshots.get(broker_id)
    )


class Waiting(Protocol):
    """Who is woken."""

    def wake(self, brokers: frozenset[int] | None, epoch: int) -> None:
        """Take note that there is news of these brokers (None: of any), and of the rights epoch."""


class Tail:
    """The tail of one event loop."""

    def __init__(self) -> None:
        self._waiting: set[Waiting] = set()
        self._task: asyncio.Task[None] | None = None
        self._failed = False
        # Grows with every look that found something: what was computed before is of yesterday.
        self.generation = 0

    def join(self, who: Waiting) -> None:
        """Wake `who` from now on."""
        self._waiting.add(who)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="live tail")

    async def leave(self, who: Waiting) -> None:
        """Wake `who` no more; the last one ends the task."""
        self._waiting.discard(who)
        if self._waiting or self._task is None:
            return
        task, self._task = self._task, None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        last: Look | None = None
        while True:
            began = time.monotonic()
            last = await self._look(last)
            pause = _FAILED_INTERVAL_S if self._failed else max(0.05, INTERVAL_S - (time.monotonic() - began))
            await asyncio.sleep(pause)

    async def _look(self, last: Look | None) -> Look | None:
        now_ms = time.time_ns() // 1_000_000
        try:
            found = await in_thread(lambda: look(last or Look(), now_ms))
        except DatabaseError as error:
            if not self._failed:
                logger.warning("Live pages get no news: the database does not answer (%s).", error)
            self._failed = True
            return last
        except Exception:
            # Were this task to end, every open page would stand still without a word.
            if not self._failed:
                logger.exception("Live pages get no news: looking for it failed.")
            self._failed = True
            return last
        if self._failed:
            logger.warning("Live pages get news again.")
        self._failed = False
        changed = None if last is None else news(last, found)
        if changed is None or changed or (last is not None and found.epoch != last.epoch):
            self.generation += 1
            for who in list(self._waiting):
                who.wake(changed, found.epoch)
        return found


_tails: WeakKeyDictionary[asyncio.AbstractEventLoop, Tail] = WeakKeyDictionary()


def tail() -> Tail:
    """Return the tail of the running event loop: one a process, since a web process has one loop."""
    loop = asyncio.get_running_loop()
    if loop not in _tails:
        _tails[loop] = Tail()
    return _tails[loop]


def watching() -> int:
    """Return how many sockets of this process wait for news."""
    return sum(len(one._waiting) for one in list(_tails.values()))  # noqa: SLF001 # of this module
