"""Sockets that keep a deadline: name resolution, connecting, and every single receive and send.

A read timeout alone does not bound a call, since a server that sends one byte a second never runs into it. So the
moment at which a call must have ended is kept for the calling thread, and no socket operation waits longer than that.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from typing import Any, TypeAlias

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

Address: TypeAlias = tuple[socket.AddressFamily, tuple[Any, ...]]


class Call(threading.local):
    """What the calling thread's present call may still spend, and whether it had to open a connection."""

    ends_at: float = float("inf")
    read_timeout: float = 60.0
    connected: bool = False

    def begin(self, read_timeout: float, total_timeout: float) -> None:
        """Start the clock; seconds."""
        self.ends_at = time.monotonic() + total_timeout
        self.read_timeout = read_timeout
        self.connected = False

    def remaining(self) -> float:
        """Return the seconds that are left. Raises TimeoutError when there are none."""
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the call's time is up")
        return left

    def patience(self) -> float:
        """Return how long one socket operation may wait. Raises TimeoutError when the time is up."""
        return min(self.read_timeout, self.remaining())


CALL = Call()


class DeadlineSocket(socket.socket):
    """A TCP socket whose reads and writes end with the call."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(CALL.patience())
        return super().recv_into(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        self.settimeout(CALL.patience())
        super().sendall(*args, **kwargs)


class DeadlineSSLSocket(ssl.SSLSocket):
    """The same over TLS."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(CALL.patience())
        return super().recv_into(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        self.settimeout(CALL.patience())
        super().sendall(*args, **kwargs)

    def do_handshake(self, block: bool = False) -> None:
        self.settimeout(CALL.patience())
        super().do_handshake(block)


def resolve(host: str, port: int, timeout: float) -> list[Address]:
    """Return the addresses of a host, after at most `timeout` seconds. Raises socket.gaierror.

    The resolver of the C library has no timeout that a caller could set, so it is asked in a thread left behind.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return [(family, address) for family, _, _, _, address in found]
    except socket.gaierror:
        pass  # a name, not a number
    answer: list[list[Address]] = []
    failure: list[BaseException] = []

    def ask() -> None:
        try:
            known = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answer.append([(family, address) for family, _, _, _, address in known])
        except (OSError, UnicodeError) as error:
            failure.append(error)

    asking = threading.Thread(target=ask, name=f"resolve {host}", daemon=True)
    asking.start()
    asking.join(timeout)
    if answer:
        return answer[0]
    if failure and isinstance(failure[0], socket.gaierror):
        raise failure[0]
    if failure:
        raise socket.gaierror(socket.EAI_NONAME, "not a name that can be resolved")
    raise socket.gaierror(socket.EAI_AGAIN, f"no answer from the resolver within {timeout:.1f} s")


def connect(addresses: list[Address], timeout: float) -> DeadlineSocket:
    """Return a socket connected to the first address that accepts. Raises OSError of the last one that did not."""
    last: OSError = OSError("the name has no address")
    for family, address in addresses:
        sock = DeadlineSocket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(min(timeout, CALL.remaining()))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect(address)
        except OSError as error:
            sock.close()
            last = error
        else:
            return sock
    raise last


def open_socket(connection: HTTPConnection) -> DeadlineSocket:
    """Open the socket of a urllib3 connection, raising urllib3's own errors."""
    CALL.connected = True
    timeout = connection.timeout if isinstance(connection.timeout, (int, float)) else 10.0
    try:
        addresses = resolve(connection.host.strip("[]"), connection.port or 0, min(timeout, CALL.remaining()))
        return connect(addresses, timeout)
    except socket.gaierror as error:
        raise NameResolutionError(connection.host, connection, error) from error
    except TimeoutError as error:
        raise ConnectTimeoutError(connection, f"connecting to {connection.host} took too long") from error
    except OSError as error:
        raise NewConnectionError(connection, str(error)) from error


class DeadlineConnection(HTTPConnection):
    """Plain HTTP."""

    def _new_conn(self) -> socket.socket:
        return open_socket(self)


class DeadlineTLSConnection(HTTPSConnection):
    """HTTP over TLS; the context makes the socket, see `tls.context`."""

    def _new_conn(self) -> socket.socket:
        return open_socket(self)


class _Pool(HTTPConnectionPool):
    ConnectionCls = DeadlineConnection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = DeadlineTLSConnection

    def _validate_conn(self, conn: Any) -> None:
        # urllib3 warns on each call when a person chose not to verify; the page says that, once and where it counts.
        if conn.is_closed:
            conn.connect()


class DeadlinePools(PoolManager):
    """A urllib3 pool manager of such connections."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
