"""Keeping a broker's history: what is due is compacted, merged, rolled up and let go, one window after the other.

Each step is a transaction of its own, so that a process that is killed has done some of them. Two processes at once do
no harm: of two that make the same window one finds it made.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from functools import partial

from brokers.registry.models import Broker
from brokers.series import compact, retention, rollup, spans
from brokers.series.levels import ROLLED, Level
from brokers.series.models import Span, Upkeep
from brokers.series.snapshots import MovedError
from brokers.series.spans import ReplacedError, SpanRow

# A claim ends by itself, should its process have died. It begins anew with each step, of which the longest take minutes
# where a broker has a hundred thousand queues.
CLAIM_MS = 600_000
_EVER_MS = 2**62


def keep(broker_id: int, *, seconds: float = 45.0) -> int:
    """Do what is due for a broker, for about so many seconds; return how many windows were written or let go.

    Nothing where another process is at it. What remains is due still at the next call.
    """
    token = _claimed(broker_id)
    if token is None:
        return 0
    until = time.monotonic() + seconds
    done = 0
    try:
        for step in steps(broker_id):
            if not _goes_on(broker_id, token):
                break
            try:
                step()
            except (MovedError, ReplacedError):
                # Somebody else did it, or a snapshot came late: what is due is found anew next time.
                continue
            done += 1
            if time.monotonic() > until:
                break
    finally:
        Upkeep.objects.filter(broker_id=broker_id, claim=token).update(claim="", claimed_until_ms=0)
    return done


def steps(broker_id: int) -> Iterator[Callable[[], object]]:
    """Yield what is due, in the order in which it can be done; what one step makes possible is found after it."""
    log = compact.log_of(broker_id)
    if log is None:
        return
    for start_ms in compact.due_windows(log):
        yield partial(compact.compact, broker_id, log, start_ms)
    log = compact.log_of(broker_id)
    if log is None:
        return
    for span_id in rollup.premature(broker_id, _spans(broker_id), log):
        yield Span.objects.filter(id=span_id).delete
    for level in Level:
        unmade: list[int] = []
        found = _spans(broker_id)
        if level in ROLLED:
            for start_ms in rollup.due_windows(level, found, log):
                yield partial(rollup.roll_up, broker_id, level, start_ms, found)
            # Some could not be made, since somebody else was at it.
            found = _spans(broker_id)
            unmade = rollup.due_windows(level, found, log)
        for due in compact.due_merges([span for span in found if span.level is level], log, unmade):
            yield partial(compact.merge, broker_id, due)
    found = _spans(broker_id)
    kept = retention.retention_of(broker_id)
    for span_id in retention.expired(found, kept, retention.believed_ms(log, found)):
        yield Span.objects.filter(id=span_id).delete


def _spans(broker_id: int) -> list[SpanRow]:
    return spans.spans_between(broker_id, -_EVER_MS, _EVER_MS, ticks=False)


def _claimed(broker_id: int) -> str | None:
    """Take the broker's upkeep for this process; None where another one has it, or the broker is gone."""
    if not Broker.objects.filter(id=broker_id).exists():
        return None
    Upkeep.objects.get_or_create(broker_id=broker_id)
    token = secrets.token_hex(8)
    now_ms = _now_ms()
    free = Upkeep.objects.filter(broker_id=broker_id, claimed_until_ms__lte=now_ms)
    # Where our clock jumped back, a claim may reach further than any claim can.
    free |= Upkeep.objects.filter(broker_id=broker_id, claimed_until_ms__gt=now_ms + CLAIM_MS)
    return token if free.update(claim=token, claimed_until_ms=now_ms + CLAIM_MS) else None


def _goes_on(broker_id: int, token: str) -> bool:
    """Let a claim begin anew; False where it is no longer ours."""
    mine = Upkeep.objects.filter(broker_id=broker_id, claim=token)
    return bool(mine.update(claimed_until_ms=_now_ms() + CLAIM_MS))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
