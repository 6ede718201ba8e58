"""The rights epoch grows with every change to people, grants and tokens, in the transaction of the change.

It grows with a sign-out too, so that open sockets of that session end.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_logged_out
from django.db.models.signals import post_delete, post_save

from dashboard.accounts.models import ApiToken, Grant, User
from dashboard.accounts.rights import bump_epoch

# Signing in writes this field and changes no right.
_HARMLESS = frozenset({"last_login"})


def _saved(*, update_fields: frozenset[str] | None = None, **_: Any) -> None:
    if update_fields is None or not frozenset(update_fields) <= _HARMLESS:
        bump_epoch()


def _ended(**_: Any) -> None:
    bump_epoch()


def connect() -> None:
    """Listen. Safe to call twice."""
    for model in (Grant, User, ApiToken):
        uid = f"rights-epoch-{model.__name__}"
        post_save.connect(_saved, sender=model, dispatch_uid=uid)
        post_delete.connect(_ended, sender=model, dispatch_uid=uid)
    user_logged_out.connect(_ended, dispatch_uid="rights-epoch-sign-out")
