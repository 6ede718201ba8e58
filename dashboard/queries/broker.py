"""One broker: its figures, what needs somebody, its nodes and vhosts, how it is polled."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from brokers.collect.models import PollState
from brokers.series.metrics import Kind
from dashboard import formats
from dashboard.accounts.rights import Rights
from dashboard.cells import Cell, Cells, View, shape_of
from dashboard.queries import broker_cells as cell
from dashboard.queries.attention import needs
from dashboard.queries.attention_shown import ShownNeed, queues_url, shown, unchanging, why_cells
from dashboard.queries.broker_analysis import VhostFacts
from dashboard.queries.broker_exchanges import Exchanges, exchanges
from dashboard.queries.broker_facts import BrokerFacts, facts_of
from dashboard.queries.broker_nodes import Finding, health, node_cells
from dashboard.queries.broker_polled import Polled, polled
from dashboard.queries.broker_publishing import Publishing, publishing
from dashboard.queries.fleet import churn, grows, state_cell
from dashboard.queries.happened import Day, happened
from dashboard.queries.held import held, read_ms
from dashboard.queries.keys import vhost_key
from dashboard.queries.lasting import with_begun
from dashboard.queries.marks import Mark, marks
from dashboard.queries.need import SHOWN, Need
from dashboard.queries.queue_measures import why_measure

VHOSTS_SHOWN = 60


@dataclass(frozen=True, slots=True)
class VhostRow:
    """One vhost in the broker's table."""

    key: str
    name: str
    severity: str
    url: str


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One node in the broker's table."""

    key: str
    name: str
    version: str


@dataclass(frozen=True, slots=True)
class BrokerPage:
    """All that the page shows; times in the viewer's zone."""

    facts: BrokerFacts
    at: dt.datetime | None
    since: dt.datetime | None
    stale: bool
    needs: tuple[ShownNeed, ...]
    more_needs: int
    nodes: tuple[NodeRow, ...]
    vhosts: tuple[VhostRow, ...]
    more_vhosts: int
    health: tuple[Finding, ...]
    days: tuple[Day, ...]
    polled: Polled | None
    publishing: Publishing
    exchanges: Exchanges
    cells: Cells
    # The notes in time on its charts.
    marks: tuple[Mark, ...] = ()

    @property
    def key(self) -> str:
        """What the keys of the broker's cells begin with."""
        return f"b.{self.facts.id}"

    @property
    def params(self) -> dict[str, int]:
        """The parameters of the page's live subscription."""
        return {"broker": self.facts.id}

    @property
    def poll_key(self) -> str:
        """What the keys of the cells about polling begin with."""
        return f"b.{self.facts.id}.poll"

    def view(self) -> View:
        """Return what a live subscription gets."""
        how = self.polled
        shape = shape_of(
            self.facts.name,
            self.facts.whole,
            self.facts.condition,
            bool(self.facts.at_ms),
            (self.at, self.since) if self.stale else None,
            (unchanging(self.needs), self.more_needs),
            self.nodes,
            # Their order is the view's.
            sorted(self.vhosts, key=lambda row: row.key),
            self.more_vhosts,
            self.health,
            self.days,
            self.publishing,
            sorted(self.exchanges.rows, key=lambda row: row.key),
            (self.exchanges.more, self.exchanges.why),
            (how.plan, how.missing, how.definitions_error) if how else None,
            self.marks,
        )
        order = [*(row.key for row in self.vhosts), *(row.key for row in self.exchanges.rows)]
        return View(cells=self.cells, order=order, at_ms=self.facts.at_ms or 0, shape=shape)


def broker_page(
    rights: Rights, broker_id: int, zone: dt.tzinfo, now_ms: int, exchanges_by: str = ""
) -> BrokerPage | None:
    """Return the broker as the person sees it, None where they do not see it or it is not there.

    `exchanges_by` orders its exchanges (dashboard.queries.broker_exchanges).
    """
    found = facts_of(rights, now_ms, [broker_id])
    if not found:
        return None
    [facts] = found
    poll = _poll_state(facts)
    page = assemble(facts, happened(rights, [broker_id], zone, now_ms), poll, zone, now_ms, exchanges_by)
    return replace(page, marks=marks(rights, [(broker_id, None)], zone, now_ms))


def assemble(
    facts: BrokerFacts,
    days: tuple[Day, ...],
    poll: PollState | None,
    zone: dt.tzinfo,
    now_ms: int,
    exchanges_by: str = "",
) -> BrokerPage:
    """Make the page of facts."""
    need = needs(facts)
    how = polled(poll, now_ms, facts.shown) if poll is not None else None
    rows = by_trouble(facts.vhosts)
    cells: Cells = {**_head(facts, need), **_figures(facts), **node_cells(facts)}
    for row in rows[:VHOSTS_SHOWN]:
        cells.update(_vhost_cells(facts, row))
    if how is not None:
        cells.update(how.cells)
    published, own = publishing(facts, poll, zone)
    cells.update(own)
    routed, own = exchanges(facts, exchanges_by)
    cells.update(own)
    listed = shown(with_begun(need[:SHOWN], now_ms), zone, now_ms)
    cells.update(why_cells(listed))
    return BrokerPage(
        facts=facts,
        at=formats.moment(facts.at_ms, zone),
        since=formats.moment(facts.failing_since_ms, zone),
        stale=facts.lags,
        needs=listed,
        more_needs=max(0, len(need) - SHOWN),
        nodes=tuple(NodeRow(f"n.{facts.id}.{node.slot}", node.name, node.rabbitmq_version) for node in facts.nodes),
        vhosts=tuple(_vhost_row(facts, row) for row in rows[:VHOSTS_SHOWN]),
        more_vhosts=max(0, len(rows) - VHOSTS_SHOWN),
        health=tuple(health(facts)) if facts.fresh else (),
        days=days,
        polled=how,
        publishing=published,
        exchanges=routed,
        cells=cells,
    )


def _vhost_row(facts: BrokerFacts, vhost: VhostFacts) -> VhostRow:
    severity = "warning" if vhost.unconsumed and facts.fresh else ""
    return VhostRow(vhost_key(facts.id, vhost.slot), vhost.name, severity, queues_url(facts.id, vhost=vhost.name))


def by_trouble(vhosts: Sequence[VhostFacts]) -> list[VhostFacts]:
    """Order vhosts by what is wrong with them, then by their backlog, then by name."""
    return sorted(
        vhosts,
        key=lambda one: (
            -min(one.unconsumed, 1),
            one.readable is not False,
            -(0.0 if math.isnan(one.ready) else one.ready),
            one.name.casefold(),
        ),
    )


def _poll_state(facts: BrokerFacts) -> PollState | None:
    """Return how the broker is polled: for whoever sees the whole of it."""
    if not facts.whole:
        return None
    return PollState.objects.select_related("broker").filter(broker_id=facts.id).first()


def _head(facts: BrokerFacts, need: Sequence[Need]) -> Cells:
    return {
        f"b.{facts.id}.state": state_cell(facts, need),
        f"b.{facts.id}.age": cell.age(facts),
        "page.summary": Cell(text=summary(facts)),
        "page.balance": Cell(text=_flow_sentence(facts)),
        "page.checked": Cell(text=formats.clock(facts.at_ms)),
        "page.reason": cell.reason(facts),
    }


def summary(facts: BrokerFacts) -> str:
    """Say what the broker is: versions, nodes, uptime; for a person limited to vhosts, which part of it they see."""
    parts = [f"RabbitMQ {facts.version}" if facts.version else "Version unknown"]
    if facts.erlang:
        parts[0] += f" on Erlang {facts.erlang}"
    if not facts.whole:
        number = len(facts.vhosts)
        vhosts = "1 vhost" if number == 1 else f"{formats.count(number)} vhosts"
        return f"{parts[0]}. You see {vhosts} of it; every sum is of these."
    if facts.nodes:
        parts.append(f"{len(facts.nodes)} node{'' if len(facts.nodes) == 1 else 's'}")
        uptimes = [node.uptime for node in facts.nodes if not math.isnan(node.uptime)]
        if uptimes and facts.fresh:
            parts.append(f"up {formats.duration(min(uptimes))}")
    return f"{', '.join(parts)}."


def _flow_sentence(facts: BrokerFacts) -> str:
    """Say what moves and whether more waits. What enters and what leaves are no balance: see `fleet.grows`."""
    entered, left, grown = facts.total("publish_rate"), facts.total("ack_rate"), grows(facts)
    if not facts.fresh or math.isnan(entered) or math.isnan(left) or max(entered, left) < 0.05:
        return ""
    moves = f"{formats.rate(entered)} /s published, {formats.rate(left)} /s acknowledged"
    if math.isnan(grown):
        return f"{moves}."
    if abs(grown) < 0.5:
        return f"{moves}; as much waits as a minute ago."
    return f"{moves}; what waits {'grows' if grown > 0 else 'shrinks'} by {formats.count(abs(round(grown)))} a minute."


def _figures(facts: BrokerFacts) -> Cells:
    key = f"b.{facts.id}"
    why = cell.why_unknown(facts)
    at = f"at {formats.clock(facts.at_ms)}" if facts.at_ms and not facts.fresh else ""

    def rate(name: str) -> Cell:
        made = cell.rate(facts.total(name) if facts.fresh else cell.NAN, why)
        return held(made, read_ms(facts.shown, facts.kind, name))

    def line(name: str, **more: object) -> Cell:
        times, values = facts.spark(name)
        return cell.spark(values, times, **more)  # type: ignore[arg-type]

    unacked = facts.total("unacked")
    cells: Cells = {
        # A stock keeps its last figure in grey, with its time; a rate of a broker that is silent is unknown.
        f"{key}.ready": cell.count(facts.total("ready"), why),
        f"{key}.ready.spark": line("ready", floor=50),
        f"{key}.ready.detail": Cell(
            text=at or ("" if math.isnan(unacked) else f"{formats.count(unacked)} more unacknowledged")
        ),
        f"{key}.publish": rate("publish_rate"),
        f"{key}.publish.spark": line("publish_rate", area=False),
        f"{key}.publish.detail": Cell(text=_unroutable(facts)),
        f"{key}.ack": rate("ack_rate"),
        f"{key}.ack.spark": line("ack_rate", area=False),
        f"{key}.redeliver": rate("redeliver_rate"),
        f"{key}.redeliver.detail": Cell(text=_redelivered(facts)),
    }
    letters = sum(group.letters for group in facts.dead_letters)
    queues = sum(group.queues for group in facts.dead_letters)
    cells[f"{key}.dead"] = cell.count(letters if facts.at_ms else cell.NAN, why)
    cells[f"{key}.dead.detail"] = Cell(
        text=at or (f"in {formats.count(queues)} queue{'' if queues == 1 else 's'}" if queues else "no letters")
    )
    if not facts.whole:
        return cells
    cells[f"{key}.gap"] = held(
        cell.rate(confirm_gap(facts) if facts.fresh else cell.NAN, why),
        read_ms(facts.shown, facts.kind, "confirm_gap"),
    )
    cells[f"{key}.gap.detail"] = Cell(text=_confirmed(facts))
    connections, channels = facts.total("connections"), facts.total("channels")
    cells[f"{key}.connections"] = cell.count(connections, why)
    cells[f"{key}.connections.spark"] = line("connections", area=False)
    cells[f"{key}.connections.detail"] = Cell(
        text=at or ("" if math.isnan(channels) else f"{formats.count(channels)} channels")
    )
    opened = facts.total("connection_open_rate")
    cells[f"{key}.churn"] = cell.rate(opened if facts.fresh else cell.NAN, why)
    cells[f"{key}.churn.detail"] = Cell(text=churn(opened, facts.total("connection_close_rate")) if not at else "")
    return cells


def confirm_gap(facts: BrokerFacts) -> float:
    """Return how many messages a second were published with confirms and not confirmed, 0 where none lag."""
    gap = facts.total("received_confirm_rate") - facts.total("confirm_rate")
    return gap if math.isnan(gap) else max(0.0, gap)


def _confirmed(facts: BrokerFacts) -> str:
    asked, confirmed = facts.total("received_confirm_rate"), facts.total("confirm_rate")
    if not facts.fresh or math.isnan(asked) or math.isnan(confirmed):
        return ""
    if asked < 0.05:
        return "nobody asks for confirms now"
    return f"{formats.rate(confirmed)} of {formats.rate(asked)} /s confirmed"


def _unroutable(facts: BrokerFacts) -> str:
    returned, dropped = facts.total("return_rate"), facts.total("drop_rate")
    if not facts.fresh or math.isnan(returned) or math.isnan(dropped):
        return ""
    return f"unroutable {formats.rate(returned + dropped)} /s"


def _redelivered(facts: BrokerFacts) -> str:
    delivered, again = facts.total("deliver_rate"), facts.total("redeliver_rate")
    if not facts.fresh or math.isnan(delivered) or math.isnan(again):
        return ""
    return f"{formats.percent(again / delivered)} of deliveries" if delivered > 0 else "nothing is delivered"


def _vhost_cells(facts: BrokerFacts, vhost: VhostFacts) -> Cells:
    key = vhost_key(facts.id, vhost.slot)
    why = "Warren may not look into this vhost." if vhost.readable is False else cell.why_unknown(facts)
    if not facts.fresh:
        state = Cell(text="Unknown", state="stale")
    elif vhost.readable is False:
        state = Cell(text="Closed to Warren", state="unknown")
    elif vhost.unconsumed:
        state = Cell(text=f"{formats.count(vhost.unconsumed)} without consumer", state="warning")
    else:
        state = Cell(text="Quiet", state="ok")

    def known(name: str, value: float) -> tuple[float, str]:
        return value if facts.fresh else cell.NAN, why_measure(Kind.VHOST, name, facts.unknown) or why

    def rate(name: str, value: float) -> Cell:
        return as_read(name, cell.rate(*known(name, value), unit=False))

    def lost(name: str, value: float) -> Cell:
        return as_read(name, cell.lost(*known(name, value)))

    def as_read(name: str, made: Cell) -> Cell:
        return held(made, read_ms(facts.shown, Kind.VHOST, name))

    times, ready = facts.vhost_spark(vhost.slot, "ready")
    return {
        f"{key}.queues": cell.count(vhost.queues, why),
        f"{key}.ready": cell.count(vhost.ready, why),
        f"{key}.unacked": cell.count(vhost.unacked, why),
        f"{key}.ready.spark": cell.spark(ready, times, floor=50),
        f"{key}.in": rate("publish_rate", vhost.publish_rate),
        f"{key}.confirm": rate("confirm_rate", vhost.confirm_rate),
        # Rates that were read a moment apart differ as often by a little less than nothing as by a little more.
        f"{key}.gap": rate("confirm_gap", max(vhost.confirm_gap, 0.0)),
        f"{key}.returned": lost("return_rate", vhost.return_rate),
        f"{key}.dropped": lost("drop_rate", vhost.drop_rate),
        f"{key}.out": rate("ack_rate", vhost.ack_rate),
        f"{key}.state": state,
    }
