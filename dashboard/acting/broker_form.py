"""What a person enters about a broker, read from the form and checked field by field.

Secrets go one way. A field that is left blank keeps what is stored, but only while it would be sent to the same place
under the same protection: otherwise whoever may edit a broker could have its password sent to a host of theirs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from brokers.rabbitmq.endpoint import port_of, split_url
from brokers.rabbitmq.errors import BadEndpointError
from brokers.registry.credentials import Secrets
from brokers.registry.models import Broker
from brokers.registry.services import BYTES_PER_S, SHARE, BrokerInput, validate


@dataclass(frozen=True, slots=True)
class Entered:
    """The form as entered, blanks around the values cut off. `signs_in` is `password` or `token`."""

    name: str = ""
    management_url: str = ""
    prometheus_urls: str = ""
    signs_in: str = "password"
    username: str = ""
    password: str = ""
    token: str = ""
    verify_tls: bool = True
    ca_pem: str = ""
    client_cert_pem: str = ""
    client_key_pem: str = ""
    cadence_s: str = "5"
    prometheus_username: str = ""
    prometheus_password: str = ""
    prometheus_ca_pem: str = ""
    budget_percent: str = f"{100 * SHARE:g}"
    budget_kb_s: str = str(BYTES_PER_S // 1000)

    def __repr__(self) -> str:
        return f"Entered({self.name!r}, …)"

    @property
    def addresses(self) -> list[str]:
        """The Prometheus addresses, one each."""
        return self.prometheus_urls.split()


def read(data: Mapping[str, str]) -> Entered:
    """Read a posted form. Passwords keep their blanks; line ends become plain."""

    def text(name: str) -> str:
        return data.get(name, "").replace("\r\n", "\n").strip()

    return Entered(
        name=text("name"),
        management_url=text("management_url").rstrip("/"),
        prometheus_urls="\n".join(text("prometheus_urls").split()),
        signs_in="token" if data.get("signs_in") == "token" else "password",
        username=text("username"),
        password=data.get("password", ""),
        token=text("token"),
        verify_tls=bool(data.get("verify_tls")),
        ca_pem=text("ca_pem"),
        client_cert_pem=text("client_cert_pem"),
        client_key_pem=text("client_key_pem"),
        cadence_s=text("cadence_s"),
        prometheus_username=text("prometheus_username"),
        prometheus_password=data.get("prometheus_password", ""),
        prometheus_ca_pem=text("prometheus_ca_pem"),
        budget_percent=text("budget_percent").replace(",", ".") or Entered().budget_percent,
        budget_kb_s=text("budget_kb_s") or Entered().budget_kb_s,
    )


def without_secrets(entered: Entered) -> Entered:
    """Return the form to show again: what was typed into a secret's field does not go back to the browser."""
    return replace(entered, password="", token="", client_key_pem="", prometheus_password="")


def from_stored(broker: Broker, stored: Secrets) -> Entered:
    """Return the form of a broker as it is: everything but its secrets."""
    return Entered(
        name=broker.name,
        management_url=broker.management_url,
        prometheus_urls=broker.prometheus_urls,
        signs_in="token" if stored.token else "password",
        username=broker.username,
        verify_tls=broker.verify_tls,
        ca_pem=broker.ca_pem,
        client_cert_pem=broker.client_cert_pem,
        cadence_s=str(broker.cadence_s),
        prometheus_username=broker.prometheus_username,
        prometheus_ca_pem=broker.prometheus_ca_pem,
        budget_percent=f"{broker.budget_percent:g}",
        budget_kb_s=str(broker.budget_kb_s),
    )


def given(entered: Entered) -> BrokerInput:
    """Return the input for brokers.registry.services: a secret left blank stays, those of the other sign-in go."""
    by_token = entered.signs_in == "token"
    key: str | None = entered.client_key_pem or None
    return BrokerInput(
        name=entered.name,
        management_url=entered.management_url,
        username="" if by_token else entered.username,
        password="" if by_token else entered.password or None,
        token=(entered.token or None) if by_token else "",
        prometheus_urls=tuple(entered.addresses),
        verify_tls=entered.verify_tls,
        ca_pem=entered.ca_pem,
        client_cert_pem=entered.client_cert_pem,
        client_key_pem=key if entered.client_cert_pem else "",
        cadence_s=int(entered.cadence_s) if _is_number(entered.cadence_s) else 0,
        prometheus_username=entered.prometheus_username,
        prometheus_password=(entered.prometheus_password or None) if entered.prometheus_username else "",
        prometheus_ca_pem=entered.prometheus_ca_pem,
        budget_percent=_decimal(entered.budget_percent),
        budget_kb_s=int(entered.budget_kb_s) if _is_number(entered.budget_kb_s) else 0,
    )


def secrets_of(entered: Entered, stored: Secrets | None = None) -> Secrets:
    """Return the secrets that would be in force: what was entered, else what is stored."""
    held, new = stored or Secrets(), given(entered)
    return Secrets(
        password=held.password if new.password is None else new.password,
        token=held.token if new.token is None else new.token,
        client_key_pem=held.client_key_pem if new.client_key_pem is None else new.client_key_pem,
        prometheus_password=held.prometheus_password if new.prometheus_password is None else new.prometheus_password,
    )


def problems(entered: Entered, broker: Broker | None = None, stored: Secrets | None = None) -> dict[str, str]:
    """Return a sentence for each field that cannot be used; empty where all can. Reads the names that are taken.

    `broker` and `stored` are what is there already, where a broker is edited.
    """
    found = validate(given(entered), broker.pk if broker else None)
    if not entered.name.isprintable():
        found["name"] = "A name is one line of printable characters."
    if not _is_number(entered.cadence_s):
        found["cadence_s"] = "Enter the cadence in whole seconds."
    return {
        **sign_in_problems(entered, broker, stored),
        **prometheus_problems(entered, broker, stored),
        **_client_problems(entered, stored or Secrets()),
        **found,
    }


def sign_in_problems(entered: Entered, broker: Broker | None, stored: Secrets | None) -> dict[str, str]:
    """Say what is missing to sign in, and where a stored secret may not be used for what was entered. Pure."""
    held = stored or Secrets()
    new_place = moved(broker, entered) if broker is not None else ""
    found: dict[str, str] = {}
    if entered.signs_in == "token":
        if not entered.token and not held.token:
            found["token"] = "Enter the token."  # noqa: S105
        elif not entered.token and new_place:
            found["token"] = f"Enter the token again: {new_place}"
        return found
    if not entered.username:
        found["username"] = "Enter the name of the user that watches the broker."
    if not entered.password and not held.password:
        found["password"] = "Enter the user's password."  # noqa: S105
    elif not entered.password and new_place:
        found["password"] = f"Enter the password again: {new_place}"
    return found


def prometheus_problems(entered: Entered, broker: Broker | None, stored: Secrets | None) -> dict[str, str]:
    """Say the same of the sign-in at the nodes' Prometheus endpoints, which has a password of its own. Pure."""
    if not entered.prometheus_username:
        missing = "A password needs its user." if entered.prometheus_password else ""
        return {"prometheus_username": missing} if missing else {}
    if entered.prometheus_password:
        return {}
    if stored is None or not stored.prometheus_password:
        return {"prometheus_password": "Enter the password of the Prometheus endpoints' user."}
    new_place = moved(broker, entered) if broker is not None else ""
    if not new_place and broker is not None and entered.prometheus_ca_pem.strip() != broker.prometheus_ca_pem.strip():
        new_place = "the stored one is not sent to a server that another authority vouches for."
    return {"prometheus_password": f"Enter the password again: {new_place}"} if new_place else {}


def moved(broker: Broker, entered: Entered) -> str:
    """Say why a stored secret must not be used for what was entered; empty where it may."""
    if origin(entered.management_url) != origin(broker.management_url):
        return "the stored one is not sent to another address."
    new = [address for address in entered.addresses if origin(address) not in _known_origins(broker)]
    if new:
        return "the stored one is not sent to a Prometheus address on another host."
    if broker.verify_tls and not entered.verify_tls:
        return "the stored one is not sent to a server whose certificate is not checked."
    if entered.verify_tls and entered.ca_pem.strip() != broker.ca_pem.strip() and entered.ca_pem:
        return "the stored one is not sent to a server that another authority vouches for."
    return ""


def origin(address: str) -> tuple[str, str, int]:
    """Return scheme, host and port of an address as the client takes it: where a secret would go, and how hidden."""
    try:
        parts = urlsplit(split_url(address)[0])
    except BadEndpointError:
        return "", address, 0
    return parts.scheme, (parts.hostname or "").rstrip("."), port_of(parts)


def _known_origins(broker: Broker) -> set[tuple[str, str, int]]:
    return {origin(address) for address in (broker.management_url, *broker.prometheus_urls.split())}


def _decimal(text: str) -> float:
    """Return a number as typed, -1 where it is none."""
    return float(text) if re.fullmatch(r"\d{1,4}(\.\d{1,6})?", text, re.ASCII) else -1.0


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 6


def _client_problems(entered: Entered, held: Secrets) -> dict[str, str]:
    """Check that the client certificate and its key are both there or both not, and belong together."""
    if not entered.client_cert_pem:
        return {"client_key_pem": "A key needs its certificate."} if entered.client_key_pem else {}
    key = entered.client_key_pem or held.client_key_pem
    if not key:
        return {"client_key_pem": "Enter the certificate's key."}
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        certificate = x509.load_pem_x509_certificates(entered.client_cert_pem.encode())[0]
        private = load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return {"client_key_pem": "This key cannot be read; enter one in PEM form without a passphrase."}
    if private.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        return {"client_key_pem": "Certificate and key do not belong together."}
    return {}
