"""Where an installation keeps its data, and what to say to who looks in the wrong place. No Django."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
DATABASE = "warren.sqlite3"
# Commands about what is stored: without a database they can do nothing, and must not make an empty one.
_ABOUT_WHAT_IS_STORED = frozenset(
    {
        "token",
        "user",
        "first_admin",
        "rotate_keys",
        "changepassword",
        "createsuperuser",
        "clearsessions",
        "remove_stale_contenttypes",
        "dumpdata",
        "loaddata",
        "flush",
        "dbshell",
        "inspectdb",
    }
)


def data_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the data folder that the environment names."""
    return Path(environment.get("WARREN_DATA_DIR") or BASE_DIR / "var").resolve()


def nothing_stored(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> str:
    """Return what to say where a command (`arguments` behind `manage.py`) is about what is stored, and nothing is.

    Empty where there is a database, where the command makes one or needs none, and where only its help is asked for.
    """
    command = arguments[0] if arguments else ""
    if command not in _ABOUT_WHAT_IS_STORED and not command.startswith("axes_"):
        return ""
    folder = data_dir(environment)
    if environment.get("WARREN_DATABASE_URL") or {"-h", "--help"} & {*arguments} or (folder / DATABASE).is_file():
        return ""
    named = (
        "that WARREN_DATA_DIR names"
        if environment.get("WARREN_DATA_DIR")
        else "that is taken since WARREN_DATA_DIR is not set"
    )
    there = [one for one in (BASE_DIR / "var", BASE_DIR / "var" / "demo") if (one / DATABASE).is_file()]
    known = f" There is one in {' and in '.join(map(str, there))}." if there else ""
    return (
        f"There is no database of Warren's in {folder}, the folder {named}.{known} Set WARREN_DATA_DIR to the folder "
        f"that Warren runs on, as in WARREN_DATA_DIR={there[0] if there else '/srv/warren'} manage.py {command} …, or "
        "WARREN_DATABASE_URL to its database. `manage.py up` makes a new one when it starts."
    )
