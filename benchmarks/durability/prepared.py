"""Tables and brokers for a run, made by a process of its own: the parent opens no connection."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection

from django.core.management import call_command

from benchmarks.durability import figures
from tests.support.brokers import TestBroker


def brokers(real: TestBroker | None) -> tuple[int, int | None]:
    """Migrate, and return the ids of the broker of known figures and of the real one."""
    context = multiprocessing.get_context("fork")
    reading, writing = context.Pipe(duplex=False)
    process = context.Process(target=_make, args=(real, writing))
    process.start()
    writing.close()
    found: tuple[int, int | None] = reading.recv()
    process.join()
    return found


def _make(real: TestBroker | None, writing: Connection) -> None:
    from brokers.registry import slots
    from tests.support.builders import make_broker

    call_command("migrate", verbosity=0, interactive=False)
    simulated = make_broker("simulated")
    names = [slots.ObjectName("/", f"queue-{number}") for number in range(figures.OBJECTS)]
    slots.assign(simulated, "queue", names, figures.START_MS)
    found = None
    if real is not None:
        found = make_broker(
            "real",
            management_url=real.management,
            username=real.username,
            password=real.password,
        ).id
    writing.send((simulated.id, found))
