"""Answers that are written while they are sent: few at once, ended with their client, time or right.

A piece is made when the one before it has gone out, so that a slow client costs memory for one piece and no more.
"""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

from dashboard.accounts.models import User
from dashboard.accounts.rights import Rights, rights_epoch, rights_of
from dashboard.api.auth import Person
from dashboard.api.problems import ProblemError
from dashboard.api.series_rows import BrokenOffError

# Streams at once, in one web process: each takes a thread and much of a core.
MOST_AT_ONCE = 4
MOST_A_PERSON = 2
LONGEST_S = 900.0

_running: Counter[int] = Counter()
_lock = threading.Lock()


def stream(
    request: HttpRequest, rights: Rights, pieces: Iterator[bytes], content_type: str, file_name: str
) -> StreamingHttpResponse:
    """Return an answer that sends the pieces as they come. Raises ProblemError (429) where too many run already."""
    release = _taken(rights.user_id or 0)
    try:
        content = _in_turn(pieces) if isinstance(request, ASGIRequest) else pieces
        answer = StreamingHttpResponse(content, content_type=f"{content_type}; charset=utf-8")
    except BaseException:
        release()
        raise
    answer.headers["Content-Disposition"] = f'attachment; filename="{file_name}"'
    # Proxies shall pass pieces on (nginx keeps an answer back otherwise).
    answer.headers["X-Accel-Buffering"] = "no"
    # However it ends: sent, cut off, or never begun because the client had gone before.
    weakref.finalize(answer, release)
    answer._resource_closers.append(release)  # type: ignore[attr-defined] # noqa: SLF001 - Django's own way
    return answer


def going_on(request: HttpRequest, rights: Rights) -> Callable[[], str]:
    """Return a function that says why a stream must end now, empty while it may go on. One cheap query a call."""
    epoch = rights_epoch()
    ends = time.monotonic() + LONGEST_S

    def why_not() -> str:
        nonlocal epoch
        if time.monotonic() > ends:
            return f"This took longer than {LONGEST_S / 60:.0f} minutes. Ask for a shorter span or a longer step."
        now = rights_epoch()
        if now != epoch:
            epoch = now
            if not _still(request, rights):
                return "Your rights have changed meanwhile. Ask again."
        return ""

    return why_not


def _still(request: HttpRequest, rights: Rights) -> bool:
    """Tell whether who asked is still known by what they sent, and still has the same rights."""
    try:
        known = Person()(request)
    except ProblemError:
        return False
    fresh = User.objects.filter(pk=known.pk).first() if known is not None else None
    return fresh is not None and rights_of(fresh) == rights


def _taken(user_id: int) -> Callable[[], None]:
    with _lock:
        if _running[user_id] >= MOST_A_PERSON or _running.total() >= MOST_AT_ONCE:
            whose = f"{MOST_A_PERSON} of yours" if _running[user_id] >= MOST_A_PERSON else f"{MOST_AT_ONCE} in all"
            raise ProblemError(
                429,
                f"Streams are being sent already ({whose}). Wait until one has ended.",
                headers={"Retry-After": "5"},
            )
        _running[user_id] += 1
    once = [user_id]

    def release() -> None:
        with _lock:
            if once:
                _running[once.pop()] -= 1

    return release


async def _in_turn(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Make the pieces in the request's own thread, so that the event loop serves others meanwhile."""
    step = sync_to_async(lambda: next(pieces, None))
    try:
        while (piece := await step()) is not None:
            yield piece
    except BrokenOffError:
        # The one way by which Django ends an answer without its end: a client then sees that it is not whole.
        raise asyncio.CancelledError from None
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            await sync_to_async(close)()
