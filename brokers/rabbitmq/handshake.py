"""A TLS handshake by itself, without a call: what was agreed on, the server's certificate, and why it failed."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from brokers.rabbitmq import certificates, tls
from brokers.rabbitmq.certificates import Certificate
from brokers.rabbitmq.connection import CALL, Address, connect
from brokers.rabbitmq.endpoint import Endpoint
from brokers.rabbitmq.errors import ErrorKind, TLSError, quoted
from brokers.rabbitmq.failures import explain

# With TLS 1.3 a server refuses a missing client certificate only after the client thinks that all is well.
_AFTERTHOUGHT_S = 0.25


@dataclass(frozen=True, slots=True)
class Handshake:
    """A handshake that stood. `certificate` is None where it can't be read."""

    protocol: str
    certificate: Certificate | None


def shake(endpoint: Endpoint, addresses: list[Address], timeout: float) -> Handshake:
    """Agree on TLS with the broker, within about twice `timeout` seconds. Raises BrokerError.

    Where the certificate is refused, it is looked at once more without a check and without anything sent, so that the
    error says what is wrong with it.
    """
    try:
        return _shake(endpoint, addresses, timeout)
    except TLSError as error:
        if error.kind not in {ErrorKind.TLS_EXPIRED, ErrorKind.TLS_WRONG_HOST, ErrorKind.TLS_UNTRUSTED}:
            raise
        try:
            seen = _shake(
                replace(endpoint, verify=False, client_cert_pem="", client_key_pem=""), addresses, timeout
            ).certificate
        except TLSError:
            raise error from None
        raise (explained(error, seen, endpoint) if seen else error) from None


def explained(error: TLSError, seen: Certificate, endpoint: Endpoint) -> TLSError:
    """Return the error with what the certificate says in its sentence and remedy. Pure."""
    address, now = endpoint.address, datetime.now(UTC)
    if error.kind is ErrorKind.TLS_EXPIRED and seen.ends < now:
        return TLSError(error.kind, f"The certificate of {address} expired on {seen.ends:%Y-%m-%d}.", error.remedy)
    if error.kind is ErrorKind.TLS_EXPIRED and seen.starts > now:
        return TLSError(
            error.kind, f"The certificate of {address} is valid from {seen.starts:%Y-%m-%d %H:%M} UTC on.", error.remedy
        )
    if error.kind is ErrorKind.TLS_WRONG_HOST:
        named = next((name for name in seen.names if "*" not in name), "")
        way = f"Enter {named} as the host" if named else "Enter the host by a name that it has"
        return TLSError(
            error.kind,
            f"The certificate of {address} is for {seen.shown_names()}, not for {endpoint.host}.",
            f"{way}, or give the broker a certificate for {endpoint.host}.",
        )
    if error.kind is ErrorKind.TLS_UNTRUSTED and seen.self_signed:
        return TLSError(
            error.kind,
            f"The certificate of {address} is signed by itself: nobody that is trusted here vouches for it.",
            f"Compare it with the broker's own (SHA-256 {seen.fingerprint}), then paste it as own authority: "
            f"openssl s_client -connect {address} -showcerts",
        )
    if error.kind is ErrorKind.TLS_UNTRUSTED:
        who = "the pasted authority" if endpoint.ca_pem else "an authority that this system knows"
        return TLSError(
            error.kind,
            f"The certificate of {address} is signed by {quoted(seen.issuer)}, not by {who}.",
            f"Paste the certificate of {quoted(seen.issuer)} as own authority.",
        )
    return error


def _shake(endpoint: Endpoint, addresses: list[Address], timeout: float) -> Handshake:
    context = tls.context(endpoint)
    CALL.begin(timeout, timeout)
    with _explained(endpoint, timeout):
        plain = connect(addresses, timeout)
        try:
            secure = context.wrap_socket(plain, server_hostname=endpoint.host)
        except BaseException:
            plain.close()
            raise
        with secure:
            der = secure.getpeercert(binary_form=True)
            protocol = (secure.version() or "TLS").replace("TLSv", "TLS ")
            _hear_afterthought(secure)
    return Handshake(protocol, certificates.read(der) if der else None)


def _hear_afterthought(secure: ssl.SSLSocket) -> None:
    secure.settimeout(_AFTERTHOUGHT_S)
    try:
        secure.recv(1)
    except (TimeoutError, ConnectionError, ssl.SSLEOFError):
        return  # nothing to say, or it hung up on our silence: the calls will tell


@contextmanager
def _explained(endpoint: Endpoint, timeout: float) -> Iterator[None]:
    try:
        yield
    except (OSError, socket.gaierror) as error:
        raise explain(error, endpoint.management_url, timeout) from error
