"""Passwords that Warren makes up: for the first administrator, and temporary ones."""

from __future__ import annotations

import secrets

# No letters that look like others, no vowels that could spell: it is read from a screen and typed once.
_LETTERS = "bcdfghjkmnpqrstvwxz23456789"


def made_up_password() -> str:
    """Return a fresh random password of four groups of five, about 95 bits."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(5)) for _ in range(4))
