"""What people put before RabbitMQ's Prometheus endpoint: TLS, a sign-in, an own address; and answers that are slow."""

from __future__ import annotations

import ssl
import threading
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_HOP = {"connection", "transfer-encoding", "content-length", "host"}


class Before(ThreadingHTTPServer):
    """A proxy in this process before a real endpoint. `delay_s` holds back each answer to `/metrics/detailed`."""

    daemon_threads = True

    def __init__(self, target: str, user: str, password: str, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target.rstrip("/").removesuffix("/metrics")
        self.wanted = f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}" if user else ""
        self.delay_s = 0.0
        # Families that are held back for it; empty: all.
        self.slow_families: tuple[str, ...] = ()
        self.asked: list[str] = []
        self.headers_seen: list[dict[str, str]] = []
        self.scheme = "https" if tls else "http"
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that did not like the certificate is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Before

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.headers_seen.append(dict(self.headers))
        if self.server.wanted and self.headers.get("Authorization") != self.server.wanted:
            self._answer(401, {"WWW-Authenticate": 'Basic realm="metrics"'}, b"who are you?")
            return
        families = self.server.slow_families
        if "/detailed" in self.path and (not families or any(family in self.path for family in families)):
            time.sleep(self.server.delay_s)
        sent = {name: value for name, value in self.headers.items() if name.lower() not in {*_HOP, "authorization"}}
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self.server.target + self.path, headers=sent),
                timeout=20,
            ) as answer:
                told, body = dict(answer.headers), answer.read()
                self._answer(answer.status, told, body)
        except urllib.error.HTTPError as error:
            self._answer(error.code, {}, error.read())
        except OSError:
            self._answer(502, {}, b"no answer")

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def before(target: str, *, user: str = "", password: str = "", tls: ssl.SSLContext | None = None) -> Iterator[Before]:
    """Stand before a Prometheus endpoint for as long as the block lasts."""
    server = Before(target, user, password, tls)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
