"""The one resolver of *may this person do this here*, for pages, API, websocket and command line alike.

A grant is a role on a scope. There are three kinds of scope:

- *all brokers*: no broker; covers every broker, every vhost, and Warren's own settings;
- *one broker*: covers that broker, its nodes and totals, and every vhost on it;
- *vhosts of one broker*: covers the vhosts whose name matches a pattern, and nothing else of the broker: not its
  nodes, connections, totals or settings.

A vhost pattern is a glob over the whole name, case-sensitive: `*` is any run of characters (none, slashes and newlines
too), `?` one character, `[abc]` and `[a-z]` one of these, `[!abc]` one of the others. `[` is therefore special: a
literal one is written `[[]`, a literal `*` `[*]`, a literal `?` `[?]`; a `[` that is never closed stands for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property

from django.contrib.auth.models import AnonymousUser
from django.db.models import F
from django.http import HttpRequest

from dashboard.accounts.models import Grant, RightsEpoch, Role, User

__all__ = [
    "NOBODY",
    "Rights",
    "Role",
    "Scope",
    "bump_epoch",
    "matches",
    "rights_epoch",
    "rights_for",
    "rights_of",
]


def matches(pattern: str, vhost: str) -> bool:
    """Tell whether a vhost's whole name matches a grant's pattern (see the module's text)."""
    return fnmatchcase(vhost, pattern)


@dataclass(frozen=True, slots=True)
class Scope:
    """One grant: `role` on all brokers (`broker_id` None), on one broker, or on its vhosts matching `vhost_pattern`."""

    role: Role
    broker_id: int | None = None
    vhost_pattern: str = ""

    @property
    def everywhere(self) -> bool:
        """Covers all brokers. A pattern without a broker is no scope that exists: it covers nothing."""
        return self.broker_id is None and not self.vhost_pattern

    def covers(self, broker_id: int | None, vhost: str | None) -> bool:
        """Tell whether the scope includes all brokers (None, None), a broker (id, None) or a vhost (id, name)."""
        if self.everywhere:
            return True
        if broker_id is None or self.broker_id != broker_id:
            return False
        if not self.vhost_pattern:
            return True
        return vhost is not None and matches(self.vhost_pattern, vhost)


@dataclass(frozen=True)
class Rights:
    """What one person may do, from their grants. Pure, hashable, comparable; asks no database.

    `user_id` is None and `scopes` empty for somebody who is not signed in. Every method answers for "nobody" with
    False, None or nothing.
    """

    user_id: int | None = None
    username: str = ""
    scopes: frozenset[Scope] = frozenset()

    def may(self, role: Role, broker_id: int | None = None, vhost: str | None = None) -> bool:
        """Tell whether the person has at least `role` on the whole of what is named.

        `may(role)`: on all brokers (Warren's settings, people, adding brokers).
        `may(role, broker_id)`: on that broker as a whole (its nodes, totals, settings).
        `may(role, broker_id, vhost)`: on that vhost (its queues, exchanges, messages); a grant on the broker counts.
        """
        return any(scope.role >= role and scope.covers(broker_id, vhost) for scope in self.scopes)

    def role_on(self, broker_id: int | None = None, vhost: str | None = None) -> Role | None:
        """Return the highest role on the whole of what is named (as in `may`), or None."""
        roles = (scope.role for scope in self.scopes if scope.covers(broker_id, vhost))
        return max(roles, key=lambda role: role.level, default=None)

    def sees_broker(self, broker_id: int) -> bool:
        """Tell whether the person may know that the broker exists: its name, version and state.

        True with any grant that touches it, also one that is limited to vhosts (even when none matches now).
        Where this is False, answer 404, never 403.
        """
        return self._sees_everything or broker_id in self._brokers_touched

    def sees_whole(self, broker_id: int) -> bool:
        """Tell whether the person may see broker-wide figures: nodes, connections, totals, objects without a vhost.

        True with a grant on all brokers or on this one without a vhost pattern. The pattern `*` matches every vhost
        and still does not make the broker's own figures visible.
        """
        return self.may(Role.VIEWER, broker_id)

    def sees_vhost(self, broker_id: int, vhost: str) -> bool:
        """Tell whether the person may see a vhost and all that is in it."""
        return self.may(Role.VIEWER, broker_id, vhost)

    def vhost_test(self, broker_id: int, role: Role = Role.VIEWER) -> Callable[[str], bool]:
        """Return a test of one broker's vhost names, to filter many: `test(vhost)` is `may(role, broker_id, vhost)`.

        Patterns are looked up once. Where `may(role, broker_id)` holds, every name passes: ask that first to skip
        filtering.
        """
        if self.may(role, broker_id):
            return _every
        patterns = sorted(
            {
                scope.vhost_pattern
                for scope in self.scopes
                if scope.broker_id == broker_id and scope.vhost_pattern and scope.role >= role
            }
        )
        if not patterns:
            return _none
        return lambda vhost: any(matches(pattern, vhost) for pattern in patterns)

    def broker_ids_seen(self, all_ids: Iterable[int]) -> list[int]:
        """Return those of `all_ids` that `sees_broker` allows, in the order given."""
        return [broker_id for broker_id in all_ids if self.sees_broker(broker_id)]

    @property
    def sees_anything(self) -> bool:
        """Tell whether the person has any grant; without one, a page says so rather than showing an empty list."""
        return self._sees_everything or bool(self._brokers_touched)

    @cached_property
    def administers_all(self) -> bool:
        """Administrator on all brokers: may edit people, grants, brokers and Warren's settings, and see all audit."""
        return self.may(Role.ADMINISTRATOR)

    @cached_property
    def _sees_everything(self) -> bool:
        return any(scope.everywhere for scope in self.scopes)

    @cached_property
    def _brokers_touched(self) -> frozenset[int]:
        return frozenset(scope.broker_id for scope in self.scopes if scope.broker_id is not None)


NOBODY = Rights()


def rights_of(user: User | AnonymousUser) -> Rights:
    """Read a person's rights: one query. Nobody's for a person who is deactivated or not signed in."""
    if not isinstance(user, User) or not user.is_active or user.pk is None:
        return NOBODY
    rows = Grant.objects.filter(user_id=user.pk).values_list("role", "broker_id", "vhost_pattern")
    scopes = frozenset(Scope(Role(role), broker_id, pattern) for role, broker_id, pattern in rows)
    return Rights(user_id=user.pk, username=user.username, scopes=scopes)


def rights_for(request: HttpRequest) -> Rights:
    """Return the rights of whoever sends this request; read once a request."""
    rights: Rights | None = getattr(request, "_warren_rights", None)
    if rights is None:
        rights = rights_of(request.user)
        request._warren_rights = rights  # type: ignore[attr-defined] # noqa: SLF001
    return rights


def rights_epoch() -> int:
    """Return a number that grows whenever anybody's grants, password, tokens or activity change. One cheap query."""
    return RightsEpoch.objects.filter(pk=1).values_list("value", flat=True).first() or 0


def bump_epoch() -> None:
    """Grow the epoch, in the transaction of the change.

    Signals call this on every save and delete of grants, users and tokens (dashboard.accounts.signals); call it by
    hand after `QuerySet.update()`, which sends none.
    """
    if not RightsEpoch.objects.filter(pk=1).update(value=F("value") + 1):
        RightsEpoch.objects.get_or_create(pk=1)
        RightsEpoch.objects.filter(pk=1).update(value=F("value") + 1)


def _every(_vhost: str) -> bool:
    return True


def _none(_vhost: str) -> bool:
    return False
