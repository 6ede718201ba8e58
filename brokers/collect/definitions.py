"""One reading of one broker's definitions: ask, compute, store what changed. The edge around the pure parts.

It runs in a lane of its own, with a claim of its own, so that a long list never delays a tick; what it writes, it
writes in small transactions, so that no tick waits for the database.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from django.db import DatabaseError

from brokers.collect import channels, measures, streams
from brokers.collect.budget import Tier, decode_pace, definitions_share
from brokers.collect.claims import Lane, holds, release
from brokers.collect.clients import clients_of
from brokers.collect.definitions_facts import Told, told
from brokers.collect.definitions_read import Declared, read
from brokers.collect.labels import cache_of
from brokers.collect.measures import CallMeasure, TickMeasures
from brokers.collect.models import PollState
from brokers.collect.outcome import Outcome, now_ms
from brokers.collect.pace import budget_of
from brokers.collect.plan import definitions_every_ms
from brokers.lag.keeper import ages_of
from brokers.rabbitmq.errors import BrokerError
from brokers.registry import slots
from brokers.registry.credentials import SealedError
from brokers.registry.models import Broker
from brokers.registry.slots import Directory, KnownObject, ObjectName
from brokers.series import store
from brokers.series.codec import CorruptSnapshotError, Frame
from brokers.series.metrics import Kind

logger = logging.getLogger(__name__)
T = TypeVar("T")

_KINDS = (Kind.NODE, Kind.VHOST, Kind.EXCHANGE, Kind.QUEUE)


class _LostError(Exception):
    """The claim does not hold any more, or the broker was edited."""


def read_definitions(broker_id: int, token: str) -> Outcome:
    """Read one broker's definitions under a claim, and turn whatever fails into a sentence in its PollState."""
    broker = Broker.objects.filter(id=broker_id).first()
    if broker is None or not holds(broker_id, token, now_ms(), Lane.DEFINITIONS):
        return Outcome.LOST
    began_ms = now_ms()
    try:
        return _read(broker, token, began_ms)
    except _LostError:
        return Outcome.LOST
    except BrokerError as error:
        return _fail(broker, token, began_ms, error.sentence, getattr(error, "measures", ()))
    except SealedError as error:
        return _fail(broker, token, began_ms, str(error))
    except DatabaseError as error:
        # No row can be written now: the claim ends by itself, and the next reading finds what is missing.
        logger.error("Broker %s: its definitions could not be stored: %s", broker_id, error)
        return Outcome.LOST
    except Exception as error:
        logger.exception("Broker %s: reading definitions failed by a fault in Warren", broker_id)
        sentence = f"A fault in Warren ended the reading ({type(error).__name__}); the worker's log has the details."
        return _fail(broker, token, began_ms, sentence)


def _read(broker: Broker, token: str, began_ms: int) -> Outcome:
    cpu_started = time.thread_time()
    declared = read(clients_of(broker))
    # A tick mostly knows the objects already.
    directory = cache_of(broker.id).directory.copy()
    directory.refresh()
    found = told(declared, _known(directory))
    _check(broker, token)
    _give_slots(broker, found, directory, began_ms)
    changed = _store(broker, token, found, directory, began_ms)
    seen = channels.publishers(declared.channels, began_ms, declared.channels_missing)
    ended_ms = now_ms()
    objects = sum(len(details) for details in found.details.values())
    cost = TickMeasures(
        calls=tuple(declared.measures),
        began_ms=began_ms,
        cpu_s=time.thread_time() - cpu_started,
        answer_to_row_ms=None,
        rows={str(kind): len(details) for kind, details in found.details.items()} | {"changed": changed},
        complete=not found.said,
    )
    return _end(
        broker,
        token,
        definitions_ms=ended_ms,
        definitions_due_ms=_due_ms(broker, ended_ms, cost, objects),
        definitions_error=" ".join(found.said),
        definitions_measures=measures.encode(cost),
        publishers=channels.encode(seen),
        stream_readers=streams.encode(_readers(declared, directory)),
    )


def _due_ms(broker: Broker, ended_ms: int, cost: TickMeasures, objects: int = 0) -> int:
    """Return when definitions are to be read again after a reading that ended, by what it cost and brought."""
    stored = PollState.objects.filter(broker=broker).values_list("pace", flat=True).first()
    part = definitions_share(budget_of(broker), decode_pace(stored or b"").of(Tier.DEPTH).cost)
    return ended_ms + definitions_every_ms(objects, cost.broker_s, part)


def _readers(declared: Declared, directory: Directory) -> streams.Readers:
    at_ms = now_ms()

    def ages(behind: Sequence[tuple[str, str, int]]) -> list[tuple[float, bool] | None]:
        slots_of = [directory.slot(Kind.QUEUE, vhost, name) for vhost, name, _ in behind]
        known = [(slot, many) for slot, (_, _, many) in zip(slots_of, behind, strict=True) if slot is not None]
        found = iter(ages_of(directory.broker_id, known, at_ms))
        return [None if slot is None else next(found) for slot in slots_of]

    there = None if declared.queues is None else any(queue.type == "stream" for queue in declared.queues)
    return streams.readers(declared.stream_consumers, at_ms, ages, declared.streams_missing, streams=there)


def _give_slots(broker: Broker, found: Told, directory: Directory, now: int) -> None:
    """Assign slots to names that were never seen before."""
    fresh, left_out = False, 0
    for kind in _KINDS:
        known = directory.by_name.get(kind, {})
        names = [name for name in found.details.get(kind, {}) if name not in known]
        kept = list(filter(slots.fits, names))
        left_out += len(names) - len(kept)
        if kept:
            slots.assign(broker, kind, kept, now)
            fresh = True
    if left_out:
        one = left_out == 1
        what = "One object has a name that is" if one else f"{left_out:,} objects have names that are"
        found.said.append(f"{what} too long to be kept, and {'is' if one else 'are'} not watched.")
    if fresh:
        directory.refresh()


def _store(broker: Broker, token: str, found: Told, directory: Directory, now: int) -> int:
    """Write the details that changed and mark what is gone and what is back; return how many rows changed."""
    newest = _newest(broker.id)
    changed = 0
    for kind in _KINDS:
        details: dict[int, bytes] = {}
        gone: dict[int, int | None] = {}
        for slot, known in directory.by_slot.get(kind, {}).items():
            name = ObjectName(known.vhost, known.name)
            detail = found.details.get(kind, {}).get(name)
            if detail is not None:
                if detail != known.detail or known.gone_ms is not None:
                    details[slot], gone[slot] = detail, None
            elif known.gone_ms is None and found.departed(kind, name) and not _counted(newest, kind, slot):
                gone[slot] = now
        for batch in _batches(sorted(gone)):
            _check(broker, token)
            changed += slots.describe(
                broker,
                kind,
                {slot: details[slot] for slot in batch if slot in details},
                {slot: gone[slot] for slot in batch},
            )
    return changed


def _counted(newest: Frame | None, kind: Kind, slot: int) -> bool:
    """Tell whether the newest snapshot has figures of an object that the list does not have.

    Pages of a list move while it is read, so that it can lack a queue that is there all the time: what a tick tells of
    is not gone.
    """
    return newest is not None and kind is Kind.QUEUE and newest.table(kind).value(slot, "ready") >= 0


def _newest(broker_id: int) -> Frame | None:
    newest = store.latest_id(broker_id)
    try:
        return store.load(newest) if newest is not None else None
    except CorruptSnapshotError:
        return None


def _known(directory: Directory) -> Mapping[Kind, Mapping[ObjectName, KnownObject]]:
    return {
        Kind(kind): {ObjectName(known.vhost, known.name): known for known in objects.values()}
        for kind, objects in directory.by_slot.items()
    }


def _batches(items: list[T]) -> Iterator[list[T]]:
    for first in range(0, len(items), slots.BATCH):
        yield items[first : first + slots.BATCH]


def _check(broker: Broker, token: str) -> None:
    """Raise _LostError where the claim is lost, or the broker was edited: what yesterday's address told is not kept."""
    revision = Broker.objects.filter(id=broker.id).values_list("revision", flat=True).first()
    if revision != broker.revision or not holds(broker.id, token, now_ms(), Lane.DEFINITIONS):
        raise _LostError


def _end(broker: Broker, token: str, **fields: object) -> Outcome:
    """Write how it went and end the claim in one statement, where the claim still holds."""
    held = PollState.objects.filter(
        broker_id=broker.id,
        broker__revision=broker.revision,
        definitions_claim=token,
        definitions_claimed_until_ms__gt=now_ms(),
    )
    if not held.update(definitions_claim="", definitions_claimed_until_ms=0, **fields):
        release(broker.id, token, Lane.DEFINITIONS)
        return Outcome.LOST
    return Outcome.STORED


def _fail(
    broker: Broker, token: str, began_ms: int, sentence: str, calls: tuple[CallMeasure, ...] | list[CallMeasure] = ()
) -> Outcome:
    """Note why a reading brought nothing. What was waited for in vain kept the broker busy all the same."""
    cost = TickMeasures(calls=tuple(calls), began_ms=began_ms, complete=False)
    ended = _end(
        broker,
        token,
        definitions_due_ms=_due_ms(broker, now_ms(), cost),
        definitions_error=sentence,
        definitions_measures=measures.encode(cost),
    )
    return Outcome.FAILED if ended is Outcome.STORED else ended
