"""A broker with many queues and believable mixed traffic, to measure against."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from urllib.parse import quote

import pika
from pika.exceptions import AMQPError

from tests.support.brokers import TestBroker

VHOSTS = 10


@contextlib.contextmanager
def many_queues(broker: TestBroker, count: int) -> Iterator[list[str]]:
    """Declare `count` durable classic queues over ten vhosts, one in ten holding messages; yield the vhosts' names."""
    vhosts = [broker.make_vhost(f"bench{number}") for number in range(VHOSTS)]
    try:
        for number, vhost in enumerate(vhosts):
            connection = broker.connect(vhost)
            channel = connection.channel()
            for index in range(number, count, VHOSTS):
                name = f"bench.{index % 97:02d}.queue-{index:05d}"
                channel.queue_declare(name, durable=True)
                if index % 100 < VHOSTS:
                    for _ in range(1 + index % 7):
                        channel.basic_publish("", name, b"x" * 64)
            connection.close()
        yield vhosts
    finally:
        for vhost in vhosts:
            broker.delete_vhost(vhost)


class Traffic:
    """Publishes and consumes on some of the queues, at most `rate` messages a second, until it is stopped."""

    def __init__(self, broker: TestBroker, vhost: str, queues: list[str], rate: int = 200) -> None:
        self._broker, self._vhost, self._queues, self._rate = broker, vhost, queues, rate
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._publish, self._consume)]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=10)

    def _publish(self) -> None:
        with contextlib.suppress(AMQPError), self._broker.connect(self._vhost) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            number = 0
            while not self._stop.is_set():
                channel.basic_publish("", self._queues[number % len(self._queues)], b"x" * 256)
                number += 1
                time.sleep(1 / self._rate)

    def _consume(self) -> None:
        with contextlib.suppress(AMQPError), self._broker.connect(self._vhost) as connection:
            channel = connection.channel()
            channel.basic_qos(prefetch_count=20)

            def taken(ch: pika.adapters.blocking_connection.BlockingChannel, method: object, *_: object) -> None:
                ch.basic_ack(method.delivery_tag)  # type: ignore[attr-defined]

            for queue in self._queues[: len(self._queues) // 2]:
                channel.basic_consume(queue, taken)
            while not self._stop.is_set():
                connection.process_data_events(time_limit=0.2)


def queue_names(broker: TestBroker, vhost: str, count: int) -> list[str]:
    """Return the names of some queues of a vhost."""
    answer = broker.api("GET", f"queues/{quote(vhost, safe='')}?page=1&page_size={count}&columns=name")
    return [item["name"] for item in answer["items"]]
