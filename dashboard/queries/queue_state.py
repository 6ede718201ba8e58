"""How a queue stands, in a word and in the sentences that say what was seen. Pure.

What a person must know to read the figures at all comes first (stale, gone, closed), then the broker's own word (down,
no majority), then how the consumers keep up, as the last poll named it (brokers.lag.state), with the figures that speak
for it: the same word as in the list of queues (dashboard.queries.queues_states). No message is read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from brokers.lag.evidence import Seen, evidence
from brokers.lag.state import ConsumerState
from brokers.registry.details import DOWN, QueueDetail
from brokers.series.read import Series
from dashboard import formats
from dashboard.queries.queues_states import SAYINGS, State

# What the evidence is taken from.
EVIDENCE_MS = 300_000
EVIDENCE_METRICS = ("ready",)


@dataclass(frozen=True, slots=True)
class Standing:
    """`icon` by name, `word`, what was seen (`sentence`), and from what (`evidence`)."""

    icon: str
    word: str
    sentence: str
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Around:
    """What is known of the queue's surroundings. Times as the viewer reads them, empty where they do not apply.

    `stale_since`: its broker gives no new figures since then; `gone_at`: it was last seen then; `closed`: the watching
    user may not look into the vhost; `full`: a sentence on what becomes of messages where no more fit in; `lasts`:
    since when its consumers are in the state that they are in.
    """

    broker: str
    stale: bool = False
    stale_since: str = ""
    figures_of: str = ""
    gone_at: str = ""
    closed: bool = False
    full: str = ""
    lasts: str = ""


@dataclass(frozen=True, slots=True)
class Polls:
    """Five minutes of polls: how many told of the queue, how many did not, and `since` when, as the viewer reads it."""

    told: int
    gaps: int
    since: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """A queue's figures now, its state in the list of queues, and the ConsumerState named at the last poll (NaN: none
    yet)."""

    state: State
    named: float
    seen: Seen


def polls(series: Series, since: str = "") -> Polls:
    """Count the polls of the last five minutes (a series of EVIDENCE_METRICS)."""
    known = ~np.isnan(series.values["ready"])
    return Polls(int(known.sum()), int((~known).sum()), since)


def standing(detail: QueueDetail, around: Around, judged: Judged, seen_in: Polls) -> Standing:
    """Say how the queue stands."""
    outside = _outside(around)
    if outside is not None:
        return outside
    evidence = _evidence(seen_in)
    broken = _broken(detail, around.broker)
    if broken is not None:
        return Standing(*broken, evidence)
    icon, word, sentence = _moving(detail, around, judged)
    lasts = f"{word} {around.lasts}." if around.lasts else ""
    return Standing(icon, word, sentence, f"{lasts} {evidence}".strip())


def _outside(around: Around) -> Standing | None:
    if around.gone_at:
        return Standing(
            "unknown",
            "Gone",
            f"{around.broker} had it at {around.gone_at} for the last time. It was deleted or it expired; "
            "what was stored of it stays below for as long as history is kept.",
        )
    if around.stale:
        of = f" The last figures are of {around.figures_of}." if around.figures_of else ""
        since = f" since {around.stale_since}" if around.stale_since else ""
        gives = "has given" if since else "gives"
        return Standing("stale", "Stale", f"{around.broker} {gives} no new figures{since}.{of}")
    return None


def _broken(detail: QueueDetail, broker: str) -> tuple[str, str, str] | None:
    if detail.state in DOWN:
        return "critical", "Down", f"{broker} says that it is {detail.state}: nothing goes in and nothing comes out."
    if detail.state == "minority":
        members = len(detail.members)
        there = f"{len(detail.online)} of {members} members are online. " if members else ""
        return "critical", "No majority", f"{there}Until most of them are, nothing goes in and nothing comes out."
    return None


def _moving(detail: QueueDetail, around: Around, judged: Judged) -> tuple[str, str, str]:
    seen = judged.seen
    if math.isnan(seen.ready):
        if around.closed:
            return (
                "unknown",
                "Closed to Warren",
                "The watching user may not look into its vhost, so its figures are unknown.",
            )
        return "unknown", "Unknown", f"{around.broker} has not told its figures in the last 5 min."
    if detail.holds_letters and judged.state in {State.HOLDING, State.OK, State.NEW, State.IDLE}:
        icon, word, sentence = _dead(detail, seen)
        return icon, word, f"{sentence} {around.full}".strip()
    said = SAYINGS[judged.state]
    if judged.state is State.WAITING:
        waits = f"{_messages(seen.ready)} {'waits' if seen.ready == 1 else 'wait'} here until the time is up"
        waits += ", to go on by the dead-letter exchange. Nobody is to consume this queue."
        return said.icon, said.word, f"{waits} {around.full}".strip()
    named = judged.named
    if math.isnan(named) and judged.state is State.STOPPED:
        named = float(ConsumerState.STOPPED)
    if math.isnan(named) and judged.state is State.IDLE:
        named = float(ConsumerState.IDLE)
    sentence = seen_from(named, seen, detail, around.full)
    if judged.state is State.FLOW:
        sentence = f"The broker slows its publishers down. {sentence}"
    return said.icon, said.word, sentence


def seen_from(named: float, seen: Seen, detail: QueueDetail, full: str) -> str:
    """Say what a ConsumerState was seen from, and what becomes of messages where the queue is `full`."""
    if full and named == ConsumerState.STOPPED:
        # What is dropped leaves, too.
        wait = "waits" if seen.ready == 1 else "wait"
        return f"{_messages(seen.ready)} {wait} and nobody is subscribed. {full}"
    return f"{evidence(named, seen, stream=detail.type == 'stream')} {full}".strip()


def _dead(detail: QueueDetail, found: Seen) -> tuple[str, str, str]:
    number = detail.dead_letter_sources
    whose = (
        f" of {formats.count(number)} queue{'' if number == 1 else 's'}"
        if number
        else ", by its name: no queue is seen to dead-letter to it"
    )
    if found.ready > 0:
        return "dead", "Holding", f"{formats.count(found.ready)} letters wait here. It is a dead-letter queue{whose}."
    return "ok", "Empty", f"No letter waits. It is a dead-letter queue{whose}."


def _evidence(found: Polls) -> str:
    if not found.told:
        return ""
    told = "1 poll" if found.told == 1 else f"{formats.count(found.told)} polls"
    missing = "none missing" if not found.gaps else "with a gap" if found.gaps == 1 else f"with {found.gaps} gaps"
    begun = f" since {found.since}" if found.since else ""
    return f"From {told}{begun}, {missing}. Counters only; no message was read."


def _messages(number: float) -> str:
    return "1 message" if number == 1 else f"{formats.count(number)} messages"
