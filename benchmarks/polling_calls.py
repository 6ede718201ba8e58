"""What Warren really asked of a broker in a run, call by call, and what each kind of call costs the broker."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests

from benchmarks import cpu
from tests.support.brokers import TestBroker

# A kind of call is repeated so often, or as often as fits into so many seconds; a quick one more often.
_CALLS = 20
_LEAST = 4
_SECONDS = 15.0


@dataclass
class Watched:
    """Calls by path and query, since it was made; `seconds` counts only the time in which Warren was to poll."""

    database: Path
    calls: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    # Periods of depth in force, seconds, as they were seen.
    depth_s: list[float] = field(default_factory=list)
    _seen: set[tuple[str, int]] = field(default_factory=set)

    def look(self) -> None:
        """Note the calls of the last tick and of the last reading of definitions, where they are new."""
        for lane, told in zip(("tick", "definitions"), stored(self.database), strict=True):
            began_ms = int(told.get("began_ms", 0))
            if began_ms and (lane, began_ms) not in self._seen:
                self._seen.add((lane, began_ms))
                self.calls.update(call["what"] for call in told["calls"] if not call.get("error"))
        self.depth_s.append(period_s(self.database))

    @contextmanager
    def polling(self) -> Iterator[None]:
        """Count what is asked until the block ends. What was asked before does not count."""
        ended = threading.Event()
        kept = Counter(self.calls)
        self.look()
        self.calls = kept

        def watch() -> None:
            while not ended.wait(0.5):
                self.look()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        began = time.monotonic()
        try:
            yield
        finally:
            ended.set()
            thread.join(30)
            self.seconds += time.monotonic() - began


def stored(database: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the measures of the last tick and of the last reading of definitions."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=20)) as opened:
        row = opened.execute("SELECT measures, definitions_measures FROM collect_pollstate").fetchone()
    tick, definitions = (json.loads(one) if one else {} for one in row or ("", ""))
    return tick, definitions


def period_s(database: Path) -> float:
    """Return the cadence in force, seconds."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=20)) as opened:
        row = opened.execute("SELECT cadence_ms FROM collect_pollstate").fetchone()
    return (row[0] if row else 0) / 1000


def cost_of_each(broker: TestBroker, pid: int, kinds: Mapping[str, int]) -> dict[str, float]:
    """Return the milliseconds of CPU that a process spends on one call of each kind."""
    session = requests.Session()
    session.auth = (broker.username, broker.password)
    return {what: _cost(session, broker, pid, what) for what in kinds}


def _cost(session: requests.Session, broker: TestBroker, pid: int, what: str) -> float:
    managed = what.startswith("/api/")
    url = broker.management + what if managed else urljoin(broker.prometheus, what)
    # As Warren asks: the management API compressed, Prometheus not where it is near.
    headers = {"Accept-Encoding": "gzip" if managed else "identity"}

    def call() -> float:
        began = time.monotonic()
        session.get(url, headers=headers, timeout=60)
        took = time.monotonic() - began
        # The management API answers what comes again at once from its cache, for five times as long as it took.
        time.sleep(6 * took if managed else 0.0)
        return took * (7 if managed else 1)

    call()
    count = int(max(_LEAST, min(_CALLS, _SECONDS / max(call(), 0.001))))
    before = cpu.idle(pid, 3.0)
    began, spent = time.monotonic(), cpu.seconds(pid)
    for _ in range(count):
        call()
    took, spent = time.monotonic() - began, cpu.seconds(pid) - spent
    idle = (before + cpu.idle(pid, 3.0)) / 2
    return (spent - idle * took) / count * 1000
