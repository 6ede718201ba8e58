"""Traffic of which the age of each queue's oldest message is known at every moment.

Each message carries its number and its send time in its body. A queue has one publisher and one consumer whose paces
change by a script; some messages are requeued, some are dead-lettered, and queues are purged.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pika import BasicProperties

from tests.support.brokers import TestBroker

# (seconds, messages a second): one after the other, then from the start again.
Script = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Aged:
    """What happens to one queue. `requeued`, `rejected`: shares of the deliveries; `purged`: seconds from the start.

    `fed_by`: the queue whose rejected messages are dead-lettered into this one.
    """

    name: str
    kind: str
    published: Script = ()
    consumed: Script = ()
    requeued: float = 0.0
    rejected: float = 0.0
    purged: tuple[float, ...] = ()
    prefetch: int = 20
    fed_by: str = ""
    # Leave it to a quorum queue where it puts what is returned.
    to_tail: bool = False


@dataclass
class Truth:
    """When each message entered a queue and when it left (inf: it did not), Unix seconds, by queue."""

    entered: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    left: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def age_s(self, queue: str, at_s: float) -> float:
        """Return the age of the oldest message in a queue at a moment; 0 where it is empty."""
        entered = self.entered[queue]
        inside = (entered <= at_s) & (self.left[queue] > at_s)
        return at_s - float(entered[inside].min()) if inside.any() else 0.0


def scripts(kind: str, *, short: bool = False) -> list[Aged]:
    """Return the queues of the long run (ten minutes), or of one of less than a minute."""
    if short:
        return [
            Aged(f"pace-{kind}", kind, [(60, 30)], [(22, 0), (60, 90)], requeued=0.05),
            Aged(f"purge-{kind}", kind, [(60, 20)], [(60, 8)], purged=(26,)),
            Aged(f"reject-{kind}", kind, [(60, 10)], [(60, 8)], rejected=0.3),
            Aged(f"letters-{kind}", kind, fed_by=f"reject-{kind}"),
        ]
    return [
        Aged(f"pace-{kind}", kind, [(600, 30)], [(60, 0), (60, 60), (120, 10), (60, 80), (100, 25), (80, 60)]),
        Aged(
            f"bursts-{kind}",
            kind,
            [(40, 15), (5, 250)],
            [(90, 40), (20, 5), (60, 60)],
            requeued=0.05,
        ),
        Aged(f"purge-{kind}", kind, [(600, 20)], [(600, 10)], purged=(150, 330, 450), requeued=0.02),
        Aged(f"stops-{kind}", kind, [(150, 40), (150, 0)], [(120, 10), (180, 45)]),
        *(
            [Aged(f"tail-{kind}", kind, [(600, 20)], [(60, 5), (60, 30)], requeued=0.05, to_tail=True)]
            if kind == "quorum"
            else []
        ),
        Aged(f"slow-{kind}", kind, [(600, 0.5)], [(600, 0.35)]),
        Aged(f"reject-{kind}", kind, [(600, 10)], [(200, 6), (200, 14)], rejected=0.3),
        Aged(f"letters-{kind}", kind, consumed=[(300, 0), (300, 6)], fed_by=f"reject-{kind}"),
    ]


class AgedLoad:
    """Runs scripts on a broker's vhost in a process of its own; `wait` gives the truth."""

    def __init__(self, broker: TestBroker, vhost: str, queues: Sequence[Aged], seconds: float, folder: Path) -> None:
        self._file = folder / f"{vhost}.npz"
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=_run, args=(broker, vhost, list(queues), seconds, self._file))
        declare(broker, vhost, queues)

    def start(self) -> None:
        """Begin."""
        self._process.start()

    def wait(self, seconds: float) -> Truth:
        """Return the truth once the scripts have run. Raises AssertionError where they don't end well."""
        self._process.join(seconds)
        if self._process.is_alive():
            self._process.terminate()
        assert self._process.exitcode == 0, f"the load ended with {self._process.exitcode}"
        found = Truth()
        with np.load(self._file) as stored:
            for name in stored.files:
                queue, what = name.rsplit("|", 1)
                (found.entered if what == "entered" else found.left)[queue] = stored[name]
        return found

    def end(self) -> None:
        """End it before its time."""
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(10)


def declare(broker: TestBroker, vhost: str, queues: Sequence[Aged]) -> None:
    """Declare the queues."""
    fed = {one.fed_by: one.name for one in queues if one.fed_by}
    connection = broker.connect(vhost)
    channel = connection.channel()
    for one in queues:
        arguments: dict[str, Any] = {"x-queue-type": one.kind}
        if one.kind == "quorum" and one.requeued and not one.to_tail:
            # Without a limit, which 3.10 has none of by itself, a quorum queue puts what is returned at its tail.
            arguments["x-delivery-limit"] = 100
        if one.name in fed:
            arguments |= {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": fed[one.name]}
        channel.queue_declare(one.name, durable=True, arguments=arguments)
    connection.close()


class _Book:
    """What is known of each message of one queue."""

    def __init__(self) -> None:
        self.entered: list[float] = []
        self.left: list[float] = []
        self.held: set[int] = set()
        self.number: dict[Any, int] = {}

    def enters(self, key: Any, at: float) -> None:
        self.number[key] = len(self.entered)
        self.entered.append(at)
        self.left.append(float("inf"))


def _run(broker: TestBroker, vhost: str, queues: Sequence[Aged], seconds: float, file: Path) -> None:
    books = {one.name: _Book() for one in queues}
    fed = {one.fed_by: one.name for one in queues if one.fed_by}
    failed: list[BaseException] = []

    def guarded(one: Aged) -> None:
        try:
            _play(broker, vhost, one, books, fed.get(one.name), begins, seconds)
        except BaseException as error:
            failed.append(error)
            raise

    begins = time.time() + 0.5
    threads = [Thread(target=guarded, args=(one,)) for one in queues]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    arrays = {}
    for name, book in books.items():
        arrays[f"{name}|entered"], arrays[f"{name}|left"] = np.array(book.entered), np.array(book.left)
    np.savez(file, **arrays)
    if failed:
        raise SystemExit(1)


def _pace(script: Script, at: float) -> float:
    if not script:
        return 0.0
    at %= sum(seconds for seconds, _ in script)
    for seconds, pace in script:
        if at < seconds:
            return pace
        at -= seconds
    return 0.0


def _play(
    broker: TestBroker,
    vhost: str,
    one: Aged,
    books: dict[str, _Book],
    letters: str | None,
    begins: float,
    seconds: float,
) -> None:
    chance = random.Random(one.name)
    book = books[one.name]
    connection = broker.connect(vhost)
    channel = connection.channel()
    channel.basic_qos(prefetch_count=one.prefetch)
    waiting: deque[tuple[int, Any]] = deque()

    def arrived(_channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        key = (one.fed_by or one.name, json.loads(body)["number"])
        place = book.number[key]
        book.held.add(place)
        waiting.append((method.delivery_tag, key))

    if one.consumed:
        channel.basic_consume(one.name, arrived)
    purges = deque(one.purged)
    sent, to_send, to_take, last = 0, 0.0, 0.0, begins
    time.sleep(max(0.0, begins - time.time()))
    while (now := time.time()) < begins + seconds:
        to_send += _pace(one.published, now - begins) * (now - last)
        to_take = min(to_take + _pace(one.consumed, now - begins) * (now - last), 50.0)
        last = now
        while to_send >= 1.0:
            to_send -= 1.0
            at = time.time()
            book.enters((one.name, sent), at)
            body = json.dumps({"number": sent, "sent": at}).encode()
            channel.basic_publish("", one.name, body, BasicProperties(delivery_mode=2))
            sent += 1
        while to_take >= 1.0 and waiting:
            to_take -= 1.0
            tag, key = waiting.popleft()
            place = book.number[key]
            chosen = chance.random()
            if chosen < one.requeued:
                book.held.discard(place)
                channel.basic_nack(tag, requeue=True)
            elif chosen < one.requeued + one.rejected and letters is not None:
                book.left[place] = time.time()
                books[letters].enters(key, book.left[place])
                channel.basic_reject(tag, requeue=False)
            else:
                book.left[place] = time.time()
                channel.basic_ack(tag)
        if purges and now - begins >= purges[0]:
            purges.popleft()
            _purge(channel, one.name, book, connection)
        connection.process_data_events(0.02)
    connection.close()


def _purge(channel: Any, queue: str, book: _Book, connection: Any) -> None:
    """Purge, and take all for gone that was not on its way to the consumer."""
    connection.process_data_events(0)
    before = len(book.entered)
    channel.queue_purge(queue)
    at = time.time()
    # What was delivered while the purge was on its way comes in now.
    connection.process_data_events(0.3)
    for place in range(before):
        if book.left[place] == float("inf") and place not in book.held:
            book.left[place] = at
