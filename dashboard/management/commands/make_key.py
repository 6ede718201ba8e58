"""`manage.py make_key`: print a new key for the key list."""

from __future__ import annotations

from typing import Any

from cryptography.fernet import Fernet
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Prints one fresh key on standard output."""

    help = (
        "Print a new key. Put it first in WARREN_SECRET_KEYS (or on the first line of the key file), keep the old ones "
        "behind it, restart, and run rotate_keys; then the old ones can go."
    )
    requires_system_checks = ()

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Print it."""
        self.stdout.write(Fernet.generate_key().decode())
