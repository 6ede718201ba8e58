"""Polls brokers under a load of known ages, as a worker would."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from django.db import connection

from brokers.collect import claims, definitions, poll
from brokers.collect.models import PollState
from tests.support.lag_judge import TICK_S


def tick(broker_id: int) -> poll.Outcome:
    """Do one tick of a broker now."""
    PollState.objects.filter(broker_id=broker_id).update(next_due_ms=0)
    claimed = claims.claim(broker_id, poll.now_ms())
    return poll.Outcome.LOST if claimed is None else poll.guarded(broker_id, claimed.token)


def read_definitions(broker_id: int) -> None:
    """Read a broker's definitions now."""
    PollState.objects.filter(broker_id=broker_id).update(definitions_due_ms=0)
    claimed = claims.claim(broker_id, poll.now_ms(), claims.Lane.DEFINITIONS)
    if claimed is not None:
        definitions.read_definitions(broker_id, claimed.token)


def poll_for(broker_ids: Sequence[int], seconds: float, also: Callable[[], None] = lambda: None) -> None:
    """Tick each broker every five seconds, each in a thread of its own, for so long."""
    end = time.monotonic() + seconds

    def one(broker_id: int) -> None:
        due = time.monotonic()
        while due < end:
            time.sleep(max(0.0, due - time.monotonic()))
            tick(broker_id)
            due += TICK_S
        connection.close()

    threads = [threading.Thread(target=one, args=(broker_id,)) for broker_id in broker_ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    also()
