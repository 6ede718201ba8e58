"""How collecting goes: what is due and claimed, how the last polls went, and what changed."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from brokers.registry.models import Broker


class PollState(models.Model):
    """The state of collecting from one broker. One row a broker, made with it.

    A tick is claimed by a conditional UPDATE of `claimed_until_ms` and `next_due_ms`; a claim that its worker did not
    live to release ends by itself at `claimed_until_ms`. Times are Unix milliseconds of our clock.
    """

    broker = models.OneToOneField(Broker, on_delete=models.CASCADE, primary_key=True, related_name="poll_state")
    next_due_ms = models.BigIntegerField(default=0)
    claimed_until_ms = models.BigIntegerField(default=0)
    claim = models.CharField(max_length=32, blank=True, default="")
    # Stretched cadence in force; 0: as asked for.
    cadence_ms = models.PositiveIntegerField(default=0)

    last_tick_ms = models.BigIntegerField(null=True)  # the last poll that ended, well or not
    last_ok_ms = models.BigIntegerField(null=True)  # the last that ended in a snapshot
    failures = models.PositiveIntegerField(default=0)  # polls that failed in a row
    failing_since_ms = models.BigIntegerField(null=True)
    error_kind = models.CharField(max_length=30, blank=True, default="")
    error_sentence = models.TextField(blank=True, default="")
    error_remedy = models.TextField(blank=True, default="")

    # What brokers.collect.capabilities found out at capabilities_ms, encoded.
    capabilities = models.BinaryField(default=b"")
    capabilities_ms = models.BigIntegerField(default=0)
    # The broker's `revision` that the capabilities were found under: an edit makes them due again.
    capabilities_revision = models.PositiveIntegerField(default=0)
    # Definitions are read in a lane of their own, so that a long list never delays a tick: its claim and its due time.
    definitions_ms = models.BigIntegerField(default=0)  # read to the end at
    definitions_due_ms = models.BigIntegerField(default=0)
    definitions_claim = models.CharField(max_length=32, blank=True, default="")
    definitions_claimed_until_ms = models.BigIntegerField(default=0)
    definitions_measures = models.BinaryField(default=b"")  # as `measures`
    # Who waits for confirms and who asks for none, read with the definitions: JSON of
    # brokers.collect.channels.Publishers.
    publishers = models.BinaryField(default=b"")
    # Who reads which stream and how far behind, read with them: JSON of brokers.collect.streams.Readers.
    stream_readers = models.BinaryField(default=b"")
    definitions_error = models.TextField(blank=True, default="")
    # The last snapshot in which every node answered: the base of accumulated counters.
    base_snapshot = models.BigIntegerField(null=True)
    # What each part (a node, a vhost) counted by itself at the base: JSON of brokers.collect.counters.Parts.
    base_parts = models.BinaryField(default=b"")
    # What the last poll saw of the broker as a whole, to tell what changed: JSON of brokers.collect.events.BrokerFacts.
    facts = models.BinaryField(default=b"")
    # Measures of the last poll, JSON of brokers.collect.measures.TickMeasures: calls, seconds, bytes, CPU.
    measures = models.BinaryField(default=b"")
    # How often each tier of the plan is asked and what that costs: JSON of brokers.collect.budget.Pace.
    pace = models.BinaryField(default=b"")
    # Sentences about figures that can't be had now, by measure: JSON {metric: sentence}.
    unknown = models.JSONField(default=dict)


class BrokerEvent(models.Model):
    """Something that changed on a broker as a whole, seen by polling: reachability, alarms, nodes, partitions."""

    broker = models.ForeignKey(Broker, on_delete=models.CASCADE, related_name="events")
    at_ms = models.BigIntegerField()
    kind = models.CharField(max_length=30)  # unreachable, back, memory_alarm, memory_alarm_over, node_down, …
    severity = models.CharField(max_length=10)  # critical, warning, notice, ok
    node = models.CharField(max_length=255, blank=True, default="")
    sentence = models.TextField()
    detail = models.TextField(blank=True, default="")

    class Meta:
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["broker", "-at_ms"], name="event_broker_at")]
