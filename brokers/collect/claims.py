"""Who may poll which broker now: claims by conditional UPDATE, which end by themselves, and cadences without drift.

There are two lanes a broker: the tick (figures, every few seconds) and the definitions (slow and long). Each has its
due time and its claim in the broker's PollState.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import StrEnum

from django.db.models import F, Q

from brokers.collect.allot import SLOWEST_MS
from brokers.collect.models import PollState
from brokers.registry.models import Broker

# How long a tick may ask, and how long it then has to compute and to store; seconds.
TICK_DEADLINE_S = 4.0
TICK_MARGIN_S = 3.0
DEFINITIONS_DEADLINE_S = 60.0
DEFINITIONS_INTERVAL_MS = 60_000
# How many readings of definitions go on at once, over all brokers and workers: each holds one of a worker's threads for
# up to a minute, and the others are the ticks'.
READINGS_AT_ONCE = 4


class Lane(StrEnum):
    """What is claimed."""

    TICK = "tick"
    DEFINITIONS = "definitions"


_FIELDS = {
    Lane.TICK: ("next_due_ms", "claim", "claimed_until_ms"),
    Lane.DEFINITIONS: ("definitions_due_ms", "definitions_claim", "definitions_claimed_until_ms"),
}
TICK_SPAN_MS = int((TICK_DEADLINE_S + TICK_MARGIN_S) * 1000)
# No claim reaches further than this, no due time further than a cadence and this: else our clock was set back.
LONGEST_CLAIM_MS = 120_000
_SLOWEST_MS = {Lane.TICK: SLOWEST_MS, Lane.DEFINITIONS: 600_000}
# A row with this due time is never due.
NEVER_MS = 2**53
_SPAN_MS = {
    Lane.TICK: TICK_SPAN_MS,
    Lane.DEFINITIONS: int(DEFINITIONS_DEADLINE_S * 1000),
}


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to poll one broker in one lane until `until_ms`."""

    broker_id: int
    lane: Lane
    token: str
    until_ms: int


def due(now_ms: int, lane: Lane = Lane.TICK) -> list[int]:
    """Return the ids of the brokers that are due and not claimed, those that waited longest first."""
    due_field, _, until_field = _FIELDS[lane]
    _give_states()
    far_ms = now_ms + LONGEST_CLAIM_MS + _SLOWEST_MS[lane] + F("broker__cadence_s") * 1000
    now_due = Q(**{f"{due_field}__lte": now_ms}) | Q(**{f"{due_field}__gt": far_ms, f"{due_field}__lt": NEVER_MS})
    rows = PollState.objects.filter(now_due, _free(until_field, now_ms), broker__paused=False)
    if lane is Lane.DEFINITIONS:
        # A broker that does not answer ticks would only hold a worker up with its long lists.
        rows = rows.filter(failures=0, last_ok_ms__isnull=False)
    return list(rows.order_by(due_field).values_list("broker_id", flat=True))


def free_readings(now_ms: int) -> int:
    """Return how many more readings of definitions may begin now."""
    under_way = PollState.objects.exclude(_free("definitions_claimed_until_ms", now_ms)).count()
    return max(0, READINGS_AT_ONCE - under_way)


def claim(broker_id: int, now_ms: int, lane: Lane = Lane.TICK) -> Claim | None:
    """Claim a broker that is due, and set when it is due next; None where it is not due, paused or claimed already."""
    due_field, claim_field, until_field = _FIELDS[lane]
    found = (
        PollState.objects.filter(broker_id=broker_id, broker__paused=False)
        .values_list(due_field, "cadence_ms", "broker__cadence_s")
        .first()
    )
    if found is None:
        return None
    due_ms, stretched_ms, asked_s = found
    if now_ms < due_ms <= now_ms + LONGEST_CLAIM_MS + _SLOWEST_MS[lane] + asked_s * 1000 or due_ms >= NEVER_MS:
        return None
    cadence_ms = max(stretched_ms, asked_s * 1000) if lane is Lane.TICK else DEFINITIONS_INTERVAL_MS
    token = secrets.token_hex(8)
    until_ms = now_ms + _SPAN_MS[lane]
    # The old due time is part of the condition: of two dispatchers that read the same row, one writes.
    rows = PollState.objects.filter(_unpaused(broker_id), _free(until_field, now_ms), **{due_field: due_ms})
    taken = rows.update(**{due_field: next_due(due_ms, now_ms, cadence_ms), claim_field: token, until_field: until_ms})
    return Claim(broker_id, lane, token, until_ms) if taken else None


def next_due(due_ms: int, now_ms: int, cadence_ms: int) -> int:
    """Return the first due time after now, a whole number of cadences after the last: no drift, no catching up.

    A broker that was never due (0) starts its beat now, so that brokers added at different times are asked at
    different times.
    """
    if due_ms <= 0:
        return now_ms + cadence_ms
    return due_ms + ((now_ms - due_ms) // cadence_ms + 1) * cadence_ms


def holds(broker_id: int, token: str, now_ms: int, lane: Lane = Lane.TICK) -> bool:
    """Tell whether a claim still holds: not expired, not taken over, the broker neither paused nor removed."""
    _, claim_field, until_field = _FIELDS[lane]
    return PollState.objects.filter(
        broker_id=broker_id, broker__paused=False, **{claim_field: token, f"{until_field}__gt": now_ms}
    ).exists()


def extend(broker_id: int, token: str, now_ms: int, span_ms: int, lane: Lane = Lane.TICK) -> bool:
    """Let a claim that still holds last for `span_ms` from now; False where it is lost."""
    _, claim_field, until_field = _FIELDS[lane]
    return bool(
        PollState.objects.filter(_unpaused(broker_id), **{claim_field: token, f"{until_field}__gt": now_ms}).update(
            **{until_field: now_ms + span_ms}
        )
    )


def release(broker_id: int, token: str, lane: Lane = Lane.TICK) -> bool:
    """End a claim; False where it was lost before."""
    _, claim_field, until_field = _FIELDS[lane]
    return bool(
        PollState.objects.filter(broker_id=broker_id, **{claim_field: token}).update(
            **{claim_field: "", until_field: 0}
        )
    )


def hasten(broker_id: int, at_ms: int) -> None:
    """Let the definitions be read at `at_ms` where they are not due before that anyway."""
    PollState.objects.filter(broker_id=broker_id, definitions_due_ms__gt=at_ms).update(definitions_due_ms=at_ms)


def _free(until_field: str, now_ms: int) -> Q:
    """Return the condition that no claim holds; one that reaches further than any can is of a clock that was ahead."""
    return Q(**{f"{until_field}__lte": now_ms}) | Q(**{f"{until_field}__gt": now_ms + LONGEST_CLAIM_MS})


def _unpaused(broker_id: int) -> Q:
    """Return the condition that names a broker's row unless it is paused, for updates that only one may win.

    A condition over a relation (`broker__paused`) would make Django put *all* conditions into a subquery, which
    PostgreSQL does not ask again for a row that it waited for: two dispatchers would both write. So the row's own
    columns stand in the update itself.
    """
    return Q(broker_id=broker_id, broker_id__in=Broker.objects.filter(id=broker_id, paused=False).values("id"))


def _give_states() -> None:
    """Make the PollState of brokers that have none."""
    missing = Broker.objects.filter(poll_state__isnull=True).values_list("id", flat=True)
    PollState.objects.bulk_create([PollState(broker_id=broker_id) for broker_id in missing], ignore_conflicts=True)
