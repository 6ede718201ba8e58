"""`python -m dashboard.demo.shop FOLDER`: declare the shop on the demo's broker, then keep its traffic going.

The broker may restart, or be away for long: each part of the shop then connects again by itself.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pika
import requests

from dashboard.demo import traffic
from dashboard.demo.local_rabbitmq import LocalBroker
from dashboard.demo.topology import SHOP, TENANTS, connect, declare, password_of
from dashboard.demo.traffic import Part, reader

OPEN_FILE = "shop-open"

PARTS = (
    Part("storefront-1", "storefront", SHOP, traffic.storefront),
    Part("clickstream-1", "clickstream", SHOP, traffic.clickstream),
    Part("fulfilment-1", "warehouse", SHOP, reader("orders.fulfilment", seconds=0.05)),
    Part("fulfilment-2", "warehouse", SHOP, reader("orders.fulfilment", seconds=0.08)),
    Part("invoice-1", "warehouse", SHOP, reader("orders.invoice", seconds=0.03, rejects=0.004)),
    Part("notify-1", "warehouse", SHOP, reader("orders.notify", prefetch=100)),
    # The slow consumer: it reads a supplier's file in three times the time that it takes to come in.
    Part("import-1", "warehouse", SHOP, reader("orders.import", seconds=0.19, prefetch=50, rejects=0.01)),
    Part("audit-1", "warehouse", SHOP, reader("orders.audit", prefetch=200, stream=True)),
    Part("capture-worker-1", "capture-worker", SHOP, traffic.capturer),
    Part("refund-1", "capture-worker", SHOP, reader("payments.refund", seconds=0.1)),
    # The consumer that rejects: one message in twelve is more than it can read.
    Part("webhook-1", "capture-worker", SHOP, reader("payments.webhook", seconds=0.02, rejects=0.08)),
    *(Part(f"{tenant}-app", "tenants", tenant, traffic.tenants_app) for tenant in TENANTS),
    *(Part(f"{tenant}-emails", "tenants", tenant, reader("emails", seconds=0.05)) for tenant in TENANTS),
    *(Part(f"{tenant}-exports", "tenants", tenant, reader("exports", seconds=0.3)) for tenant in TENANTS),
    # tenant-birch has switched its webhooks off, and they pile up.
    *(Part(f"{tenant}-webhooks", "tenants", tenant, reader("webhooks")) for tenant in TENANTS if "birch" not in tenant),
)
# Names of the parts that have a connection now.
_connected: set[str] = set()
_AWAY = (pika.exceptions.AMQPError, OSError, requests.RequestException)


def run(folder: Path) -> int:
    """Keep the shop open until SIGTERM or SIGINT."""
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    opened = folder / OPEN_FILE
    opened.unlink(missing_ok=True)
    broker = _open(folder, over)
    if broker is None:
        return 0
    opened.touch()
    _say(f"The shop is open: {len(PARTS)} publishers and consumers.")
    threads = [
        threading.Thread(target=_play, args=(broker, part, index, over), name=part.name, daemon=True)
        for index, part in enumerate(PARTS)
    ]
    for thread in threads:
        thread.start()
    there = True
    while not over.wait(1):
        if there != bool(_connected):
            there = bool(_connected)
            _say("The shop is open again." if there else "The shop has lost its RabbitMQ; it comes back with it.")
    # Each closes its connection in order, if it is quick.
    end = time.monotonic() + 1.5
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return 0


def _open(folder: Path, over: threading.Event) -> LocalBroker | None:
    """Wait for the broker and declare the shop; None where it is over before that."""
    # A RabbitMQ that has just started may know its queues and not yet have them all.
    patient_until = time.monotonic() + 8
    while not over.is_set():
        if (folder / "ready").exists():
            broker = LocalBroker(**json.loads((folder / "broker.json").read_text()))
            try:
                declare(broker)
            except _AWAY as error:
                if time.monotonic() > patient_until:
                    patient_until = time.monotonic() + 30
                    _say(f"The shop could not be declared yet: {error!r}")
            else:
                return broker
        over.wait(0.2)
    return None


def _play(broker: LocalBroker, part: Part, index: int, over: threading.Event) -> None:
    # Seeded, so that every demo has the same customers.
    chance = random.Random(index)  # noqa: S311 - no secret hangs on it
    while not over.is_set():
        try:
            connection = connect(broker, part.vhost, part.user, password_of(broker, part.user), part.name)
        except _AWAY:
            over.wait(1 + chance.random())
            continue
        _connected.add(part.name)
        try:
            part.play(connection, chance, over)
        except _AWAY:
            over.wait(1 + chance.random())
        finally:
            _connected.discard(part.name)
            with suppress(*_AWAY):
                connection.close()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1])))
