"""One thing that needs a person: how it is told, and how much it presses."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dashboard.queries.broker_facts import BrokerFacts

# A page lists so many, the worst: a broker may have thousands.
SHOWN = 12


class Severity(StrEnum):
    """How much something presses. `UNKNOWN` is what cannot be judged, since the figures are missing."""

    CRITICAL = "critical"
    WARNING = "warning"
    NOTICE = "notice"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Lasting:
    """A state (a ConsumerState) that so many queues of a broker are in; `slots` are of the largest of them, or all."""

    state: float
    queues: int
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that needs a person.

    `key` stays the same as long as it is the same thing. `subject` is what the link is put on; `sentence` goes on from
    it. `short` says it in a table's cell. `command` is a shell line that mends it, where there is one. `weight` orders
    things of one severity.
    """

    key: str
    severity: Severity
    broker_id: int
    broker: str
    subject: str
    sentence: str
    short: str = ""
    why: str = ""
    command: str = ""
    icon: str = ""
    since_ms: int | None = None
    # It began before then: that is the first that is known.
    since_before: bool = False
    # Whose beginning that is, where the need is about several queues.
    since_of: str = ""
    # What is about queues: the state that they are in, whose beginning is when this began.
    lasts: Lasting | None = None
    # The page that shows it: a vhost's queues where set, else the broker.
    vhost: str | None = None
    queue: str | None = None
    # With a vhost: the state of the queues that its page shows.
    state: str = "stopped"
    weight: float = 0.0


def need(facts: BrokerFacts, key: str, severity: Severity, subject: str, sentence: str, **more: object) -> Need:
    """Make one of a broker; `key` is unique among the broker's."""
    return Need(f"{facts.id}.{key}", severity, facts.id, facts.name, subject, sentence, **more)  # type: ignore[arg-type]
