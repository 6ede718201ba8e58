"""Several calls at once, each in a thread of its own, with one deadline for all and a measure for each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from brokers.collect.measures import CallMeasure
from brokers.rabbitmq.errors import BrokerError, ErrorKind

T = TypeVar("T")


@dataclass(slots=True)
class Job(Generic[T]):
    """One piece of asking: a few calls one behind the other, to one place.

    `ask` gets a list that it adds its calls' measures to. After `run_all`, either `answer` or `error` is there, or
    neither: then the deadline came first, and the thread is left to its own timeouts.
    """

    what: str
    node: str
    ask: Callable[[list[CallMeasure]], T]
    tier: str = ""
    answer: T | None = None
    error: BrokerError | None = None
    fault: Exception | None = None
    ended_ms: int = 0
    cpu_s: float = 0.0
    measures: list[CallMeasure] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def run(self, wake: threading.Condition) -> None:
        """Ask; called in the job's thread."""
        began, cpu = time.perf_counter(), time.thread_time()
        taken: list[CallMeasure] = []
        try:
            self.answer = self.ask(taken)
        except BrokerError as error:
            self.error = error
            # The calls before it, pages of a list for instance, have measures of their own.
            took = max(0.0, time.perf_counter() - began - sum(one.seconds for one in taken))
            taken.append(CallMeasure(self.what, self.node, took, 0, 0, error.sentence, tier=self.tier))
        except Exception as error:  # noqa: BLE001 (raised again in the thread that waits)
            self.fault = error
        self.measures = taken
        self.cpu_s = time.thread_time() - cpu
        self.ended_ms = time.time_ns() // 1_000_000
        with wake:
            self.done.set()
            wake.notify_all()


def run_all(jobs: list[Job[T]], deadline_s: float, enough: Callable[[], bool] | None = None) -> None:
    """Run all jobs side by side until all are done, `enough` says so, or the deadline has come.

    A fault of our own in a job is raised here; a BrokerError stays with its job.
    """
    wake = threading.Condition()
    ends = time.monotonic() + deadline_s
    for job in jobs:
        threading.Thread(target=job.run, args=(wake,), name=f"ask {job.what} {job.node}", daemon=True).start()
    with wake:
        while not all(job.done.is_set() for job in jobs):
            if enough is not None and enough():
                break
            left = ends - time.monotonic()
            if left <= 0:
                break
            wake.wait(left)
    for job in jobs:
        if job.done.is_set() and job.fault is not None:
            raise job.fault


def too_slow(what: str, where: str, deadline_s: float) -> BrokerError:
    """Return the error of a job that did not end before the deadline."""
    return BrokerError(
        ErrorKind.TOO_SLOW,
        f"{where} did not answer {what} within {deadline_s:g} s.",
        "Look at the broker's load, and at what stands between.",
    )
