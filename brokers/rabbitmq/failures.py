"""From the exceptions of requests, urllib3, ssl and the operating system to one BrokerError with a sentence."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPException
from http.client import IncompleteRead as HalfRead
from urllib.parse import urlsplit

from urllib3.exceptions import (
    ConnectTimeoutError,
    IncompleteRead,
    InvalidChunkLength,
    NameResolutionError,
    NewConnectionError,
)

from brokers.rabbitmq.endpoint import address_of
from brokers.rabbitmq.errors import AnswerError, BrokerError, ErrorKind, UnreachableError
from brokers.rabbitmq.tls import tls_error

_NO_ROUTE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EHOSTDOWN}
_HALF = (IncompleteRead, HalfRead, InvalidChunkLength)
_RESET = (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)


def explain(error: BaseException, url: str, seconds: float) -> BrokerError:
    """Return what the failure of a call to `url`, after so many seconds, means to a person."""
    address = address_of(url)
    causes = list(_causes(error))
    own = next((one for one in causes if isinstance(one, BrokerError)), None)
    if own is not None:
        return own
    secure = next((one for one in causes if isinstance(one, ssl.SSLError) and not _is_timeout(one)), None)
    if secure is not None and not isinstance(secure, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return tls_error(secure, address)
    found = _connecting(causes, address, urlsplit(url).hostname or "")
    return found or _talking(causes, address, url, seconds)


def is_reset(error: BaseException) -> bool:
    """True where the other side closed the connection before it answered anything."""
    causes = list(_causes(error))
    if any(isinstance(one, (*_HALF, TimeoutError)) for one in causes):
        return False
    return any(isinstance(one, (*_RESET, ssl.SSLEOFError)) for one in causes)


def _connecting(causes: list[BaseException], address: str, host: str) -> UnreachableError | None:
    for one in causes:
        if isinstance(one, socket.gaierror) and one.errno == socket.EAI_AGAIN:
            return UnreachableError(
                ErrorKind.DNS,
                f"No DNS server tells the address of {host}.",
                f"Check this machine's DNS: getent hosts {host}",
            )
    for one in causes:
        if isinstance(one, NameResolutionError | socket.gaierror):
            return UnreachableError(
                ErrorKind.DNS,
                f"The name {host} can't be resolved to an address.",
                f"Check the spelling, and that this machine's DNS knows it: getent hosts {host}",
            )
        # urllib3's NewConnectionError, whatever its cause, is a ConnectTimeoutError too.
        if isinstance(one, ConnectTimeoutError) and not isinstance(one, NewConnectionError):
            return UnreachableError(
                ErrorKind.CONNECT_TIMEOUT,
                f"{address} does not accept a connection in time.",
                "Check that the host is up, and firewalls in between that drop packets.",
            )
        if isinstance(one, ConnectionRefusedError):
            return UnreachableError(
                ErrorKind.REFUSED,
                f"{address} refuses connections: nothing listens there.",
                "Check that the broker runs, that its management plugin is on, and the port.",
            )
        if isinstance(one, OSError) and one.errno in _NO_ROUTE:
            return UnreachableError(
                ErrorKind.NO_ROUTE,
                f"There is no way to {address} from here ({errno.errorcode[one.errno or 0]}).",
                "Check routes, VPN and firewalls between the two machines.",
            )
    return None


def _talking(causes: list[BaseException], address: str, url: str, seconds: float) -> BrokerError:
    if any(_is_timeout(one) for one in causes):
        return UnreachableError(
            ErrorKind.TOO_SLOW,
            f"{address} accepted the call and did not finish answering within {seconds:.1f} s.",
            "Look at the node's load and memory; a browser on the official UI would wait as long.",
        )
    if any(isinstance(one, _HALF) for one in causes):
        return AnswerError(
            ErrorKind.TRUNCATED,
            f"{address} ended its answer in the middle.",
            "Look for a proxy that cuts answers, or a node that restarts.",
        )
    if any(isinstance(one, (*_RESET, ssl.SSLEOFError, ssl.SSLZeroReturnError)) for one in causes):
        return UnreachableError(
            ErrorKind.RESET,
            f"{address} closed the connection without an answer.",
            "Check that the port is the management API's (15672 unless it was changed; 5672 is AMQP's)"
            # With TLS 1.3 a server that misses a client certificate may hang up before its alert is read.
            f", and whether it wants {'https://' if url.startswith('http://') else 'a client certificate'}.",
        )
    if any(isinstance(one, HTTPException) for one in causes):
        return AnswerError(
            ErrorKind.NOT_RABBITMQ,
            f"{address} answers something that is not HTTP.",
            "Enter the port of the management API (15672 unless it was changed), not that of AMQP (5672).",
        )
    return UnreachableError(
        ErrorKind.RESET,
        f"The call to {address} failed: {type(causes[0]).__name__}.",
        "Try again; if it stays, look at the broker's log at this minute.",
    )


def _is_timeout(error: BaseException) -> bool:
    if isinstance(error, TimeoutError):
        return True
    return isinstance(error, ssl.SSLError) and "timed out" in str(error)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk an exception, what it was raised from, and the exceptions in its arguments (urllib3 wraps that way)."""
    todo: list[BaseException] = [error]
    seen: set[int] = set()
    while todo:
        one = todo.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inside = [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
        todo.extend(found for found in inside if isinstance(found, BaseException))
