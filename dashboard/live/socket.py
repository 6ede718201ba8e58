"""The websocket at /ws/live: who it belongs to, what it watches, and the one task that sends on it.

The protocol stands in docs/architecture.md. Whatever arrives is answered by a sentence, never by a traceback.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

import msgspec
from django.conf import settings
from django.db import Error as DatabaseError

from dashboard.accounts.rights import NOBODY, Rights, rights_epoch, rights_of
from dashboard.accounts.sessions import user_of_session
from dashboard.live import frames
from dashboard.live.messages import (
    MOST_FAULTS,
    MOST_SUBSCRIPTIONS,
    Ack,
    Hide,
    Message,
    NotUnderstood,
    Show,
    Subscribe,
    Unsubscribe,
    understand,
)
from dashboard.live.refused import Refused
from dashboard.live.subscriptions import Subscription, Subscriptions
from dashboard.live.tail import tail
from dashboard.live.threads import in_thread
from dashboard.live.topics import TOPICS
from dashboard.live.views import views
from dashboard.zone import zone_named

logger = logging.getLogger(__name__)

Event = MutableMapping[str, Any]

NOT_SIGNED_IN = 4401
TOO_MANY_FAULTS = 4400
TRY_AGAIN_LATER = 1013
# The browser left by itself (what it says when a tab closes).
GONE = 1001
# A session that ends by its age makes no epoch grow: look again after this long.
LOOK_AGAIN_S = 60.0
# After the database failed: try again.
_TRY_AGAIN_S = 1.0


class _LeftError(Exception):
    """The browser has left."""


async def live_socket(
    scope: Event, receive: Callable[[], Awaitable[Event]], send: Callable[[Event], Awaitable[None]]
) -> None:
    """Serve one websocket (ASGI)."""
    await LiveSocket(scope, receive, send).run()


class LiveSocket:
    """One open websocket. Messages are taken in by `run`; everything is sent by the task `_deliver`."""

    def __init__(
        self, scope: Event, receive: Callable[[], Awaitable[Event]], send: Callable[[Event], Awaitable[None]]
    ) -> None:
        cookies: dict[str, str] = scope.get("cookies", {})
        self._session_key = cookies.get(settings.SESSION_COOKIE_NAME)
        self._zone: dt.tzinfo = zone_named(cookies.get("tz", ""))
        self._receive = receive
        self._send = send
        self._subscriptions = Subscriptions()
        self._rights: Rights = NOBODY
        # The rights epoch that `_rights` is of, and the newest that the tail has seen.
        self._epoch = -1
        self._newest_epoch = -1
        self._looked = 0.0
        self._faults = 0
        # Sentences to send before any view: refusals and what was not understood.
        self._sentences: list[frames.Frame] = []
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Serve until either side closes."""
        if (await self._receive())["type"] != "websocket.connect":
            return
        # A code can only be given to a socket that was accepted: the browser sees no reason of a refused handshake.
        await self._send({"type": "websocket.accept"})
        try:
            known = await self._identify()
        except DatabaseError as error:
            logger.warning("A live page was sent away: the database does not answer (%s).", error)
            await self._close(TRY_AGAIN_LATER)
            return
        if not known:
            await self._close(NOT_SIGNED_IN)
            return
        tail().join(self)
        sender = asyncio.create_task(self._deliver(), name="live socket")
        receiver = asyncio.create_task(self._take_in(), name="live socket, incoming")
        codes = []
        try:
            await asyncio.wait({sender, receiver}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await tail().leave(self)
            for task in (sender, receiver):
                task.cancel()
            for ended in await asyncio.gather(sender, receiver, return_exceptions=True):
                if isinstance(ended, Exception):
                    logger.error("A live socket ended by a fault.", exc_info=ended)
                elif isinstance(ended, int):
                    codes.append(ended)
        # Only now, when nothing is sent any more; nobody listens to a code who has left.
        if codes and GONE not in codes:
            await self._close(codes[0])

    def wake(self, brokers: frozenset[int] | None, epoch: int) -> None:
        """Take note of news; the tail calls this."""
        self._newest_epoch = epoch
        self._subscriptions.news(brokers)
        self._news.set()

    # Taking in

    async def _take_in(self) -> int:
        """Heed messages until there is a reason to close; return its code."""
        while True:
            event = await self._receive()
            if event["type"] != "websocket.receive":
                return GONE
            try:
                self._heed(understand(event.get("text")))
            except NotUnderstood as fault:
                self._fault(None, fault.sentence)
            if self._faults >= MOST_FAULTS:
                return TOO_MANY_FAULTS
            self._news.set()

    def _heed(self, message: Message) -> None:
        match message:
            case Subscribe():
                self._subscribe(message)
            case Unsubscribe():
                self._subscriptions.unsubscribe(message.sub)
            case Ack():
                self._subscriptions.ack(message.seq)
            case Hide():
                self._subscriptions.hide()
            case Show():
                self._subscriptions.show()

    def _subscribe(self, message: Subscribe) -> None:
        topic = TOPICS.get(message.topic)
        if topic is None:
            self._subscriptions.unsubscribe(message.sub)
            self._fault(message.sub, "Warren has no live figures under this name. Reload the page.")
        elif not self._subscriptions.subscribe(
            message.sub, message.topic, message.params, topic.brokers(message.params)
        ):
            self._fault(message.sub, f"This page watches {MOST_SUBSCRIPTIONS} things already, the most that it may.")

    def _fault(self, sub: str | None, sentence: str) -> None:
        self._faults += 1
        self._sentences.append(frames.refused(sub, sentence))

    # Sending

    async def _deliver(self) -> int:
        """Send what is due until there is a reason to close; return its code."""
        while True:
            # Not wait_for: on Python 3.11 it may swallow the cancelling that ends this task.
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_S):
                    await self._news.wait()
            self._news.clear()
            try:
                if self._rights_may_differ() and not await self._identify():
                    return NOT_SIGNED_IN
                await self._send_what_is_due()
            except _LeftError:
                return GONE
            except DatabaseError as error:
                logger.warning("A live page waits: the database does not answer (%s).", error)
                await asyncio.sleep(_TRY_AGAIN_S)
                self._news.set()

    def _rights_may_differ(self) -> bool:
        return self._newest_epoch > self._epoch or time.monotonic() - self._looked > LOOK_AGAIN_S

    async def _send_what_is_due(self) -> None:
        while self._sentences and not self._subscriptions.hidden:
            await self._say(self._sentences.pop(0))
        while (one := self._subscriptions.next()) is not None:
            # What comes up from here on makes it due again.
            one.due = False
            try:
                await self._send_view(one)
            except DatabaseError:
                one.due = True
                raise
            if self._rights_may_differ():
                self._news.set()
                return

    async def _send_view(self, one: Subscription) -> None:
        begun_in = one.round
        try:
            view = await views().view(one.topic, one.params, self._rights, self._zone)
        except Refused as refused:
            await self._end(one, begun_in, refused.sentence)
            return
        except DatabaseError:
            raise
        except Exception:
            logger.exception("The topic %s failed.", one.topic)
            await self._end(one, begun_in, "These figures could not be computed; Warren’s log says why.")
            return
        if self._rights_may_differ() or not self._subscriptions.is_current(one, begun_in):
            # Rights changed, or it was hidden or begun anew meanwhile: this view is not to be seen any more.
            one.due = True
            return
        frame = self._subscriptions.frame(one, view, time.time_ns() // 1_000_000)
        if frame is not None:
            await self._say(frame)

    async def _end(self, one: Subscription, begun_in: int, sentence: str) -> None:
        if self._subscriptions.is_current(one, begun_in):
            self._subscriptions.unsubscribe(one.sub)
            await self._say(frames.refused(one.sub, sentence))
        else:
            one.due = True

    async def _say(self, frame: frames.Frame) -> None:
        try:
            await self._send({"type": "websocket.send", "text": msgspec.json.encode(frame).decode()})
        except OSError as error:
            # So ASGI servers say that nobody is there any more: a page was closed while a frame was under way.
            raise _LeftError from error

    async def _close(self, code: int) -> None:
        with suppress(OSError):
            await self._send({"type": "websocket.close", "code": code})

    # Who it is

    async def _identify(self) -> bool:
        """Read the person and their rights anew; False where the session has ended."""
        epoch, rights = await in_thread(self._read_rights)
        self._looked = time.monotonic()
        self._epoch = epoch
        self._newest_epoch = max(self._newest_epoch, epoch)
        if rights is None:
            return False
        if rights != self._rights:
            self._rights = rights
            self._subscriptions.news(None)
        return True

    def _read_rights(self) -> tuple[int, Rights | None]:
        # The epoch first: what changes while the rest is read makes it grow again.
        epoch = rights_epoch()
        user = user_of_session(self._session_key)
        return epoch, None if user is None else rights_of(user)
