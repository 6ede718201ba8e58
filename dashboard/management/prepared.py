"""Commands that work on Warren's tables, and say so in a sentence where there are none yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.core.management.base import CommandError
from django.db import DatabaseError, OperationalError, ProgrammingError, connection
from django.db.migrations.executor import MigrationExecutor


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


def _tables_are_missing() -> bool:
    try:
        executor = MigrationExecutor(connection)
        return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    except DatabaseError:
        return False


def _where() -> str:
    return str(connection.settings_dict["NAME"] if connection.vendor == "sqlite" else settings.WARREN_DATA_DIR)
