"""What a client sends that it should not: a sentence, never a traceback, and in the end a closed socket."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from hypothesis import given
from hypothesis import strategies as st

from dashboard.accounts.models import Role
from dashboard.live.messages import (
    LONGEST_MESSAGE,
    MOST_FAULTS,
    MOST_SUBSCRIPTIONS,
    Message,
    NotUnderstood,
    understand,
)
from dashboard.live.socket import live_socket
from tests.live.client import Socket, session_of, socket_of
from tests.support.builders import make_user

WRONG: list[dict[str, Any]] = [
    {"text": ""},
    {"text": "{"},
    {"text": "[]"},
    {"text": "null"},
    {"text": "[" * 5000},
    {"text": '"subscribe"'},
    {"text": "{}"},
    {"text": '{"op":"drop tables"}'},
    {"text": '{"op":"subscribe"}'},
    {"text": '{"op":"subscribe","sub":"","topic":"fleet"}'},
    {"text": '{"op":"subscribe","sub":"page","topic":7}'},
    {"text": '{"op":"subscribe","sub":"page","topic":"fleet","params":[]}'},
    {"text": '{"op":"ack","seq":"1"}'},
    {"text": '{"op":"ack","seq":1e999}'},
    {"text": '{"op":"subscribe","sub":"\ud800","topic":"fleet"}'},
    {"text": '{"op":"ack","seq":1,"x":"' + "x" * LONGEST_MESSAGE + '"}'},
    {"bytes": b"\x00\xff"},
]


async def opened() -> Socket:
    return await socket_of(await sync_to_async(make_user)(None, Role.VIEWER))


@pytest.mark.usefixtures("live_db")
async def test_it_answers_what_it_does_not_understand_by_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    socket = await opened()
    for message in WRONG:
        await socket.say_raw(**message)
        refused = await socket.hear()
        assert set(refused) == {"op", "sentence"}, message
        assert refused["op"] == "refused"
        assert refused["sentence"].endswith(".")
    await socket.subscribe("fleet")
    assert (await socket.hear())["op"] == "state"
    assert "Traceback" not in caplog.text
    await socket.leave()


@pytest.mark.usefixtures("live_db")
async def test_it_closes_a_socket_that_goes_on_and_on() -> None:
    socket = await opened()
    for _ in range(MOST_FAULTS):
        await socket.say_raw(text="?")
    assert await socket.closed_with() == 4400


@pytest.mark.usefixtures("live_db")
async def test_it_sends_nothing_after_it_has_closed() -> None:
    socket = await opened()
    await socket.subscribe("fleet")
    for _ in range(MOST_FAULTS + 5):
        await socket.say_raw(text="?")
    assert await socket.closed_with() == 4400
    assert socket.communicator.output_queue.empty()


@pytest.mark.usefixtures("live_db")
async def test_a_page_that_is_closed_while_a_frame_is_under_way_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    user = await sync_to_async(make_user)(None, Role.VIEWER)
    browser = await sync_to_async(session_of)(user)
    told = asyncio.Queue[dict[str, Any]]()
    told.put_nowait({"type": "websocket.connect"})
    told.put_nowait({"type": "websocket.receive", "text": '{"op":"subscribe","sub":"page","topic":"fleet"}'})
    sent: list[str] = []

    async def send(event: dict[str, Any]) -> None:
        sent.append(event["type"])
        if event["type"] != "websocket.accept":
            # What a server raises where the browser has left: a kind of OSError, says ASGI.
            raise BrokenPipeError

    scope = {"cookies": {"sessionid": browser.cookies["sessionid"].value}}
    async with asyncio.timeout(20):
        await live_socket(scope, told.get, send)
    assert sent == ["websocket.accept", "websocket.send"]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.usefixtures("live_db")
async def test_it_refuses_a_subscription_too_many_and_keeps_the_others() -> None:
    socket = await opened()
    for number in range(MOST_SUBSCRIPTIONS):
        await socket.subscribe("fleet", sub=f"s{number}")
        assert (await socket.hear())["op"] == "state"
    await socket.subscribe("fleet", sub="one too many")
    refused = await socket.hear()
    assert (refused["op"], refused["sub"]) == ("refused", "one too many")
    await socket.subscribe("fleet", sub="s0")
    assert (await socket.hear())["op"] == "state"
    await socket.leave()


@pytest.mark.usefixtures("live_db")
async def test_it_refuses_a_topic_that_is_none() -> None:
    socket = await opened()
    await socket.subscribe("__class__")
    assert (await socket.hear())["op"] == "refused"
    await socket.leave()


@given(st.text(max_size=200) | st.just(None))
def test_it_understands_or_says_why_not(text: str | None) -> None:
    with suppress(NotUnderstood):
        assert isinstance(understand(text), Message)
