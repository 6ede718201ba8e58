"""Commands that work on Warren's tables: they say which those are, and so in a sentence where there are none yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.core.management.base import CommandError
from django.db import DatabaseError, OperationalError, ProgrammingError, connection
from django.db.migrations.executor import MigrationExecutor

from dashboard.accounts.models import User
from dashboard.supervisor.guards import database_named, running_at


@contextmanager
def on_prepared_tables() -> Iterator[None]:
    """Run the body; where it fails because tables are missing, raise CommandError that says how they are made.

    Looked at only after a failure, since reading what migrations there are takes longer than most commands.
    """
    try:
        yield
    except (OperationalError, ProgrammingError) as error:
        if not _tables_are_missing():
            raise CommandError(f"The database does not answer as it should: {error}") from error
        raise CommandError(
            f"Warren's tables are not there yet, or of an older version, in {_where()}. `manage.py up` makes them when "
            "it starts; `manage.py migrate` makes them alone. Is WARREN_DATA_DIR the folder that Warren runs on?"
        ) from error


def person(username: str) -> User:
    """Return a person. Raises CommandError with where was looked."""
    user = User.objects.filter(username=username).first()
    if user is None:
        raise CommandError(
            f"There is no person named {username} in {_where()}. `manage.py user list` names those that there are; "
            "WARREN_DATA_DIR names another folder."
        )
    return user


def holds_where() -> str:
    """Return where what a command made is good: a token of one installation is unknown to every other."""
    if connection.vendor != "sqlite":
        return f"It is good where Warren runs on {_where()}."
    address = running_at(settings.WARREN_DATA_DIR)
    now = f"at {address} now" if address else "no `manage.py up` does now. WARREN_DATA_DIR names another folder"
    return f"It is good where Warren runs on {_where()}: {now}."


def _tables_are_missing() -> bool:
    try:
        executor = MigrationExecutor(connection)
        return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    except DatabaseError:
        return False


def _where() -> str:
    return database_named(connection.settings_dict)
