"""How a queue stands, in a word and in the sentences that say what was seen. Pure.

The broker's own word comes first (down, no majority), then what a person must know to read the figures at all (stale,
gone, closed), then five minutes of counters: what entered, what left, how the backlog moved. No message is read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from brokers.registry.details import DOWN, QueueDetail
from brokers.series.read import Series
from dashboard import formats

# What the evidence is taken from.
EVIDENCE_MS = 300_000
EVIDENCE_METRICS = ("ready", "unacked", "consumers", "publish_rate", "ack_rate")
# A backlog moves when it changes by more than this share of its height, and by more than so many messages.
_MOVES_SHARE = 0.05
_MOVES_MESSAGES = 20


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
    user may not look into the vhost; `down_nodes`: members that are away.
    """

    broker: str
    stale: bool = False
    stale_since: str = ""
    figures_of: str = ""
    gone_at: str = ""
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """Five minutes of a queue, summed up; NaN is *unknown*. `polls` that were seen, `gaps` in them, `since` as read."""

    ready: float
    unacked: float
    consumers: float
    publish: float
    ack: float
    change: float
    seconds: float
    polls: int
    gaps: int


def seen(series: Series) -> Seen:
    """Sum up what the last five minutes of a queue were (a series of EVIDENCE_METRICS)."""
    ready = series.values["ready"]
    known = np.flatnonzero(~np.isnan(ready))
    times = series.times_ms
    span = float(times[known[-1]] - times[known[0]]) / 1000 if len(known) > 1 else 0.0
    return Seen(
        ready=float(ready[known[-1]]) if len(known) else math.nan,
        unacked=_last(series, "unacked"),
        consumers=_last(series, "consumers"),
        publish=_mean(series, "publish_rate"),
        ack=_mean(series, "ack_rate"),
        change=float(ready[known[-1]] - ready[known[0]]) if len(known) > 1 else math.nan,
        seconds=span,
        polls=len(known),
        gaps=len(times) - len(known),
    )


def standing(detail: QueueDetail, around: Around, found: Seen, since: str = "") -> Standing:
    """Say how the queue stands; `since` is the time of the first poll that the evidence has, as the viewer reads it."""
    outside = _outside(around)
    if outside is not None:
        return outside
    evidence = _evidence(found, since)
    broken = _broken(detail, around.broker)
    if broken is not None:
        return Standing(*broken, evidence)
    return Standing(*_moving(detail, around, found), evidence)


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
        return Standing("stale", "Stale", f"{around.broker} gives no new figures{since}.{of}")
    return None


def _broken(detail: QueueDetail, broker: str) -> tuple[str, str, str] | None:
    if detail.state in DOWN:
        return "critical", "Down", f"{broker} says that it is {detail.state}: nothing goes in and nothing comes out."
    if detail.state == "minority":
        members = len(detail.members)
        there = f"{len(detail.online)} of {members} members are online. " if members else ""
        return "critical", "No majority", f"{there}Until most of them are, nothing goes in and nothing comes out."
    return None


def _moving(detail: QueueDetail, around: Around, found: Seen) -> tuple[str, str, str]:
    if math.isnan(found.ready):
        if around.closed:
            return (
                "unknown",
                "Closed to Warren",
                "The watching user may not look into its vhost, so its figures are unknown.",
            )
        return "unknown", "Unknown", f"{around.broker} has not told its figures in the last 5 min."
    if detail.type == "stream":
        return "ok", "Stream", _stream(found)
    if detail.holds_letters:
        return _dead(detail, found)
    if found.ready > 0 and found.consumers == 0 and detail.waits:
        waits = f"{_messages(found.ready)} {'waits' if found.ready == 1 else 'wait'} here until the time is up"
        return "queued", "Waiting", f"{waits}, to go on by the dead-letter exchange. Nobody is to consume this queue."
    if found.ready > 0 and found.consumers == 0:
        grows = f", {formats.rate(found.publish)} /s enter" if found.publish > 0 else ""
        return (
            "stopped",
            "No consumer",
            f"{_messages(found.ready)} wait and nobody is subscribed: nothing leaves{grows}.",
        )
    return _paced(detail, found)


def _paced(detail: QueueDetail, found: Seen) -> tuple[str, str, str]:
    over = f"For {formats.duration(round(found.seconds))}" if found.seconds >= 1 else "At the moment"
    if math.isnan(found.ack) or math.isnan(found.publish):
        waits = f"{_messages(found.ready)} wait" if found.ready else "Nothing waits"
        return "ok", "Running", f"{waits}. How fast they move is not known yet."
    pace = f"{formats.rate(found.ack)} /s were acknowledged while {formats.rate(found.publish)} /s were published"
    if found.ready > 0 and found.ack == 0 and found.consumers > 0 and found.seconds >= 30 and found.change >= 0:
        word = "consumer is" if found.consumers == 1 else "consumers are"
        held = f" They hold {_messages(found.unacked)} unacknowledged." if found.unacked > 0 else ""
        those = f"{formats.count(found.consumers)} {word} subscribed and {_messages(found.ready)} wait"
        return "stalled", "Stalled", f"{over}, nothing was acknowledged, though {those}.{held}"
    if found.ready == 0 and found.unacked == 0 and found.ack == 0 and found.publish == 0:
        return "idle", "Idle", f"{over}, nothing waited and nothing moved."
    if detail.state == "flow":
        return "notice", "Flow control", f"The broker slows its publishers down. {over}, {pace}."
    limit = max(_MOVES_MESSAGES, _MOVES_SHARE * found.ready)
    if found.change > limit:
        more = formats.count(found.change)
        return (
            "warning",
            "Falling behind",
            f"{over}, {pace}; {more} more wait than then, {formats.count(found.ready)} in all.",
        )
    if found.change < -limit and found.ready > 0:
        return (
            "catching",
            "Catching up",
            f"{over}, {pace}; {formats.count(-found.change)} fewer wait than then, {formats.count(found.ready)} still.",
        )
    waits = f"{_messages(found.ready)} wait" if found.ready else "nothing waits"
    return "ok", "Keeping up", f"{over}, {pace}; {waits}."


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


def _stream(found: Seen) -> str:
    entered = f"{formats.rate(found.publish)} /s were appended. " if not math.isnan(found.publish) else ""
    return f"{entered}It holds {_messages(found.ready)}; reading a stream removes nothing, so they are no backlog."


def _evidence(found: Seen, since: str) -> str:
    if not found.polls:
        return ""
    polls = "1 poll" if found.polls == 1 else f"{formats.count(found.polls)} polls"
    missing = "none missing" if not found.gaps else "with a gap" if found.gaps == 1 else f"with {found.gaps} gaps"
    begun = f" since {since}" if since else ""
    return f"From {polls}{begun}, {missing}. Counters only; no message was read."


def _messages(number: float) -> str:
    return "1 message" if number == 1 else f"{formats.count(number)} messages"


def _last(series: Series, metric: str) -> float:
    values = series.values[metric]
    known = values[~np.isnan(values)]
    return float(known[-1]) if len(known) else math.nan


def _mean(series: Series, metric: str) -> float:
    values = series.values[metric]
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan
