"""What a consumer state was seen from, in one sentence with its figures. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from brokers.lag.state import ConsumerState

_NAN = math.nan
_MINUTE_S, _HOUR_S = 60, 3600


@dataclass(frozen=True, slots=True)
class Seen:
    """A queue's figures now, NaN for *unknown*: rates a second, `growth` a minute, `prefetch` of all consumers together
    (NaN too where there is no limit), `stream_lag` in offsets."""

    ready: float = _NAN
    unacked: float = _NAN
    consumers: float = _NAN
    prefetch: float = _NAN
    publish_rate: float = _NAN
    deliver_rate: float = _NAN
    ack_rate: float = _NAN
    redeliver_rate: float = _NAN
    growth: float = _NAN
    stream_lag: float = _NAN


def evidence(state: float, seen: Seen, *, stream: bool = False) -> str:
    """Say what speaks for a state (a ConsumerState, NaN: unknown); what is not known is left out, never guessed."""
    if math.isnan(state):
        there = "" if math.isnan(seen.ready) else f"{_waiting(seen.ready)}. "
        return f"{there}There were too few polls yet to say how it moves."
    found = ConsumerState(int(state))
    if found is ConsumerState.STOPPED:
        enters = f", and {_rate(seen.publish_rate)} enter" if seen.publish_rate > 0 else ""
        return f"{_waiting(seen.ready)} and nobody is subscribed: nothing leaves{enters}."
    if found is ConsumerState.STALLED:
        return _stalled(seen)
    if found is ConsumerState.STARVED:
        return _starved(seen)
    if found is ConsumerState.FALLING_BEHIND:
        return _behind(seen, stream=stream)
    if found is ConsumerState.IDLE and stream and seen.ready > 0:
        return f"Nothing is appended. {_held(seen)}"
    if found is ConsumerState.IDLE:
        return "Nothing enters and nothing is there."
    return _well(seen, stream=stream)


def _stalled(seen: Seen) -> str:
    again = ""
    if seen.redeliver_rate > 0:
        again = f"; what is delivered, {_rate(seen.deliver_rate)}, comes back and is delivered again"
    if seen.ready > 0:
        return f"{_waiting(seen.ready)} and {_holds(seen)}, yet nothing is acknowledged{again}."
    return f"{_sentence(_holds(seen))}, and nothing is acknowledged{again}."


def _starved(seen: Seen) -> str:
    after = ""
    if seen.ack_rate > 0 and seen.unacked > 0:
        after = f"; each is acknowledged after {_span(seen.unacked / seen.ack_rate)}"
    return f"{_waiting(seen.ready)} and {_holds(seen)}{after}: a larger prefetch would let them work on."


def _behind(seen: Seen, *, stream: bool) -> str:
    if stream:
        behind = "" if math.isnan(seen.stream_lag) else f"{_count(seen.stream_lag)} messages "
        return f"The slowest reader is {behind}behind the end, and the distance grows."
    grows = f", {_count(seen.growth)} more a minute" if seen.growth >= 1 else ", and more with each poll"
    pace = ""
    if not math.isnan(seen.publish_rate) and not math.isnan(seen.ack_rate):
        leaves = max(seen.ack_rate, _automatic(seen))
        pace = f": {_rate(seen.publish_rate)} enter and {_rate(leaves)} leave"
    return f"{_waiting(seen.ready + seen.unacked, 'are there', 'is there')}{grows}{pace}."


def _held(seen: Seen) -> str:
    if math.isnan(seen.ready):
        return "Reading a stream removes nothing: what it holds is no backlog."
    held = "1 message" if seen.ready == 1 else f"{_count(seen.ready)} messages"
    return f"It holds {held}: no backlog, for reading a stream removes nothing."


def _well(seen: Seen, *, stream: bool) -> str:
    if stream:
        entered = "" if math.isnan(seen.publish_rate) else f"{_rate(seen.publish_rate)} are appended. "
        return f"{entered}{_held(seen)}"
    if math.isnan(seen.publish_rate) or math.isnan(seen.ack_rate):
        return f"{_waiting(seen.ready)}. How fast they move is not known." if seen.ready > 0 else "Nothing waits."
    leaves = max(seen.ack_rate, _automatic(seen))
    moves = f"{_rate(seen.publish_rate)} enter and {_rate(leaves)} leave"
    if leaves == 0 and seen.unacked > 0:
        return f"{_sentence(_holds(seen))} and {'work' if seen.consumers != 1 else 'works'} on; nothing else waits."
    if seen.ready > 0 and seen.growth <= -1:
        return f"{moves}; {_waiting(seen.ready)}, {_count(-seen.growth)} fewer a minute."
    return f"{moves}; {_waiting(seen.ready) if seen.ready > 0 else 'nothing waits'}."


def _automatic(seen: Seen) -> float:
    """Return what leaves at delivery: with automatic acknowledgement nobody acknowledges."""
    again = 0.0 if math.isnan(seen.redeliver_rate) else seen.redeliver_rate
    return 0.0 if seen.unacked > 0 or math.isnan(seen.deliver_rate) else seen.deliver_rate - again


def _holds(seen: Seen) -> str:
    who = "1 consumer holds" if seen.consumers == 1 else f"{_count(seen.consumers)} consumers hold"
    if math.isnan(seen.prefetch) or seen.prefetch < seen.unacked:
        return f"{who} {_count(seen.unacked)}"
    return f"{who} {_count(seen.unacked)} of {_count(seen.prefetch)}"


def _waiting(number: float, plural: str = "wait", single: str = "waits") -> str:
    return f"1 message {single}" if number == 1 else f"{_count(number)} messages {plural}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _count(number: float) -> str:
    return "an unknown number of" if math.isnan(number) else f"{round(number):,}"


def _rate(number: float) -> str:
    if math.isnan(number):
        return "an unknown number"
    return f"{number:,.0f} /s" if number == 0 or number >= 99.95 else f"{number:.1f} /s" if number >= 0.1 else "<0.1 /s"


def _span(seconds: float) -> str:
    if seconds < 0.9995:
        return f"{max(seconds * 1000, 1):.0f} ms"
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    return f"{seconds / _MINUTE_S:.0f} min" if seconds < _HOUR_S else f"{seconds / _HOUR_S:.0f} h"
