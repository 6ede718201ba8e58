"""Holds a time lag against the true age of each queue's head, from the record of a run; replays such a record."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from brokers.lag.beat import Reading
from brokers.lag.inverse import Ages, LagSource, advance
from brokers.lag.keeper import puts_at_tail
from brokers.registry import slots
from brokers.registry.models import Broker
from brokers.series.codec import decode
from brokers.series.metrics import Kind
from brokers.series.models import Snapshot
from tests.support.aged_load import Truth

TICK_S = 5.0
# A broker's own figures of depth are up to this old, so that what they say is true of some moment since.
BEAT_S = 5.0
FIGURES = ("ready", "unacked", "published", "delivered", "acknowledged", "redelivered", "time_lag", "lag_source")


class Record(msgspec.Struct):
    """What was polled of a broker's queues, and the truth: `figures` are by name, moment and queue, None for unknown.

    `entered` and `left` are Unix seconds of each message by queue, None where it did not leave.
    """

    version: str
    queues: list[str]
    at_ms: list[int]
    figures: dict[str, list[list[float | None]]]
    entered: dict[str, list[float]]
    left: dict[str, list[float | None]]
    # Queues that put at their tail what is returned.
    unordered: list[str] = []

    @property
    def truth(self) -> Truth:
        """The truth in arrays."""
        return Truth(
            {name: np.array(times) for name, times in self.entered.items()},
            {name: np.array([np.inf if at is None else at for at in times]) for name, times in self.left.items()},
        )


@dataclass
class Verdict:
    """One queue's moments: how far the estimate was from the truth, as a share of what is allowed (one tick + 5 %)."""

    queue: str
    moments: int = 0
    within: int = 0
    # Those of which the truth of a moment in the beat before says the same.
    within_a_beat: int = 0
    # No further off than two beats + 10 % of the truth of now or of a moment in the two beats before.
    within_two_beats: int = 0
    # The greatest age that was true.
    oldest_s: float = 0.0
    unknown: int = 0
    # Of which only the least that it can be is told.
    at_least: int = 0
    # Told to be no nearer than about so old, and how many of the others are within.
    about: int = 0
    sure_within: int = 0
    sure_within_a_beat: int = 0
    # Readings of its counters.
    read: int = 0
    worst_s: float = 0.0
    worst_share: float = 0.0
    worst_beat: float = 0.0
    lines: list[str] = field(default_factory=list)


def record(broker: Broker, version: str, vhost: str, truth: Truth) -> Record:
    """Return what was stored of a broker's queues while their truth was written down."""
    directory = slots.Directory(broker.id)
    directory.refresh()
    queues = sorted(truth.entered)
    places = [directory.slot(Kind.QUEUE, vhost, name) for name in queues]
    found = Record(
        version,
        queues,
        [],
        {name: [] for name in FIGURES},
        {name: times.tolist() for name, times in truth.entered.items()},
        {name: [at if np.isfinite(at) else None for at in times.tolist()] for name, times in truth.left.items()},
    )
    live = not version.startswith("3.")
    found.unordered = [
        name
        for name, slot in zip(queues, places, strict=True)
        if slot is not None and puts_at_tail(directory.by_slot[Kind.QUEUE][slot].detail, live=live)
    ]
    for at_ms, payload in Snapshot.objects.filter(broker=broker).order_by("id").values_list("at_ms", "payload"):
        table = decode(payload, (Kind.QUEUE,)).table(Kind.QUEUE)
        found.at_ms.append(at_ms)
        for name, rows in found.figures.items():
            told = [float("nan") if slot is None else table.value(slot, name) for slot in places]
            rows.append([None if np.isnan(value) else value for value in told])
    return found


def save(records: list[Record], file: Path) -> None:
    """Write records to a file as JSON."""
    file.write_bytes(msgspec.json.encode(records))


def load(file: Path) -> list[Record]:
    """Read records that `save` wrote."""
    return msgspec.json.decode(file.read_bytes(), type=list[Record])


def replay(found: Record) -> Record:
    """Return the record with its time lag computed anew from the figures that were polled."""
    ages = Ages()
    figures = {name: np.array(rows, dtype=np.float64) for name, rows in found.figures.items()}
    lags, sources = [], []
    for place, at_ms in enumerate(found.at_ms):
        now = {name: rows[place] for name, rows in figures.items()}
        there = np.flatnonzero(~np.isnan(now["ready"]))
        reading = Reading(
            at_ms,
            there.astype(np.uint32),
            (now["ready"] + now["unacked"])[there],
            now["published"][there],
            now["acknowledged"][there],
            not found.version.startswith("3."),
            now["unacked"][there],
            now["redelivered"][there],
        )
        unordered = np.array([name in found.unordered for name in found.queues])
        lag = advance(ages, reading, unordered=unordered[there])
        row, source = np.full(len(found.queues), np.nan), np.full(len(found.queues), np.nan)
        row[there], source[there] = np.round(lag.time_lag, 1), lag.source
        lags.append([None if np.isnan(value) else value for value in row.tolist()])
        sources.append([None if np.isnan(value) else value for value in source.tolist()])
    return msgspec.structs.replace(found, figures={**found.figures, "time_lag": lags, "lag_source": sources})


def judge(found: Record) -> list[Verdict]:
    """Compare each time lag with the age that the head really had.

    From the second reading of a queue's counters on: before it nobody knows how fast messages come and go, and a broker
    that answers slowly is asked for counters seldom.
    """
    truth = found.truth
    verdicts = [Verdict(name) for name in found.queues]
    begins = min((float(values.min()) for values in truth.entered.values() if len(values)), default=0.0)
    ends = max((float(values[np.isfinite(values)].max(initial=0)) for values in truth.left.values()), default=0.0)
    figures = {name: np.array(rows, dtype=np.float64) for name, rows in found.figures.items()}
    for moment, at_ms in enumerate(found.at_ms):
        at = at_ms / 1000.0
        if not begins <= at <= ends:
            continue
        for place, verdict in enumerate(verdicts):
            now = {name: float(rows[moment, place]) for name, rows in figures.items()}
            settled = verdict.read >= 2
            verdict.read += not np.isnan(now["published"])
            if settled:
                _compare(verdict, truth, at, now, at - begins)
    return verdicts


def _compare(verdict: Verdict, truth: Truth, at: float, now: dict[str, float], since_s: float) -> None:
    told, true = now["time_lag"], truth.age_s(verdict.queue, at)
    seen = (
        f"{since_s:6.1f} T={now['ready'] + now['unacked']:6.0f} U={now['unacked']:4.0f} P={now['published']:6.0f} "
        f"D={now['delivered']:6.0f} A={now['acknowledged']:6.0f}"
    )
    verdict.moments += 1
    if np.isnan(told):
        verdict.unknown += 1
        verdict.lines.append(f"{seen} unknown, true {true:.1f}")
        return
    allowed = TICK_S + 0.05 * true
    off = abs(told - true)
    if now["lag_source"] == LagSource.AT_LEAST:
        verdict.at_least += 1
        off = 0.0 if told <= true + allowed else off
    share = off / allowed
    # The truth of the beat before, at which the broker may have told its figures.
    past = [truth.age_s(verdict.queue, at - back) for back in np.arange(0.0, BEAT_S + 0.01, 0.25)]
    beat = min(abs(told - age) / (TICK_S + 0.05 * age) for age in past)
    # Between two ages that it had within the beat it went through all others, or leapt.
    if min(past) <= told <= max(past):
        beat = 0.0
    longer = [truth.age_s(verdict.queue, at - back) for back in np.arange(0.0, 2 * BEAT_S + 0.01, 0.5)]
    slack = 2 * BEAT_S + 0.1 * true
    verdict.within_two_beats += off <= slack or min(longer) - slack <= told <= max(longer) + slack
    verdict.oldest_s = max(verdict.oldest_s, true)
    about = now["lag_source"] == LagSource.ABOUT
    verdict.about += about
    verdict.sure_within += share <= 1.0 and not about
    verdict.within += share <= 1.0
    verdict.within_a_beat += min(beat, share) <= 1.0
    verdict.sure_within_a_beat += min(beat, share) <= 1.0 and not about
    if share > verdict.worst_share:
        verdict.worst_share, verdict.worst_s = share, off
    verdict.worst_beat = max(verdict.worst_beat, min(beat, share))
    flag = "" if share <= 1.0 else "  **" if min(beat, share) > 1.0 else "  *"
    verdict.lines.append(
        f"{seen} told {told:6.1f} true {true:6.1f} source {now['lag_source']:.0f} share {share:5.2f}{flag}"
    )
