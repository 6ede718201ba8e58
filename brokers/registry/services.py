"""Adding, editing, pausing and removing brokers. Plain functions on typed input; who may do it is decided above."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import unquote, urlsplit, urlunsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.db import transaction
from django.db.models import F

from brokers.registry.credentials import SealedError, Secrets, reseal, seal, unseal
from brokers.registry.models import Broker, ObjectRevision

CADENCES_S = range(1, 301)
_NAME_LENGTH = 80
_URL_LENGTH = 500


@dataclass(frozen=True, slots=True)
class BrokerInput:
    """What a person says of a broker. A secret that is None stays as it is stored; an empty one is taken away."""

    name: str
    management_url: str
    username: str = ""
    password: str | None = None
    token: str | None = None
    prometheus_urls: tuple[str, ...] = ()
    verify_tls: bool = True
    ca_pem: str = ""
    client_cert_pem: str = ""
    client_key_pem: str | None = None
    cadence_s: int = 5

    def __repr__(self) -> str:
        return f"BrokerInput(name={self.name!r}, …)"


class InvalidBrokerError(Exception):
    """The input can't be taken; `errors` says why, a sentence a field."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = errors


class Outcome(StrEnum):
    """What became of an address of WARREN_BROKERS."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Registered:
    """One address of WARREN_BROKERS, without its credentials; `sentence` says why it was refused."""

    name: str
    outcome: Outcome
    sentence: str = ""


def validate(given: BrokerInput, broker_id: int | None = None) -> dict[str, str]:
    """Return what is wrong with the input, a sentence a field; empty where it can be taken."""
    errors: dict[str, str] = {}
    name = given.name.strip()
    if not name:
        errors["name"] = "A broker needs a name."
    elif len(name) > _NAME_LENGTH:
        errors["name"] = f"The name has {len(name)} characters; {_NAME_LENGTH} are possible."
    elif Broker.objects.filter(name=name).exclude(id=broker_id).exists():
        errors["name"] = f"There is a broker named {name} already."
    if said := _address_error(given.management_url):
        errors["management_url"] = said
    for address in given.prometheus_urls:
        if said := _address_error(address):
            errors["prometheus_urls"] = f"{address}: {said}"
    if given.cadence_s not in CADENCES_S:
        errors["cadence_s"] = f"The cadence is {given.cadence_s} s; 1 to {CADENCES_S[-1]} s are possible."
    if given.token and given.username:
        errors["token"] = "A broker is asked with a user and password or with a token, not with both."
    if given.ca_pem and not _certificates(given.ca_pem):
        errors["ca_pem"] = "This is not a certificate in PEM form (-----BEGIN CERTIFICATE-----)."
    if given.client_cert_pem and not _certificates(given.client_cert_pem):
        errors["client_cert_pem"] = "This is not a certificate in PEM form (-----BEGIN CERTIFICATE-----)."
    if given.client_key_pem and not _private_key(given.client_key_pem):
        errors["client_key_pem"] = "This is not a private key in PEM form without a passphrase."
    return errors


@transaction.atomic
def add(given: BrokerInput) -> Broker:
    """Store a new broker; polling of it begins with the next dispatch. Raises InvalidBrokerError."""
    _refuse_invalid(given, None)
    secrets = Secrets(given.password or "", given.token or "", given.client_key_pem or "")
    broker = Broker(sealed=seal(secrets))
    _take(broker, given)
    broker.save()
    ObjectRevision.objects.create(broker=broker)
    return broker


@transaction.atomic
def edit(broker_id: int, given: BrokerInput) -> Broker:
    """Store a changed broker; pooled connections of its old revision are dropped. Raises InvalidBrokerError and
    Broker.DoesNotExist."""
    broker = Broker.objects.select_for_update().get(id=broker_id)
    _refuse_invalid(given, broker_id)
    try:
        held = unseal(broker)
    except SealedError:
        # Entered anew is the way out of a lost key: what is not entered is lost.
        held = Secrets()
    secrets = Secrets(
        held.password if given.password is None else given.password,
        held.token if given.token is None else given.token,
        held.client_key_pem if given.client_key_pem is None else given.client_key_pem,
    )
    broker.sealed = seal(secrets)
    broker.revision += 1
    _take(broker, given)
    broker.save()
    return broker


def pause(broker_id: int) -> None:
    """Ask nothing of a broker from now on. A poll that is under way is not stored."""
    Broker.objects.filter(id=broker_id, paused=False).update(paused=True, revision=F("revision") + 1)


def resume(broker_id: int) -> None:
    """Poll a paused broker again."""
    Broker.objects.filter(id=broker_id, paused=True).update(paused=False, revision=F("revision") + 1)


def remove(broker_id: int) -> None:
    """Delete a broker with its history, its objects and its credentials."""
    Broker.objects.filter(id=broker_id).delete()


def register_from_environment(addresses: Iterable[str]) -> list[Registered]:
    """Register the management addresses of WARREN_BROKERS; what is registered already stays.

    The name is the `#fragment`, else host:port. Credentials in the address win over stored ones, so that a password
    that was changed there holds from the next start.
    """
    return [_register(address) for address in addresses]


def reseal_all() -> int:
    """Encrypt every broker's credentials anew under the first key; return how many. Raises SealedError."""
    count = 0
    for broker in Broker.objects.exclude(sealed=b""):
        unseal(broker)
        Broker.objects.filter(id=broker.id, revision=broker.revision).update(sealed=reseal(broker))
        count += 1
    return count


def split_address(address: str) -> tuple[str, str, str, str]:
    """Cut an address into the one without credentials and fragment, the user, the password and the name.

    Raises ValueError where it is no address.
    """
    parts = urlsplit(address)
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    netloc = f"{shown}:{parts.port}" if parts.port else shown
    url = urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", ""))
    name = unquote(parts.fragment) or netloc
    return url, unquote(parts.username or ""), unquote(parts.password or ""), name


def _register(address: str) -> Registered:
    try:
        url, username, password, name = split_address(address)
    except ValueError:
        # The address may hold a password: it is not repeated.
        return Registered("", Outcome.REFUSED, "An address of WARREN_BROKERS is not a URL.")
    given = BrokerInput(name=name, management_url=url, username=username, password=password)
    known = Broker.objects.filter(name=name).first() or Broker.objects.filter(management_url=url).first()
    try:
        if known is None:
            add(given)
            return Registered(name, Outcome.ADDED)
        return Registered(known.name, _renewed(known, given))
    except InvalidBrokerError as error:
        return Registered(name, Outcome.REFUSED, f"{name} of WARREN_BROKERS is not registered. {error}")


def _renewed(known: Broker, given: BrokerInput) -> Outcome:
    try:
        held = unseal(known).password
    except SealedError:
        held = None
    same_login = not given.username or (known.username == given.username and held == given.password)
    if same_login and known.management_url == given.management_url:
        return Outcome.UNCHANGED
    changed = replace(
        input_of(known),
        management_url=given.management_url,
        **({} if same_login else {"username": given.username, "password": given.password, "token": ""}),
    )
    edit(known.id, changed)
    return Outcome.CHANGED


def input_of(broker: Broker) -> BrokerInput:
    """Return a broker as input that would leave it as it is; secrets are not in it."""
    return BrokerInput(
        name=broker.name,
        management_url=broker.management_url,
        username=broker.username,
        prometheus_urls=tuple(broker.prometheus_urls.split()),
        verify_tls=broker.verify_tls,
        ca_pem=broker.ca_pem,
        client_cert_pem=broker.client_cert_pem,
        cadence_s=broker.cadence_s,
    )


def _take(broker: Broker, given: BrokerInput) -> None:
    broker.name = given.name.strip()
    broker.management_url = given.management_url.strip().rstrip("/")
    broker.prometheus_urls = "\n".join(address.strip().rstrip("/") for address in given.prometheus_urls)
    broker.username = given.username
    broker.verify_tls = given.verify_tls
    broker.ca_pem = given.ca_pem
    broker.client_cert_pem = given.client_cert_pem
    broker.cadence_s = given.cadence_s


def _refuse_invalid(given: BrokerInput, broker_id: int | None) -> None:
    errors = validate(given, broker_id)
    if errors:
        raise InvalidBrokerError(errors)


def _address_error(address: str) -> str:
    if len(address) > _URL_LENGTH:
        return f"The address has {len(address)} characters; {_URL_LENGTH} are possible."
    if any(character.isspace() or not character.isprintable() for character in address.strip()):
        return "An address has no spaces in it."
    try:
        parts = urlsplit(address.strip())
        port = parts.port
    except ValueError:
        return "This is not an address such as http://rabbit.example:15672."
    if parts.scheme not in {"http", "https"}:
        return "An address begins with http:// or https://, such as http://rabbit.example:15672."
    if not parts.hostname or port == 0:
        return "The address names no host, such as http://rabbit.example:15672."
    if parts.username is not None or parts.password is not None:
        return "The address holds credentials. They belong into their own fields, where they are encrypted."
    if parts.query or parts.fragment:
        return "An address ends before any ? or #."
    return ""


def _certificates(pem: str) -> bool:
    try:
        return bool(x509.load_pem_x509_certificates(pem.encode()))
    except ValueError:
        return False


def _private_key(pem: str) -> bool:
    try:
        load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):
        return False
    return True
