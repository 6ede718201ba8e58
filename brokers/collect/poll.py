"""One tick of one broker: ask, compute, store the row, and say how it went. The edge around the pure parts."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

import msgspec
import numpy as np
from django.db import DatabaseError, transaction

from brokers.collect import counters, events, measures, reasons, streams
from brokers.collect.answers import Scrape
from brokers.collect.basis import Base
from brokers.collect.budget import Pace, Tier, anew, decode_pace, encode_pace, share_in_force
from brokers.collect.capabilities import Found, find, refused
from brokers.collect.claims import TICK_SPAN_MS, extend, hasten, holds
from brokers.collect.clients import clients_of
from brokers.collect.events import BrokerFacts, Event
from brokers.collect.frame import Built, build
from brokers.collect.labels import LabelCache, cache_of, forget
from brokers.collect.measures import CallMeasure, TickMeasures
from brokers.collect.models import BrokerEvent, PollState
from brokers.collect.names import names_in
from brokers.collect.pace import SOON_MS, after, after_failure, budget_of, due_tiers, unfinished
from brokers.collect.plan import Plan, definitions_soon_ms, plan, source_of
from brokers.collect.plan_words import cadences, explained, not_told
from brokers.collect.room import unstored
from brokers.collect.scrape import SLOW_DEADLINE_S, patient, scrape
from brokers.lag import at_tick
from brokers.rabbitmq.errors import BrokerError
from brokers.registry import slots
from brokers.registry.credentials import SealedError
from brokers.registry.models import Broker
from brokers.series import store
from brokers.series.codec import CorruptSnapshotError, Frame
from brokers.series.current import aligned
from brokers.series.metrics import Kind

logger = logging.getLogger(__name__)
# Calls of the management API that count.
_COUNTED = frozenset({reasons.OVERVIEW, reasons.VHOSTS})


class Outcome(StrEnum):
    """How a poll ended."""

    STORED = "stored"
    FAILED = "failed"
    LOST = "lost"  # the claim ended, or the broker was edited, paused or removed meanwhile: nothing was written


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a poll brought nothing."""

    kind: str
    sentence: str
    remedy: str = ""


@dataclass(slots=True)
class _Tick:
    """What one poll gathers on its way."""

    broker: Broker
    token: str
    began_ms: int
    cpu_started: float
    calls: list[CallMeasure] = field(default_factory=list)
    cpu_elsewhere_s: float = 0.0
    found: Found | None = None
    plan: Plan | None = None
    pace: Pace = field(default_factory=Pace)
    due: frozenset[Tier] = frozenset()
    # All that is counted was told: sums of counters can stand on this tick.
    counted: bool = False
    # The rest of the plan is to be asked soon.
    unfinished: bool = False
    # Abilities with what this tick found to be refused; None where there was nothing new.
    refused: bytes | None = None
    unknown: dict[str, str] = field(default_factory=dict)
    fresh_names: bool = False
    # Consumers came or went: what they may hold is told by the definitions.
    consumers_changed: bool = False

    def measured(self, built: Built | None, answer_to_row_ms: int | None) -> TickMeasures:
        rows = {str(kind): len(table.slots) for kind, table in built.frame.tables.items()} if built else {}
        return TickMeasures(
            plan=self.plan.sentences if self.plan else (),
            calls=tuple(self.calls),
            began_ms=self.began_ms,
            cpu_s=time.thread_time() - self.cpu_started + self.cpu_elsewhere_s,
            answer_to_row_ms=answer_to_row_ms,
            rows=rows,
            complete=built.frame.complete if built else False,
        )


class _LostError(Exception):
    """The claim does not hold any more."""


def poll(broker_id: int, token: str) -> Outcome:
    """Poll one broker under a claim and store what came of it.

    Errors of the broker end in its PollState; so does anything unexpected, which is logged with its traceback. Only
    errors of our own database are raised.
    """
    began_ms = now_ms()
    broker = Broker.objects.select_related("poll_state").filter(id=broker_id).first()
    if broker is None:
        forget(broker_id)
        at_tick.forget(broker_id)
        return Outcome.LOST
    if not holds(broker_id, token, began_ms):
        return Outcome.LOST
    tick = _Tick(broker, token, began_ms, time.thread_time())
    try:
        built = _ask(tick)
    except _LostError:
        return Outcome.LOST
    except BrokerError as error:
        tick.calls += getattr(error, "measures", ())
        return _fail(tick, Failure(str(error.kind), error.sentence, error.remedy))
    except SealedError as error:
        return _fail(tick, Failure("sealed", str(error)))
    return _store(tick, built)


def guarded(broker_id: int, token: str) -> Outcome:
    """Poll as `poll` does, and turn a fault of our own into the broker's state instead of raising it."""
    try:
        return poll(broker_id, token)
    except DatabaseError as error:
        # No row can be written now: the claim ends by itself, and the next tick tries again.
        logger.error("Broker %s: the poll could not be stored: %s", broker_id, error)
        unstored(broker_id, token, error, now_ms())
        return Outcome.LOST
    except Exception as error:
        logger.exception("Broker %s: the poll failed by a fault in Warren", broker_id)
        broker = Broker.objects.select_related("poll_state").filter(id=broker_id).first()
        if broker is None:
            return Outcome.LOST
        tick = _Tick(broker, token, now_ms(), time.thread_time())
        sentence = f"A fault in Warren ended the poll of {broker.name} ({type(error).__name__})."
        return _fail(tick, Failure("fault", sentence, "The worker's log has the details."))


def _ask(tick: _Tick) -> Built:
    """Ask the broker and compute the snapshot. Raises BrokerError, SealedError and _LostError."""
    broker, state = tick.broker, tick.broker.poll_state
    clients = clients_of(broker)
    tick.found = found = find(clients, broker, state, tick.began_ms)
    tick.calls += found.measures
    if found.fresh and not extend(broker.id, tick.token, now_ms(), TICK_SPAN_MS):
        raise _LostError  # to find out took so long that the claim ended
    labels = cache_of(broker.id)
    labels.directory.refresh()
    definitions_s = measures.decode(state.definitions_measures).broker_s
    asked_ms, budget = broker.cadence_s * 1000, budget_of(broker)
    objects = _count(labels, Kind.QUEUE) + _count(labels, Kind.EXCHANGE)
    pace = anew(decode_pace(state.pace), f"{source_of(found.abilities)} {broker.management_url}")
    chosen = plan(found.abilities, objects, asked_ms, pace, definitions_s, budget)
    tick.due = due_tiers(chosen, pace, tick.began_ms, budget, definitions_s)
    if patient(chosen, tick.due):
        # A long answer may take longer than a tick: it is waited for, and the ticks meanwhile are left out.
        span_ms = int(SLOW_DEADLINE_S * 1000) + 5000
        if not extend(broker.id, tick.token, now_ms(), span_ms):
            raise _LostError
    there = streams.decode(state.stream_readers).streams
    tick.plan = explained(chosen, found.abilities, streams=there)
    answers = scrape(clients, chosen, tick.due)
    tick.counted = Tier.COUNTERS in tick.due and answers.asked_counters and not _COUNTED & answers.untold.keys()
    tick.pace = after(
        chosen,
        pace,
        tick.due,
        answers.measures,
        tick.began_ms,
        budget,
        asked_ms,
        definitions_s,
        near=clients.near,
    )
    tick.unfinished = unfinished(chosen, pace, tick.pace, tick.due)
    paced = plan(found.abilities, objects, asked_ms, tick.pace, definitions_s, budget)
    tick.plan = explained(paced, found.abilities, streams=there)
    tick.refused = refused(found.encoded, answers.untold)
    tick.unknown = dict(tick.plan.unknown) | not_told(chosen, answers.measures)
    tick.unknown |= reasons.now(
        {path: error.sentence for path, error in answers.untold.items()},
        answers.silent,
        exposed=answers.exposed is not None,
    )
    tick.calls += answers.measures
    tick.cpu_elsewhere_s += answers.cpu_s
    _give_slots(tick, labels, answers)
    base = _base(state)
    built = build(answers, labels, base, chosen.reading, found.version)
    tick.unknown |= reasons.by_size(built.frame)
    tick.consumers_changed = _consumers_changed(base.last, built.frame)
    told = at_tick.Told(
        live=chosen.reading.counters_exposed, heads=built.heads, last_ms=base.last.at_ms if base.last else None
    )
    return replace(built, frame=at_tick.add(broker.id, built.frame, labels.directory, told))


def _give_slots(tick: _Tick, labels: LabelCache, answers: Scrape) -> None:
    """Assign slots to names that were never seen before, and note objects that are back."""
    labels.escaped = tick.found.escapes_labels if tick.found else True
    fresh = names_in(answers, labels)
    for kind, names in fresh.items():
        if names:
            slots.assign(tick.broker, kind, names, tick.began_ms)
    if any(fresh.values()):
        tick.fresh_names = True
        labels.directory.refresh()


def _came_back(built: Built, broker_id: int) -> bool:
    """Tell whether a queue has figures that was found gone: its definition may be another now."""
    gone = cache_of(broker_id).gone(Kind.QUEUE)
    return bool(len(gone)) and bool(np.isin(gone, built.frame.table(Kind.QUEUE).slots).any())


def _consumers_changed(last: Frame | None, now: Frame) -> bool:
    """Tell whether a queue has another number of consumers than in the snapshot before."""
    if last is None:
        return False
    table = now.table(Kind.QUEUE)
    before, consumers = aligned(last.table(Kind.QUEUE), table.slots, "consumers"), table.column("consumers")
    return bool((~np.isnan(before) & ~np.isnan(consumers) & (before != consumers)).any())


def _count(labels: LabelCache, kind: Kind) -> int:
    return sum(known.gone_ms is None for known in labels.directory.by_slot.get(kind, {}).values())


# The frames that this process stored last, by snapshot id: the next tick's base, mostly.
_frames: dict[int, tuple[int, Frame]] = {}


def forget_frames(broker_id: int | None = None) -> None:
    """Drop the frames that this process holds, of a broker or of all."""
    if broker_id is None:
        _frames.clear()
    else:
        _frames.pop(broker_id, None)


def _base(state: PollState) -> Base:
    newest = store.latest_id(state.broker_id)
    last = _load(state.broker_id, newest)
    base = last if newest == state.base_snapshot else _load(state.broker_id, state.base_snapshot)
    return Base(base, counters.decode(state.base_parts) if base else None, last)


def _load(broker_id: int, snapshot_id: int | None) -> Frame | None:
    if snapshot_id is None:
        return None
    held = _frames.get(broker_id)
    if held and held[0] == snapshot_id:
        return held[1]
    try:
        return store.load(snapshot_id)
    except CorruptSnapshotError:
        logger.warning("Snapshot %s of broker %s can't be read: counters start anew", snapshot_id, broker_id)
        return None


def _store(tick: _Tick, built: Built) -> Outcome:
    broker, state = tick.broker, tick.broker.poll_state
    before = _facts(state)
    happened = events.reachability(
        broker.name, state.failures, 0, "", tick.began_ms - (state.failing_since_ms or tick.began_ms)
    ) + events.changes(before, built.facts)
    cadence_ms = tick.pace.of(Tier.DEPTH).every_ms
    # Sums of counters stand on a snapshot in which everything was counted.
    counted = built.frame.complete and tick.counted
    soon = {"next_due_ms": now_ms() + SOON_MS} if tick.unfinished else {}
    try:
        with transaction.atomic():
            _take_claim(
                tick,
                last_tick_ms=now_ms(),
                last_ok_ms=built.frame.at_ms,
                failures=0,
                failing_since_ms=None,
                error_kind="",
                error_sentence="",
                error_remedy="",
                facts=msgspec.json.encode(events.merge(before, built.facts)),
                unknown=tick.unknown,
                cadence_ms=cadence_ms,
                pace=encode_pace(tick.pace),
                **soon,
                **_capabilities(tick),
            )
            row = store.append(broker.id, built.frame, cadence_ms)
            based = {"base_snapshot": row.id, "base_parts": counters.encode(built.parts)} if counted else {}
            measured = tick.measured(built, row.stored_ms - built.frame.at_ms)
            PollState.objects.filter(broker_id=broker.id).update(measures=measures.encode(measured), **based)
            _write_cadences(broker, tick.plan)
            _write_events(broker.id, built.frame.at_ms, happened)
    except _LostError:
        return Outcome.LOST
    _frames[broker.id] = (row.id, built.frame)
    if tick.fresh_names or tick.consumers_changed or built.contested or _came_back(built, broker.id):
        share = share_in_force(budget_of(broker), tick.pace.of(Tier.DEPTH).cost)
        soon_ms = definitions_soon_ms(measures.decode(state.definitions_measures).broker_s, share)
        hasten(broker.id, max(now_ms(), state.definitions_ms + soon_ms))
    return Outcome.STORED


def _write_cadences(broker: Broker, chosen: Plan | None) -> None:
    """Tell readers of series how long a figure that is not in every snapshot stands."""
    told = cadences(chosen) if chosen else {}
    if told != broker.read_every_ms:
        Broker.objects.filter(id=broker.id).update(read_every_ms=told)


def _fail(tick: _Tick, failure: Failure) -> Outcome:
    broker, state = tick.broker, tick.broker.poll_state
    ended_ms = now_ms()
    failures = state.failures + 1
    happened = events.reachability(broker.name, state.failures, failures, failure.sentence, 0)
    try:
        with transaction.atomic():
            _take_claim(
                tick,
                last_tick_ms=ended_ms,
                failures=failures,
                failing_since_ms=state.failing_since_ms or ended_ms,
                error_kind=failure.kind,
                error_sentence=failure.sentence,
                error_remedy=failure.remedy,
                # What the broker can be asked may have changed with whatever made it fail.
                **{**_capabilities(tick), "capabilities_ms": 0},
                measures=measures.encode(tick.measured(None, None)),
                **after_failure(broker, state, failure.kind, tick.began_ms, ended_ms),
            )
            _write_events(broker.id, ended_ms, happened)
    except _LostError:
        return Outcome.LOST
    return Outcome.FAILED


def _take_claim(tick: _Tick, **fields: object) -> None:
    """Write the outcome and end the claim in one statement, where the claim still holds. Raises _LostError.

    It is lost when it ended by itself, and when the broker was edited or paused meanwhile: what was asked of
    yesterday's address is not stored under today's.
    """
    held = PollState.objects.filter(
        broker_id=tick.broker.id,
        broker__paused=False,
        broker__revision=tick.broker.revision,
        claim=tick.token,
        claimed_until_ms__gt=now_ms(),
    )
    if not held.update(claim="", claimed_until_ms=0, **fields):
        raise _LostError


def _capabilities(tick: _Tick) -> dict[str, object]:
    found = tick.found
    if found is None:
        return {}
    if not found.fresh:
        return {} if tick.refused is None else {"capabilities": tick.refused}
    return {
        "capabilities": tick.refused or found.encoded,
        "capabilities_ms": tick.began_ms,
        "capabilities_revision": tick.broker.revision,
    }


def _facts(state: PollState) -> BrokerFacts | None:
    try:
        return msgspec.json.decode(bytes(state.facts), type=BrokerFacts) if state.facts else None
    except msgspec.MsgspecError:
        return None


def _write_events(broker_id: int, at_ms: int, happened: Iterable[Event]) -> None:
    BrokerEvent.objects.bulk_create(
        [
            BrokerEvent(
                broker_id=broker_id,
                at_ms=at_ms,
                kind=event.kind,
                severity=event.severity,
                node=event.node[:255],
                sentence=event.sentence,
                detail=event.detail,
            )
            for event in happened
        ]
    )


def now_ms() -> int:
    """Return our clock, Unix milliseconds."""
    return time.time_ns() // 1_000_000
