"""How a poll ended, and how that is written down: the snapshot, the broker's state and what happened, in one go."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec
import numpy as np
from django.db import transaction

from brokers.collect import counters, events, measures
from brokers.collect.budget import Pace, Tier, decode_pace, encode_pace, share_in_force
from brokers.collect.capabilities import Found
from brokers.collect.claims import hasten
from brokers.collect.events import BrokerFacts, Event
from brokers.collect.frame import Built
from brokers.collect.known import Known, decode, doubted, encode
from brokers.collect.labels import cache_of
from brokers.collect.measures import CallMeasure, TickMeasures
from brokers.collect.models import BrokerEvent, PollState
from brokers.collect.pace import SOON_MS, after_failure, budget_of, looked
from brokers.collect.plan import Plan, definitions_soon_ms
from brokers.collect.plan_words import cadences
from brokers.rabbitmq.errors import ErrorKind
from brokers.registry.models import Broker
from brokers.series import store
from brokers.series.metrics import Kind


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
class Tick:
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
    # What is known of the broker after its answers; None where there were none.
    known: Known | None = None
    unknown: dict[str, str] = field(default_factory=dict)
    fresh_names: bool = False
    # Consumers came or went: what they may hold is told by the definitions.
    consumers_changed: bool = False

    def measured(self, built: Built | None, answer_to_row_ms: int | None) -> TickMeasures:
        """Return what the poll cost up to now; `built` None: it brought nothing."""
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


class LostError(Exception):
    """The claim does not hold any more."""


def stored(tick: Tick, built: Built) -> int | None:
    """Store what a poll brought, and return its snapshot's id; None where the claim was lost: nothing is written."""
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
    except LostError:
        return None
    if tick.fresh_names or tick.consumers_changed or built.contested or _came_back(built, broker.id):
        share = share_in_force(budget_of(broker), tick.pace.of(Tier.DEPTH).cost)
        soon_ms = definitions_soon_ms(measures.decode(state.definitions_measures).broker_s, share)
        hasten(broker.id, max(now_ms(), state.definitions_ms + soon_ms))
    return row.id


def _write_cadences(broker: Broker, chosen: Plan | None) -> None:
    """Tell readers of series how long a figure that is not in every snapshot stands."""
    told = cadences(chosen) if chosen else {}
    if told != broker.read_every_ms:
        Broker.objects.filter(id=broker.id).update(read_every_ms=told)


def failed(tick: Tick, failure: Failure) -> Outcome:
    """Write down that a poll brought nothing, and why."""
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
                **_doubted(tick, failure.kind),
                measures=measures.encode(tick.measured(None, None)),
                **_paced(tick, failure.kind, ended_ms),
            )
            _write_events(broker.id, ended_ms, happened)
    except LostError:
        return Outcome.LOST
    return Outcome.FAILED


def _take_claim(tick: Tick, **fields: object) -> None:
    """Write the outcome and end the claim in one statement, where the claim still holds. Raises LostError.

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
        raise LostError


def _capabilities(tick: Tick) -> dict[str, object]:
    found = tick.found
    if found is None:
        return {}
    known = tick.known or found.known
    if known == found.before and not found.looked:
        return {}
    return {
        "capabilities": encode(known),
        "capabilities_ms": found.looked_ms,
        "capabilities_revision": tick.broker.revision,
    }


def _doubted(tick: Tick, kind: str) -> dict[str, object]:
    """Return what is known of a broker that brought nothing: what it can be asked may have changed with that.

    A slow one most likely is what it was: where it is not, its nodes' uptime will show it.
    """
    if kind == ErrorKind.TOO_SLOW:
        return _capabilities(tick)
    if tick.found is not None:
        tick.known = doubted(tick.known or tick.found.known)
        return _capabilities(tick)
    known = decode(tick.broker.poll_state.capabilities)
    return {"capabilities": encode(doubted(known))} if known is not None else {}


def _paced(tick: Tick, kind: str, ended_ms: int) -> dict[str, object]:
    """Return the pace after a poll that brought nothing."""
    broker, before = tick.broker, decode_pace(tick.broker.poll_state.pace)
    pace, told, found, budget = before, 0, tick.found, budget_of(broker)
    if found is not None:
        pace = looked(before, found.measures, tick.began_ms, budget, overview=found.looked, blind=found.blind)
        told = len(found.measures)
    pace = after_failure(broker, pace, kind, tick.calls[told:], tick.began_ms, ended_ms)
    every_ms = pace.of(Tier.DEPTH).every_ms
    if pace == before:
        return {}
    return {"pace": encode_pace(pace), **({"cadence_ms": every_ms} if every_ms else {})}


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


def _came_back(built: Built, broker_id: int) -> bool:
    """Tell whether a queue has figures that was found gone: its definition may be another now."""
    gone = cache_of(broker_id).gone(Kind.QUEUE)
    return bool(len(gone)) and bool(np.isin(gone, built.frame.table(Kind.QUEUE).slots).any())


def now_ms() -> int:
    """Return our clock, Unix milliseconds."""
    return time.time_ns() // 1_000_000
