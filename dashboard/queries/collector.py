"""The health of collecting: how each broker is polled, what that costs, and whether polling goes on at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from brokers.collect.models import PollState
from brokers.collect.state import BrokerState, Condition, state_of
from brokers.registry.models import Broker
from brokers.series.present import present
from dashboard import formats
from dashboard.accounts.rights import Rights
from dashboard.cells import Cell, Cells, View, shape_of
from dashboard.queries.broker_polled import Polled, polled

STATES = {
    Condition.NEW: ("First poll", "unknown"),
    Condition.LIVE: ("Live", "ok"),
    Condition.LATE: ("Late", "warning"),
    Condition.UNREACHABLE: ("No answer", "stale"),
    Condition.PAUSED: ("Paused", "paused"),
}


@dataclass(frozen=True, slots=True)
class CollectedBroker:
    """One broker on the collector's page."""

    id: int
    name: str
    state: BrokerState
    polled: Polled | None

    @property
    def key(self) -> str:
        """What the keys of its cells begin with."""
        return f"b.{self.id}"

    @property
    def poll_key(self) -> str:
        """What the keys of the cells about its polling begin with."""
        return f"b.{self.id}.poll"

    @property
    def reason(self) -> str:
        """Why polling does not go well, and what to do."""
        return " ".join(filter(None, (self.state.reason, self.state.remedy)))


@dataclass(frozen=True, slots=True)
class Collector:
    """All that the page shows."""

    brokers: tuple[CollectedBroker, ...]
    hidden: int
    running: Cell
    sentence: str
    cells: Cells
    at_ms: int

    def view(self) -> View:
        """Return what a live subscription gets."""
        shape = shape_of(
            self.hidden,
            [
                (
                    one.key,
                    one.name,
                    one.reason,
                    how and (how.plan, how.calls, how.missing, how.definitions_error, how.tiers.rows),
                )
                for one in self.brokers
                for how in [one.polled]
            ],
        )
        return View(cells=self.cells, order=[one.key for one in self.brokers], at_ms=self.at_ms, shape=shape)


def collector(rights: Rights, now_ms: int) -> Collector:
    """Return the health of collecting from those brokers whose whole the person sees.

    Queries: one, and per broker what `present` asks.
    """
    rows = list(Broker.objects.select_related("poll_state").order_by("name"))
    seen = [row for row in rows if rights.sees_whole(row.id)]
    states = {row.id: state_of(row, now_ms) for row in seen}
    found = tuple(CollectedBroker(row.id, row.name, states[row.id], _polled(row, now_ms)) for row in seen)
    polls = [row.poll_state for row in seen if hasattr(row, "poll_state")]
    last_ms = max((poll.last_tick_ms or 0 for poll in polls), default=0)
    hidden = sum(rights.sees_broker(row.id) for row in rows) - len(seen)
    running, sentence = whether_it_runs(list(states.values()), last_ms)
    if hidden and not seen:
        # There is something to poll; how that goes is not theirs to see.
        running, sentence = Cell(hidden=True), ""
    cells: Cells = {
        "page.collector": running,
        "page.collector.says": Cell(text=sentence),
        "page.last": Cell(since_ms=last_ms or None, text="" if last_ms else "never"),
    }
    ok_ms = {poll.broker_id: poll.last_ok_ms for poll in polls}
    for one in found:
        cells.update(_cells(one, ok_ms.get(one.id)))
    return Collector(found, hidden, running, sentence, cells, last_ms)


def whether_it_runs(states: Sequence[BrokerState], last_ms: int) -> tuple[Cell, str]:
    """Tell whether the worker and beat do their work, by whether polls end. Pure."""
    asked = [state for state in states if state.condition is not Condition.PAUSED]
    if not states:
        return Cell(text="Nothing to poll", state="idle"), "There is no broker to poll yet."
    if not asked:
        return Cell(text="Paused", state="paused"), "Every broker is paused: nothing is asked of any of them."
    stopped = sum(state.collector_stopped for state in asked)
    full = next((state for state in asked if state.no_room), None)
    if full is not None:
        return Cell(text="Disk full", state="critical"), f"{full.reason} {full.remedy}"
    if stopped == len(asked):
        return (
            Cell(text="Stopped", state="critical"),
            "No poll ends, of no broker: the worker or beat does not run. The command manage.py up runs both.",
        )
    if stopped:
        waiting = f"{formats.count(stopped)} of {formats.count(len(asked))} brokers wait too long for their poll"
        return Cell(text="Behind", state="warning"), f"{waiting}: the worker has too few hands, or died over one."
    if not last_ms:
        return Cell(text="Starting", state="unknown"), "No poll has ended yet."
    return Cell(text="Running", state="ok"), "Worker and beat run: polls of every broker end in time."


def _polled(row: Broker, now_ms: int) -> Polled | None:
    try:
        poll = row.poll_state
    except PollState.DoesNotExist:
        return None
    poll.broker = row
    return polled(poll, now_ms, present(row.id))


def _cells(one: CollectedBroker, last_ms: int | None) -> Cells:
    word, icon = STATES[one.state.condition]
    cells: Cells = {
        f"{one.key}.collecting": Cell(text=word, state=icon),
        f"{one.key}.age": Cell(text="—", unknown="It has not answered yet."),
    }
    if last_ms:
        cells[f"{one.key}.age"] = Cell(since_ms=last_ms, state="" if one.state.condition is Condition.LIVE else "stale")
    return cells | (one.polled.cells if one.polled else {})
