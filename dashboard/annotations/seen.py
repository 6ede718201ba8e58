"""Which notes a person may see and remove: those of all brokers, of brokers that they see, of vhosts that they see."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Q, QuerySet

from brokers.registry.models import Broker
from dashboard.accounts.rights import Rights, Role
from dashboard.annotations.models import Annotation

# A vhost of a broker, or (None) all of them.
Place = tuple[int, str | None]


def sees(rights: Rights, note: Annotation) -> bool:
    """Tell whether a person may read a note."""
    return _sees_place(rights, note.broker_id, note.vhost)


def _sees_place(rights: Rights, broker_id: int | None, vhost: str | None) -> bool:
    if broker_id is None:
        return rights.sees_anything
    return rights.sees_broker(broker_id) if vhost is None else rights.sees_vhost(broker_id, vhost)


def may_change(rights: Rights, broker_id: int | None, vhost: str | None) -> bool:
    """Tell whether a person may write and remove notes of a scope: its operators may."""
    return rights.may(Role.OPERATOR, broker_id, vhost)


def of_places(rights: Rights, places: Iterable[Place], most: int) -> list[Annotation]:
    """Return the newest notes about some vhosts and whole brokers, as far as the person sees them, newest first."""
    wanted = Q(broker=None)
    for broker_id, vhost in places:
        here = Q(broker_id=broker_id)
        wanted |= here if vhost is None else here & (Q(vhost=None) | Q(vhost=vhost))
    return _seen(rights, Annotation.objects.filter(wanted), most)


def ids_seen(rights: Rights, found: QuerySet[Annotation]) -> list[int]:
    """Return the ids of those notes of a query that the person sees, in its order: there may be very many."""
    if not rights.sees_anything:
        return []
    ids = rights.broker_ids_seen(Broker.objects.values_list("pk", flat=True))
    rows = found.filter(Q(broker=None) | Q(broker__in=ids)).values_list("pk", "broker_id", "vhost")
    return [pk for pk, broker_id, vhost in rows.iterator() if _sees_place(rights, broker_id, vhost)]


def _seen(rights: Rights, found: QuerySet[Annotation], most: int) -> list[Annotation]:
    shown: list[Annotation] = []
    for note in found.select_related("broker").iterator(chunk_size=200):
        if sees(rights, note):
            shown.append(note)
            if len(shown) == most:
                break
    return shown
