"""One table: a note about a moment, or about a span of time."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from brokers.registry.models import Broker
from dashboard.accounts.models import User

LONGEST = 500


class Annotation(models.Model):
    """A note in time, on all brokers (no broker), on one broker (no vhost), or on one vhost of it.

    `at_ms` and `end_ms` are Unix milliseconds; without an end it is about a moment. The text is a person's: untrusted.
    """

    class Kind(models.TextChoices):
        """What it tells of."""

        DEPLOY = "deploy", "Deploy"
        INCIDENT = "incident", "Incident"
        NOTE = "note", "Note"

    at_ms = models.BigIntegerField(db_index=True)
    end_ms = models.BigIntegerField(null=True)
    text = models.CharField(max_length=LONGEST)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    broker = models.ForeignKey(Broker, on_delete=models.CASCADE, null=True, related_name="annotations")
    # None: not of one vhost. An empty text is a vhost's name too.
    vhost = models.CharField(max_length=255, null=True)  # noqa: DJ001
    # Who wrote it, and what they were called then; the note outlives the person.
    author = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="annotations")
    who = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-at_ms", "-id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                name="annotation_vhost_has_broker",
                condition=models.Q(broker__isnull=False) | models.Q(vhost__isnull=True),
            ),
            models.CheckConstraint(
                name="annotation_ends_after_it_begins",
                condition=models.Q(end_ms__isnull=True) | models.Q(end_ms__gte=models.F("at_ms")),
            ),
        ]
