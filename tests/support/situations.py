"""Situations of consumers, acted on a real broker: each queue goes through phases of a script, all of them at once.

A script says of each phase how fast is published, who consumes and how, and which state that is. One thread and one
connection a broker act all of them, so that a machine with two cores has time for a hundred queues.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.brokers import TestBroker

# Messages published at one go when a loop was late; more are left out, as a publisher that is held up would.
_AT_ONCE = 100
QUEUE_TYPES = ("classic", "quorum")


@dataclass(frozen=True)
class Consumes:
    """How a consumer behaves. `prefetch` 0: no limit. Either it works on one message after the other, `work_s` each,
    or it answers each message `latency_s` after it came, however many it holds. `answer`: ack, nack, never or auto."""

    prefetch: int = 50
    work_s: float = 0.002
    latency_s: float = 0.0
    answer: str = "ack"


@dataclass(frozen=True)
class Phase:
    """So many seconds of one situation. `rate` is messages a second, or a function of the seconds since it began;
    `gets` basic.get a second; `state` the codes that are right for it, the first being the one to be named."""

    seconds: float
    state: tuple[int, ...]
    rate: float | Callable[[float], float] = 0.0
    consumers: tuple[Consumes, ...] = ()
    gets: float = 0.0
    prefill: int = 0


@dataclass(frozen=True)
class Script:
    """One queue's course."""

    name: str
    phases: tuple[Phase, ...]


@dataclass(frozen=True)
class Passed:
    """A phase as it was acted: `began_ms` and `ended_ms` in Unix milliseconds."""

    script: str
    queue: str
    number: int
    phase: Phase
    began_ms: int
    ended_ms: int


class _Consumer:
    def __init__(self, connection: Any, queue: str, how: Consumes) -> None:
        self.how = how
        self.channel = connection.channel()
        if how.prefetch:
            self.channel.basic_qos(prefetch_count=how.prefetch)
        self.held: deque[tuple[int, float]] = deque()
        self.free_at = 0.0
        self.channel.basic_consume(queue, self._taken, auto_ack=how.answer == "auto")

    def _taken(self, _channel: object, method: Any, *_rest: object) -> None:
        if self.how.answer in {"ack", "nack"}:
            self.held.append((method.delivery_tag, time.monotonic()))

    def act(self, now: float) -> None:
        while self.held:
            tag, came = self.held[0]
            done = came + self.how.latency_s if self.how.latency_s else max(self.free_at, came) + self.how.work_s
            if done > now:
                return
            self.free_at = done
            self.held.popleft()
            if self.how.answer == "ack":
                self.channel.basic_ack(tag)
            else:
                self.channel.basic_nack(tag, requeue=True)

    def end(self) -> None:
        if self.channel.is_open:
            self.channel.close()


class _Acted:
    """One queue on its way through its script."""

    def __init__(self, connection: Any, queue: str, script: Script) -> None:
        self.connection, self.queue, self.script = connection, queue, script
        self.channel = connection.channel()
        self.passed: list[Passed] = []
        self.number = -1
        self.consumers: list[_Consumer] = []
        self.began = self.began_ms = 0.0
        self.owed = self.gets_owed = 0.0
        self.last = 0.0

    def act(self, now: float, phase_of: int | None = None) -> bool:
        """Do what is due; False when the script is over. `phase_of` set: the phase to be in, whatever its seconds."""
        over = self.number < 0 or now - self.began >= self._phase.seconds
        if (over if phase_of is None else self.number < phase_of) and not self._next(now):
            return False
        phase = self._phase
        span = now - self.last
        self.last = now
        self.owed = min(self.owed + _over(phase.rate, now - self.began - span, span), _AT_ONCE)
        while self.owed >= 1:
            self.channel.basic_publish("", self.queue, b"x")
            self.owed -= 1
        self.gets_owed = min(self.gets_owed + phase.gets * span, 3)
        while self.gets_owed >= 1:
            method, _, _ = self.channel.basic_get(self.queue)
            if method is not None:
                self.channel.basic_ack(method.delivery_tag)
            self.gets_owed -= 1
        for one in self.consumers:
            one.act(time.monotonic())
        return True

    @property
    def _phase(self) -> Phase:
        return self.script.phases[self.number]

    def _next(self, now: float) -> bool:
        at_ms = int(time.time() * 1000)
        if self.number >= 0:
            before = self._phase
            self.passed.append(Passed(self.script.name, self.queue, self.number, before, int(self.began_ms), at_ms))
        if self.number + 1 == len(self.script.phases):
            self._consume(())
            return False
        self.number += 1
        self.began, self.began_ms, self.last = now, at_ms, now
        self.owed = self.gets_owed = 0.0
        for _ in range(self._phase.prefill):
            self.channel.basic_publish("", self.queue, b"x")
        if self.number == 0 or self._phase.consumers != self.script.phases[self.number - 1].consumers:
            self._consume(self._phase.consumers)
        return True

    def _consume(self, wanted: Sequence[Consumes]) -> None:
        for one in self.consumers:
            one.end()
        self.consumers = [_Consumer(self.connection, self.queue, how) for how in wanted]


def _over(rate: float | Callable[[float], float], since_s: float, span_s: float) -> float:
    """Return how many messages a rate makes in so long: a burst that a busy machine slept through is made up for."""
    if not callable(rate):
        return rate * span_s
    parts = max(1, round(span_s / 0.01))
    return sum(rate(since_s + (part + 0.5) * span_s / parts) for part in range(parts)) * span_s / parts


@dataclass
class Stage:
    """Acts scripts on one broker, in a thread of its own; `passed` is there when `join` returned."""

    broker: TestBroker
    vhost: str
    scripts: Sequence[Script]
    types: Sequence[str] = QUEUE_TYPES
    # Whoever watches says when the next phase begins (`advance`), not the clock.
    paced: bool = False
    passed: list[Passed] = field(default_factory=list)
    problem: Exception | None = None

    def start(self) -> None:
        """Begin."""
        self._phase = 0
        self._acted: list[_Acted] = []
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"stage {self.broker.version}")
        self._thread.start()

    def advance(self) -> None:
        """Let every script go into its next phase; after the last one it ends."""
        self._phase += 1

    @property
    def reached(self) -> int:
        """The phase that every script has reached."""
        return min((one.number for one in self._acted), default=-1)

    def join(self, seconds: float) -> None:
        """Wait for the end of all scripts. Raises what ended the thread before, AssertionError after `seconds`."""
        self._thread.join(seconds)
        if self.problem is not None:
            raise self.problem
        assert not self._thread.is_alive(), f"The scripts on {self.broker.version} did not end within {seconds:g} s"

    def _run(self) -> None:
        try:
            connection = self.broker.connect(self.vhost)
            acted = []
            for kind in self.types:
                for script in self.scripts:
                    queue = f"{kind}.{script.name}"
                    setup = connection.channel()
                    setup.queue_declare(queue, durable=True, arguments={"x-queue-type": kind})
                    setup.close()
                    acted.append(_Acted(connection, queue, script))
            self._acted = acted
            going = list(acted)
            while going:
                connection.process_data_events(time_limit=0.01)
                now = time.monotonic()
                phase = self._phase if self.paced else None
                going = [one for one in going if one.act(now, phase)]
            connection.close()
            self.passed = [passed for one in acted for passed in one.passed]
        except Exception as error:  # noqa: BLE001  # whatever it is, `join` raises it
            self.problem = error


IDLE, OK, BEHIND, STARVED, STALLED, STOPPED = range(6)
_GOOD = Consumes()
_OK = Phase(40, (OK,), rate=10, consumers=(_GOOD,))


def _there_and_back(name: str, *trouble: Phase) -> Script:
    return Script(name, (_OK, *trouble, Phase(50, (OK,), rate=10, consumers=(Consumes(prefetch=100),))))


def _teeth(seconds: float) -> float:
    return 30.0 if seconds % 12 < 4 else 0.0


def _bursts(seconds: float) -> float:
    return 240.0 if seconds % 7 < 0.25 else 0.0


def scripts(trouble_s: float = 50) -> tuple[Script, ...]:
    """Return a script for each situation; each takes about two minutes."""
    whole = 90 + trouble_s
    return (
        Script("idle", (Phase(whole, (IDLE,)),)),
        Script("idle-consumer", (Phase(whole, (IDLE,), consumers=(_GOOD,)),)),
        Script("steady", (Phase(whole, (OK,), rate=10, consumers=(_GOOD,)),)),
        Script("bursts", (Phase(whole, (OK,), rate=_bursts, consumers=(Consumes(work_s=0.03),)),)),
        Script("sawtooth", (Phase(whole, (OK,), rate=_teeth, consumers=(Consumes(work_s=0.07),)),)),
        Script("auto-ack", (Phase(whole, (OK,), rate=10, consumers=(Consumes(answer="auto"),)),)),
        Script("gets", (Phase(whole, (OK,), rate=8, gets=12, prefill=20),)),
        _there_and_back("behind", Phase(trouble_s, (BEHIND,), rate=20, consumers=(Consumes(prefetch=20, work_s=0.1),))),
        _there_and_back("holds", Phase(trouble_s, (STALLED,), rate=10, consumers=(Consumes(0, answer="never"),))),
        _there_and_back("full", Phase(trouble_s, (STALLED,), rate=10, consumers=(Consumes(10, answer="never"),))),
        _there_and_back("stopped", Phase(trouble_s, (STOPPED,), rate=10)),
        _there_and_back(
            "starved", Phase(trouble_s, (STARVED,), rate=40, consumers=(Consumes(prefetch=1, latency_s=0.04),))
        ),
        _there_and_back(
            "loop",
            Phase(trouble_s, (STALLED,), rate=2, consumers=(Consumes(5, latency_s=0.2, answer="nack"),), prefill=10),
        ),
    )
