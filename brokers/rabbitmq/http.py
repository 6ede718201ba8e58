"""HTTP calls to a broker: pooled, and bounded in time, in size and in where they may lead."""

from __future__ import annotations

import ssl
import time
import zlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http.cookiejar import DefaultCookiePolicy
from io import BytesIO
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from brokers.rabbitmq import tls
from brokers.rabbitmq.connection import CALL, DeadlinePools
from brokers.rabbitmq.endpoint import Endpoint, address_of
from brokers.rabbitmq.errors import AnswerError, BrokerError, ErrorKind
from brokers.rabbitmq.failures import explain, is_reset

_CHUNK = 1 << 18
_REDIRECTS = {301, 302, 303, 307, 308}


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one call, in seconds and bytes. `max_bytes` holds for the body as sent and as unpacked."""

    connect: float = 3.0
    read: float = 10.0
    total: float = 20.0
    max_bytes: int = 96 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `seconds` until its last byte was read, `wire_bytes` of the body as it came over the wire.

    `own_s` is the part of `seconds` in which our own machine was what the call waited for.
    """

    status: int
    body: bytes = field(repr=False)
    content_type: str
    seconds: float
    wire_bytes: int
    url: str
    own_s: float = 0.0

    @property
    def bytes(self) -> int:
        """Length of the unpacked body."""
        return len(self.body)


@dataclass(frozen=True, slots=True)
class Measure:
    """What a call cost: its path, seconds until the whole answer was there, bytes unpacked and as sent.

    `own_s` is the part of `seconds` that was our own machine's.
    """

    what: str
    seconds: float
    bytes: int
    wire_bytes: int
    own_s: float = 0.0


class Client:
    """Calls to one broker over pooled connections; usable from several threads, one call a thread at a time.

    `signed_in` False sends no credentials (Prometheus endpoints need none, and need not see any).
    """

    def __init__(self, endpoint: Endpoint, limits: Limits | None = None, *, signed_in: bool = True) -> None:
        self.endpoint = endpoint
        self.limits = limits or Limits()
        self.signed_in = signed_in
        self._session = _Session()
        # No proxy and no netrc from the environment: they would send credentials to places that nobody entered.
        self._session.trust_env = False
        self._session.headers.clear()
        # Anything like it may differ by the endpoint's settings, so a context is made for each client.
        adapter = _Adapter(endpoint)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        self._headers = {"User-Agent": "Warren"}
        if signed_in:
            self._headers.update(_authorization(endpoint))

    def __repr__(self) -> str:
        return f"Client({self.endpoint!r})"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the pooled connections."""
        self._session.close()

    def get(
        self, url: str, *, accept: str = "application/json", limits: Limits | None = None, packed: bool = True
    ) -> Answer:
        """GET a whole URL; any status is an answer. Raises UnreachableError, TLSError or AnswerError.

        `packed` lets the answer be compressed, which costs the broker time and spares the line.

        Redirects are followed on the same scheme, host and port only, three times at most. A call that finds its pooled
        connection closed by the broker is tried once more on a new one; nothing else is.
        """
        return self.request("GET", url, accept=accept, limits=limits, packed=packed)

    def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        accept: str = "application/json",
        limits: Limits | None = None,
        packed: bool = True,
    ) -> Answer:
        """Make one call; only GET is repeated or redirected. The body, if any, is JSON."""
        limits = limits or self.limits
        began, own = time.perf_counter(), own_seconds()
        CALL.begin(limits.read, limits.total)
        headers = {**self._headers, "Accept": accept, "Accept-Encoding": "gzip" if packed else "identity"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        for _ in range(4):
            answer, location = self._once(method, url, body, headers, limits, began)
            if not location:
                return replace(answer, own_s=min(answer.seconds, own_seconds() - own))
            url = _same_place(url, location, answer.status)
            if method != "GET":
                break
        raise AnswerError(
            ErrorKind.REDIRECTED,
            f"{address_of(url)} sends the call from one address to the next without an end.",
            "Enter the address that the official UI has in the browser's address bar.",
        )

    def _once(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        limits: Limits,
        began: float,
    ) -> tuple[Answer, str]:
        try:
            return self._exchange(method, url, body, headers, limits, began)
        except (requests.RequestException, HTTPError, OSError) as error:
            if method != "GET" or CALL.connected or not is_reset(error):
                raise explain(error, url, time.perf_counter() - began) from error
        try:
            return self._exchange(method, url, body, headers, limits, began)
        except (requests.RequestException, HTTPError, OSError) as error:
            raise explain(error, url, time.perf_counter() - began) from error

    def _exchange(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        limits: Limits,
        began: float,
    ) -> tuple[Answer, str]:
        response = self._session.request(
            method,
            url,
            data=body,
            headers=dict(headers),
            timeout=(limits.connect, limits.read),
            allow_redirects=False,
            stream=True,
        )
        raw: BaseHTTPResponse = response.raw
        try:
            content, wire_bytes = _read(raw, url, limits.max_bytes)
            raw.release_conn()
        except BaseException:
            # What is left of the body is not read to its end: the connection can't serve another call.
            raw.close()
            raise
        answer = Answer(
            status=response.status_code,
            body=content,
            content_type=response.headers.get("Content-Type", ""),
            seconds=time.perf_counter() - began,
            wire_bytes=wire_bytes,
            url=url,
        )
        location = response.headers.get("Location", "") if response.status_code in _REDIRECTS else ""
        return answer, location


def own_seconds() -> float:
    """Return the seconds that this thread has computed, and waited for a CPU of this machine, so far.

    The wait is told by Linux alone; elsewhere it counts as none, and a busy machine of ours as a slow broker.
    """
    try:
        with open("/proc/thread-self/schedstat", "rb") as told:  # noqa: PTH123 (a third of the time of Path.read_bytes)
            waited_ns = int(told.read().split()[1])
    except (OSError, ValueError, IndexError):
        waited_ns = 0
    return time.thread_time() + waited_ns / 1e9


def _read(raw: BaseHTTPResponse, url: str, max_bytes: int) -> tuple[bytes, int]:
    """Return (unpacked body, bytes on the wire). Raises AnswerError, urllib3's errors, OSError."""
    announced = _number(raw.headers.get("Content-Length", ""))
    if announced > max_bytes:
        raise _too_large(url, max_bytes, f"announces {announced:,} bytes")
    coding = raw.headers.get("Content-Encoding", "").strip().lower()
    unpack = zlib.decompressobj(31) if coding in {"gzip", "x-gzip"} else None
    # It hands out what was written as it lies there: joining chunks would take the memory of a long answer twice.
    content = BytesIO()
    wire_bytes = size = 0
    for chunk in raw.stream(_CHUNK, decode_content=False):
        wire_bytes += len(chunk)
        if unpack is not None:
            try:
                chunk = unpack.decompress(chunk, max_bytes + 1 - size)  # noqa: PLW2901
            except zlib.error:
                raise _truncated(url, "its gzip compression is damaged") from None
        size += len(chunk)
        if size > max_bytes or wire_bytes > max_bytes:
            raise _too_large(url, max_bytes, "sends more")
        content.write(chunk)
        CALL.remaining()
    if unpack is not None and wire_bytes and not unpack.eof:
        raise _truncated(url, "its gzip compression ends in the middle")
    return content.getvalue(), wire_bytes


def _number(text: str) -> int:
    """Return a number from a header, 0 where it is none; one of many digits is a large one."""
    return int(text[:18]) if text.isascii() and text.isdecimal() else 0


def _too_large(url: str, max_bytes: int, how: str) -> AnswerError:
    return AnswerError(
        ErrorKind.TOO_LARGE,
        f"{address_of(url)} {how} where at most {max_bytes:,} are accepted.",
        "Check that the address is RabbitMQ's own, and what stands between.",
    )


def _truncated(url: str, why: str) -> AnswerError:
    return AnswerError(
        ErrorKind.TRUNCATED,
        f"The answer of {address_of(url)} is not whole: {why}.",
        "Look for a proxy that cuts answers, or a node that restarts.",
    )


def _same_place(url: str, location: str, status: int) -> str:
    here, shown = urlsplit(url), "another place"
    try:
        target = urljoin(url, location)
        there = urlsplit(target)
        if (here.scheme, here.hostname, here.port) == (there.scheme, there.hostname, there.port):
            return target
        if there.hostname:
            shown = f"{there.scheme}://{address_of(target)}"
    except ValueError:
        pass  # no address at all: whatever it is, it is not the same place
    raise AnswerError(
        ErrorKind.REDIRECTED,
        f"{address_of(url)} redirects to {shown} (HTTP {status}); credentials are not sent on to there.",
        f"Enter {shown} as the address if that is the broker.",
        status=status,
    )


def _authorization(endpoint: Endpoint) -> dict[str, str]:
    if endpoint.token:
        return {"Authorization": f"Bearer {endpoint.token}"}
    if endpoint.username or endpoint.password:
        pair = f"{endpoint.username}:{endpoint.password}".encode()
        return {"Authorization": f"Basic {b64encode(pair).decode()}"}
    return {}


class _Session(requests.Session):
    """requests' session without what it does by itself with an answer.

    Even where redirects are not followed, it would read the body of one to its end, however long that is; and it would
    keep every cookie.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Tell of no redirect: where one leads is looked at by the client itself."""


class _Adapter(HTTPAdapter):
    """requests' adapter over connections that keep deadlines, with the endpoint's own TLS context."""

    def __init__(self, endpoint: Endpoint) -> None:
        # Also for http:// brokers: their nodes' Prometheus may be behind TLS.
        self._context: ssl.SSLContext | None = tls.context(endpoint)
        super().__init__(pool_connections=16, pool_maxsize=8, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **settings: Any) -> None:
        self.poolmanager = DeadlinePools(
            num_pools=connections, maxsize=maxsize, block=block, ssl_context=self._context, **settings
        )

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {"ssl_context": self._context}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave the connection alone: all is in the context."""


__all__ = ["Answer", "BrokerError", "Client", "Limits", "Measure"]
