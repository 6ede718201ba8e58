"""One tick of one broker: ask and compute, then let it be written down. The edge around the pure parts."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

import numpy as np
from django.db import DatabaseError

from brokers.collect import counters, measures, reasons, streams
from brokers.collect.answers import Scrape
from brokers.collect.basis import Base
from brokers.collect.budget import Tier, anew, decode_pace
from brokers.collect.capabilities import LONGEST_S, find
from brokers.collect.claims import TICK_SPAN_MS, extend, holds
from brokers.collect.clients import clients_of
from brokers.collect.frame import Built, build
from brokers.collect.known import LOOK_MS, after_answers
from brokers.collect.labels import LabelCache, cache_of, forget
from brokers.collect.models import PollState
from brokers.collect.names import names_in
from brokers.collect.outcome import Failure, LostError, Outcome, Tick, failed, now_ms, stored
from brokers.collect.pace import after, budget_of, due_tiers, looked, unfinished
from brokers.collect.plan import plan, source_of
from brokers.collect.plan_words import explained, not_told
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
    tick = Tick(broker, token, began_ms, time.thread_time())
    try:
        built = _ask(tick)
    except LostError:
        return Outcome.LOST
    except BrokerError as error:
        tick.calls += getattr(error, "measures", ())
        return failed(tick, Failure(str(error.kind), error.sentence, error.remedy))
    except SealedError as error:
        return failed(tick, Failure("sealed", str(error)))
    row_id = stored(tick, built)
    if row_id is None:
        return Outcome.LOST
    _frames[broker_id] = (row_id, built.frame)
    return Outcome.STORED


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
        tick = Tick(broker, token, now_ms(), time.thread_time())
        sentence = f"A fault in Warren ended the poll of {broker.name} ({type(error).__name__})."
        return failed(tick, Failure("fault", sentence, "The worker's log has the details."))


def _ask(tick: Tick) -> Built:
    """Ask the broker and compute the snapshot. Raises BrokerError, SealedError and LostError."""
    broker, state = tick.broker, tick.broker.poll_state
    clients = clients_of(broker)
    before = decode_pace(state.pace)

    def hold(span_ms: int) -> None:
        if not extend(broker.id, tick.token, now_ms(), span_ms):
            raise LostError

    every_ms = before.look.every_ms or LOOK_MS
    asking_ms = TICK_SPAN_MS + int(LONGEST_S * 1000)
    tick.found = found = find(clients, broker, state, tick.began_ms, every_ms, lambda: hold(asking_ms))
    tick.calls += found.measures
    if found.measures:
        hold(TICK_SPAN_MS)
    labels = cache_of(broker.id)
    labels.directory.refresh()
    definitions_s = measures.decode(state.definitions_measures).broker_s
    asked_ms, budget = broker.cadence_s * 1000, budget_of(broker)
    objects = _count(labels, Kind.QUEUE) + _count(labels, Kind.EXCHANGE)
    pace = anew(before, f"{source_of(found.abilities)} {broker.management_url}")
    pace = looked(pace, found.measures, tick.began_ms, budget, overview=found.looked, blind=found.blind)
    chosen = plan(found.abilities, objects, asked_ms, pace, definitions_s, budget)
    tick.due = due_tiers(chosen, pace, tick.began_ms, budget, definitions_s)
    if patient(chosen, tick.due):
        # A long answer may take longer than a tick: it is waited for, and the ticks meanwhile are left out.
        hold(int(SLOW_DEADLINE_S * 1000) + 5000)
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
    tick.known = after_answers(
        found.known, found.looked_ms, tick.began_ms, answers.nodes, answers.silent, answers.untold
    )
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
    built = build(answers, labels, base, chosen.reading, found.known.version)
    tick.unknown |= reasons.by_size(built.frame)
    tick.consumers_changed = _consumers_changed(base.last, built.frame)
    told = at_tick.Told(
        live=chosen.reading.counters_exposed, heads=built.heads, last_ms=base.last.at_ms if base.last else None
    )
    return replace(built, frame=at_tick.add(broker.id, built.frame, labels.directory, told))


def _give_slots(tick: Tick, labels: LabelCache, answers: Scrape) -> None:
    """Assign slots to names that were never seen before, and note objects that are back."""
    labels.escaped = tick.found.known.escapes_labels if tick.found else True
    fresh = names_in(answers, labels)
    for kind, names in fresh.items():
        if names:
            slots.assign(tick.broker, kind, names, tick.began_ms)
    if any(fresh.values()):
        tick.fresh_names = True
        labels.directory.refresh()


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


__all__ = ["Outcome", "forget_frames", "guarded", "now_ms", "poll"]
