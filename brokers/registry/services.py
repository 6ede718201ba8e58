"""Adding, editing, pausing and removing brokers. Plain functions on typed input; who may do it is decided above."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import unquote, urldefrag

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.db import transaction
from django.db.models import F

from brokers.rabbitmq.endpoint import Endpoint, address_of, split_url
from brokers.rabbitmq.errors import BrokerError
from brokers.registry.credentials import SealedError, Secrets, seal, unseal
from brokers.registry.models import Broker, ObjectRevision

CADENCES_S = range(1, 301)
# What a broker's budget may be: percent of its time, and kilobytes a second on the wire. 1 MB/s is 8 Mbit/s: less than
# a percent of a data centre's line.
SHARE, SHARES_PERCENT = 0.02, (0.05, 50.0)
BYTES_PER_S, KB_S = 1_000_000, range(10, 100_001)
_NAME_LENGTH = 80
_URL_LENGTH = 500
_BOTH = "A broker is asked with a user and password or with a token, not with both."
_UNSENDABLE = "The token has spaces, line ends or letters that no token has: paste it anew."
_TOKEN = re.compile(r"[\x21-\x7e]*")
_NO_CERTIFICATE = "This is not a certificate in PEM form (-----BEGIN CERTIFICATE-----)."
_NO_KEY = "This is not a private key in PEM form without a passphrase."


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
    prometheus_username: str = ""
    prometheus_password: str | None = None
    prometheus_ca_pem: str = ""
    budget_percent: float = 100 * SHARE
    budget_kb_s: int = BYTES_PER_S // 1000

    def __repr__(self) -> str:
        return f"BrokerInput(name={self.name!r}, …)"


class InvalidBrokerError(Exception):
    """The input can't be taken; `errors` says why, a sentence a field."""

    def __init__(self, errors: dict[str, str]) -> None:
        self.sentence = " ".join(errors.values())
        super().__init__(self.sentence)
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


@dataclass(frozen=True, slots=True)
class Registering:
    """What an address of WARREN_BROKERS is about to change: a new broker, or a known one's address or sign-in."""

    name: str
    management_url: str
    username: str
    known: Broker | None


def validate(given: BrokerInput, broker_id: int | None = None) -> dict[str, str]:
    """Return what is wrong with the input, a sentence a field; empty where it can be taken."""
    errors: dict[str, str] = {}
    name = given.name.strip()
    if not name:
        errors["name"] = "A broker needs a name."
    elif len(name) > _NAME_LENGTH:
        errors["name"] = f"The name has {len(name)} characters; {_NAME_LENGTH} are possible."
    elif Broker.objects.filter(name=name).exclude(id=broker_id or 0).exists():
        errors["name"] = f"There is a broker named {name} already."
    said = {
        "management_url": _address_error(given.management_url, "management address"),
        "prometheus_urls": " ".join(
            filter(None, (_address_error(address, "Prometheus address", {}) for address in given.prometheus_urls))
        ),
        "token": _token_error(given),
        "prometheus_ca_pem": "" if _certificates(given.prometheus_ca_pem) else _NO_CERTIFICATE,
        "ca_pem": "" if _certificates(given.ca_pem) else _NO_CERTIFICATE,
        "client_cert_pem": "" if _certificates(given.client_cert_pem) else _NO_CERTIFICATE,
        "client_key_pem": "" if _private_key(given.client_key_pem or "") else _NO_KEY,
    }
    least, most = SHARES_PERCENT
    if not least <= given.budget_percent <= most:
        said["budget_percent"] = f"Enter a share from {least:g} to {most:g} percent."
    if given.budget_kb_s not in KB_S:
        said["budget_kb_s"] = f"Enter {KB_S[0]} to {KB_S[-1]:,} kilobytes a second."
    if given.cadence_s not in CADENCES_S:
        said["cadence_s"] = f"The cadence is {given.cadence_s} s; 1 to {CADENCES_S[-1]} s are possible."
    return errors | {field: sentence for field, sentence in said.items() if sentence}


@transaction.atomic
def add(given: BrokerInput) -> Broker:
    """Store a new broker; polling of it begins with the next dispatch. Raises InvalidBrokerError."""
    _refuse_invalid(given, None)
    secrets = Secrets(
        given.password or "", given.token or "", given.client_key_pem or "", given.prometheus_password or ""
    )
    broker = Broker(sealed=seal(secrets))
    _take(broker, given)
    broker.save()
    ObjectRevision.objects.create(broker=broker)
    return broker


@transaction.atomic
def edit(broker_id: int, given: BrokerInput, revision: int | None = None) -> Broker:
    """Store a changed broker; pooled connections of its old revision are dropped.

    `revision` is the one that the input was checked against: where somebody else changed the broker since, its address
    may be another, and a secret must not go there unseen. Raises InvalidBrokerError and Broker.DoesNotExist.
    """
    broker = Broker.objects.select_for_update().get(id=broker_id)
    if revision is not None and broker.revision != revision:
        raise InvalidBrokerError({"name": f"{broker.name} was changed by somebody else just now. Look at it again."})
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
        held.prometheus_password if given.prometheus_password is None else given.prometheus_password,
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


def register_from_environment(
    addresses: Iterable[str], around: Callable[[Registering], AbstractContextManager[object]] = nullcontext
) -> list[Registered]:
    """Register the management addresses of WARREN_BROKERS; what is registered already stays.

    The name is the `#fragment`, else host:port. Credentials in the address win over stored ones, so that a password
    that was changed there holds from the next start. Each change is made within `around(change)`, to be written down.
    """
    return [_register(address, around) for address in addresses]


def endpoint_of(broker: Broker) -> Endpoint:
    """Return where a broker is and how to sign in. Raises SealedError, and BadEndpointError."""
    secrets = unseal(broker)
    return Endpoint(
        broker.management_url,
        username=broker.username,
        password=secrets.password,
        token=secrets.token,
        verify=broker.verify_tls,
        ca_pem=broker.ca_pem,
        client_cert_pem=broker.client_cert_pem,
        client_key_pem=secrets.client_key_pem,
        prometheus_urls=tuple(broker.prometheus_urls.split()),
        prometheus_username=broker.prometheus_username,
        prometheus_password=secrets.prometheus_password,
        prometheus_ca_pem=broker.prometheus_ca_pem,
    )


def name_in(address: str, url: str) -> str:
    """Return the name that an address gives its broker: the fragment, else host:port."""
    fragment = unquote(urldefrag(address).fragment).strip()
    # `#/queues` and the like come from the official UI's address line, and name nothing.
    return fragment if fragment and not fragment.startswith("/") else address_of(url)


def _register(address: str, around: Callable[[Registering], AbstractContextManager[object]]) -> Registered:
    try:
        url, username, password = split_url(address)
    except BrokerError as error:
        return Registered("", Outcome.REFUSED, f"An address of WARREN_BROKERS can't be used. {error.sentence}")
    name = name_in(address, url)
    given = BrokerInput(name=name, management_url=url, username=username, password=password)
    known = Broker.objects.filter(name=name).first() or Broker.objects.filter(management_url=url).first()
    changed = _renewed(known, given) if known else given
    if known and changed is None:
        return Registered(known.name, Outcome.UNCHANGED)
    try:
        with around(Registering(known.name if known else name, url, username, known)):
            if known is None:
                add(given)
                return Registered(name, Outcome.ADDED)
            edit(known.pk, changed or given)
            return Registered(known.name, Outcome.CHANGED)
    except InvalidBrokerError as error:
        return Registered(name, Outcome.REFUSED, f"{name} of WARREN_BROKERS is not registered. {error}")


def _renewed(known: Broker, given: BrokerInput) -> BrokerInput | None:
    """Return a known broker as its address has it now, None where that is as it is stored."""
    try:
        held = unseal(known).password
    except SealedError:
        held = None
    same_login = not given.username or (known.username == given.username and held == given.password)
    if same_login and known.management_url == given.management_url:
        return None
    changed = replace(input_of(known), management_url=given.management_url)
    if not same_login:
        changed = replace(changed, username=given.username, password=given.password, token="")
    return changed


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
        prometheus_username=broker.prometheus_username,
        prometheus_ca_pem=broker.prometheus_ca_pem,
        budget_percent=broker.budget_percent,
        budget_kb_s=broker.budget_kb_s,
    )


def _take(broker: Broker, given: BrokerInput) -> None:
    broker.name = given.name.strip()
    broker.management_url = split_url(given.management_url)[0]
    broker.prometheus_urls = "\n".join(split_url(one, default_ports={})[0] for one in given.prometheus_urls)
    broker.username = given.username
    broker.verify_tls = given.verify_tls
    broker.ca_pem = given.ca_pem
    broker.client_cert_pem = given.client_cert_pem
    broker.cadence_s = given.cadence_s
    broker.prometheus_username = given.prometheus_username
    broker.prometheus_ca_pem = given.prometheus_ca_pem
    broker.budget_percent = given.budget_percent
    broker.budget_kb_s = given.budget_kb_s


def _refuse_invalid(given: BrokerInput, broker_id: int | None) -> None:
    errors = validate(given, broker_id)
    if errors:
        raise InvalidBrokerError(errors)


def _address_error(address: str, what: str, default_ports: dict[str, int] | None = None) -> str:
    if len(address) > _URL_LENGTH:
        return f"The {what} has {len(address)} characters; {_URL_LENGTH} are possible."
    try:
        _, username, password = split_url(address, what, default_ports)
    except BrokerError as error:
        return f"{error.sentence} {error.remedy}"
    if username or password:
        return f"The {what} has credentials in it. They belong into their own fields, where they are encrypted."
    return ""


def _token_error(given: BrokerInput) -> str:
    if given.token and given.username:
        return _BOTH
    return "" if _TOKEN.fullmatch(given.token or "") else _UNSENDABLE


def _certificates(pem: str) -> bool:
    if not pem.strip():
        return True
    try:
        return bool(x509.load_pem_x509_certificates(pem.encode()))
    except ValueError:
        return False


def _private_key(pem: str) -> bool:
    if not pem.strip():
        return True
    try:
        load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):
        return False
    return True
