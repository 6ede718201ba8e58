"""Fixtures of the live tests."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Barrier

import pytest
from django.db import connections

from dashboard.live import threads


@pytest.fixture
def live_db(transactional_db: None) -> Iterator[None]:
    """A database that the live part's own threads see too; their connections are closed with the test."""
    yield
    together = Barrier(threads.THREADS)

    def close() -> None:
        together.wait(10)
        connections.close_all()

    for done in [threads.pool.submit(close) for _ in range(threads.THREADS)]:
        done.result(20)
