"""`manage.py first_admin`: make the first administrator, if there is nobody yet."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from dashboard.accounts import first_admin
from dashboard.management.prepared import on_prepared_tables


class Command(BaseCommand):
    """Prints the name and, where it was made up, the password, this one time."""

    help = (
        "Make the administrator of an empty installation and print the password once (WARREN_ADMIN_PASSWORD sets it)."
    )

    @on_prepared_tables()
    def handle(self, *_args: Any, **_options: Any) -> None:
        """Make and print."""
        made = first_admin.ensure()
        if made is None:
            self.stderr.write("There are people already; nothing was changed. `manage.py user list` names them.")
        elif made.password is None:
            self.stdout.write(f"Sign in as {made.username} with the password of WARREN_ADMIN_PASSWORD.")
        else:
            self.stdout.write(f"Sign in as {made.username} with the password {made.password} (shown this once).")
