#!/usr/bin/env python3
"""Warren's command line: `manage.py up` starts everything, `manage.py help` lists the rest."""

import os
import sys

from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

from dashboard.data_folder import nothing_stored


def main() -> None:
    """Run one management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")
    if sys.argv[1:2] == ["make_key"]:
        # A broken key list must not keep anybody from making a new key, nor must asking for one make a key file.
        os.environ["WARREN_SECRET_KEYS"] = Fernet.generate_key().decode()
    missing = nothing_stored(sys.argv[1:])
    if missing:
        # Before the settings make a folder and a key in it.
        sys.exit(missing)
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
