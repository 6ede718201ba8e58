"""How collecting from a broker stands, in one word and one sentence: decided purely from its polls and the clock."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from brokers.collect.models import PollState
from brokers.collect.room import REMEDY, room
from brokers.registry.models import Broker

# A broker is late when no poll has ended for this many cadences.
LATE_CADENCES = 2.5
# This many failed polls in a row make a broker unreachable.
UNREACHABLE_FAILURES = 2


class Condition(StrEnum):
    """How collecting from a broker stands."""

    NEW = "new"
    LIVE = "live"
    LATE = "late"
    UNREACHABLE = "unreachable"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class PollFacts:
    """What the decision needs to know; times in Unix milliseconds of our clock."""

    name: str
    paused: bool
    cadence_ms: int
    created_ms: int
    last_tick_ms: int | None = None
    last_ok_ms: int | None = None
    failures: int = 0
    failing_since_ms: int | None = None
    claimed_until_ms: int = 0
    error_sentence: str = ""
    error_remedy: str = ""
    error_kind: str = ""
    # Why nothing can be stored now, whatever the broker answers; blank: there is room.
    no_room: str = ""


@dataclass(frozen=True, slots=True)
class BrokerState:
    """`since_ms` is when it began (None: never polled); `reason` and `remedy` are sentences, empty where all is well.

    `collector_stopped` tells that Warren itself is at fault: no poll ends, whatever the broker does. `no_room`: since
    there is no room to store what it would bring.
    """

    condition: Condition
    since_ms: int | None
    reason: str = ""
    remedy: str = ""
    collector_stopped: bool = False
    no_room: bool = False


def decide(facts: PollFacts, now_ms: int) -> BrokerState:
    """Return the state of a broker at a moment."""
    if facts.paused:
        return BrokerState(
            Condition.PAUSED,
            facts.last_tick_ms,
            f"Polling of {facts.name} is paused: nothing is asked of it.",
            "Resume it in the settings.",
        )
    waited_ms = now_ms - (facts.last_tick_ms if facts.last_tick_ms is not None else facts.created_ms)
    overdue = waited_ms > LATE_CADENCES * facts.cadence_ms and facts.claimed_until_ms <= now_ms
    full = overdue and bool(facts.no_room)
    stopped = (facts.no_room or _stopped(waited_ms)) if overdue else ""
    remedy = ""
    if overdue:
        remedy = (
            REMEDY if full else "Look whether worker and beat run (manage.py up starts both), and what their log says."
        )
    if facts.last_tick_ms is None:
        return BrokerState(Condition.NEW, None, stopped or "No poll has ended yet.", remedy, overdue, full)
    if facts.failures >= UNREACHABLE_FAILURES:
        return BrokerState(
            Condition.UNREACHABLE,
            facts.failing_since_ms,
            f"{stopped} Before that: {facts.error_sentence}" if overdue else facts.error_sentence,
            remedy or facts.error_remedy,
            overdue,
            full,
        )
    if overdue:
        return BrokerState(Condition.LATE, facts.last_tick_ms, stopped, remedy, True, full)
    if facts.failures:
        full = facts.error_kind == "storage"
        return BrokerState(Condition.LATE, facts.failing_since_ms, facts.error_sentence, facts.error_remedy, full, full)
    if waited_ms > LATE_CADENCES * facts.cadence_ms:
        return BrokerState(
            Condition.LATE, facts.last_tick_ms, f"{facts.name} has not answered a poll for {_seconds(waited_ms)}."
        )
    return BrokerState(Condition.LIVE, facts.last_ok_ms)


def state_of(broker: Broker, now_ms: int) -> BrokerState:
    """Return the state of a broker row; read it with `select_related("poll_state")` to spare a query."""
    return decide(facts_of(broker), now_ms)


def facts_of(broker: Broker) -> PollFacts:
    """Return what the database says of a broker's polling."""
    created_ms = int(broker.created_at.timestamp() * 1000)
    cadence_ms = broker.cadence_s * 1000
    try:
        poll = broker.poll_state
    except PollState.DoesNotExist:
        return PollFacts(broker.name, broker.paused, cadence_ms, created_ms, no_room=room().sentence)
    return PollFacts(
        name=broker.name,
        paused=broker.paused,
        cadence_ms=max(cadence_ms, poll.cadence_ms),
        created_ms=created_ms,
        last_tick_ms=poll.last_tick_ms,
        last_ok_ms=poll.last_ok_ms,
        failures=poll.failures,
        failing_since_ms=poll.failing_since_ms,
        claimed_until_ms=poll.claimed_until_ms,
        error_kind=poll.error_kind,
        error_sentence=poll.error_sentence,
        error_remedy=poll.error_remedy,
        no_room=room().sentence,
    )


def _stopped(waited_ms: int) -> str:
    return f"No poll has ended for {_seconds(waited_ms)}: the collector does not run."


def _seconds(span_ms: int) -> str:
    seconds = max(0, span_ms) // 1000
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 36_000:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h"
