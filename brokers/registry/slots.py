"""Dense slot numbers for the objects of a broker, and the directory that leads from slots to names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from django.db import transaction
from django.db.models import F

from brokers.registry.models import Broker, BrokerObject, ObjectRevision

# Rows in one transaction; 500 hold SQLite's write lock for some 30 ms [measured].
BATCH = 500
# Characters of a vhost or a name, and bytes of both: what the table has room for, and an index of PostgreSQL's.
_CHARACTERS, _BYTES = 1020, 2500


class ObjectName(NamedTuple):
    """An object's name within its broker and kind; vhosts and nodes have an empty `vhost`."""

    vhost: str
    name: str


def fits(name: ObjectName) -> bool:
    """Tell whether the registry can keep a name. AMQP's has 255 bytes; over HTTP vhosts of any length can be made."""
    within = max(len(name.vhost), len(name.name)) <= _CHARACTERS
    return within and len(name.vhost.encode()) + len(name.name.encode()) <= _BYTES


@dataclass(frozen=True, slots=True)
class KnownObject:
    """One object as the registry knows it; `detail` is JSON (brokers.registry.details)."""

    slot: int
    vhost: str
    name: str
    detail: bytes
    first_seen_ms: int
    gone_ms: int | None


@dataclass(slots=True)
class Directory:
    """All objects of one broker that this process has read, by kind and slot; `refresh` reads what is new."""

    broker_id: int
    revision: int = 0
    by_slot: dict[str, dict[int, KnownObject]] = field(default_factory=dict)
    by_name: dict[str, dict[ObjectName, int]] = field(default_factory=dict)

    def refresh(self) -> bool:
        """Read the objects that changed since the last call; True where any did."""
        rows = BrokerObject.objects.filter(broker_id=self.broker_id, revision__gt=self.revision).values_list(
            "kind", "slot", "vhost", "name", "detail", "first_seen_ms", "gone_ms", "revision"
        )
        changed = False
        highest = self.revision
        for kind, slot, vhost, name, detail, first_seen_ms, gone_ms, revision in rows.iterator(chunk_size=5000):
            known = KnownObject(slot, vhost, name, bytes(detail), first_seen_ms, gone_ms)
            self.by_slot.setdefault(kind, {})[slot] = known
            self.by_name.setdefault(kind, {})[ObjectName(vhost, name)] = slot
            highest = max(highest, revision)
            changed = True
        self.revision = highest
        return changed

    def copy(self) -> Directory:
        """Return another with the same objects, which is refreshed by itself; another thread may refresh this one."""
        revision = self.revision
        by_slot, by_name = dict(self.by_slot), dict(self.by_name)
        # What is newer than the revision by now is read again.
        return Directory(
            self.broker_id,
            revision,
            {kind: dict(found) for kind, found in by_slot.items()},
            {kind: dict(found) for kind, found in by_name.items()},
        )

    def slot(self, kind: str, vhost: str, name: str) -> int | None:
        """Return the slot of an object by its name, or None."""
        return self.by_name.get(kind, {}).get(ObjectName(vhost, name))

    def known(self, kind: str, slot: int) -> KnownObject | None:
        """Return an object by its slot, or None."""
        return self.by_slot.get(kind, {}).get(slot)


def assign(broker: Broker, kind: str, names: Iterable[ObjectName], now_ms: int) -> None:
    """Give slots to the names of a kind that have none yet. Names that have one keep it.

    Many names are written in several transactions: nobody waits long for SQLite's one write lock.
    """
    wanted = list(dict.fromkeys(names))
    for first in range(0, len(wanted), BATCH):
        _assign(broker, kind, wanted[first : first + BATCH], now_ms)


@transaction.atomic
def _assign(broker: Broker, kind: str, names: Sequence[ObjectName], now_ms: int) -> None:
    state = _locked(broker)
    # By name alone: what has the same name in another vhost is told apart below.
    rows = BrokerObject.objects.filter(broker=broker, kind=kind, name__in=[name.name for name in names])
    existing = set(rows.values_list("vhost", "name"))
    fresh = [name for name in names if tuple(name) not in existing]
    if not fresh:
        return
    first = int(state.next_slots.get(kind, 0))
    revision = _next_revision(state)
    BrokerObject.objects.bulk_create(
        [
            BrokerObject(
                broker=broker,
                kind=kind,
                slot=first + offset,
                vhost=name.vhost,
                name=name.name,
                revision=revision,
                first_seen_ms=now_ms,
            )
            for offset, name in enumerate(fresh)
        ],
        batch_size=BATCH,
    )
    state.next_slots = {**state.next_slots, kind: first + len(fresh)}
    state.save(update_fields=["value", "next_slots"])


@transaction.atomic
def describe(broker: Broker, kind: str, details: Mapping[int, bytes], gone: Mapping[int, int | None]) -> int:
    """Store details (JSON by slot) and departures (Unix ms by slot, None: it is back); return the rows that changed.

    All of it is one transaction: hand over no more than BATCH slots at once.
    """
    # Most of the time nothing changed, and nobody needs the lock for that.
    if not _changed(broker, kind, details, gone):
        return 0
    state = _locked(broker)
    # Read again: who held the lock before may have written the same rows.
    changed = _changed(broker, kind, details, gone)
    if not changed:
        return 0
    revision = _next_revision(state)
    for row in changed:
        row.revision = revision
    # An upsert by id: one statement for 500 rows, where bulk_update would build a CASE for each.
    BrokerObject.objects.bulk_create(
        changed,
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["detail", "gone_ms", "revision"],
        batch_size=BATCH,
    )
    state.save(update_fields=["value"])
    return len(changed)


def _changed(
    broker: Broker, kind: str, details: Mapping[int, bytes], gone: Mapping[int, int | None]
) -> list[BrokerObject]:
    """Return the rows that differ from what is to be stored, with that in them."""
    changed: list[BrokerObject] = []
    for row in _rows(broker, kind, sorted(set(details) | set(gone))):
        detail = details.get(row.slot, bytes(row.detail))
        gone_ms = gone.get(row.slot, row.gone_ms)
        if detail != bytes(row.detail) or gone_ms != row.gone_ms:
            row.detail, row.gone_ms = detail, gone_ms
            changed.append(row)
    return changed


def _rows(broker: Broker, kind: str, wanted: Sequence[int]) -> Iterator[BrokerObject]:
    """Yield the rows of slots, which are ascending."""
    for first in range(0, len(wanted), BATCH):
        yield from BrokerObject.objects.filter(broker=broker, kind=kind, slot__in=wanted[first : first + BATCH])


def _locked(broker: Broker) -> ObjectRevision:
    ObjectRevision.objects.get_or_create(broker=broker)
    # The row is the lock: whoever assigns slots holds it to the end of the transaction.
    ObjectRevision.objects.filter(broker=broker).update(value=F("value"))
    return ObjectRevision.objects.select_for_update().get(broker=broker)


def _next_revision(state: ObjectRevision) -> int:
    state.value += 1
    return int(state.value)
