"""What goes on in the shop: publishers and consumers, each with a connection of its own, tens of messages a second."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

# A day of the shop, so that charts show a rise and a fall within the hour.
DAY_S = 1200
# Minutes and seconds of importing: this long of each span a supplier's files come in faster than they are read.
_IMPORT_EVERY_S, _IMPORT_FOR_S = 150, 45
_REGIONS = ("eu", "eu", "eu", "us", "us", "apac")
_MOST_ATTEMPTS = 2


def busyness(now_s: float) -> float:
    """Return how busy the shop is, 0.4 at night to 1.6 in the evening, with a smaller peak at noon."""
    day = now_s % DAY_S / DAY_S * 2 * math.pi
    return 1.0 - 0.45 * math.cos(day) + 0.15 * math.sin(2 * day)


def importing(now_s: float) -> bool:
    """Tell whether a supplier's file is coming in."""
    return now_s % _IMPORT_EVERY_S < _IMPORT_FOR_S


@dataclass(frozen=True, slots=True)
class Part:
    """A role in the shop: who plays it where, and what it does on its connection until it is over."""

    name: str
    user: str
    vhost: str
    play: Callable[[pika.BlockingConnection, random.Random, threading.Event], None]


def storefront(connection: pika.BlockingConnection, chance: random.Random, over: threading.Event) -> None:
    """Publish orders and payments with confirms; some orders are cancelled, some payments refunded."""
    channel = connection.channel()
    channel.confirm_delivery()
    for number in _paced(connection, over, lambda: 7 * busyness(time.time())):
        region = chance.choice(_REGIONS)
        order = f'{{"order": {number}, "region": "{region}", "total": {chance.randint(5, 900)}}}'.encode()
        _publish(channel, "orders", f"order.{region}.created", order)
        if chance.random() < 0.9:
            _publish(channel, "payments", f"capture.{region}.card", order)
            _publish(channel, "orders", f"order.{region}.paid", order)
            _publish(channel, "payments", f"webhook.{region}", order)
        else:
            _publish(channel, "orders", f"order.{region}.cancelled", order)
            _publish(channel, "payments", f"refund.{region}", order)


def clickstream(connection: pika.BlockingConnection, chance: random.Random, over: threading.Event) -> None:
    """Publish without confirms: what customers look at, and suppliers' files that come in bursts."""
    channel = connection.channel()
    for number in _paced(connection, over, lambda: 16.0 if importing(time.time()) else 2 * busyness(time.time())):
        key = f"import.row.{chance.randint(1, 9)}" if importing(time.time()) else "order.eu.viewed"
        _publish(channel, "orders", key, b'{"row": %d}' % number)


def tenants_app(connection: pika.BlockingConnection, chance: random.Random, over: threading.Event) -> None:
    """Publish a tenant's events with confirms."""
    channel = connection.channel()
    channel.confirm_delivery()
    for number in _paced(connection, over, lambda: 2 * busyness(time.time() + 200)):
        key = chance.choice(("user.signed-up", "user.changed", "user.changed", "item.viewed", "export.wanted"))
        _publish(channel, "events", key, b'{"event": %d}' % number)


def reader(
    queue: str, *, seconds: float = 0.0, prefetch: int = 20, rejects: float = 0.0, stream: bool = False
) -> Callable[[pika.BlockingConnection, random.Random, threading.Event], None]:
    """Return a consumer that takes `seconds` a message and rejects this share of them, for good."""

    def play(connection: pika.BlockingConnection, chance: random.Random, over: threading.Event) -> None:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=prefetch)
        arguments = {"x-stream-offset": "next"} if stream else None
        for tag, _properties, _body in _messages(channel, queue, over, arguments):
            if seconds:
                connection.sleep(seconds * chance.uniform(0.5, 1.5))
            if chance.random() < rejects:
                channel.basic_reject(tag, requeue=False)
            else:
                channel.basic_ack(tag)

    return play


def capturer(connection: pika.BlockingConnection, chance: random.Random, over: threading.Event) -> None:
    """Capture payments; what fails waits 5 s, then 30 s, and is rejected into the dead letters after that."""
    channel = connection.channel()
    channel.basic_qos(prefetch_count=10)
    for tag, properties, body in _messages(channel, "payments.capture", over):
        connection.sleep(0.02)
        if chance.random() >= 0.12:
            channel.basic_ack(tag)
            continue
        attempt = int((properties.headers or {}).get("attempt", 0))
        if attempt >= _MOST_ATTEMPTS:
            channel.basic_reject(tag, requeue=False)
            continue
        again = pika.BasicProperties(
            delivery_mode=2, content_type="application/json", headers={"attempt": attempt + 1, "failure": "timeout"}
        )
        channel.basic_publish("payments.retry", ("5s", "30s")[attempt], body, again)
        channel.basic_ack(tag)


def _publish(channel: BlockingChannel, exchange: str, key: str, body: bytes) -> None:
    channel.basic_publish(exchange, key, body, pika.BasicProperties(delivery_mode=2, content_type="application/json"))


def _paced(connection: pika.BlockingConnection, over: threading.Event, rate: Callable[[], float]) -> Iterator[int]:
    """Count up at a rate a second that may change, answering the broker in between."""
    number, due = 0, time.monotonic()
    while not over.is_set():
        now = time.monotonic()
        # What could not be sent while the broker was slow is not made up for.
        due = max(due + 1.0 / max(0.1, rate()), now - 0.5)
        connection.sleep(max(0.0, due - now))
        number += 1
        yield number


def _messages(
    channel: BlockingChannel, queue: str, over: threading.Event, arguments: dict[str, Any] | None = None
) -> Iterator[tuple[int, pika.BasicProperties, bytes]]:
    for method, properties, body in channel.consume(queue, inactivity_timeout=1, arguments=arguments):
        if over.is_set():
            return
        if method is not None:
            yield method.delivery_tag, properties, body
