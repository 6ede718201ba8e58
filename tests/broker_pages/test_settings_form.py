"""The form of a broker: a sentence by field, and a stored secret that never goes anywhere new."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import hypothesis
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import strategies as st

from brokers.registry.credentials import Secrets
from brokers.registry.models import Broker
from dashboard.acting.broker_form import (
    Entered,
    from_stored,
    given,
    origin,
    problems,
    read,
    secrets_of,
    sign_in_problems,
)

pytestmark = pytest.mark.django_db
GOOD = Entered(name="shop", management_url="http://rabbit:15672", username="watch", password="pass")
STORED = Secrets(password="kept-secret", client_key_pem="")


def stored_broker(**fields: object) -> Broker:
    return Broker(**{"name": "shop", "management_url": "https://rabbit:15671/x", "username": "watch", **fields})


def certificate() -> tuple[str, str]:
    """Return a certificate and its key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "warren")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return made.public_bytes(pem).decode(), key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def test_it_accepts_a_good_form() -> None:
    assert problems(GOOD) == {}


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("name", "", "needs a name"),
        ("name", "x" * 81, "81 characters"),
        ("name", "two\nlines", "one line"),
        ("management_url", "", "address"),
        ("management_url", "rabbit:15672", "address"),
        ("management_url", "ftp://rabbit", "address"),
        ("management_url", "http://rabbit:port", "address"),
        ("management_url", "http://[::1", "address"),
        ("management_url", "http://me:secret@rabbit:15672", "address"),
        ("management_url", "http://rabbit/?a=b", "address"),
        ("prometheus_urls", "http://a:15692 javascript:alert(1)", "address"),
        ("username", "", "user that watches"),
        ("password", "", "password"),
        ("cadence_s", "0", "1 to 300"),
        ("cadence_s", "9" * 5000, "whole seconds"),
        ("cadence_s", "²", "whole seconds"),
        ("ca_pem", "hello", "BEGIN CERTIFICATE"),
        ("client_key_pem", "hello", "needs its certificate"),
    ],
)
def test_it_says_by_field_what_is_wrong(field: str, value: str, says: str) -> None:
    found = problems(replace(GOOD, **{field: value}))
    assert field in found
    assert says in found[field]


def test_it_keeps_the_stored_secret_where_the_field_is_left_blank() -> None:
    entered = replace(GOOD, management_url="https://rabbit:15671/other", password="")
    assert problems(entered, stored_broker(), STORED) == {}
    assert secrets_of(entered, STORED).password == "kept-secret"


@pytest.mark.parametrize(
    "changes",
    [
        {"management_url": "https://evil:15671/x"},
        {"management_url": "https://rabbit:9999/x"},
        {"management_url": "http://rabbit:15671/x"},
        {"management_url": "https://rabbit.evil:15671/x"},
        {"verify_tls": False},
        {"prometheus_urls": "http://evil:15692"},
    ],
)
def test_it_refuses_to_send_a_stored_secret_anywhere_new(changes: dict[str, object]) -> None:
    entered = replace(from_stored(stored_broker(), STORED), **changes)  # type: ignore[arg-type]
    assert "Enter the password again" in problems(entered, stored_broker(), STORED)["password"]
    assert problems(replace(entered, password="anew"), stored_broker(), STORED) == {}
    token = Secrets(token="kept-token")
    by_token = replace(from_stored(stored_broker(), token), **changes)  # type: ignore[arg-type]
    assert "Enter the token again" in problems(by_token, stored_broker(), token)["token"]


def test_it_takes_another_spelling_of_the_same_host_for_the_same() -> None:
    entered = replace(from_stored(stored_broker(), STORED), management_url="https://RABBIT:15671/x")
    assert problems(entered, stored_broker(), STORED) == {}
    assert origin("https://a") == origin("https://A.:443/path")
    assert origin("http://a") == origin("http://a:15672/api") != origin("http://a:80")


def test_it_never_puts_a_stored_secret_into_the_form() -> None:
    entered = from_stored(stored_broker(), Secrets(password="kept-secret", token="", client_key_pem="kept-key"))
    assert (entered.password, entered.token, entered.client_key_pem) == ("", "", "")
    assert "kept" not in repr(replace(entered, password="kept-secret"))


def test_it_drops_the_secret_of_the_other_way_to_sign_in() -> None:
    entered = replace(GOOD, signs_in="token", token="t", password="")
    assert secrets_of(entered, STORED) == Secrets(token="t")
    assert given(entered).username == ""


def test_it_checks_that_certificate_and_key_belong_together() -> None:
    cert, key = certificate()
    other, _ = certificate()
    assert problems(replace(GOOD, client_cert_pem=cert, client_key_pem=key)) == {}
    assert "belong together" in problems(replace(GOOD, client_cert_pem=other, client_key_pem=key))["client_key_pem"]
    assert "Enter the certificate's key" in problems(replace(GOOD, client_cert_pem=cert))["client_key_pem"]
    assert "PEM form" in problems(replace(GOOD, client_cert_pem=cert, client_key_pem="x"))["client_key_pem"]


@hypothesis.given(st.dictionaries(st.sampled_from(list(Entered.__dataclass_fields__)), st.text(), max_size=12))
def test_it_survives_anything_that_is_posted(data: dict[str, str]) -> None:
    entered = read(data)
    found = sign_in_problems(entered, stored_broker(), STORED)
    assert found.keys() <= {"username", "password", "token"}
    assert repr(given(entered)).endswith("…)")
