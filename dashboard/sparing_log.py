"""A log that stays readable while one thing fails over and over: a disk that is full fails twice a second."""

from __future__ import annotations

import logging
import threading
import time

EVERY_S = 60.0


class OnceAMinute(logging.Filter):
    """Lets a failure with a traceback through once a minute, and says then how many like it were left out.

    Like it: of the same logger, by the same sentence, with the same kind of exception. Lines without one all pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        # For each kind: when it was last written (monotonic seconds), and how many were left out since.
        self._seen: dict[tuple[str, str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record is written; one that is gets the count of those left out."""
        if not record.exc_info or record.exc_info[0] is None:
            return True
        kind = (record.name, str(record.msg), record.exc_info[0].__name__)
        now = time.monotonic()
        with self._lock:
            written, left_out = self._seen.get(kind, (None, 0))
            if written is not None and now - written < EVERY_S:
                self._seen[kind] = (written, left_out + 1)
                return False
            self._seen[kind] = (now, 0)
        if left_out:
            record.msg, record.args = f"{record.getMessage()} ({left_out} more like it since)", None
        return True
