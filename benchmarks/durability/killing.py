"""The parent: lets one worker after the other live a little, kills it or its database, and has the rest judged.

It holds no database connection itself: its children are forked from it, warm, and open their own.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from benchmarks.durability.judge import judge
from benchmarks.durability.ledger import Ear, Ledger, say
from benchmarks.durability.life import Life
from tests.support.postgres import Postgres

PHASES = ("append", "poll", "compact", "merge", "roll up")
# History that the first lot of lives finds to be compacted and rolled up, and each later one: more than an hour.
FED_TICKS = (540, 400)
# A killed life ends within this; one that is to kill itself at a statement it does not come to, is killed then.
_LONGEST_S = 2.0


@dataclass
class Report:
    """What a run found. `during`: what each thread was doing when its process was killed."""

    times: int = 0
    how: Counter[str] = field(default_factory=Counter)
    during: Counter[str] = field(default_factory=Counter)
    counted: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Killing:
    """A run on one database. `real`: the id of a broker that really answers, None: known figures alone."""

    def __init__(self, simulated: int, real: int | None, postgres: Postgres | None, seed: int) -> None:
        self.ledger = Ledger()
        self.report = Report()
        self._simulated = simulated
        self._real = real
        self._postgres = postgres
        self._random = random.Random(seed)
        self._began_ms = time.time_ns() // 1_000_000

    def run(self, times: int, judge_every: int = 25) -> Report:
        """Kill so many times; what is stored is judged in between and at the end."""
        began = time.monotonic()
        for number in range(times):
            if number % judge_every == 0:
                self._feed(FED_TICKS[number > 0])
                if self._real is not None:
                    # What a broker can is found out at a first poll, which takes longer than most lives.
                    self._live(None, "", 0.0, None, first_poll=True)
            self._one()
            self.report.times += 1
            if (number + 1) % judge_every == 0 or number + 1 == times:
                self.report.wrong += self._judged()
                self._progress(number + 1, times)
            if self.report.wrong:
                break
        self.report.wrong += self.ledger.wrong[:10]
        self.report.seconds = time.monotonic() - began
        return self.report

    def _progress(self, number: int, times: int) -> None:
        found = "nothing wrong" if not self.report.wrong else f"{len(self.report.wrong)} wrong"
        print(f"  {number} of {times} killed, {found}: {self.report.counted}", file=sys.stderr, flush=True)

    def _feed(self, ticks: int) -> None:
        def work(pipe: int) -> None:
            Life(pipe, self._simulated, None, None, self._began_ms).feed(ticks)

        pid, ear = self._fork(work)
        self._hear(ear, 300.0)
        ear.close()
        os.waitpid(pid, 0)
        self.ledger.phases.clear()

    def _one(self) -> None:
        """One life and its end: at a random moment, at a random statement, or with its database."""
        chosen = self._random.random()
        if self._postgres is not None and chosen < 0.3:
            self._with_database(self._random.choice(("backend", "postmaster", "connections cut")))
        elif chosen < 0.6:
            phase = self._random.choice([name for name in PHASES if self.ledger.statements.get(name)] or ["append"])
            number = self._random.randint(1, self.ledger.statements.get(phase, 3))
            self._live((phase, number, self._random.random() < 0.5), f"at a statement: {phase}", _LONGEST_S, None)
        else:
            self._live(None, "at a random moment", self._random.uniform(0.02, 2.5), None)

    def _with_database(self, how: str) -> None:
        """Kill under a living worker what it writes to; it must go on by itself. Then end it too."""
        assert self._postgres is not None
        server = self._postgres

        def hit() -> None:
            if how == "backend":
                # PostgreSQL ends all its backends and recovers, as it does after a crash of one.
                with suppress(ProcessLookupError):
                    os.kill(self._random.choice(server.backends() or [server.postmaster]), signal.SIGKILL)
            elif how == "postmaster":
                server.kill()
                server.start()
            else:
                server.cut_connections()

        self._live(None, f"database: {how}", self._random.uniform(0.1, 0.5), hit)

    def _live(
        self,
        aim: tuple[str, int, bool] | None,
        how: str,
        seconds: float,
        hit: Callable[[], None] | None,
        *,
        first_poll: bool = False,
    ) -> None:
        def work(pipe: int) -> None:
            life = Life(pipe, self._simulated, self._real, aim, self._began_ms)
            if hit is not None:
                life.most_ticks = 10**6  # whether it goes on is seen by what it writes
            life.run()

        pid, ear = self._fork(work)
        self.ledger.phases.clear()
        self._hear(ear, 15.0, until="begun")
        self._hear(ear, *((60.0, "polled") if first_poll else (seconds, "")))
        if hit is not None:
            hit()
            before = len(self.ledger.committed)
            # It must come back by itself: SQLite and PostgreSQL alike, a worker outlives a fault of its database.
            end = time.monotonic() + 30
            while len(self.ledger.committed) == before and time.monotonic() < end and not ear.ended:
                self._hear(ear, 0.1)
            if len(self.ledger.committed) == before:
                self.report.wrong.append(f"nothing was written within 30 s after: {how}")
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self._hear(ear, 10.0)
        ear.close()
        os.waitpid(pid, 0)
        if first_poll:
            return
        self.report.how[how] += 1
        self.report.during.update({phase or "between" for phase in self.ledger.phases.values()})

    def _hear(self, ear: Ear, seconds: float, until: str = "") -> None:
        for message in ear.hear(seconds):
            self.ledger.note(message)
            if until and message[0] == until:
                return

    def _judged(self) -> list[str]:
        def work(pipe: int) -> None:
            wrong, counted = judge(self.ledger, self._simulated, self._real)
            say(pipe, "judged", wrong, counted)

        if self._postgres is not None:
            # The last life may have ended before a server whose backend was killed had recovered.
            self._postgres.wait()
        pid, ear = self._fork(work)
        found = [message for message in ear.hear(600.0) if message[0] in {"judged", "wrong"}]
        ear.close()
        os.waitpid(pid, 0)
        if not found or found[-1][0] != "judged":
            return [f"what is stored could not be judged: {found}"]
        self.report.counted = found[-1][2]
        return list(found[-1][1])

    @staticmethod
    def _fork(work: Callable[[int], Any]) -> tuple[int, Ear]:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid:
            os.close(writing)
            return pid, Ear(reading)
        os.close(reading)
        try:
            work(writing)
            os._exit(0)
        except BaseException:  # noqa: BLE001 - whatever it is, the parent is told and the fork ends here
            say(writing, "wrong", traceback.format_exc())
            os._exit(1)
