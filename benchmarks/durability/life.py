"""One life of a worker: it polls a real broker, appends known figures, compacts and rolls up, until it is killed.

Runs in a forked child; every database connection in it is its own.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
from django.db import DatabaseError, InterfaceError, connection

from benchmarks.durability import figures
from benchmarks.durability.ledger import say
from brokers.collect import poll
from brokers.collect.claims import claim
from brokers.collect.models import PollState
from brokers.series import store
from brokers.series.codec import Frame
from brokers.series.models import Snapshot
from brokers.series.store import append

# How far the simulated ticks may run ahead in one life: the database stays small enough to be judged often.
TICKS_A_LIFE = 25
_LONGEST_S = 20.0
FASTER = 60


class Life:
    """What one child does. `aim`: kill itself at a statement of a phase: `(phase, number, before it)`."""

    def __init__(
        self, pipe: int, simulated: int, real: int | None, aim: tuple[str, int, bool] | None, began_ms: int
    ) -> None:
        self._pipe = pipe
        self._simulated = simulated
        self._real = real
        self._aim = aim
        self._began_ms = began_ms
        self.most_ticks = TICKS_A_LIFE
        self._phase = threading.local()
        self._stored: list[int] = []

    def run(self) -> None:
        """Work until killed; ends by itself after a while, should nobody kill it."""
        jobs: list[tuple[str, Callable[[], None], float]] = [("append", self._append, 0.001)]
        if self._real is not None:
            self._release()
            store.append = self._store
            jobs.append(("poll", self._poll, 0.05))
        jobs.append(("tend", self._tend, 0.002))
        threads = [threading.Thread(target=self._loop, args=job, daemon=True) for job in jobs]
        for thread in threads:
            thread.start()
        say(self._pipe, "begun")
        time.sleep(_LONGEST_S)
        os._exit(3)

    def _store(self, broker_id: int, frame: Frame, cadence_ms: int) -> Snapshot:
        """Tell the parent the frame that a poll is about to store, and store it, further ahead than it is.

        A minute of polls is an hour of history, so that it too is compacted and rolled up while workers are killed.
        """
        at_ms = self._began_ms + (frame.at_ms - self._began_ms) * FASTER
        frame = replace(frame, at_ms=at_ms)
        tables = {kind.value: (table.slots, dict(table.columns)) for kind, table in frame.tables.items()}
        say(self._pipe, "poll", frame.at_ms, tables)
        self._stored.append(frame.at_ms)
        return append(broker_id, frame, cadence_ms * FASTER)

    def feed(self, ticks: int) -> None:
        """Do all that is due, append so many ticks, and come to an end: work for the next lives."""
        self._phase.thread, self._phase.name, self._phase.count = "feed", "", 0
        connection.execute_wrappers.append(self._counted)
        self._tend()
        for _ in range(ticks):
            self._append_one()

    def _release(self) -> None:
        """End the claim that the life before could not release: waiting for its end would take seconds a life."""
        for _ in range(200):
            try:
                PollState.objects.filter(broker_id=self._real).update(claimed_until_ms=0, claim="")
                break
            except (DatabaseError, InterfaceError):
                connection.close()
                time.sleep(0.05)
        connection.close()

    def _loop(self, name: str, work: Callable[[], None], pause_s: float) -> None:
        self._phase.thread, self._phase.name, self._phase.count = name, "", 0
        connection.execute_wrappers.append(self._counted)
        while True:
            try:
                work()
            except (DatabaseError, InterfaceError, psycopg.Error):
                # The server was killed or the connection cut: as after an error in a task, the next one connects anew.
                self._said("")
                connection.close()
                time.sleep(0.02)
            except Exception as error:  # noqa: BLE001 - the parent is told
                say(self._pipe, "wrong", f"{name} failed: {type(error).__name__}: {error}")
                time.sleep(0.2)
            time.sleep(pause_s)

    def _counted(self, execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        self._phase.count += 1
        aimed = self._aim is not None and self._aim[:2] == (self._phase.name, self._phase.count)
        if aimed and self._aim[2]:
            os.kill(os.getpid(), signal.SIGKILL)
        found = execute(sql, params, many, context)
        if aimed:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    @contextmanager
    def _in(self, phase: str) -> Iterator[None]:
        self._said(phase)
        yield
        self._said("")

    def _said(self, phase: str) -> None:
        say(self._pipe, "phase", self._phase.thread, phase, self._phase.count)
        self._phase.name, self._phase.count = phase, 0

    def _append(self) -> None:
        self._phase.ticks = getattr(self._phase, "ticks", 0) + 1
        if self._phase.ticks > self.most_ticks:
            time.sleep(0.05)
            return
        self._append_one()

    def _append_one(self) -> None:
        newest = (
            Snapshot.objects.filter(broker_id=self._simulated).order_by("-id").values_list("at_ms", flat=True).first()
        )
        tick = 0 if newest is None else figures.tick_at(newest) + 1
        say(self._pipe, "append", tick)
        with self._in("append"):
            append(self._simulated, figures.frame(tick), figures.TICK_MS)
        say(self._pipe, "appended", tick)

    def _poll(self) -> None:
        """A whole tick of a real broker, by the code that a worker runs."""
        assert self._real is not None
        now_ms = poll.now_ms()
        PollState.objects.filter(broker_id=self._real).update(next_due_ms=now_ms)
        claimed = claim(self._real, now_ms)
        if claimed is None:
            return
        with self._in("poll"):
            outcome = poll.poll(self._real, claimed.token)
        if outcome is poll.Outcome.STORED:
            say(self._pipe, "polled", self._stored[-1])

    def _tend(self) -> None:
        from benchmarks.durability import tending

        for phase, work in tending.works(self._simulated, self._real):
            with self._in(phase):
                work()
