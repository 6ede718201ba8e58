"""A load of which everything is counted where it is sent: through channels that live for a second, of every kind."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from pika import spec

from tests.support.brokers import TestBroker
from tests.support.wire import Wire, WireError

EXCHANGE, DEAD = "load", "load.dead"
CLASSIC, QUORUM = "load.classic", "load.quorum"
# Queues in which messages die, by the reason.
EXPIRING, FULL, RETURNED = "load.expiring", "load.full", "load.returned"
LETTERS = "load.letters"
_DLX = {"x-dead-letter-exchange": DEAD}

# Messages by (kind, name, what): ("queue", "load.classic", "delivered").
Sums: TypeAlias = Counter[tuple[str, str, str]]


class KnownLoad:
    """`round` sends a second's worth through new channels; `sent` has what was counted, by (kind, object, what).

    Kinds are `queue`, `exchange`, `vhost` and `broker`; of a broker only what this load adds to it. Publishers and
    consumers have a connection each, and a new channel every round.
    """

    def __init__(self, broker: TestBroker, vhost: str, *, each: int = 40, quorum: bool = True) -> None:
        self.broker, self.vhost, self.each = broker, vhost, each
        self.work = (CLASSIC, QUORUM) if quorum else (CLASSIC,)
        self.sent: Sums = Counter()
        self.rounds = 0
        # Sums at the end of each round: (monotonic seconds, a copy of `sent`).
        self.history: list[tuple[float, Sums]] = []
        self._queue_of: dict[str, str] = {}
        self._unconfirmed: dict[int, str] = {}
        self._publisher: Wire | None = None
        self._consumer: Wire | None = None
        self._delivered = 0
        self._to_ack: list[int] = []

    # --- what stands there

    def declare(self) -> None:
        """Declare exchanges, queues and bindings."""
        wire = Wire(self.broker.amqp, self.vhost)
        wire.open(1)
        for name, kind in ((EXCHANGE, "direct"), (DEAD, "fanout")):
            wire.ask(1, spec.Exchange.Declare(0, name, kind, durable=True), spec.Exchange.DeclareOk)
        queues: dict[str, dict[str, Any]] = {
            CLASSIC: _DLX,
            EXPIRING: {**_DLX, "x-message-ttl": 1},
            FULL: {**_DLX, "x-max-length": 5},
            LETTERS: {},
        }
        if QUORUM in self.work:
            queues[QUORUM] = {**_DLX, "x-queue-type": "quorum"}
            queues[RETURNED] = {**_DLX, "x-queue-type": "quorum", "x-delivery-limit": 1}
        for name, arguments in queues.items():
            wire.ask(1, spec.Queue.Declare(0, name, durable=True, arguments=dict(arguments)), spec.Queue.DeclareOk)
            source = DEAD if name == LETTERS else EXCHANGE
            wire.ask(1, spec.Queue.Bind(0, name, source, name), spec.Queue.BindOk)
        wire.shut(1)
        wire.close()
        self.queues = tuple(queues)

    # --- a second of it

    def round(self) -> None:
        """Send one round. Raises OSError where the broker went away; then what was counted is the least there is."""
        self._publish()
        self._consume()
        self._fetch()
        if QUORUM in self.work:
            self._return_too_often()
        reasons = ("rejected", "expired", "maxlen", "delivery_limit")
        self.sent["broker", "", "dead_lettered"] = sum(
            self.sent["broker", "", f"dead_lettered_{one}"] for one in reasons
        )
        self.rounds += 1
        self.history.append((time.monotonic(), Counter(self.sent)))

    def _wire(self) -> Wire:
        if self._publisher is None:
            self._publisher = Wire(self.broker.amqp, self.vhost, self._publisher_heard)
        return self._publisher

    def _publish(self) -> None:
        wire = self._wire()
        wire.open(1, confirms=True)
        self._unconfirmed = {}
        number = 0
        plan = [(queue, queue) for queue in self.work for _ in range(self.each)]
        plan += [(queue, queue) for queue in (EXPIRING, FULL) for _ in range(8)]
        plan += [(RETURNED, RETURNED)] * 2 if QUORUM in self.work else []
        for key, queue in plan:
            number += 1
            self._unconfirmed[number] = EXCHANGE
            wire.publish(1, EXCHANGE, key)
            self._entered(EXCHANGE, queue, confirm=True)
        for mandatory in (True, False):
            for _ in range(3):
                number += 1
                self._unconfirmed[number] = EXCHANGE
                wire.publish(1, EXCHANGE, "nowhere", mandatory=mandatory)
                self._count("published", EXCHANGE)
                self._add("broker", "", "received_confirm")
                if not mandatory:
                    self._count("dropped", EXCHANGE)
        while self._unconfirmed:
            wire.read()
        wire.shut(1)
        wire.open(1)  # without confirms, through the default exchange
        for _ in range(10):
            wire.publish(1, "", CLASSIC)
            self._entered("", CLASSIC, confirm=False)
        wire.shut(1)
        # Nothing takes from it: all beyond its five die.
        held = min(5, self.sent["queue", FULL, "published"])
        self.sent["broker", "", "dead_lettered_maxlen"] = self.sent["queue", FULL, "published"] - held
        self.sent["broker", "", "dead_lettered_expired"] = self.sent["queue", EXPIRING, "published"]

    def _publisher_heard(self, channel: int, method: Any, header: Any, body: bytes) -> None:
        if isinstance(method, spec.Basic.Return):
            self._count("returned", method.exchange)
        elif isinstance(method, spec.Basic.Ack):
            tags = (
                [tag for tag in self._unconfirmed if tag <= method.delivery_tag]
                if method.multiple
                else [method.delivery_tag]
            )
            for tag in tags:
                self._count("confirmed", self._unconfirmed.pop(tag))

    def _consumer_wire(self) -> Wire:
        if self._consumer is None:
            self._consumer = Wire(self.broker.amqp, self.vhost, self._consumer_heard)
        return self._consumer

    def _consume(self) -> None:
        """Consume for a moment, by subscription: acknowledged in batches, some requeued, some rejected."""
        wire = self._consumer_wire()
        for queue in self.work:
            wire.open(1)
            wire.ask(1, spec.Basic.Qos(0, 30), spec.Basic.QosOk)
            self._queue_of = {queue: queue}
            self._to_ack, self._delivered = [], 0
            wire.ask(1, spec.Basic.Consume(0, queue, queue), spec.Basic.ConsumeOk)
            ends = time.monotonic() + 5
            while self._delivered < self.each and time.monotonic() < ends:
                wire.listen(0.2)
                if len(self._to_ack) >= 10:
                    self._settle(wire, queue)
            # What is left unsettled goes back when the channel is closed, and comes again.
            wire.shut(1)

    def _settle(self, wire: Wire, queue: str) -> None:
        *good, back, bad = self._to_ack
        wire.send(1, spec.Basic.Ack(good[-1], multiple=True))
        self._queue("acknowledged", queue, len(good))
        wire.send(1, spec.Basic.Nack(back, multiple=False, requeue=True))
        wire.send(1, spec.Basic.Reject(bad, requeue=False))
        self._add("broker", "", "dead_lettered_rejected")
        self._to_ack = []

    def _consumer_heard(self, channel: int, method: Any, header: Any, body: bytes) -> None:
        if isinstance(method, spec.Basic.Deliver):
            self._taken(method.consumer_tag, redelivered=method.redelivered)
            self._to_ack.append(method.delivery_tag)
            self._delivered += 1

    def _fetch(self) -> None:
        """Fetch a few by basic.get, acknowledged by hand and not, and one subscription that acknowledges nothing."""
        wire = self._consumer_wire()
        wire.open(1)
        for no_ack in (False, True):
            for _ in range(3):
                got = wire.ask(1, spec.Basic.Get(0, CLASSIC, no_ack), spec.Basic.GetOk, spec.Basic.GetEmpty)
                if isinstance(got, spec.Basic.GetOk):
                    self._taken(CLASSIC, redelivered=got.redelivered)
                    if not no_ack:
                        wire.send(1, spec.Basic.Ack(got.delivery_tag))
                        self._queue("acknowledged", CLASSIC)
        self._delivered = 0
        wire.ask(1, spec.Basic.Consume(0, LETTERS, LETTERS, no_ack=True), spec.Basic.ConsumeOk)
        ends = time.monotonic() + 0.3
        while time.monotonic() < ends:
            wire.listen(0.05)
        wire.shut(1)

    def _return_too_often(self) -> None:
        """Take the messages of a queue with a delivery limit and give them back until they are dead letters."""
        wire = self._consumer_wire()
        wire.open(1)
        ends = time.monotonic() + 5
        died = 0
        while died < 2 and time.monotonic() < ends:
            got = wire.ask(1, spec.Basic.Get(0, RETURNED), spec.Basic.GetOk, spec.Basic.GetEmpty)
            if isinstance(got, spec.Basic.GetEmpty):
                time.sleep(0.02)
                continue
            self._taken(RETURNED, redelivered=got.redelivered)
            wire.send(1, spec.Basic.Reject(got.delivery_tag, requeue=True))
            if got.redelivered:  # its second return is one too many
                died += 1
                self._add("broker", "", "dead_lettered_delivery_limit")
        wire.shut(1)

    # --- counting

    def _add(self, kind: str, name: str, what: str, many: int = 1) -> None:
        self.sent[kind, name, what] += many

    def _queue(self, what: str, queue: str, many: int = 1) -> None:
        for kind, name in (("queue", queue), ("vhost", self.vhost), ("broker", "")):
            self._add(kind, name, what, many)

    def _count(self, what: str, exchange: str) -> None:
        for kind, name in (("exchange", exchange), ("vhost", self.vhost), ("broker", "")):
            self._add(kind, name, what)

    def _entered(self, exchange: str, queue: str, *, confirm: bool) -> None:
        self._count("published", exchange)
        self._add("queue", queue, "published")
        if confirm:
            self._add("broker", "", "received_confirm")

    def _taken(self, queue: str, *, redelivered: bool) -> None:
        self._queue("delivered", queue)
        if redelivered:
            self._queue("redelivered", queue)

    def forget_connections(self) -> None:
        """Drop the connections, as after a restart of the broker; the next round makes new ones."""
        for wire in (self._publisher, self._consumer):
            if wire is not None:
                wire.close()
        self._publisher = self._consumer = None


@contextmanager
def running(load: KnownLoad, every_s: float = 1.0) -> Iterator[threading.Event]:
    """Send rounds, one a second, until the block ends; a round that fails by the broker is given up."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def go() -> None:
        while not stop.is_set():
            began = time.monotonic()
            try:
                load.round()
            except (WireError, OSError):
                load.forget_connections()
            except BaseException as error:  # noqa: BLE001 (raised again in the thread that waits)
                failed.append(error)
                return
            stop.wait(max(0.0, every_s - (time.monotonic() - began)))

    thread = threading.Thread(target=go, name="known load", daemon=True)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(60)
        if failed:
            raise failed[0]
