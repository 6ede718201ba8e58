"""Whether there is room to store what polls bring, and what is said where there is none.

Polling stops while some room is left: compaction and roll-ups need a little to free a lot, and people must still be
able to sign in. It is told from the disk itself and not from a row, since a full disk takes no row; every process sees
the same, without a word between them. Of a database on a server only the server knows; there a poll that could not be
stored says so (`unstored`).
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models.functions import Coalesce

from brokers.collect.models import PollState

logger = logging.getLogger(__name__)

# SQLite writes what changes into its log first, also where it overwrites free pages: below this nothing goes any more.
LOG_BYTES = 8 * 2**20
_LOOKED_FOR_S = 1.0
_POSTGRESQL_DISK_FULL = "53100"
ON_SERVER = "The disk of the database's server is full"
REMEDY = "Free space there, or keep less history; polling goes on by itself."


@dataclass(frozen=True, slots=True)
class Room:
    """Room where the database lies. Bytes; `free` is None where it is not known: the database is on a server.

    `reusable` is room within the database's own file, which it fills before it grows. `least`: below it polling stops.
    """

    folder: str = ""
    free: int | None = None
    reusable: int = 0
    least: int = 0

    @property
    def short(self) -> bool:
        """There is too little to go on."""
        return self.free is not None and (self.free < LOG_BYTES or self.free + self.reusable < self.least)

    @property
    def sentence(self) -> str:
        """What is the matter, for those who may know where the data lies; blank where there is room."""
        if not self.short:
            return ""
        return (
            f"Polling is stopped: the disk of {self.folder} is nearly full ({_megabytes(self.free or 0)} free; "
            f"{_megabytes(max(self.least, LOG_BYTES))} are left for what frees room)."
        )


_lock = threading.Lock()
_seen: tuple[float, Room] | None = None


def room() -> Room:
    """Return how much room there is, as of a second ago at most. Raises DatabaseError."""
    global _seen  # noqa: PLW0603 - one for the process
    with _lock:
        if _seen is not None and time.monotonic() - _seen[0] < _LOOKED_FOR_S:
            return _seen[1]
    found = _look()
    with _lock:
        _seen = (time.monotonic(), found)
    return found


def forget() -> None:
    """Look anew next time."""
    global _seen  # noqa: PLW0603 - as above
    with _lock:
        _seen = None


def unstored(broker_id: int, token: str, error: DatabaseError, now_ms: int) -> None:
    """Take note that a poll could not be stored for want of room, where even so small a row can be written.

    On PostgreSQL it mostly can: an update finds room in a page that is there. The claim ends with it.
    """
    if not is_full(error):
        return
    forget()
    try:
        PollState.objects.filter(broker_id=broker_id, claim=token).update(
            claim="",
            claimed_until_ms=0,
            last_tick_ms=now_ms,
            # The broker did answer: it is late by our fault, never unreachable.
            failures=1,
            failing_since_ms=Coalesce("failing_since_ms", now_ms),
            error_kind="storage",
            error_sentence=f"{ON_SERVER}: what the broker answered could not be stored.",
            error_remedy=REMEDY,
        )
    except DatabaseError as again:
        logger.error("Broker %s: nor can that be written down: %s", broker_id, again)


def is_full(error: BaseException) -> bool:
    """Tell whether an error of the database, or what caused it, is want of room."""
    cause: BaseException | None = error
    while cause is not None:
        if getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return True
        if getattr(cause, "sqlstate", None) == _POSTGRESQL_DISK_FULL:
            return True
        if isinstance(cause, OSError) and cause.errno in {errno.ENOSPC, errno.EDQUOT}:
            return True
        cause = cause.__cause__
    return False


def _look() -> Room:
    if connection.vendor != "sqlite":
        return Room()
    folder = Path(str(connection.settings_dict["NAME"])).parent
    try:
        found = os.statvfs(folder)
    except OSError as error:
        logger.warning("How much room %s has can't be told: %s", folder, error)
        return Room()
    free, least = found.f_bavail * found.f_frsize, settings.WARREN_LEAST_ROOM_MB * 2**20
    if free >= least:
        return Room(str(folder), free, 0, least)
    with connection.cursor() as cursor:
        cursor.execute("SELECT freelist_count * page_size FROM pragma_freelist_count(), pragma_page_size()")
        reusable = int(cursor.fetchone()[0])
    return Room(str(folder), free, reusable, least)


def _megabytes(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
