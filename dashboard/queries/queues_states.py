"""In what state a queue is, from the broker's word and its figures: vectorised over all rows. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from brokers.registry.details import DOWN
from dashboard.queries.queues_table import Flags, Floats, Rows


class State(StrEnum):
    """A queue's state as it stands in the address."""

    DOWN = "down"
    MINORITY = "minority"
    NO_CONSUMER = "no_consumer"
    FLOW = "flow"
    HOLDING = "holding"
    STALE = "stale"
    UNKNOWN = "unknown"
    WAITING = "waiting"
    RUNNING = "running"
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
    State.NO_CONSUMER: Saying("stopped", "No consumer", "Messages wait and nobody consumes them.", "warning"),
    State.FLOW: Saying("notice", "Flow control", "The broker slows its publishers down."),
    State.HOLDING: Saying("dead", "Holding", "A dead-letter queue that holds letters."),
    State.STALE: Saying("stale", "Stale", "Its broker gives no figures now; these are the last."),
    State.UNKNOWN: Saying("unknown", "Unknown", "The broker does not tell its figures."),
    State.WAITING: Saying("queued", "Waiting", "Messages wait here for their time, and then go on."),
    State.RUNNING: Saying("ok", "Running", "It runs."),
    State.IDLE: Saying("idle", "Idle", "It is empty and nothing moves."),
}
# From what needs nobody to what needs somebody: higher is worse.
_RANKS = {state: len(SAYINGS) - number for number, state in enumerate(SAYINGS)}
_BY_RANK = {rank: state for state, rank in _RANKS.items()}

_FLOWS = ("publish_rate", "deliver_rate", "ack_rate")


def ranks(rows: Rows) -> Floats:
    """Return each row's state as its rank, the worst highest; worked out once."""
    return rows.kept("state", _ranks)


def _ranks(rows: Rows) -> Floats:
    ready, unacked, consumers = rows.figure("ready"), rows.figure("unacked"), rows.figure("consumers")
    word = rows.text("word")
    letters = rows.flag("dead") | rows.flag("named")
    stream = rows.text("type").where("stream".__eq__)
    with np.errstate(invalid="ignore"):
        waiting = ready > 0
        empty = (ready == 0) & (unacked == 0)
        lonely = waiting & (consumers == 0) & ~letters & ~stream
    # The later a line stands, the more it counts.
    found = np.full(len(rows), _RANKS[State.RUNNING], dtype=np.float64)
    found[(empty & _still(rows)) | (word.where("idle".__eq__) & ~waiting)] = _RANKS[State.IDLE]
    found[np.isnan(ready)] = _RANKS[State.UNKNOWN]
    found[letters & waiting] = _RANKS[State.HOLDING]
    found[word.where("flow".__eq__)] = _RANKS[State.FLOW]
    found[lonely] = np.where(rows.flag("waits")[lonely], _RANKS[State.WAITING], _RANKS[State.NO_CONSUMER])
    found[word.where("minority".__eq__)] = _RANKS[State.MINORITY]
    found[word.where(DOWN.__contains__)] = _RANKS[State.DOWN]
    found[~rows.flag("fresh")] = _RANKS[State.STALE]
    return found


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
