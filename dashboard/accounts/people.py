"""Adding, changing and removing people and their grants. Callers check rights and write the audit entry (audit.act).

One rule holds whatever happens: an installation that has an active administrator of all brokers keeps one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import axes.utils
from django.db import transaction

from brokers.registry.models import Broker, BrokerObject
from dashboard.accounts.audit import ActRefusedError
from dashboard.accounts.models import Grant, Role, User
from dashboard.accounts.passwords import made_up_password
from dashboard.accounts.rights import bump_epoch, matches


class LastAdministratorError(ActRefusedError):
    """Nobody would be left who administers everything."""


def administrators() -> int:
    """Return how many active people administer all brokers."""
    return (
        Grant.objects.filter(role=Role.ADMINISTRATOR, broker=None, vhost_pattern="", user__is_active=True)
        .values("user_id")
        .distinct()
        .count()
    )


@transaction.atomic
def add(username: str, role: Role | None, broker: Broker | None = None, vhost_pattern: str = "") -> tuple[User, str]:
    """Make a person with a temporary password and, unless `role` is None, a first grant; return both.

    The password must be changed at the first sign-in.
    """
    password = made_up_password()
    user = User(username=username, must_change_password=True)
    user.set_password(password)
    user.save()
    if role is not None:
        grant(user, role, broker, vhost_pattern)
    return user, password


def reset_password(user: User) -> str:
    """Give a new temporary password and return it; lifts a lock after wrong ones.

    Ends the person's sessions; their API tokens keep working.
    """
    password = made_up_password()
    user.set_password(password)
    user.must_change_password, user.should_change_password = True, False
    user.save(update_fields=["password", "must_change_password", "should_change_password"])
    axes.utils.reset(username=user.username)
    return password


def choose_password(user: User, password: str) -> None:
    """Set the password that a person chose for themselves. Ends their other sessions."""
    user.set_password(password)
    user.must_change_password = user.should_change_password = False
    user.save(update_fields=["password", "must_change_password", "should_change_password"])


def grant(user: User, role: Role, broker: Broker | None, vhost_pattern: str = "") -> Grant:
    """Give a role on a scope; on the same scope it takes the place of the role that was there.

    Raises LastAdministratorError where that would demote the last administrator of everything.
    """
    with _keeping_an_administrator(f"{user.username} is the last administrator of all brokers and stays one."):
        rows = Grant.objects.filter(user=user, broker=broker, vhost_pattern=vhost_pattern)
        row = rows.first() or Grant(user=user, broker=broker, vhost_pattern=vhost_pattern)
        row.role = role.value
        row.save()
        rows.exclude(pk=row.pk).delete()
    return row


def withdraw(row: Grant) -> None:
    """Take a grant back. Raises LastAdministratorError."""
    with _keeping_an_administrator("This is the last grant that administers all brokers, so it stays."):
        row.delete()


def deactivate(user: User) -> None:
    """Keep the person but let them do nothing: no sign-in, no tokens, no rights. Raises LastAdministratorError."""
    with _keeping_an_administrator(
        f"{user.username} is the last active administrator of all brokers and stays active."
    ):
        user.is_active = False
        user.save(update_fields=["is_active"])


def activate(user: User) -> None:
    """Let a deactivated person in again, with the grants that they had."""
    user.is_active = True
    user.save(update_fields=["is_active"])


def remove(user: User) -> None:
    """Delete a person with their grants and tokens; what they did stays in the audit trail under their name.

    Raises LastAdministratorError.
    """
    with _keeping_an_administrator(f"{user.username} is the last administrator of all brokers and stays."):
        user.delete()


def vhosts_matching(broker: Broker, pattern: str) -> tuple[list[str], int]:
    """Return which of a broker's present vhosts a pattern matches, sorted, and how many vhosts there are."""
    names = list(
        BrokerObject.objects.filter(broker=broker, kind="vhost", gone_ms=None)
        .order_by("name")
        .values_list("name", flat=True)
    )
    return [name for name in names if matches(pattern, name)], len(names)


@contextmanager
def _keeping_an_administrator(otherwise: str) -> Iterator[None]:
    with transaction.atomic():
        # The epoch's row stays locked until the end, so two who take back the last two grants at once queue here.
        bump_epoch()
        before = administrators()
        yield
        if before and not administrators():
            raise LastAdministratorError(f"{otherwise} Make somebody else administrator of all brokers first.")
