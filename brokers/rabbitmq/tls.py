"""TLS contexts from PEM text, and TLS's failures as sentences."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from brokers.rabbitmq.connection import DeadlineSSLSocket
from brokers.rabbitmq.endpoint import Endpoint
from brokers.rabbitmq.errors import BadEndpointError, ErrorKind, TLSError, clipped


def context(endpoint: Endpoint) -> ssl.SSLContext:
    """Return the context for calls to a broker. Raises BadEndpointError when certificate or key can't be used."""
    try:
        made = ssl.create_default_context(cadata=endpoint.ca_pem or None)
    except (ssl.SSLError, ValueError) as error:
        raise _bad("The CA certificate", error) from None
    if endpoint.ca_pem and not made.cert_store_stats()["x509"]:
        raise _bad("The CA certificate", ValueError("it holds no certificate"))
    if not endpoint.verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    if endpoint.client_cert_pem:
        _load_client_certificate(made, endpoint)
    made.sslsocket_class = DeadlineSSLSocket
    return made


def _load_client_certificate(made: ssl.SSLContext, endpoint: Endpoint) -> None:
    # OpenSSL reads certificate chains from files only; these are readable by this user alone and gone at once.
    with tempfile.TemporaryDirectory(prefix="warren-") as folder:
        pem = Path(folder) / "client.pem"
        pem.touch(mode=0o600)
        pem.write_text(f"{endpoint.client_cert_pem.strip()}\n{endpoint.client_key_pem.strip()}\n")
        try:
            # A key with a passphrase would make OpenSSL ask the terminal.
            made.load_cert_chain(pem, password="")
        except (ssl.SSLError, ValueError, OSError) as error:
            raise _bad("The client certificate with its key", error) from None


def _bad(what: str, error: Exception) -> BadEndpointError:
    reason = getattr(error, "reason", None) or "it is not PEM text that OpenSSL can read"
    if isinstance(error, ValueError) and not isinstance(error, ssl.SSLError):
        reason = str(error)
    return BadEndpointError(
        ErrorKind.BAD_CERTIFICATE_TEXT,
        f"{what} can't be used: {clipped(str(reason).lower().replace('_', ' '), 120)}.",
        "Paste PEM text, from -----BEGIN … to -----END …, certificate and unencrypted key of the same pair.",
    )


def tls_error(error: ssl.SSLError, address: str) -> TLSError:
    """Return what an SSLError means to a person."""
    text = f"{getattr(error, 'reason', '') or ''} {error}".lower().replace("_", " ")
    verify = clipped(str(getattr(error, "verify_message", "") or ""), 160)
    if isinstance(error, ssl.SSLCertVerificationError):
        return _verification(error, verify, address)
    if "certificate required" in text or "bad certificate" in text or "handshake failure" in text:
        return TLSError(
            ErrorKind.TLS_CLIENT_CERTIFICATE,
            f"{address} refused the TLS handshake: {_short(text)}.",
            "The broker asks for a client certificate: enter one, with its key, that its CA has signed.",
        )
    if "unknown ca" in text or "certificate unknown" in text or "certificate revoked" in text:
        return TLSError(
            ErrorKind.TLS_CLIENT_CERTIFICATE,
            f"{address} does not accept the client certificate: {_short(text)}.",
            "Enter a client certificate that the broker's own CA has signed.",
        )
    if "wrong version number" in text or "record layer" in text or "http request" in text or "packet length" in text:
        return TLSError(
            ErrorKind.TLS_NOT_SPOKEN,
            f"{address} does not speak TLS on that port.",
            "Use http:// there, or the port of the TLS listener (15671 unless it was changed).",
        )
    if "protocol version" in text or "unsupported protocol" in text or "no shared cipher" in text:
        return TLSError(
            ErrorKind.TLS,
            f"{address} offers no TLS version or cipher that is still considered safe: {_short(text)}.",
            "Enable TLS 1.2 or 1.3 on the broker (ssl_options.versions).",
        )
    return TLSError(
        ErrorKind.TLS,
        f"TLS with {address} failed: {_short(text)}.",
        "Check the TLS listener: openssl s_client -connect " + address,
    )


def _verification(error: ssl.SSLCertVerificationError, verify: str, address: str) -> TLSError:
    text = verify.lower()
    if error.verify_code == 10:
        return TLSError(
            ErrorKind.TLS_EXPIRED,
            f"The certificate of {address} has expired.",
            "Renew it on the broker. Until then calls fail, so that nobody in between can read along.",
        )
    if error.verify_code == 9:
        return TLSError(
            ErrorKind.TLS_EXPIRED,
            f"The certificate of {address} is not valid yet.",
            "Check the clocks of both machines, then the certificate's first day.",
        )
    if error.verify_code in {62, 64} or "mismatch" in text or "not valid for" in text:
        return TLSError(
            ErrorKind.TLS_WRONG_HOST,
            f"The certificate of {address} is for another host: {verify}.",
            "Enter the host by a name that the certificate has, or give the broker a certificate with this one.",
        )
    return TLSError(
        ErrorKind.TLS_UNTRUSTED,
        f"The certificate of {address} is signed by nobody that is trusted here: {verify or 'verification failed'}.",
        "Paste the certificate of the CA that signed it.",
    )


def _short(text: str) -> str:
    # OpenSSL's own words, without the source file and number that Python puts around them.
    inside = text.partition("(_ssl")[0].strip(" []")
    return clipped(inside.rpartition("]")[2].strip(" :") or inside, 100)
