"""Where the live part asks the database: threads of its own, so that pages and sockets never wait for each other's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import close_old_connections

T = TypeVar("T")

# Views are computed in Python, one at a time whatever there are; a second thread is for what waits for the database.
THREADS = 2
pool = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="live")


async def in_thread(work: Callable[[], T]) -> T:
    """Run a function that asks the database, and return what it returns or raise what it raises."""
    return await asyncio.get_running_loop().run_in_executor(pool, _with_good_connections, work)


def _with_good_connections(work: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return work()
    finally:
        close_old_connections()
