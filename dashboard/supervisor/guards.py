"""What must hold before anything is started: the data folder is ours alone and can be written, and the port is free."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError

_REMEDY = (
    "Look whether the disk is full and who may write there; WARREN_DATA_DIR names another folder, and "
    "WARREN_DATABASE_URL another database."
)


class CannotStartError(Exception):
    """Nothing was started; the text is a sentence for the person."""


def lock_folder(data_dir: Path) -> int:
    """Take the data folder for this process and return the descriptor that holds it, open across exec.

    Raises CannotStartError where another `up` has it. The lock ends with the last process that holds the descriptor.
    """
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(data_dir / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise CannotStartError(
            f"Warren already runs on {data_dir}{_where(data_dir)}. Stop it there with Ctrl-C, or set WARREN_DATA_DIR "
            "to another folder (and WARREN_PORT to another port)."
        ) from None
    os.set_inheritable(descriptor, True)
    return descriptor


def check_port(host: str, port: int) -> None:
    """Raise CannotStartError where `host:port` can't be listened on."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(found[0], found[1]) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found[4])
    except (OSError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CannotStartError(
            f"Warren cannot listen on {host}:{port}: {why}. Set WARREN_PORT (and WARREN_HOST) to an address that is "
            f"free, for example WARREN_PORT={_next(port)}."
        ) from error


@contextmanager
def writable() -> Iterator[None]:
    """Turn what the database or the data folder refuses within into CannotStartError."""
    try:
        yield
    except DatabaseError as error:
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise CannotStartError(
            f"Warren cannot use {database_named(settings.DATABASES['default'])}: {told[0]}.\n{_REMEDY}"
        ) from error
    except OSError as error:
        why = f"{error.strerror or error} ({error.filename})" if error.filename else str(error.strerror or error)
        raise CannotStartError(
            f"Warren cannot use its data folder {settings.WARREN_DATA_DIR}: {why}.\n{_REMEDY}"
        ) from error


def database_named(found: Mapping[str, Any]) -> str:
    """Name a database, by Django's settings of it, without its password."""
    if found["ENGINE"].endswith("sqlite3"):
        return f"the database file {found['NAME']}"
    return f"the database {found['NAME']} on {found.get('HOST') or 'this machine'} (WARREN_DATABASE_URL)"


def running_at(data_dir: Path) -> str:
    """Return the address at which Warren runs on a data folder now; empty: no `up` does."""
    told = _told(data_dir)
    return str(told["address"]) if told and Path(f"/proc/{told['pid']}").exists() else ""


def _where(data_dir: Path) -> str:
    told = _told(data_dir)
    return f" (process {told['pid']}, {told['address']})" if told else ""


def _told(data_dir: Path) -> dict[str, Any]:
    """Return what a running `up` wrote of itself: `pid` and `address`; empty where there is nothing to go by."""
    try:
        told = json.loads((data_dir / "up.json").read_text())
        return {"pid": int(told["pid"]), "address": told["address"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _next(port: int) -> int:
    return port + 1 if 0 < port < 65535 else 8000
