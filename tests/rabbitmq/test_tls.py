"""TLS as it goes wrong: real handshakes with certificates made here, each failure with its own remedy."""

from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from brokers.rabbitmq import connect_check, tls
from brokers.rabbitmq.connect_check import Step, Verdict
from brokers.rabbitmq.endpoint import Endpoint
from brokers.rabbitmq.errors import BadEndpointError, BrokerError, ErrorKind
from brokers.rabbitmq.http import Limits
from brokers.rabbitmq.management import Management
from tests.support import misbehaving as server
from tests.support.certificates import Pair, make_pair, server_context
from tests.support.misbehaving import misbehaving

LIMITS = Limits(connect=3, read=3, total=4)
AUTHORITY = make_pair("Burrow Test CA", authority=True)
OTHER = make_pair("Somebody Else's CA", authority=True)
GOOD = make_pair("rabbit", "127.0.0.1", "localhost", signed_by=AUTHORITY)
CLIENT = make_pair("warren", signed_by=AUTHORITY)


def tried(
    folder: Path, pair: Pair, *, clients_of: Pair | None = None, **fields: object
) -> tuple[BrokerError | None, Step]:
    """Call a TLS server and test the connection to it: the call's error, and the check's step about TLS."""
    with misbehaving(server.answers({"name": "watch"}), tls=server_context(folder, pair, clients_of=clients_of)) as up:
        endpoint = replace(Endpoint(up.url, username="watch", ca_pem=AUTHORITY.cert_pem), **fields)
        error = None
        try:
            with Management(endpoint, LIMITS) as management:
                management.whoami()
        except BrokerError as failed:
            error = failed
        step = next(step for step in connect_check.check(endpoint) if step.name == "TLS")
    return error, step


def test_it_talks_to_a_server_whose_authority_it_knows(tmp_path: Path) -> None:
    error, step = tried(tmp_path, GOOD)
    assert error is None
    assert step.verdict is Verdict.OK
    assert "TLS 1.3; the certificate is for localhost, 127.0.0.1, signed by “Burrow Test CA”" in step.sentence


@pytest.mark.parametrize(
    ("pair", "kind", "sentence", "remedy"),
    [
        (
            make_pair("rabbit", "127.0.0.1", signed_by=AUTHORITY, days=(-40, -10)),
            ErrorKind.TLS_EXPIRED,
            "expired on 2",
            "Renew it",
        ),
        (
            make_pair("rabbit", "127.0.0.1", signed_by=AUTHORITY, days=(3, 40)),
            ErrorKind.TLS_EXPIRED,
            "is valid from 2",
            "clocks",
        ),
        (
            make_pair("rabbit", "rabbit.example", "*.example", signed_by=AUTHORITY),
            ErrorKind.TLS_WRONG_HOST,
            "is for rabbit.example, *.example, not for 127.0.0.1",
            "Enter rabbit.example as the host",
        ),
        (
            make_pair("rabbit", "127.0.0.1", signed_by=OTHER),
            ErrorKind.TLS_UNTRUSTED,
            "is signed by “Somebody Else's CA”, not by the pasted authority",
            "Paste the certificate of “Somebody Else's CA”",
        ),
        (
            make_pair("rabbit", "127.0.0.1"),
            ErrorKind.TLS_UNTRUSTED,
            "is signed by itself",
            "(SHA-256 ",
        ),
    ],
    ids=["expired", "not yet", "wrong host", "unknown authority", "self-signed"],
)
def test_it_says_what_is_wrong_with_a_certificate(
    tmp_path: Path, pair: Pair, kind: ErrorKind, sentence: str, remedy: str
) -> None:
    error, step = tried(tmp_path, pair)
    assert error is not None
    assert error.kind is kind
    assert error.remedy
    assert step.verdict is Verdict.CRITICAL
    assert sentence in step.sentence
    assert remedy in step.remedy


def test_it_warns_before_a_certificate_expires(tmp_path: Path) -> None:
    _, step = tried(tmp_path, make_pair("rabbit", "127.0.0.1", signed_by=AUTHORITY, days=(-9, 6)))
    assert step.verdict is Verdict.WARNING
    assert "It expires in 5 days." in step.sentence


def test_it_says_what_an_unchecked_certificate_hides(tmp_path: Path) -> None:
    error, step = tried(tmp_path, make_pair("rabbit", "127.0.0.1"), verify=False)
    assert error is None
    assert step.verdict is Verdict.WARNING
    assert "who stands in between can read the password. A check says: " in step.sentence
    assert "is signed by itself" in step.sentence
    _, step = tried(tmp_path, GOOD, verify=False)
    assert "though it would pass one" in step.sentence
    assert "Switch the check" in step.remedy


def test_it_signs_in_with_a_client_certificate(tmp_path: Path) -> None:
    error, step = tried(
        tmp_path, GOOD, clients_of=AUTHORITY, client_cert_pem=CLIENT.cert_pem, client_key_pem=CLIENT.key_pem
    )
    assert error is None
    assert step.verdict is Verdict.OK


def test_it_says_that_a_client_certificate_is_wanted(tmp_path: Path) -> None:
    error, step = tried(tmp_path, GOOD, clients_of=AUTHORITY)
    assert error is not None
    # The call may find the connection closed before it reads why; the check listens first.
    assert error.kind in {ErrorKind.TLS_CLIENT_CERTIFICATE, ErrorKind.RESET}
    assert "client certificate" in error.remedy
    assert step.verdict is Verdict.CRITICAL
    assert "asks for a client certificate" in step.remedy
    stranger = make_pair("warren", signed_by=OTHER)
    error, step = tried(
        tmp_path, GOOD, clients_of=AUTHORITY, client_cert_pem=stranger.cert_pem, client_key_pem=stranger.key_pem
    )
    assert error is not None
    assert error.kind in {ErrorKind.TLS_CLIENT_CERTIFICATE, ErrorKind.RESET}
    assert "does not accept the client certificate" in step.sentence


def test_it_says_that_a_server_does_not_speak_tls_or_wants_it(tmp_path: Path) -> None:
    with misbehaving(server.answers("Bad Request", 400), hears=b"") as plain:
        endpoint = Endpoint(plain.url.replace("http:", "https:"))
        with Management(endpoint, LIMITS) as management, pytest.raises(BrokerError) as raised:
            management.whoami()
    assert raised.value.kind is ErrorKind.TLS_NOT_SPOKEN
    assert "Use http:// there" in raised.value.remedy
    with misbehaving(server.answers({"name": "watch"}), tls=server_context(tmp_path, GOOD)) as secure:
        endpoint = Endpoint(secure.url.replace("https:", "http:"))
        with Management(endpoint, LIMITS) as management, pytest.raises(BrokerError) as raised:
            management.whoami()
    assert "whether it wants https://" in raised.value.remedy


def test_it_sends_no_credentials_to_a_server_that_it_does_not_trust(tmp_path: Path) -> None:
    stranger = make_pair("rabbit", "127.0.0.1")
    with misbehaving(server.answers({"name": "watch"}), tls=server_context(tmp_path, stranger)) as up:
        endpoint = Endpoint(up.url, username="watch", password="kept-to-itself", ca_pem=AUTHORITY.cert_pem)
        list(connect_check.check(endpoint))
        assert up.requests == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"ca_pem": "not PEM"}, "The CA certificate can't be used"),
        ({"ca_pem": GOOD.key_pem}, "The CA certificate can't be used"),
        ({"client_cert_pem": CLIENT.cert_pem}, "The client certificate with its key can't be used"),
        (
            {"client_cert_pem": CLIENT.cert_pem, "client_key_pem": GOOD.key_pem},
            "The client certificate with its key can't be used",
        ),
    ],
)
def test_it_refuses_certificates_that_openssl_cannot_use(fields: dict[str, str], words: str) -> None:
    with pytest.raises(BadEndpointError, match=words) as raised:
        tls.context(Endpoint("https://127.0.0.1:1", **fields))
    assert "PRIVATE KEY" not in f"{raised.value.sentence}{raised.value!r}"


def test_it_verifies_unless_told_otherwise() -> None:
    made = tls.context(Endpoint("https://127.0.0.1:1"))
    assert (made.verify_mode, made.check_hostname) == (ssl.CERT_REQUIRED, True)
