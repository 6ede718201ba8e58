"""The brokers that Warren watches, and the objects seen on them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Broker(models.Model):
    """One RabbitMQ node or cluster, reached by one management address.

    Secrets stand in `sealed`, encrypted (see brokers.registry.credentials), and nowhere else.
    """

    name = models.CharField(max_length=80, unique=True)
    management_url = models.CharField(max_length=500)
    # Addresses of the nodes' Prometheus endpoints, one a line; empty: found from the broker's own listeners.
    prometheus_urls = models.TextField(blank=True, default="")
    username = models.CharField(max_length=255, blank=True, default="")
    sealed = models.BinaryField(default=b"")
    verify_tls = models.BooleanField(default=True)
    ca_pem = models.TextField(blank=True, default="")
    client_cert_pem = models.TextField(blank=True, default="")
    # Seconds between two polls, as asked for.
    cadence_s = models.PositiveSmallIntegerField(default=5)
    # What answering Warren may take: percent of the broker's time, and kilobytes a second on the wire.
    budget_percent = models.FloatField(default=2.0)
    budget_kb_s = models.PositiveIntegerField(default=1000)
    # Sign-in at the nodes' Prometheus endpoints (the password is in `sealed`), and the authority of their certificates;
    # empty: none is sent, and that of the management API holds.
    prometheus_username = models.CharField(max_length=255, blank=True, default="")
    prometheus_ca_pem = models.TextField(blank=True, default="")
    # How often figures that are not in every snapshot are read: milliseconds by `kind.metric`. Collecting writes it; it
    # stands here since readers of series, which know nothing of collecting, hold a value for so long.
    read_every_ms = models.JSONField(default=dict)
    paused = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    # Grows with every edit, so that processes notice that their pooled connections are of yesterday.
    revision = models.PositiveIntegerField(default=1)

    class Meta:
        ordering: ClassVar[list[str]] = ["name"]


class BrokerObject(models.Model):
    """A queue, exchange, vhost or node that was seen on a broker, under its dense slot number.

    A slot is never given to another object; one that vanishes and comes back under the same name keeps its slot.
    `detail` is JSON of the struct for its kind in brokers.registry.details; `revision` is the value of the
    broker's ObjectRevision at its last change, so that a process can read only what is new to it.
    """

    broker = models.ForeignKey(Broker, on_delete=models.CASCADE, related_name="objects_seen")
    kind = models.CharField(max_length=10)
    slot = models.PositiveIntegerField()
    vhost = models.CharField(max_length=1020, blank=True, default="")
    name = models.CharField(max_length=1020)
    detail = models.BinaryField(default=b"{}")
    revision = models.PositiveBigIntegerField()
    first_seen_ms = models.BigIntegerField()
    gone_ms = models.BigIntegerField(null=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["broker", "kind", "slot"], name="object_slot"),
            models.UniqueConstraint(fields=["broker", "kind", "vhost", "name"], name="object_name"),
        ]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["broker", "revision"], name="object_revision")]


class ObjectRevision(models.Model):
    """How often the objects of a broker changed, and the next free slot of each kind. One row a broker."""

    broker = models.OneToOneField(Broker, on_delete=models.CASCADE, primary_key=True, related_name="object_revision")
    value = models.PositiveBigIntegerField(default=0)
    next_slots = models.JSONField(default=dict)
