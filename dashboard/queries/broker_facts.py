"""What is true of a broker now, as far as one person sees it: what fleet, broker page and attention stand on.

A person limited to vhosts gets facts made of those vhosts alone: their sums where others get the broker's totals, no
nodes, no word of connections, no sentence that could name a host.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from brokers.collect.models import BrokerEvent
from brokers.collect.state import Condition, state_of
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from brokers.series.present import Present, PresentTable, present
from dashboard.accounts.rights import Rights
from dashboard.queries.broker_analysis import (
    NAN,
    DeadLetters,
    NodeFacts,
    Troubled,
    Unconsumed,
    VhostFacts,
    analyse,
    spark,
)


@dataclass(frozen=True, slots=True)
class BrokerFacts:
    """One broker as one person sees it.

    `whole`: the person sees all of it. Otherwise `totals` are sums over the vhosts they see, `nodes` is empty and
    the error's sentences are blank. `totals` has gauges and rates by their names in brokers.series.metrics.
    """

    id: int
    name: str
    condition: Condition
    whole: bool = True
    username: str = ""
    cadence_s: float = 5
    at_ms: int | None = None
    failing_since_ms: int | None = None
    failures: int = 0
    # There is no room to store what the broker would answer.
    no_room: bool = False
    # Why there are no new figures, and what to do.
    reason_sentence: str = ""
    remedy: str = ""
    version: str = ""
    erlang: str = ""
    nodes: tuple[NodeFacts, ...] = ()
    vhosts: tuple[VhostFacts, ...] = ()
    unconsumed: tuple[Unconsumed, ...] = ()
    troubled: tuple[Troubled, ...] = ()
    dead_letters: tuple[DeadLetters, ...] = ()
    totals: Mapping[str, float] = field(default_factory=dict)
    begun: Mapping[tuple[str, str], int] = field(default_factory=dict)
    # Sentences on figures that can't be had now, by metric.
    unknown: Mapping[str, str] = field(default_factory=dict)
    shown: Present | None = None
    vhost_slots: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, dtype=np.uint32))

    @property
    def fresh(self) -> bool:
        """Its figures are of now."""
        return self.condition in {Condition.LIVE, Condition.LATE}

    @property
    def lags(self) -> bool:
        """Its figures are older than they should be, or may be soon: a page says of when they are."""
        return self.condition in {Condition.UNREACHABLE, Condition.LATE, Condition.PAUSED}

    @property
    def nodes_running(self) -> int:
        """Nodes that are known to run."""
        return sum(node.running == 1 for node in self.nodes)

    def total(self, name: str) -> float:
        """Return a gauge or rate of the whole, NaN where it is unknown."""
        return self.totals.get(name, NAN)

    @property
    def kind(self) -> Kind:
        """What the totals are of: the broker, or the vhosts of it that the person sees."""
        return Kind.BROKER if self.whole else Kind.VHOST

    def since(self, kind: str, node: str) -> int | None:
        """Return when something that lasts began, None where no event tells."""
        return self.begun.get((kind, node))

    def reason(self) -> str:
        """Say why there are no figures, and what to do; blank for a person who does not see the whole broker."""
        return " ".join(part for part in (self.reason_sentence, self.remedy) if part)

    def spark(self, metric: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return an hour of a total: times in Unix ms and values, NaN for *unknown*."""
        if self.shown is None:
            return np.empty(0, dtype=np.int64), np.empty(0)
        if self.whole:
            return spark(self.shown, Kind.BROKER, np.zeros(1, dtype=np.uint32), metric)
        return spark(self.shown, Kind.VHOST, self.vhost_slots, metric)

    def vhost_spark(self, slot: int, metric: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return an hour of one vhost's gauge or rate, as `spark` does."""
        if self.shown is None:
            return np.empty(0, dtype=np.int64), np.empty(0)
        return spark(self.shown, Kind.VHOST, np.array([slot], dtype=np.uint32), metric)


# The highest id that a database column holds.
LARGEST_ID = 2**63 - 1
_STOPPED = "Warren does not poll at the moment."


def facts_of(rights: Rights, now_ms: int, broker_ids: Iterable[int] | None = None) -> list[BrokerFacts]:
    """Return the facts of every broker that the person sees (or of some), by name.

    Queries: one for the brokers, one for their events, and per broker what `present` asks.
    """
    rows = Broker.objects.select_related("poll_state").order_by("name")
    if broker_ids is not None:
        # Numbers come from addresses: one that no column holds is nobody's, and SQLite would not even compare it.
        rows = rows.filter(id__in=[broker_id for broker_id in broker_ids if 0 < broker_id <= LARGEST_ID])
    brokers = [broker for broker in rows if rights.sees_broker(broker.id)]
    begun = _begun([broker.id for broker in brokers if rights.sees_whole(broker.id)])
    return [_facts(rights, broker, begun.get(broker.id, {}), now_ms) for broker in brokers]


def _facts(rights: Rights, broker: Broker, begun: Mapping[tuple[str, str], int], now_ms: int) -> BrokerFacts:
    whole = rights.sees_whole(broker.id)
    state = state_of(broker, now_ms)
    poll = getattr(broker, "poll_state", None)
    bare = BrokerFacts(
        id=broker.id,
        name=broker.name,
        condition=state.condition,
        whole=whole,
        username=broker.username if whole else "",
        cadence_s=(max(poll.cadence_ms, broker.cadence_s * 1000) / 1000) if poll else broker.cadence_s,
        failing_since_ms=state.since_ms,
        failures=poll.failures if poll else 0,
        no_room=state.no_room,
        reason_sentence=state.reason if whole else _STOPPED if state.collector_stopped else "",
        remedy=state.remedy if whole else "",
        begun=begun,
        unknown=dict(poll.unknown) if poll and whole else {},
    )
    shown = present(broker.id)
    if shown is None:
        return bare
    analysed = analyse(shown)
    vhost_rows = shown.table(Kind.VHOST)
    sees = rights.vhost_test(broker.id)
    kept = [index for index, known in enumerate(vhost_rows.objects) if sees(known.name)]
    return replace(
        bare,
        at_ms=shown.at_ms,
        version=_versions(node.rabbitmq_version for node in analysed.nodes),
        erlang=_versions(node.erlang_version for node in analysed.nodes) if whole else "",
        nodes=analysed.nodes if whole else (),
        vhosts=tuple(analysed.vhosts[index] for index in kept),
        unconsumed=tuple(group for group in analysed.unconsumed if sees(group.vhost)),
        troubled=tuple(group for group in analysed.troubled if sees(group.vhost)),
        dead_letters=tuple(group for group in analysed.dead_letters if sees(group.vhost)),
        totals=analysed.totals if whole else _sums(vhost_rows, kept),
        shown=shown,
        vhost_slots=vhost_rows.slots[kept],
    )


def _versions(versions: Iterable[str | None]) -> str:
    return " and ".join(sorted({version for version in versions if version}))


def _sums(table: PresentTable, rows: list[int]) -> dict[str, float]:
    """Sum the vhosts that a person sees: gauges and rates that vhosts have."""
    sums = {name: _strict_sum(values[rows]) for name, values in table.columns.items()}
    sums["vhosts"] = float(len(rows))
    return sums


def _strict_sum(values: NDArray[np.float64]) -> float:
    """A sum is unknown where any part is: half a sum would read as the whole."""
    return float(values.sum()) if len(values) else 0.0


def _begun(broker_ids: list[int]) -> dict[int, dict[tuple[str, str], int]]:
    """Return when each kind of thing last began, from the newest events of each broker."""
    found: dict[int, dict[tuple[str, str], int]] = {}
    if not broker_ids:
        return found
    rows = (
        BrokerEvent.objects.filter(broker_id__in=broker_ids)
        .exclude(severity="ok")
        .order_by("-at_ms")
        .values_list("broker_id", "kind", "node", "at_ms")[:400]
    )
    for broker_id, kind, node, at_ms in rows:
        found.setdefault(broker_id, {}).setdefault((kind, node), at_ms)
        found[broker_id].setdefault((kind, ""), at_ms)
    return found
