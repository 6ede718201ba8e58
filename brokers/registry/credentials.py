"""Credentials of brokers at rest: encrypted under the installation's key list, opened only to make a call."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from brokers.registry.models import Broker


class Secrets(msgspec.Struct, frozen=True):
    """What must never leave the server: passwords, bearer token, key of the client certificate."""

    password: str = ""
    token: str = ""
    client_key_pem: str = ""
    prometheus_password: str = ""

    def __repr__(self) -> str:
        return "Secrets(…)"


class SealedError(Exception):
    """A broker's credentials can't be opened with the keys that this installation has."""


def seal(secrets: Secrets, keys: Sequence[str] | None = None) -> bytes:
    """Encrypt under the first key."""
    return _fernet(keys).encrypt(msgspec.json.encode(secrets))


def unseal(broker: Broker, keys: Sequence[str] | None = None) -> Secrets:
    """Decrypt a broker's credentials. Raises SealedError with a sentence for the person."""
    sealed = bytes(broker.sealed)
    if not sealed:
        return Secrets()
    try:
        return msgspec.json.decode(_fernet(keys).decrypt(sealed), type=Secrets)
    except InvalidToken as error:
        raise SealedError(
            f"The credentials of {broker.name} were stored under a key that is not in the key list any more. "
            "Put the old key back behind the new one, or enter the credentials again."
        ) from error


def reseal(broker: Broker, keys: Sequence[str] | None = None) -> bytes:
    """Return the broker's sealed credentials, encrypted anew under the first key."""
    sealed = bytes(broker.sealed)
    return _fernet(keys).rotate(sealed) if sealed else b""


def _fernet(keys: Sequence[str] | None) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in (keys or settings.WARREN_SECRET_KEYS)])
