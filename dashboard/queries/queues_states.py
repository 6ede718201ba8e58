"""In what state a queue is, from the broker's word and its figures: vectorised over all rows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from brokers.lag.state import ConsumerState
from brokers.registry.details import DOWN, QueueDetail
from dashboard.queries.queues_table import Flags, Floats, Rows


class State(StrEnum):
    """A queue's state as it stands in the address."""

    DOWN = "down"
    MINORITY = "minority"
    STOPPED = "stopped"
    STALLED = "stalled"
    STARVED = "starved"
    BEHIND = "behind"
    FLOW = "flow"
    HOLDING = "holding"
    STALE = "stale"
    UNKNOWN = "unknown"
    NEW = "new"
    WAITING = "waiting"
    OK = "ok"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Saying:
    """How a state is shown: `icon` by name (Cell.state), its word, the row's edge, and what it means."""

    icon: str
    word: str
    says: str
    edge: str = ""


SAYINGS: dict[State, Saying] = {
    State.DOWN: Saying("critical", "Down", "The broker says that the queue does not run.", "critical"),
    State.MINORITY: Saying("critical", "No majority", "Most members are away: nothing goes in or out.", "critical"),
    State.STOPPED: Saying("stopped", "Stopped", "Messages wait and nobody consumes them.", "warning"),
    State.STALLED: Saying("stalled", "Stalled", "Consumers are there, and nothing is acknowledged.", "warning"),
    State.STARVED: Saying("behind", "Starved by prefetch", "Consumers wait for messages that they may not have yet."),
    State.BEHIND: Saying("behind", "Falling behind", "More enters than its consumers take.", "warning"),
    State.FLOW: Saying("notice", "Flow control", "The broker slows its publishers down."),
    State.HOLDING: Saying("dead", "Holding", "A dead-letter queue that holds letters."),
    State.STALE: Saying("stale", "Stale", "Its broker gives no figures now; these are the last."),
    State.UNKNOWN: Saying("unknown", "Unknown", "The broker does not tell its figures."),
    State.NEW: Saying("unknown", "Too new to say", "There were too few polls yet to say how its consumers keep up."),
    State.WAITING: Saying("queued", "Waiting", "Messages wait here for their time, and then go on."),
    State.OK: Saying("ok", "Keeping up", "As much leaves as enters, or more."),
    State.IDLE: Saying("idle", "Idle", "It is empty and nothing moves."),
}
# Those that say how the consumers keep up: with their evidence.
JUDGED = frozenset({State.STOPPED, State.STALLED, State.STARVED, State.BEHIND, State.OK, State.IDLE})
# From what needs nobody to what needs somebody: higher is worse.
_RANKS = {state: len(SAYINGS) - number for number, state in enumerate(SAYINGS)}
_BY_RANK = {rank: state for state, rank in _RANKS.items()}

_TOLD = {
    State.BEHIND: ConsumerState.FALLING_BEHIND,
    State.STARVED: ConsumerState.STARVED,
    State.STALLED: ConsumerState.STALLED,
    State.STOPPED: ConsumerState.STOPPED,
}
_FLOWS = ("publish_rate", "deliver_rate", "ack_rate")


def ranks(rows: Rows) -> Floats:
    """Return each row's state as its rank, the worst highest; worked out once."""
    return rows.kept("state", _ranks)


def _ranks(rows: Rows) -> Floats:
    word = rows.text("word")
    return decide(
        Facts(
            ready=rows.figure("ready"),
            unacked=rows.figure("unacked"),
            consumers=rows.figure("consumers"),
            named=rows.figure("consumer_state"),
            still=_still(rows),
            letters=rows.flag("dead") | rows.flag("named"),
            waits=rows.flag("waits"),
            stream=rows.text("type").where("stream".__eq__),
            flow=word.where("flow".__eq__),
            minority=word.where("minority".__eq__),
            down=word.where(DOWN.__contains__),
            fresh=rows.flag("fresh"),
        )
    )


@dataclass(frozen=True, slots=True)
class Facts:
    """What the state of queues follows from, a row a queue. `named` is brokers.lag.state.ConsumerState as it was named
    at the last poll, NaN where too little had been seen; `still`: nothing is known to move."""

    ready: Floats
    unacked: Floats
    consumers: Floats
    named: Floats
    still: Flags
    letters: Flags
    waits: Flags
    stream: Flags
    flow: Flags
    minority: Flags
    down: Flags
    fresh: Flags


def decide(facts: Facts) -> Floats:
    """Return the rank of each queue's state: the broker's word first, then how its consumers keep up."""
    ready, named = facts.ready, facts.named
    unnamed = np.isnan(named)
    with np.errstate(invalid="ignore"):
        waiting = ready > 0
        empty = (ready == 0) & (facts.unacked == 0)
        alone = waiting & (facts.consumers == 0) & ~facts.letters & ~facts.stream
    # The later a line stands, the more it counts.
    found = np.full(len(ready), _RANKS[State.OK], dtype=np.float64)
    found[np.where(unnamed, empty & facts.still, named == ConsumerState.IDLE)] = _RANKS[State.IDLE]
    found[unnamed & ~(empty & facts.still)] = _RANKS[State.NEW]
    found[np.isnan(ready)] = _RANKS[State.UNKNOWN]
    found[facts.letters & waiting] = _RANKS[State.HOLDING]
    found[facts.flow] = _RANKS[State.FLOW]
    for state, told in _TOLD.items():
        found[named == told] = _RANKS[state]
    # Of a queue that has only just been seen nothing else is known than that nobody is there.
    found[alone & unnamed] = _RANKS[State.STOPPED]
    found[alone & facts.waits] = _RANKS[State.WAITING]
    found[facts.minority] = _RANKS[State.MINORITY]
    found[facts.down] = _RANKS[State.DOWN]
    found[~facts.fresh] = _RANKS[State.STALE]
    return found


def of_one(detail: QueueDetail, figures: Mapping[str, float], *, fresh: bool = True) -> State:
    """Return the state of one queue by its figures, the same as the list of queues shows."""

    def told(name: str) -> Floats:
        return np.array([figures.get(name, np.nan)])

    def flag(value: bool) -> Flags:
        return np.array([value])

    flows = [figures.get(name, np.nan) for name in _FLOWS]
    [rank] = decide(
        Facts(
            ready=told("ready"),
            unacked=told("unacked"),
            consumers=told("consumers"),
            named=told("consumer_state"),
            still=flag(any(flow == 0 for flow in flows) and not any(flow > 0 for flow in flows)),
            letters=flag(detail.holds_letters),
            waits=flag(detail.waits),
            stream=flag(detail.type == "stream"),
            flow=flag(detail.state == "flow"),
            minority=flag(detail.state == "minority"),
            down=flag(detail.state in DOWN),
            fresh=flag(fresh),
        )
    )
    return state_at(int(rank))


def state_at(rank: int) -> State:
    """Return the state of a rank."""
    return _BY_RANK[rank]


def rank_of(name: str) -> int | None:
    """Return the rank of a state by its name in the address, None where there is no such state."""
    return _RANKS[State(name)] if name in set(State) else None


def _still(rows: Rows) -> Flags:
    """Tell where nothing is known to move, and something is known."""
    known = np.zeros(len(rows), dtype=np.bool_)
    moves = np.zeros(len(rows), dtype=np.bool_)
    for name in _FLOWS:
        figure = rows.figure(name)
        known |= ~np.isnan(figure)
        with np.errstate(invalid="ignore"):
            moves |= figure > 0
    return known & ~moves
