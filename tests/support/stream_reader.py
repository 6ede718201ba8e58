"""A publisher to a stream and a consumer of it that takes one chunk and then no more, by the stream protocol."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from rstream import AMQPMessage, Consumer, ConsumerOffsetSpecification, OffsetType, Producer, amqp_decoder

from tests.support.brokers import TestBroker


class Stalled:
    """Two connections on a loop of their own; `publish` returns once the broker has confirmed."""

    def __init__(self, broker: TestBroker, vhost: str, stream: str, group: str) -> None:
        address = urlsplit(str(broker.nodes[0]["stream"]))
        self._where = {
            "host": address.hostname or "127.0.0.1",
            "port": address.port or 5552,
            "username": broker.username,
            "password": broker.password,
            "vhost": vhost,
            # Whatever the broker calls itself: only this address is known to lead to it.
            "load_balancer_mode": True,
        }
        self._stream, self._group = stream, group
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._producer: Producer | None = None
        self._consumer: Consumer | None = None

    def start(self) -> None:
        """Connect, declare the stream, and put the consumer to its first message."""
        self._thread.start()
        self._do(self._start())

    def publish(self, count: int) -> None:
        """Publish so many messages."""
        self._do(self._publish(count))

    def stop(self) -> None:
        """Close what is open."""
        try:
            self._do(self._stop())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)

    def _do(self, what: object) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(20)  # type: ignore[arg-type]

    async def _start(self) -> None:
        self._producer = Producer(**self._where)
        await self._producer.start()
        await self._producer.create_stream(self._stream, exists_ok=True)
        await self._publish(10)
        self._consumer = Consumer(**self._where)
        await self._consumer.start()
        never = asyncio.Event()

        async def stalls(_message: object, _context: object) -> None:
            await never.wait()

        await self._consumer.subscribe(
            self._stream,
            stalls,
            decoder=amqp_decoder,
            offset_specification=ConsumerOffsetSpecification(OffsetType.FIRST),
            initial_credit=1,
            subscriber_name=self._group,
            properties={"name": self._group},
        )

    async def _publish(self, count: int) -> None:
        assert self._producer is not None
        for number in range(count):
            await self._producer.send_wait(self._stream, AMQPMessage(body=str(number).encode()))

    async def _stop(self) -> None:
        for one in (self._consumer, self._producer):
            if one is not None:
                await asyncio.wait_for(one.close(), 5)


@contextmanager
def stalled(broker: TestBroker, vhost: str, stream: str, group: str) -> Iterator[Stalled]:
    """Have a stream with a consumer that takes one chunk and no more."""
    found = Stalled(broker, vhost, stream, group)
    found.start()
    try:
        yield found
    finally:
        found.stop()
