"""The fleet: every broker that a person sees, with what needs them and what happened."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brokers.collect.state import Condition
from brokers.lag.present import column
from dashboard import formats
from dashboard.accounts.rights import Rights
from dashboard.cells import Cell, Cells, View, shape_of
from dashboard.queries import broker_cells as cell
from dashboard.queries.attention import headline, needs, quiet, worst_first
from dashboard.queries.attention_shown import ShownNeed, shown, unchanging, why_cells
from dashboard.queries.broker_facts import BrokerFacts, facts_of
from dashboard.queries.happened import Day, happened
from dashboard.queries.held import held, read_ms
from dashboard.queries.lasting import with_begun
from dashboard.queries.need import SHOWN, Need, Severity

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Row:
    """One broker in the fleet's table."""

    id: int
    name: str
    version: str
    whole: bool
    severity: str
    stale: bool

    @property
    def key(self) -> str:
        """What the keys of its cells begin with."""
        return f"b.{self.id}"


@dataclass(frozen=True, slots=True)
class Fleet:
    """All that the page shows. `timeline`: the person sees at least one whole broker, whose events may be told."""

    rows: tuple[Row, ...]
    needs: tuple[ShownNeed, ...]
    more_needs: int
    days: tuple[Day, ...]
    timeline: bool
    connections: bool
    cells: Cells
    at_ms: int

    def view(self) -> View:
        """Return what a live subscription gets."""
        shape = shape_of(self.rows, unchanging(self.needs), self.more_needs, self.days, self.timeline, self.connections)
        return View(cells=self.cells, order=[row.key for row in self.rows], at_ms=self.at_ms, shape=shape)


def fleet(rights: Rights, zone: dt.tzinfo, now_ms: int) -> Fleet:
    """Return the fleet as the person sees it. Three queries, and per broker what its present asks."""
    return assemble(facts_of(rights, now_ms), rights, zone, now_ms)


def assemble(all_facts: Sequence[BrokerFacts], rights: Rights, zone: dt.tzinfo, now_ms: int) -> Fleet:
    """Make the page of facts."""
    by_broker = {facts.id: needs(facts) for facts in all_facts}
    found = worst_first(need for part in by_broker.values() for need in part)
    days = happened(rights, [facts.id for facts in all_facts], zone, now_ms)
    cells: Cells = {}
    rows = []
    for facts in all_facts:
        rows.append(_row(facts, by_broker[facts.id]))
        cells.update(_row_cells(facts, by_broker[facts.id]))
    cells.update(figures(all_facts, zone))
    cells["page.headline"] = Cell(text=headline(found))
    cells["page.quiet"] = Cell(text=quiet(all_facts))
    cells["page.summary"] = Cell(text=summary(all_facts))
    cells["page.answered"] = Cell(text=answered(all_facts))
    listed = shown(with_begun(found[:SHOWN], now_ms), zone, now_ms)
    cells.update(why_cells(listed))
    return Fleet(
        rows=tuple(rows),
        needs=listed,
        more_needs=max(0, len(found) - SHOWN),
        days=days,
        timeline=any(facts.whole for facts in all_facts),
        connections=any(facts.whole for facts in all_facts),
        cells=cells,
        at_ms=max((facts.at_ms or 0 for facts in all_facts), default=0),
    )


def state_cell(facts: BrokerFacts, found: Sequence[Need]) -> Cell:
    """Say in two or three words how a broker is."""
    if facts.condition is Condition.PAUSED:
        return Cell(text="Paused", state="paused")
    if facts.condition is Condition.NEW and not found:
        return Cell(text="First poll", state="unknown")
    if facts.condition in {Condition.UNREACHABLE, Condition.NEW}:
        return Cell(text=found[0].short if found else "No answer", state="stale")
    if not found:
        return Cell(text="Quiet", state="ok")
    if len(found) == 1:
        return Cell(text=found[0].short, state=found[0].icon or found[0].severity)
    worst = found[0].severity
    same = sum(need.severity is worst for need in found)
    rest = len(found) - same
    word = {"critical": "critical", "warning": "to look at", "unknown": "unknown", "notice": "to know"}[worst]
    return Cell(text=f"{same} {word}" + (f", {rest} more" if rest else ""), state=worst)


def summary(all_facts: Sequence[BrokerFacts]) -> str:
    """Count brokers, nodes and queues."""
    parts = [_several(len(all_facts), "broker")]
    nodes = sum(len(facts.nodes) for facts in all_facts)
    if nodes:
        parts.append(_several(nodes, "node"))
    queues = [facts.total("queues") for facts in all_facts]
    known = [number for number in queues if not math.isnan(number)]
    if known:
        parts.append(_several(sum(known), "queue"))
    return f"{', '.join(parts)}. {answered(all_facts)}"


def answered(all_facts: Sequence[BrokerFacts]) -> str:
    """Say which brokers answer and which do not."""
    asked = [facts for facts in all_facts if facts.condition is not Condition.PAUSED]
    silent = [facts.name for facts in asked if facts.condition in {Condition.UNREACHABLE, Condition.NEW}]
    paused = len(all_facts) - len(asked)
    if not asked:
        said = "Polling is paused everywhere." if paused else ""
    elif not silent:
        said = "It answers." if len(asked) == 1 else f"All {formats.count(len(asked))} answer."
        if paused:
            said = f"{formats.count(len(asked))} of {formats.count(len(all_facts))} are asked and answer."
    elif len(silent) == 1:
        said = f"{formats.count(len(asked) - 1)} of {formats.count(len(asked))} answer; {silent[0]} does not."
    else:
        said = f"{formats.count(len(asked) - len(silent))} of {formats.count(len(asked))} answer."
    return said


def figures(all_facts: Sequence[BrokerFacts], zone: dt.tzinfo) -> Cells:
    """Return the strip of figures over all brokers that answer; those that do not are left out, and that is said."""
    fresh = [facts for facts in all_facts if facts.fresh]
    left_out = [facts.name for facts in all_facts if not facts.fresh]
    why = "No broker answers." if all_facts else "There is no broker yet."
    cells: Cells = {}
    sums = {name: _total(fresh, name) for name in ("ready", "unacked", "publish_rate", "ack_rate")}
    without = f"without {left_out[0]}" if len(left_out) == 1 else f"without {len(left_out)} brokers" if left_out else ""
    times, ready = summed_spark(fresh, "ready")
    cells["page.ready"] = cell.count(sums["ready"], why)
    cells["page.ready.spark"] = cell.spark(ready, times, floor=50)
    cells["page.ready.detail"] = Cell(text=without or peak(times, ready, sums["ready"], zone))
    unacked_times, unacked = summed_spark(fresh, "unacked")
    cells["page.unacked"] = cell.count(sums["unacked"], why)
    cells["page.unacked.spark"] = cell.spark(unacked, unacked_times, floor=50, area=False)
    cells["page.unacked.detail"] = Cell(text=without or peak(unacked_times, unacked, sums["unacked"], zone))
    cells["page.publish"] = cell.rate(sums["publish_rate"], why)
    cells["page.publish.spark"] = _line(summed_spark(fresh, "publish_rate"))
    whole = [facts for facts in fresh if facts.whole]
    confirmed = _total(whole, "confirm_rate")
    cells["page.publish.detail"] = Cell(
        text=f"confirmed {formats.rate(confirmed)} /s" if whole and not math.isnan(confirmed) else without
    )
    cells["page.ack"] = cell.rate(sums["ack_rate"], why)
    cells["page.ack.spark"] = _line(summed_spark(fresh, "ack_rate"))
    cells["page.ack.detail"] = Cell(text=trend(sum(grows(facts) for facts in fresh)) if fresh else "")
    letters = [group for facts in fresh for group in facts.dead_letters]
    cells["page.dead"] = cell.count(sum(group.letters for group in letters) if fresh else cell.NAN, why)
    cells["page.dead.detail"] = Cell(
        text=_dead(letters, _total(whole, "dead_letter_rate") if whole else cell.NAN) if fresh else ""
    )
    connections = _total(whole, "connections")
    cells["page.connections"] = cell.count(connections, why)
    cells["page.connections.spark"] = _line(summed_spark(whole, "connections"))
    opened, closed = _total(whole, "connection_open_rate"), _total(whole, "connection_close_rate")
    cells["page.connections.detail"] = Cell(text=churn(opened, closed))
    return cells


def summed_spark(all_facts: Iterable[BrokerFacts], metric: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return an hour of a total summed over brokers, a point a minute.

    A broker counts from its first point on. A minute in which one of them has a gap is unknown: a sum without it
    would fall as if messages had left.
    """
    series = [
        (times // MINUTE_MS, values) for times, values in (facts.spark(metric) for facts in all_facts) if len(times)
    ]
    if not series:
        return np.empty(0, dtype=np.int64), np.empty(0)
    last = max(int(minutes[-1]) for minutes, _ in series)
    first = min(int(minutes[0]) for minutes, _ in series)
    total = np.zeros(last - first + 1)
    present = np.zeros(last - first + 1, dtype=bool)
    for minutes, values in series:
        own = np.full(len(total), np.nan)
        own[minutes - first] = values
        begin = int(minutes[0]) - first
        end = int(minutes[-1]) - first
        # Brokers are polled at different moments: the newest minute may not have begun for all of them.
        own[end + 1 :] = own[end] if len(total) - 1 - end <= 1 else np.nan
        total[begin:] += own[begin:]
        present[begin:] = True
    total[~present] = np.nan
    return (np.arange(first, last + 1) * MINUTE_MS).astype(np.int64), total


def grows(facts: BrokerFacts) -> float:
    """Return by how many messages a minute all that waits on a broker grows, NaN for *unknown*.

    Rates can't tell it: what is published once is acknowledged once in each queue that it reached, and reading a
    stream removes nothing.
    """
    if facts.shown is None:
        return math.nan
    grown = column(facts.shown, facts.kind, "growth")
    if not facts.whole:
        grown = grown[np.isin(facts.shown.table(facts.kind).slots, facts.vhost_slots)]
    return float(grown.sum()) if len(grown) else math.nan


def trend(a_minute: float) -> str:
    """Say whether what waits grows: `backlog +1,204 a minute`."""
    if math.isnan(a_minute):
        return ""
    return "backlog as it was" if abs(a_minute) < 0.5 else f"backlog {formats.change(round(a_minute))} a minute"


def balance(entered: float, left: float) -> str:
    """Say whether more leaves a queue than enters it; rates a second."""
    if math.isnan(entered) or math.isnan(left):
        return ""
    difference = left - entered
    if abs(difference) < max(0.5, 0.02 * max(entered, left)):
        return "as much as published"
    return f"{formats.rate(abs(difference))} /s {'more' if difference > 0 else 'less'} than published"


def churn(opened: float, closed: float) -> str:
    """Say how many were opened and closed a minute; rates a second."""
    if math.isnan(opened) or math.isnan(closed):
        return ""
    return f"{formats.count(round(opened * 60))} opened, {formats.count(round(closed * 60))} closed a minute"


def _total(all_facts: Sequence[BrokerFacts], name: str) -> float:
    """Sum a total over brokers: unknown where one of them does not know it, and where there are none."""
    return sum(facts.total(name) for facts in all_facts) if all_facts else cell.NAN


def peak(times: NDArray[np.int64], values: NDArray[np.float64], now: float, zone: dt.tzinfo) -> str:
    """Say when most was there in the hour, at ascending times (Unix ms), by what is there now (NaN: unknown)."""
    if not len(values) or np.isnan(values).all():
        return ""
    at = int(np.nanargmax(values))
    # What is not known of the whole hour may have been less in all that is known of it than it is now.
    if values[at] == 0 or values[at] <= now:
        return "highest of the hour" if values[at] or now > 0 else "none in the hour"
    return f"peak {formats.count(values[at])} at {dt.datetime.fromtimestamp(times[at] / 1000, zone):%H:%M}"


def _dead(letters: Sequence[object], rate: float) -> str:
    queues = sum(getattr(group, "queues", 0) for group in letters)
    where = f"in {_several(queues, 'queue')}" if queues else "no letters"
    return where if math.isnan(rate) or rate * 60 < 0.5 else f"{formats.count(round(rate * 60))} a minute arrive"


def _line(hour: tuple[NDArray[np.int64], NDArray[np.float64]]) -> Cell:
    times, values = hour
    return cell.spark(values, times, area=False)


def _several(number: float, noun: str) -> str:
    return f"{formats.count(number)} {noun}{'' if number == 1 else 's'}"


def _row(facts: BrokerFacts, found: Sequence[Need]) -> Row:
    worst = found[0].severity if found else ""
    return Row(
        id=facts.id,
        name=facts.name,
        version=facts.version,
        whole=facts.whole,
        severity=worst if worst in {Severity.CRITICAL, Severity.WARNING} else "",
        stale=facts.condition in {Condition.UNREACHABLE, Condition.NEW, Condition.PAUSED},
    )


def _row_cells(facts: BrokerFacts, found: Sequence[Need]) -> Cells:
    key = f"b.{facts.id}"
    why = cell.why_unknown(facts)
    times, ready = facts.spark("ready")
    flow_times, entered = facts.spark("publish_rate")
    _, left = facts.spark("ack_rate")
    cells: Cells = {
        f"{key}.state": state_cell(facts, found),
        f"{key}.age": cell.age(facts),
        f"{key}.ready.spark": cell.spark(ready, times, floor=50),
        f"{key}.flow.spark": cell.spark(entered, flow_times, second=left, area=False),
    }
    for name, metric in (("queues", "queues"), ("ready", "ready"), ("unacked", "unacked")):
        cells[f"{key}.{name}"] = cell.count(facts.total(metric) if facts.fresh or name == "queues" else cell.NAN, why)
    for name, metric in (("publish", "publish_rate"), ("ack", "ack_rate")):
        made = cell.rate(facts.total(metric) if facts.fresh else cell.NAN, why, unit=False)
        cells[f"{key}.{name}"] = held(made, read_ms(facts.shown, facts.kind, metric))
    letters = sum(group.letters for group in facts.dead_letters) if facts.fresh else cell.NAN
    cells[f"{key}.dead"] = cell.count(letters, why)
    if facts.whole:
        running = formats.count(facts.nodes_running) if facts.fresh else "—"
        known = f"{running} of {formats.count(len(facts.nodes))}"
        cells[f"{key}.nodes"] = Cell(text=known) if facts.nodes else cell.count(cell.NAN, why)
        for name, share in (("memory", "memory_share"), ("disk", "disk_share")):
            shares = [value for node in facts.nodes if (value := getattr(node, share)) is not None]
            cells[f"{key}.{name}"] = cell.share(max(shares) if shares and facts.fresh else None, why)
    return cells
