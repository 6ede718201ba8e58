"""The first administrator, made when Warren starts with no people."""

from __future__ import annotations

import os
from dataclasses import dataclass

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from dashboard.accounts.audit import ActRefusedError, act, by_start
from dashboard.accounts.models import Grant, Role, User
from dashboard.accounts.passwords import made_up_password

USERNAME = "admin"


@dataclass(frozen=True, slots=True)
class FirstAdmin:
    """The account that was made. `password` is None where WARREN_ADMIN_PASSWORD set it."""

    username: str
    password: str | None

    def __repr__(self) -> str:
        return f"FirstAdmin({self.username})"


def ensure() -> FirstAdmin | None:
    """Make `admin`, administrator of all brokers, if there is nobody yet; None where there is.

    The password comes from WARREN_ADMIN_PASSWORD, else it is made up and returned this one time: the caller prints it
    to the terminal, never through logging. It stays valid; signing in says that it should be changed, unless the
    one from the environment is a strong one. Safe when several processes start at once.
    """
    if User.objects.exists():
        return None
    given = os.environ.get("WARREN_ADMIN_PASSWORD", "")
    password = given or made_up_password()
    intent = {"grant": "administrator on all brokers"}
    try:
        with act(by_start(), "user.add", needs=None, subject=USERNAME, intent=intent):
            _make(password, should_change=not given or not _strong(given))
    except ActRefusedError:
        return None
    return FirstAdmin(USERNAME, None if given else password)


def _make(password: str, *, should_change: bool) -> None:
    try:
        with transaction.atomic():
            user = User(username=USERNAME, should_change_password=should_change)
            user.set_password(password)
            user.save()
            Grant.objects.create(user=user, role=Role.ADMINISTRATOR)
    except IntegrityError as error:
        raise ActRefusedError("Another process made the first administrator at the same moment.") from error


def _strong(password: str) -> bool:
    try:
        validate_password(password, User(username=USERNAME))
    except ValidationError:
        return False
    return True
