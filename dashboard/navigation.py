"""What the shell around every page shows: the rooms, the brokers to switch between, and their counts."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Return the shell's context."""
    return {"nav": None}
