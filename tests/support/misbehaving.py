"""A server on loopback that answers as it is told: slowly, hugely, cut off, compressed without end, or not at all.

A behaviour is a function that gets the connection and the request; when it returns, the connection is closed.
"""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass
class Request:
    """One request as it came: its path with query, and its whole head."""

    path: str
    head: str


@dataclass
class Talk:
    """One connection of the server: sends as long as anybody listens, and counts what it sent."""

    server: Misbehaving
    sock: socket.socket

    def send(self, data: bytes) -> bool:
        """Send; False where nobody listens any more, or the server is closing."""
        if self.server.closing.is_set():
            return False
        try:
            self.sock.sendall(data)
        except OSError:
            return False
        with self.server.lock:
            self.server.sent += len(data)
        return True

    def wait(self, seconds: float = 60) -> None:
        """Do nothing until the client hangs up or the server closes."""
        self.sock.settimeout(0.05)
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.server.closing.is_set():
            try:
                if not self.sock.recv(4096):
                    return
            except TimeoutError:
                continue
            except OSError:
                return


Behaviour: TypeAlias = Callable[[Talk, Request], object]


@dataclass
class Misbehaving:
    """The server: `url` without a slash at its end, the requests so far, the bytes sent in all."""

    url: str
    port: int
    requests: list[Request] = field(default_factory=list)
    sent: int = 0
    closing: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def paths(self) -> list[str]:
        """The paths that were asked for."""
        return [request.path for request in self.requests]


@contextmanager
def misbehaving(
    behaviour: Behaviour, *, tls: ssl.SSLContext | None = None, hears: bytes = b"\r\n\r\n"
) -> Iterator[Misbehaving]:
    """Serve on a free port until the block ends; a request is over when `hears` came (empty: at its first bytes)."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    port = listener.getsockname()[1]
    server = Misbehaving(f"{'https' if tls else 'http'}://127.0.0.1:{port}", port)
    threads: list[threading.Thread] = []

    def accept() -> None:
        while not server.closing.is_set():
            with suppress(TimeoutError):
                sock, _ = listener.accept()
                thread = threading.Thread(target=_serve, args=(server, sock, behaviour, tls, hears), daemon=True)
                threads.append(thread)
                thread.start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield server
    finally:
        server.closing.set()
        accepting.join()
        listener.close()
        for thread in threads:
            thread.join(10)


def _serve(
    server: Misbehaving, sock: socket.socket, behaviour: Behaviour, tls: ssl.SSLContext | None, hears: bytes
) -> None:
    sock.settimeout(5)
    with sock:
        try:
            secure = tls.wrap_socket(sock, server_side=True) if tls else sock
        except OSError:
            return  # the client did not like what it saw
        with secure:
            head = _head(secure, hears)
            if head is None:
                return
            request = Request(head.split(" ", 2)[1] if head.count(" ") > 1 else "", head)
            with server.lock:
                server.requests.append(request)
            behaviour(Talk(server, secure), request)


def _head(sock: socket.socket, hears: bytes) -> str | None:
    data = b""
    while not data or hears not in data:
        try:
            more = sock.recv(65536)
        except OSError:
            return None
        if not more:
            return None
        data += more
    return data.decode("latin-1")


# --- behaviours


def head(status: int = 200, content_type: str = "application/json", length: int | None = None, **headers: str) -> bytes:
    """Return the head of an answer."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {content_type}", "Connection: close"]
    lines += [f"Content-Length: {length}"] if length is not None else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answers(body: Any, status: int = 200, content_type: str = "application/json", **headers: str) -> Behaviour:
    """Answer with a body: bytes and text as they are, else as JSON."""
    data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return lambda talk, _: talk.send(head(status, content_type, len(data), **headers) + data)


def by_path(behaviours: dict[str, Behaviour], otherwise: Behaviour | None = None) -> Behaviour:
    """Answer each path (without its query) in its own way, and 404 where none is given."""
    missing = otherwise or answers({"error": "Object Not Found", "reason": "Not Found"}, 404)

    def behave(talk: Talk, request: Request) -> None:
        behaviours.get(request.path.partition("?")[0], missing)(talk, request)

    return behave


def never(talk: Talk, _: Request) -> None:
    """Accept the request and say nothing."""
    talk.wait()


def drips(talk: Talk, _: Request) -> None:
    """Send an endless answer, a byte each twentieth of a second."""
    talk.send(head())
    while talk.send(b" "):
        time.sleep(0.05)


def drips_its_head(talk: Talk, _: Request) -> None:
    """The same with the head of the answer."""
    for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"x" * 100_000:
        if not talk.send(bytes([byte])):
            return
        time.sleep(0.05)


def announces(size: int) -> Behaviour:
    """Announce a body of so many bytes and send it as long as it is taken."""
    return lambda talk, _: _flood(talk, head(length=size), size)


def floods(size: int, status: int = 200, **headers: str) -> Behaviour:
    """Send a body of so many bytes without announcing it."""
    return lambda talk, _: _flood(talk, head(status, **headers), size)


def _flood(talk: Talk, first: bytes, size: int) -> None:
    chunk = b" " * 65536
    left = size
    alive = talk.send(first)
    while alive and left > 0:
        alive = talk.send(chunk[:left])
        left -= len(chunk)


def bomb(size: int, status: int = 200, **headers: str) -> Behaviour:
    """Send a small gzip body that unpacks to so many bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1 << 20)
    packed = b"".join(packer.compress(zeros) for _ in range(size >> 20)) + packer.flush()
    return answers(packed, status, Content_Encoding="gzip", **headers)


def zipped(body: bytes, **headers: str) -> Behaviour:
    """Answer with a gzip body."""
    return answers(gzip.compress(body), Content_Encoding="gzip", **headers)


def cut_off(body: bytes, announced: int, **headers: str) -> Behaviour:
    """Announce more than is sent, and close."""
    return lambda talk, _: talk.send(head(length=announced, **headers) + body)


def raw(data: bytes) -> Behaviour:
    """Send these bytes, whatever they are, and close."""
    return lambda talk, _: talk.send(data)


def resets(talk: Talk, _: Request) -> None:
    """Close the connection hard, without an answer."""
    talk.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
