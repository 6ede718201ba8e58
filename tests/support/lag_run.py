"""Polls brokers under a load of known ages, as a worker would, and holds the stored time lag against the truth."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from django.db import connection

from brokers.collect import claims, definitions, poll
from brokers.collect.models import PollState
from brokers.lag.inverse import LagSource
from brokers.registry import slots
from brokers.registry.models import Broker
from brokers.series.codec import decode
from brokers.series.metrics import Kind
from brokers.series.models import Snapshot
from tests.support.aged_load import Truth

TICK_S = 5.0
# A broker's own figures of depth are up to this old, so that what they say is true of some moment since.
BEAT_S = 5.0


@dataclass
class Verdict:
    """One queue's moments: how far the estimate was from the truth, as a share of what is allowed (one tick + 5 %)."""

    queue: str
    moments: int = 0
    within: int = 0
    # Those of which the truth of a moment in the beat before says the same.
    within_a_beat: int = 0
    unknown: int = 0
    # Readings of its counters.
    read: int = 0
    worst_s: float = 0.0
    worst_share: float = 0.0
    worst_beat: float = 0.0
    lines: list[str] = field(default_factory=list)


def tick(broker_id: int) -> poll.Outcome:
    """Do one tick of a broker now."""
    PollState.objects.filter(broker_id=broker_id).update(next_due_ms=0)
    claimed = claims.claim(broker_id, poll.now_ms())
    return poll.Outcome.LOST if claimed is None else poll.guarded(broker_id, claimed.token)


def read_definitions(broker_id: int) -> None:
    """Read a broker's definitions now."""
    PollState.objects.filter(broker_id=broker_id).update(definitions_due_ms=0)
    claimed = claims.claim(broker_id, poll.now_ms(), claims.Lane.DEFINITIONS)
    if claimed is not None:
        definitions.read_definitions(broker_id, claimed.token)


def poll_for(broker_ids: Sequence[int], seconds: float, also: Callable[[], None] = lambda: None) -> None:
    """Tick each broker every five seconds, each in a thread of its own, for so long."""
    end = time.monotonic() + seconds

    def one(broker_id: int) -> None:
        due = time.monotonic()
        while due < end:
            time.sleep(max(0.0, due - time.monotonic()))
            tick(broker_id)
            due += TICK_S
        connection.close()

    threads = [threading.Thread(target=one, args=(broker_id,)) for broker_id in broker_ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    also()


def judge(broker: Broker, vhost: str, truth: Truth, *, skip_s: float = 0.0) -> list[Verdict]:
    """Compare each stored time lag with the age that the head really had.

    From the second reading of a queue's counters on: before it nobody knows how fast messages come and go, and a broker
    that answers slowly is asked for counters seldom.
    """
    directory = slots.Directory(broker.id)
    directory.refresh()
    verdicts = {name: Verdict(name) for name in truth.entered}
    begins = min((float(values.min()) for values in truth.entered.values() if len(values)), default=0.0)
    ends = max((float(values[np.isfinite(values)].max(initial=0)) for values in truth.left.values()), default=0.0)
    places = {name: directory.slot(Kind.QUEUE, vhost, name) for name in verdicts}
    for at_ms, payload in Snapshot.objects.filter(broker=broker).order_by("id").values_list("at_ms", "payload"):
        at = at_ms / 1000.0
        if not begins + skip_s <= at <= ends:
            continue
        table = decode(payload, (Kind.QUEUE,)).table(Kind.QUEUE)
        for name, verdict in verdicts.items():
            slot = places[name]
            if slot is None:
                continue
            settled = verdict.read >= 2
            verdict.read += not np.isnan(table.value(slot, "published"))
            if settled:
                _compare(
                    verdict,
                    truth,
                    at,
                    table.value(slot, "time_lag"),
                    table.value(slot, "lag_source"),
                    f"{at - begins:6.1f} T={table.value(slot, 'ready') + table.value(slot, 'unacked'):6.0f} "
                    f"P={table.value(slot, 'published'):6.0f} A={table.value(slot, 'acknowledged'):6.0f}",
                )
    return list(verdicts.values())


def _compare(verdict: Verdict, truth: Truth, at: float, told: float, source: float, seen: str) -> None:
    true = truth.age_s(verdict.queue, at)
    verdict.moments += 1
    if np.isnan(told):
        verdict.unknown += 1
        verdict.lines.append(f"{seen} unknown, true {true:.1f}")
        return
    allowed = TICK_S + 0.05 * true
    off = abs(told - true)
    if source == LagSource.AT_LEAST and told <= true + allowed:
        off = 0.0
    share = off / allowed
    # The truth of the beat before, at which the broker may have told its figures.
    past = [truth.age_s(verdict.queue, at - back) for back in np.arange(0.0, BEAT_S + 0.01, 0.25)]
    beat = min(abs(told - age) / (TICK_S + 0.05 * age) for age in past)
    # Between two ages that it had within the beat it went through all others, or leapt.
    if min(past) <= told <= max(past):
        beat = 0.0
    verdict.within += share <= 1.0
    verdict.within_a_beat += min(beat, share) <= 1.0
    if share > verdict.worst_share:
        verdict.worst_share, verdict.worst_s = share, off
    verdict.worst_beat = max(verdict.worst_beat, min(beat, share))
    flag = "" if share <= 1.0 else "  **" if min(beat, share) > 1.0 else "  *"
    verdict.lines.append(f"{seen} told {told:6.1f} true {true:6.1f} source {source:.0f} share {share:5.2f}{flag}")
