"""Streams as an ASGI server sends them: piece by piece, ended with their client, cut where they are not whole."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator

from brokers.registry.models import Broker
from dashboard.api import series, streaming
from dashboard.api.series_rows import BrokenOffError
from dashboard.asgi import application
from tests.api.conftest import Api

pytestmark = pytest.mark.django_db(transaction=True)


def asked(api: Api, broker: Broker, query: bytes) -> ApplicationCommunicator:
    path = f"/api/v1/brokers/{broker.pk}/series"
    return ApplicationCommunicator(
        application,
        {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query,
            "headers": [(b"authorization", f"Bearer {api.token}".encode()), (b"host", b"localhost")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        },
    )


async def test_it_is_sent_piece_by_piece_to_its_end(admin: Api, shop: Broker) -> None:
    sent = asked(admin, shop, b"kind=queue&metrics=ready&format=jsonl")
    await sent.send_input({"type": "http.request"})
    begin = await sent.receive_output(20)
    assert begin["status"] == 200
    assert dict(begin["headers"])[b"Content-Type"] == b"application/x-ndjson; charset=utf-8"
    parts = []
    more = True
    while more:
        part = await sent.receive_output(20)
        parts.append(part.get("body", b""))
        more = part.get("more_body", False)
    told = [json.loads(line) for line in b"".join(parts).splitlines()]
    assert told[-1]["rows"] == len(told) - 2 == 9
    assert len(parts) > 2
    await sent.wait(20)


async def test_it_ends_with_its_client(admin: Api, shop: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = threading.Event()
    made = []

    def endless(*_: Any) -> Iterator[bytes]:
        try:
            while True:
                made.append(1)
                yield b"x" * 100
        finally:
            closed.set()

    monkeypatch.setattr(series, "rows", endless)
    sent = asked(admin, shop, b"kind=queue&metrics=ready&format=csv")
    await sent.send_input({"type": "http.request"})
    for _ in range(5):
        await sent.receive_output(20)
    assert not closed.is_set()
    await sent.send_input({"type": "http.disconnect"})
    await sent.wait(20)
    assert await sync_to_async(closed.wait, thread_sensitive=False)(20)
    count = len(made)
    await asyncio.sleep(0.1)
    assert len(made) == count
    assert streaming._running.total() == 0


async def test_one_that_broke_off_has_no_end(
    admin: Api, shop: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(*_: Any) -> Iterator[bytes]:
        yield b"at,ready\r\n"
        yield b"error: Reading failed.\r\n"
        raise BrokenOffError

    monkeypatch.setattr(series, "rows", breaks)
    sent = asked(admin, shop, b"kind=queue&metrics=ready&format=csv")
    await sent.send_input({"type": "http.request"})
    parts = [await sent.receive_output(20) for _ in range(3)]
    assert b"".join(part.get("body", b"") for part in parts).endswith(b"error: Reading failed.\r\n")
    await sent.wait(20)
    # No last part: a server then cuts the connection, and the client sees that something is missing.
    assert await sent.receive_nothing()
    assert all(part.get("more_body", True) for part in parts)
    assert "Traceback" not in caplog.text
    assert streaming._running.total() == 0
