"""What collecting costs: each call's time and bytes, the CPU of a tick, and how long an answer takes to be a row."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from brokers.collect.budget import Cost, decode_pace, spent
from brokers.collect.models import PollState


class CallMeasure(msgspec.Struct, frozen=True):
    """One call. `seconds` is the time until the broker's whole answer was read, `wire_bytes` what crossed the wire.

    `own_s` is the part of `seconds` in which our own machine was busy, `tier` the part of the plan that it belongs to.
    """

    what: str
    node: str = ""
    seconds: float = 0.0
    bytes: int = 0
    wire_bytes: int = 0
    error: str = ""
    own_s: float = 0.0
    tier: str = ""

    @property
    def broker_s(self) -> float:
        """Seconds that the broker took."""
        return max(0.0, self.seconds - self.own_s)


class TickMeasures(msgspec.Struct, frozen=True):
    """One poll. `plan` says in sentences what is asked and how often."""

    plan: tuple[str, ...] = ()
    calls: tuple[CallMeasure, ...] = ()
    began_ms: int = 0
    cpu_s: float = 0.0
    # From the broker's last answer to the stored row; None where no row was stored.
    answer_to_row_ms: int | None = None
    # Rows of each kind in the snapshot.
    rows: dict[str, int] = {}
    complete: bool = True

    @property
    def broker_s(self) -> float:
        """Seconds that the broker's nodes spent answering, summed over the calls."""
        return sum(call.broker_s for call in self.calls)

    @property
    def wire_bytes(self) -> int:
        """Bytes that crossed the wire."""
        return sum(call.wire_bytes for call in self.calls)


@dataclass(frozen=True, slots=True)
class CollectorHealth:
    """What the collector-health page shows of one broker.

    `share` is the part of its time (0 to 1) that the node which is asked most spends answering Warren: what each tier
    of the plan takes, by how often it is asked, what looking at what it can be asked takes, and definitions. `unknown`
    says by `kind.metric` why a figure can't be had.
    """

    tick: TickMeasures
    definitions: TickMeasures
    cadence_ms: int
    definitions_every_ms: int
    share: float
    definitions_error: str
    unknown: dict[str, str]


def health_of(poll: PollState, asked_cadence_s: int) -> CollectorHealth:
    """Return the health of collecting from one broker."""
    cadence_ms = max(poll.cadence_ms, asked_cadence_s * 1000)
    tick = decode(poll.measures)
    definitions = decode(poll.definitions_measures)
    every_ms = max(0, poll.definitions_due_ms - poll.definitions_ms) or 60_000
    return CollectorHealth(
        tick=tick,
        definitions=definitions,
        cadence_ms=cadence_ms,
        definitions_every_ms=every_ms,
        share=_share(poll, tick, cadence_ms) + definitions.broker_s / (every_ms / 1000),
        definitions_error=poll.definitions_error,
        unknown=dict(poll.unknown),
    )


def _share(poll: PollState, tick: TickMeasures, cadence_ms: int) -> float:
    # Few ticks ask for all that the plan has: what one took says nothing of the others.
    pace = decode_pace(poll.pace)
    costs = {tier: held.cost for tier, held in pace.tiers.items() if held.cost is not None}
    if not costs:
        return tick.broker_s / (cadence_ms / 1000)
    looking = spent({"look": pace.look.cost}, {"look": pace.look.every_ms}) if pace.look.cost else Cost(0.0)
    return spent(costs, {tier: held.every_ms for tier, held in pace.tiers.items()}).seconds + looking.seconds


def encode(measures: TickMeasures) -> bytes:
    """Return the measures as JSON."""
    return msgspec.json.encode(measures)


def decode(stored: bytes | memoryview) -> TickMeasures:
    """Return stored measures, empty ones where there are none or they are of another version."""
    try:
        return msgspec.json.decode(bytes(stored), type=TickMeasures) if stored else TickMeasures()
    except msgspec.MsgspecError:
        return TickMeasures()
