"""Whose figures are read: objects by their names, as far as the person sees them."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

from django.db.models import QuerySet
from django.http import Http404

from brokers.registry.models import Broker, BrokerObject
from brokers.series.metrics import Kind
from dashboard.accounts.rights import Rights


@dataclass(frozen=True, slots=True)
class Named:
    """An object as an answer names it: of a vhost `name` is empty, of a node `vhost`, of a broker both."""

    slot: int
    vhost: str
    name: str


@dataclass(frozen=True, slots=True)
class Subject:
    """The objects that are read, and the kind under which they are stored.

    `summed`: one figure for all of them is asked for, as a person limited to vhosts gets of a broker.
    """

    kind: Kind
    objects: tuple[Named, ...]
    summed: bool = False

    @property
    def slots(self) -> list[int]:
        """Return the objects' slots."""
        return [one.slot for one in self.objects]


def subject_of(person: Rights, broker: Broker, kind: Kind, vhosts: Sequence[str], names: Sequence[str]) -> Subject:
    """Return the objects of a kind that are named, or all that the person sees; those that are gone have their history.

    Raises Http404 alike for what is hidden and what is not there.
    """
    whole = person.sees_whole(broker.pk)
    sees = person.vhost_test(broker.pk)
    if kind is Kind.BROKER:
        if whole:
            return Subject(Kind.BROKER, (Named(0, "", ""),))
        every = _rows(broker, Kind.VHOST).values_list("slot", "name")
        return Subject(Kind.VHOST, tuple(Named(slot, name, "") for slot, name in every if sees(name)), summed=True)
    nothing = Http404(f"{broker.name} has no such {kind}, or none that you may see.")
    if kind is Kind.NODE:
        if not whole:
            raise nothing
        rows = _named(_rows(broker, kind), "name", names)
        found = [Named(slot, "", name) for slot, name in rows.values_list("slot", "name")]
    elif kind is Kind.VHOST:
        # The registry names a vhost as an object without a vhost.
        rows = _named(_rows(broker, kind), "name", vhosts)
        found = [Named(slot, name, "") for slot, name in rows.values_list("slot", "name") if sees(name)]
    else:
        rows = _named(_named(_rows(broker, kind), "vhost", vhosts), "name", names)
        found = [Named(*row) for row in rows.values_list("slot", "vhost", "name") if sees(row[1])]
    if kind in {Kind.EXCHANGE, Kind.QUEUE} and not names:
        without = set(vhosts) - {one.vhost for one in found}
        missing = not all(map(sees, vhosts)) or not _are_there(broker, without)
    else:
        missing = len(found) < len(set(vhosts if kind is Kind.VHOST else names))
    if missing:
        raise nothing
    return Subject(kind, tuple(sorted(found, key=lambda one: one.slot)))


def _rows(broker: Broker, kind: Kind) -> QuerySet[BrokerObject]:
    return BrokerObject.objects.filter(broker=broker, kind=kind.value)


def _named(rows: QuerySet[BrokerObject], field: str, wanted: Sequence[str]) -> QuerySet[BrokerObject]:
    return rows.filter(**{f"{field}__in": list(wanted)}) if wanted else rows


def _are_there(broker: Broker, vhosts: Set[str]) -> bool:
    return not vhosts or _named(_rows(broker, Kind.VHOST), "name", list(vhosts)).count() == len(vhosts)
