"""The little shop: its vhosts, people and policies by the management API, its exchanges and queues over AMQP.

Declaring it again changes nothing, so that it is done at every start.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pika
import requests

from dashboard.demo.local_rabbitmq import LocalBroker

SHOP = "shop"
TENANTS = ("tenant-acme", "tenant-birch", "tenant-cedar")
WATCHER = "warren-watch"
# Dead letters stay a day, and no more than these: a demo that is left alone must not fill a disk.
_LETTERS = {"x-max-length": 5000, "x-message-ttl": 24 * 3600 * 1000}


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue and the keys by which exchanges route to it: (exchange, key) pairs."""

    name: str
    routes: tuple[tuple[str, str], ...] = ()
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Person:
    """A user of the broker: the rights (configure, write, read) by vhost."""

    name: str
    rights: dict[str, tuple[str, str, str]]
    tags: str = ""


def _dead(key: str) -> dict[str, Any]:
    return {"x-dead-letter-exchange": "dead-letters", "x-dead-letter-routing-key": key}


def _retry(seconds: int) -> Queue:
    """A waiting room: its messages go back to payments.capture when their time is up."""
    back = {"x-dead-letter-exchange": "payments", "x-dead-letter-routing-key": "capture.retried"}
    return Queue(
        f"payments.retry.{seconds}s", (("payments.retry", f"{seconds}s"),), {"x-message-ttl": seconds * 1000, **back}
    )


SHOP_EXCHANGES = {"orders": "topic", "payments": "topic", "payments.retry": "direct", "dead-letters": "direct"}
SHOP_QUEUES = (
    Queue(
        "orders.fulfilment",
        (("orders", "order.*.paid"),),
        {"x-queue-type": "quorum", "x-delivery-limit": 5, **_dead("orders")},
    ),
    Queue("orders.invoice", (("orders", "order.*.paid"), ("orders", "order.*.cancelled")), _dead("orders")),
    Queue("orders.notify", (("orders", "order.#"),)),
    Queue("orders.import", (("orders", "import.#"),), _dead("orders")),
    # Nobody reads this one: what a forgotten consumer looks like.
    Queue("orders.export", (("orders", "order.eu.#"),), {"x-max-length": 2500}),
    Queue(
        "orders.audit",
        (("orders", "#"), ("payments", "#")),
        {"x-queue-type": "stream", "x-max-length-bytes": 50_000_000, "x-stream-max-segment-size-bytes": 5_000_000},
    ),
    Queue("payments.capture", (("payments", "capture.#"),), {"x-queue-type": "quorum", **_dead("capture")}),
    Queue("payments.refund", (("payments", "refund.#"),), {"x-queue-type": "quorum", **_dead("refund")}),
    Queue("payments.webhook", (("payments", "webhook.#"),), _dead("webhook")),
    _retry(5),
    _retry(30),
    Queue("orders.dlq", (("dead-letters", "orders"),), _LETTERS),
    Queue("payments.capture.dlq", (("dead-letters", "capture"), ("dead-letters", "refund")), _LETTERS),
    Queue("payments.webhook.dlq", (("dead-letters", "webhook"),), _LETTERS),
)
TENANT_EXCHANGES = {"events": "topic"}
TENANT_QUEUES = (
    Queue("emails", (("events", "user.#"),)),
    Queue("webhooks", (("events", "#"),)),
    Queue("exports", (("events", "export.#"),), {"x-queue-type": "quorum"}),
)
PEOPLE = (
    Person("storefront", {SHOP: ("^$", "^(orders|payments)$", "^$")}),
    Person("warehouse", {SHOP: ("^$", "^$", "^orders[.]")}),
    Person("capture-worker", {SHOP: ("^$", "^payments[.]retry$", "^payments[.]")}),
    Person("clickstream", {SHOP: ("^$", "^orders$", "^$")}),
    Person("tenants", dict.fromkeys(TENANTS, ("^$", "^events$", "^(emails|webhooks|exports)$"))),
    # Watching needs no right to configure, write or read anything; a row in each vhost lets it in to count.
    Person(WATCHER, dict.fromkeys(("/", SHOP, *TENANTS), ("", "", "")), tags="monitoring"),
)


def password_of(broker: LocalBroker, name: str) -> str:
    """Return the password of one of the shop's users: made from the administrator's, so that it need not be kept."""
    return hmac.new(broker.password.encode(), name.encode(), hashlib.sha256).hexdigest()[:24]


def declare(broker: LocalBroker) -> None:
    """Make the whole shop. Raises requests.RequestException and pika.exceptions.AMQPError where the broker is away."""
    with requests.Session() as session:
        session.trust_env = False
        session.auth = (broker.username, broker.password)
        _declare_people(broker, session)
        for tenant in TENANTS:
            policy = {
                "pattern": "^(emails|webhooks)$",
                "apply-to": "queues",
                "definition": {"max-length": 4000, "message-ttl": 3_600_000},
            }
            _put(session, broker, f"policies/{quote(tenant, safe='')}/tenant-limits", policy)
    _declare_objects(broker, SHOP, SHOP_EXCHANGES, SHOP_QUEUES)
    for tenant in TENANTS:
        _declare_objects(broker, tenant, TENANT_EXCHANGES, TENANT_QUEUES)


def _declare_people(broker: LocalBroker, session: requests.Session) -> None:
    for vhost in (SHOP, *TENANTS):
        _put(session, broker, f"vhosts/{quote(vhost, safe='')}", {"description": f"Demo: {vhost}"})
        _permit(session, broker, vhost, broker.username, (".*", ".*", ".*"))
    for person in PEOPLE:
        _put(
            session, broker, f"users/{person.name}", {"password": password_of(broker, person.name), "tags": person.tags}
        )
        for vhost, rights in person.rights.items():
            _permit(session, broker, vhost, person.name, rights)


def _permit(
    session: requests.Session, broker: LocalBroker, vhost: str, user: str, rights: tuple[str, str, str]
) -> None:
    row = dict(zip(("configure", "write", "read"), rights, strict=True))
    _put(session, broker, f"permissions/{quote(vhost, safe='')}/{user}", row)


def _put(session: requests.Session, broker: LocalBroker, path: str, body: dict[str, Any]) -> None:
    session.put(f"{broker.management}/api/{path}", json=body, timeout=15).raise_for_status()


def _declare_objects(broker: LocalBroker, vhost: str, exchanges: dict[str, str], queues: tuple[Queue, ...]) -> None:
    connection = connect(broker, vhost, broker.username, broker.password, "declare")
    try:
        channel = connection.channel()
        for name, kind in exchanges.items():
            channel.exchange_declare(name, kind, durable=True)
        for queue in queues:
            channel.queue_declare(queue.name, durable=True, arguments=queue.arguments)
            for exchange, key in queue.routes:
                channel.queue_bind(queue.name, exchange, key)
    finally:
        connection.close()


def connect(broker: LocalBroker, vhost: str, user: str, password: str, name: str) -> pika.BlockingConnection:
    """Open an AMQP connection that shows itself under a name."""
    return pika.BlockingConnection(
        pika.ConnectionParameters(
            host="127.0.0.1",
            port=broker.amqp_port,
            virtual_host=vhost,
            credentials=pika.PlainCredentials(user, password),
            heartbeat=30,
            blocked_connection_timeout=60,
            client_properties={"connection_name": name, "product": "the little shop"},
        )
    )
