"""The key list that everything secret hangs on: read from the environment, or made once at first start.

Broker credentials are encrypted under these keys (MultiFernet: the first encrypts, all decrypt), and Django's
own signing keys are derived from them, so that there is one secret to keep, to back up and to rotate.
"""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured


def load_keys(environment: str | None, path: Path) -> list[str]:
    """Return the Fernet keys, newest first.

    `environment` is the value of WARREN_SECRET_KEYS (keys separated by spaces or commas); where it is empty the
    file at `path` holds one key a line, and is made with mode 0600 when it is missing. Raises
    ImproperlyConfigured with a sentence when a key is malformed, or the file can't be read or made.
    """
    try:
        text = environment or _read_or_create(path)
    except OSError as error:
        raise ImproperlyConfigured(
            f"Warren cannot use its data folder {path.parent}: {error.strerror}. Set WARREN_DATA_DIR to a folder that "
            "it may write to."
        ) from error
    keys = text.replace(",", " ").split()
    source = "WARREN_SECRET_KEYS" if environment else str(path)
    for number, key in enumerate(keys, start=1):
        try:
            Fernet(key)
        except ValueError as error:
            raise ImproperlyConfigured(
                f"Key {number} in {source} is not a Fernet key (32 bytes in URL-safe base64). "
                "`manage.py make_key` prints a new one."
            ) from error
    if not keys:
        raise ImproperlyConfigured(f"{source} holds no key. `manage.py make_key` prints a new one.")
    return keys


def signing_key(key: str) -> str:
    """Derive Django's signing key from a Fernet key; one can't be computed back from the other."""
    digest = hashlib.blake2b(base64.urlsafe_b64decode(key), person=b"warren-django").digest()
    return base64.urlsafe_b64encode(digest).decode()


def _read_or_create(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text()
    with os.fdopen(descriptor, "w") as file:
        key = Fernet.generate_key().decode()
        file.write(key + "\n")
    return key
