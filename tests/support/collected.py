"""What a running dashboard has collected, read from its SQLite file beside it: no page and no API between."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from brokers.collect.state import BrokerState, Condition, PollFacts, decide

T = TypeVar("T")

_FACTS = """
    SELECT broker.name, broker.paused, max(broker.cadence_s * 1000, poll.cadence_ms) AS cadence_ms,
           coalesce(poll.last_tick_ms, 0) AS created_ms, poll.last_tick_ms, poll.last_ok_ms, poll.failures,
           poll.failing_since_ms, poll.claimed_until_ms, poll.error_sentence, poll.error_remedy
    FROM registry_broker AS broker JOIN collect_pollstate AS poll ON poll.broker_id = broker.id
    WHERE broker.name = ?
"""


def facts(data_dir: Path, name: str) -> PollFacts | None:
    """Return how polling of a broker stands; None before its first tick was claimed."""
    with _opened(data_dir) as database:
        row = database.execute(_FACTS, (name,)).fetchone()
    return PollFacts(**{**dict(row), "paused": bool(row["paused"])}) if row else None


def condition(data_dir: Path, name: str) -> BrokerState | None:
    """Return the broker's state now, as pages say it; None before its first tick was claimed."""
    found = facts(data_dir, name)
    return decide(found, now_ms()) if found else None


def snapshots(data_dir: Path, name: str) -> list[int]:
    """Return when each snapshot of a broker was taken, Unix milliseconds, ascending."""
    query = (
        "SELECT at_ms FROM series_snapshot JOIN registry_broker AS broker ON broker.id = broker_id "
        "WHERE broker.name = ? ORDER BY at_ms"
    )
    with _opened(data_dir) as database:
        return [int(row["at_ms"]) for row in database.execute(query, (name,))]


def wait_until(ask: Callable[[], T], seconds: float, what: str, log: Callable[[], str] = str) -> T:
    """Return the first true answer of `ask`. Raises AssertionError with `what` and the log where there is none."""
    end = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < end, f"Not within {seconds:g} s: {what}\n{log()}"
        time.sleep(0.05)
    return answer


def wait_for_condition(data_dir: Path, name: str, wanted: Condition, seconds: float, log: Callable[[], str]) -> None:
    """Return once a broker is in a state."""

    def there() -> bool:
        found = condition(data_dir, name)
        return found is not None and found.condition is wanted

    wait_until(there, seconds, f"{name} is {wanted}", log)


def now_ms() -> int:
    """Return the clock, Unix milliseconds."""
    return time.time_ns() // 1_000_000


@contextmanager
def _opened(data_dir: Path) -> Iterator[Any]:
    with closing(sqlite3.connect(f"file:{data_dir / 'warren.sqlite3'}?mode=ro", uri=True, timeout=20)) as database:
        database.row_factory = sqlite3.Row
        yield database
