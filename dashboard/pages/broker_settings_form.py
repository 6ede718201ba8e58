"""What a person enters about a broker, checked field by field. Pure: no request, no database, no network.

Secrets go one way. A field that is left blank keeps what is stored, but only while it would be sent to the same place
under the same protection: otherwise whoever may edit a broker could have its password sent to a host of theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from brokers.registry.credentials import Secrets
from brokers.registry.models import Broker

CADENCE_LEAST_S, CADENCE_MOST_S = 1, 3600
_PORTS = {"http": 80, "https": 443}


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
    )


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
    )


def problems(entered: Entered, broker: Broker | None = None, stored: Secrets | None = None) -> dict[str, str]:
    """Return a sentence for each field that cannot be used; empty where all can.

    `broker` and `stored` are what is there already, where a broker is edited.
    """
    held = stored or Secrets()
    found = {
        "name": _name(entered.name),
        "management_url": _address(entered.management_url, "http://rabbit.example:15672"),
        "prometheus_urls": next((why for why in map(_prometheus, entered.addresses) if why), ""),
        "cadence_s": _cadence(entered.cadence_s),
        "ca_pem": _certificates(entered.ca_pem),
        **_client(entered, held, broker),
    }
    kept = moved(broker, entered) if broker is not None and not found["management_url"] else ""
    if entered.signs_in == "password":
        if not entered.username:
            found["username"] = "Enter the name of the user that watches the broker."
        if not entered.password and not held.password:
            found["password"] = "Enter the user's password."
        elif not entered.password and kept:
            found["password"] = f"Enter the password again: {kept}"
    elif not entered.token and not held.token:
        found["token"] = "Enter the token."
    elif not entered.token and kept:
        found["token"] = f"Enter the token again: {kept}"
    return {field: why for field, why in found.items() if why}


def secrets_of(entered: Entered, stored: Secrets | None = None) -> Secrets:
    """Return the secrets to keep: what was entered, else what is stored; those of the other way to sign in go."""
    held = stored or Secrets()
    return Secrets(
        password=(entered.password or held.password) if entered.signs_in == "password" else "",
        token=(entered.token or held.token) if entered.signs_in == "token" else "",
        client_key_pem=(entered.client_key_pem or held.client_key_pem) if entered.client_cert_pem else "",
    )


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
    """Return scheme, host and port of an address: where a secret would go, and whether it would go in the clear."""
    try:
        parts = urlsplit(address)
        return parts.scheme, (parts.hostname or "").rstrip("."), parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return "", address, 0


def _known_origins(broker: Broker) -> set[tuple[str, str, int]]:
    return {origin(address) for address in (broker.management_url, *broker.prometheus_urls.split())}


def _name(name: str) -> str:
    if not name:
        return "Enter a name; it is what pages call the broker."
    if len(name) > 80:
        return "A name has at most 80 characters."
    return "A name is one line of printable characters." if not name.isprintable() else ""


def _split(address: str) -> SplitResult | None:
    if not address.isprintable() or " " in address:
        return None
    try:
        parts = urlsplit(address)
        return parts if parts.scheme in _PORTS and parts.hostname and parts.port != 0 else None
    except ValueError:
        return None


def _address(address: str, example: str) -> str:
    if not address:
        return f"Enter the address of the management API, such as {example}."
    parts = _split(address)
    if parts is None:
        return f"This is no http or https address; one looks like {example}."
    if len(address) > 500:
        return "An address has at most 500 characters."
    if parts.username is not None or parts.password is not None:
        return "Leave name and password out of the address; they have fields of their own and are stored encrypted."
    if parts.query or parts.fragment:
        return "An address ends with its path: leave out what follows ? or #."
    return ""


def _prometheus(address: str) -> str:
    why = _address(address, "http://rabbit-1.example:15692")
    return f"{address[:100]}: {why}" if why else ""


def _cadence(text: str) -> str:
    if not text.isascii() or not text.isdigit() or len(text) > 4 or not CADENCE_LEAST_S <= int(text) <= CADENCE_MOST_S:
        return f"Enter whole seconds from {CADENCE_LEAST_S} to {CADENCE_MOST_S:,}."
    return ""


def _certificates(pem: str) -> str:
    if not pem:
        return ""
    try:
        x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        return "This is no certificate in PEM form: it begins with -----BEGIN CERTIFICATE-----."
    return ""


def _client(entered: Entered, held: Secrets, broker: Broker | None) -> dict[str, str]:
    """Check the client certificate and its key: both or none, and that they belong together."""
    if not entered.client_cert_pem:
        return {"client_key_pem": "A key needs its certificate."} if entered.client_key_pem else {}
    wrong = _certificates(entered.client_cert_pem)
    if wrong:
        return {"client_cert_pem": wrong}
    key = entered.client_key_pem or held.client_key_pem
    if not key:
        return {"client_key_pem": "Enter the certificate's key."}
    try:
        loaded = load_pem_private_key(key.encode(), password=None)
    except TypeError:
        return {"client_key_pem": "This key is locked with a passphrase; enter one without."}
    except (ValueError, UnsupportedAlgorithm):
        return {"client_key_pem": "This is no private key in PEM form: it begins with -----BEGIN PRIVATE KEY-----."}
    certificate = x509.load_pem_x509_certificates(entered.client_cert_pem.encode())[0]
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if loaded.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        where = "client_key_pem" if entered.client_key_pem or broker is None else "client_cert_pem"
        return {where: "Certificate and key do not belong together."}
    return {}
