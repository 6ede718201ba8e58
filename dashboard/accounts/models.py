"""People, what they may do where, their API tokens, and the trail of what was done."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.models import AbstractUser
from django.db import models

from brokers.registry.models import Broker


class Role(models.TextChoices):
    """What a grant lets a person do; each role may do all that the ones before it may.

    Roles compare by what they may do (viewer < operator < administrator), not by their letters.
    """

    VIEWER = "viewer", "Viewer"
    OPERATOR = "operator", "Operator"
    ADMINISTRATOR = "administrator", "Administrator"

    @property
    def level(self) -> int:
        """1 for viewer, 2 for operator, 3 for administrator."""
        return _LEVELS[self.value]

    def __lt__(self, other: str) -> bool:
        return self.level < _LEVELS[other]

    def __le__(self, other: str) -> bool:
        return self.level <= _LEVELS[other]

    def __gt__(self, other: str) -> bool:
        return self.level > _LEVELS[other]

    def __ge__(self, other: str) -> bool:
        return self.level >= _LEVELS[other]


_LEVELS: dict[str, int] = {"viewer": 1, "operator": 2, "administrator": 3}


class User(AbstractUser):
    """A person. Rights come from grants alone; Django's own staff flags and groups are not used."""

    # The password is a temporary one from an administrator: nothing else is shown until it is changed.
    must_change_password = models.BooleanField(default=False)
    # The password was printed at first start, or is a weak one from the environment: signing in says so.
    should_change_password = models.BooleanField(default=False)


class Grant(models.Model):
    """A role on a scope: all brokers (no broker), one broker, or the vhosts of one broker that match a pattern.

    `vhost_pattern` is a glob over the whole vhost name (`*`, `?`, `[…]`), case-sensitive; empty means every vhost
    and the broker itself.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="grants")
    role = models.CharField(max_length=13, choices=Role.choices)
    broker = models.ForeignKey(Broker, on_delete=models.CASCADE, null=True, blank=True, related_name="grants")
    vhost_pattern = models.CharField(max_length=255, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                name="grant_pattern_has_broker",
                condition=models.Q(broker__isnull=False) | models.Q(vhost_pattern=""),
            ),
        ]


class ApiToken(models.Model):
    """A bearer token of a person, kept as a hash. `prefix` (its first letters) tells tokens apart on pages."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=12)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)


class AuditEntry(models.Model):
    """One act: its intent, written before it is done, and its outcome, written after.

    An entry whose outcome is still empty is an act that was cut off: what became of it is in doubt.
    """

    at = models.DateTimeField(auto_now_add=True)
    # The person as they were called then; the row outlives the person.
    user = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="audit_entries")
    who = models.CharField(max_length=150)
    via = models.CharField(max_length=10)  # page, api, command, start
    action = models.CharField(max_length=60)  # broker.add, user.grant, …
    broker_name = models.CharField(max_length=80, blank=True, default="")
    broker = models.ForeignKey(Broker, on_delete=models.SET_NULL, null=True, related_name="audit_entries")
    vhost = models.CharField(max_length=255, blank=True, default="")
    subject = models.CharField(max_length=255, blank=True, default="")
    intent = models.JSONField(default=dict)
    outcome = models.CharField(max_length=10, blank=True, default="")  # done, refused, failed
    sentence = models.TextField(blank=True, default="")
    finished_at = models.DateTimeField(null=True)
    address = models.GenericIPAddressField(null=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-id"]


class RightsEpoch(models.Model):
    """One row whose value grows whenever anybody's rights, password or activity change; live sockets look at it."""

    value = models.PositiveBigIntegerField(default=0)
