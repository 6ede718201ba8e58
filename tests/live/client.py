"""A browser's side of the live protocol, for tests: a socket's communicator, and what a view becomes by frames."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.test import Client

from dashboard.accounts.models import User
from dashboard.asgi import application


def session_of(user: User) -> Client:
    """Sign a person in and return the browser."""
    browser = Client()
    browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return browser


class Socket:
    """One open socket at /ws/live."""

    def __init__(
        self, session: str | None, *, zone: str = "", origin: str = "http://localhost", path: str = "/ws/live"
    ) -> None:
        cookies = "; ".join(filter(None, (session and f"sessionid={session}", zone and f"tz={zone}")))
        headers = [(b"origin", origin.encode()), (b"cookie", cookies.encode())]
        scope = {"type": "websocket", "path": path, "query_string": b"", "headers": headers, "subprotocols": []}
        self.communicator = ApplicationCommunicator(application, scope)

    async def knock(self) -> str:
        """Ask to be let in, and return the answer's kind."""
        await self.communicator.send_input({"type": "websocket.connect"})
        return str((await self.communicator.receive_output(timeout=20))["type"])

    async def open(self) -> Socket:
        """Open it; it must be accepted."""
        assert await self.knock() == "websocket.accept"
        return self

    async def say(self, **message: Any) -> None:
        """Send one message."""
        await self.say_raw(text=json.dumps(message))

    async def say_raw(self, **content: str | bytes) -> None:
        """Send a text or bytes as they are."""
        await self.communicator.send_input({"type": "websocket.receive", **content})

    async def subscribe(self, topic: str, params: dict[str, Any] | None = None, sub: str = "page") -> None:
        """Subscribe."""
        await self.say(op="subscribe", sub=sub, topic=topic, params=params or {})

    async def hear(self, *, ack: bool = True) -> dict[str, Any]:
        """Return the next frame, acknowledged unless told otherwise."""
        event = await self.communicator.receive_output(timeout=20)
        assert event["type"] == "websocket.send", event
        frame: dict[str, Any] = json.loads(event["text"])
        if ack and "seq" in frame:
            await self.say(op="ack", seq=frame["seq"])
        return frame

    async def hear_until(self, key: str, text: str) -> dict[str, Any]:
        """Return the frame that sets a cell's text to this one; the frames before it are acknowledged."""
        while True:
            frame = await self.hear()
            if frame.get("cells", {}).get(key, {}).get("text") == text:
                return frame

    async def silent(self, seconds: float = 0.8) -> bool:
        """Tell whether nothing comes within a time that is three looks of the tail long."""
        return bool(await self.communicator.receive_nothing(timeout=seconds))

    async def closed_with(self) -> int:
        """Return the code that the server closes with; frames before it are skipped."""
        while True:
            event = await self.communicator.receive_output(timeout=20)
            if event["type"] == "websocket.close":
                await self.communicator.wait(timeout=10)
                return int(event["code"])

    async def leave(self) -> None:
        """Close it."""
        await self.communicator.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.communicator.wait(timeout=10)


async def socket_of(user: User, **options: Any) -> Socket:
    """Open a socket of a person who has just signed in."""
    browser = await sync_to_async(session_of)(user)
    return await Socket(browser.cookies["sessionid"].value, **options).open()


@dataclass
class Shown:
    """What a browser knows of one subscription. static/js/frames.js does the same; a browser test holds them equal."""

    cells: dict[str, Any] = field(default_factory=dict)
    order: list[str] | None = None
    charts: dict[str, dict[str, Any]] = field(default_factory=dict)
    shape: str = ""
    at_ms: int = 0

    def after(self, frame: dict[str, Any]) -> Shown:
        """Return what is known after a frame."""
        base = Shown() if frame["op"] == "state" else self
        cells = {key: cell for key, cell in base.cells.items() if key not in frame.get("gone", [])}
        charts = dict(base.charts)
        for key, points in frame.get("charts", {}).items():
            charts[key] = _joined(charts.get(key), points)
        return Shown(
            cells | frame.get("cells", {}),
            frame.get("order", base.order),
            charts,
            frame.get("shape", base.shape),
            frame.get("at_ms", base.at_ms),
        )


def _joined(held: dict[str, Any] | None, points: dict[str, Any]) -> dict[str, Any]:
    if points.get("full") or held is None:
        return {"times": points["times"], "values": points["values"]}
    keep = [
        index
        for index, time in enumerate(held["times"])
        if time >= points.get("start", 0) and (not points["times"] or time < points["times"][0])
    ]
    return {
        "times": [held["times"][index] for index in keep] + points["times"],
        "values": {
            name: [held["values"][name][index] for index in keep] + values for name, values in points["values"].items()
        },
    }
