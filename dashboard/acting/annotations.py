"""Acts on notes in time: write one, remove one. Operators of a note's scope may."""

from __future__ import annotations

from brokers.registry.models import Broker, BrokerObject
from brokers.series.metrics import Kind
from dashboard.accounts.audit import Actor, ActRefusedError, act
from dashboard.accounts.guards import broker_or_404, check_vhost
from dashboard.accounts.rights import Role
from dashboard.annotations.entered import Entered
from dashboard.annotations.models import Annotation

# All that there may be, so that nobody's script fills the disk.
MOST = 100_000


def add(actor: Actor, entered: Entered) -> Annotation:
    """Write a note that has no problems. Raises RefusedError, Http404 alike for a scope that is hidden or not there."""
    broker = broker_or_404(actor.rights, entered.broker_id) if entered.broker_id is not None else None
    if broker is not None and entered.vhost is not None:
        check_vhost(actor.rights, broker, entered.vhost)
    with act(
        actor,
        "annotation.add",
        needs=Role.OPERATOR,
        broker=broker,
        vhost=entered.vhost or "",
        subject=entered.clean_text,
        intent={"kind": entered.kind, "at_ms": entered.at_ms, "end_ms": entered.end_ms},
    ) as done:
        if broker is not None and entered.vhost is not None and not _has_vhost(broker, entered.vhost):
            raise ActRefusedError(f"{broker.name} has no such vhost.")
        if Annotation.objects.count() >= MOST:
            raise ActRefusedError(f"There are {MOST:,} notes already: remove some first.")
        note = Annotation.objects.create(
            at_ms=entered.at_ms or 0,
            end_ms=entered.end_ms,
            text=entered.clean_text,
            kind=entered.kind,
            broker=broker,
            vhost=entered.vhost,
            author_id=actor.rights.user_id,
            who=actor.who[:150],
        )
        done.sentence = "It stands on the charts."
    return note


def remove(actor: Actor, note: Annotation) -> None:
    """Remove a note that the person sees. Raises RefusedError."""
    with act(
        actor,
        "annotation.remove",
        needs=Role.OPERATOR,
        broker=note.broker,
        vhost=note.vhost or "",
        subject=note.text,
        intent={"kind": note.kind, "at_ms": note.at_ms, "end_ms": note.end_ms, "who": note.who},
    ) as done:
        Annotation.objects.filter(pk=note.pk).delete()
        done.sentence = "It stands on no chart any more."


def _has_vhost(broker: Broker, vhost: str) -> bool:
    return BrokerObject.objects.filter(broker=broker, kind=Kind.VHOST.value, name=vhost).exists()
