"""A small AMQP 0-9-1 client that counts every frame: what pika drops or returns by itself would spoil a known sum.

One connection, one thread. A channel is closed by asking: all that the broker sent on it stands before its answer, so
that afterwards both sides have counted the same.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from pika import frame, spec
from pika.exceptions import AMQPError

_TIMEOUT_S = 30.0


class WireError(OSError):
    """The connection ended, or the broker refused."""


class Wire:
    """A connection to one vhost. `heard` gets (channel, method, header, body) of whatever nobody waits for."""

    def __init__(self, amqp: str, vhost: str, heard: Callable[[int, Any, Any, bytes], None] | None = None) -> None:
        url = urlsplit(amqp)
        self.heard = heard
        self._left = b""
        self._frames: deque[Any] = deque()
        self._socket = socket.create_connection((url.hostname or "127.0.0.1", url.port or 5672), timeout=_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(frame.ProtocolHeader().marshal())
        self.wait(0, spec.Connection.Start)
        login = f"\0{unquote(url.username or 'guest')}\0{unquote(url.password or 'guest')}".encode()
        start = spec.Connection.StartOk(
            {"capabilities": {"basic.nack": True, "publisher_confirms": True}}, "PLAIN", login.decode(), "en_US"
        )
        self.send(0, start)
        tune = self.wait(0, spec.Connection.Tune)
        self._most = tune.frame_max or 131072
        self.send(0, spec.Connection.TuneOk(tune.channel_max, self._most, 0))
        self.ask(0, spec.Connection.Open(vhost), spec.Connection.OpenOk)

    def open(self, channel: int, *, confirms: bool = False) -> None:
        """Open a channel, with publisher confirms or without."""
        self.ask(channel, spec.Channel.Open(), spec.Channel.OpenOk)
        if confirms:
            self.ask(channel, spec.Confirm.Select(), spec.Confirm.SelectOk)

    def shut(self, channel: int) -> None:
        """Close a channel, and hear all that was sent on it before."""
        self.ask(channel, spec.Channel.Close(200, "done", 0, 0), spec.Channel.CloseOk)

    def close(self) -> None:
        """End the connection without a word."""
        self._socket.close()

    def publish(self, channel: int, exchange: str, key: str, body: bytes = b"x", *, mandatory: bool = False) -> None:
        """Publish one persistent message."""
        properties = spec.BasicProperties(delivery_mode=2)
        self._socket.sendall(
            frame.Method(channel, spec.Basic.Publish(0, exchange, key, mandatory)).marshal()
            + frame.Header(channel, len(body), properties).marshal()
            + (frame.Body(channel, body).marshal() if body else b"")
        )

    def send(self, channel: int, method: Any) -> None:
        """Send one method."""
        self._socket.sendall(frame.Method(channel, method).marshal())

    def ask(self, channel: int, method: Any, *answers: type[Any]) -> Any:
        """Send a method and return its answer."""
        self.send(channel, method)
        return self.wait(channel, *answers)

    def wait(self, channel: int, *kinds: type[Any]) -> Any:
        """Read until a method of these kinds comes on the channel and return it; all else goes to `heard`."""
        while True:
            found = self.read(channel, *kinds)
            if found is not None:
                return found

    def read(self, channel: int = -1, *kinds: type[Any]) -> Any:
        """Read one method with its content; return it where it is awaited, else give it to `heard`.

        Raises TimeoutError where nothing comes within the socket's timeout, WireError where the broker ended it.
        """
        one = self._next()
        if not isinstance(one, frame.Method):
            return None
        header, body = None, b""
        if isinstance(one.method, spec.Basic.Deliver | spec.Basic.GetOk | spec.Basic.Return):
            header = self._next()
            while len(body) < header.body_size:
                body += self._next().fragment
        if one.channel_number == channel and isinstance(one.method, kinds):
            return one.method
        if isinstance(one.method, spec.Channel.Close | spec.Connection.Close):
            raise WireError(f"The broker closed: {one.method.reply_code} {one.method.reply_text}")
        if self.heard is not None:
            self.heard(one.channel_number, one.method, header, body)
        return None

    def listen(self, seconds: float) -> bool:
        """Read one method if one comes within so many seconds; tell whether."""
        if not self._frames and not self._whole():
            self._socket.settimeout(max(seconds, 0.001))
            try:
                if not self._fill():
                    raise WireError("The broker ended the connection.")
            except TimeoutError:
                return False
            finally:
                self._socket.settimeout(_TIMEOUT_S)
            if not self._whole():
                return True
        self.read()
        return True

    def _next(self) -> Any:
        while not self._frames and not self._whole():
            if not self._fill():
                raise WireError("The broker ended the connection.")
        return self._frames.popleft()

    def _fill(self) -> bool:
        chunk = self._socket.recv(65536)
        self._left += chunk
        return bool(chunk)

    def _whole(self) -> bool:
        """Decode all frames that are there whole."""
        while True:
            try:
                used, one = frame.decode_frame(self._left)
            except AMQPError as error:
                raise WireError(str(error)) from error
            if one is None:
                return bool(self._frames)
            self._left = self._left[used:]
            self._frames.append(one)
