"""From queues and exchanges to the table of vhosts: gauges added up, counters accumulated since the base. Pure.

Where each queue and exchange has counters of its own, a vhost's are what they grew by: deliveries by its queues, and
what publishers sent by its exchanges, as the management API counts it. Else the management API counts by vhost.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from brokers.collect import counters
from brokers.collect.answers import Scrape
from brokers.collect.basis import Base, Reading
from brokers.collect.counters import Parts
from brokers.collect.exchange_table import EXCHANGE_COUNTERS
from brokers.collect.labels import LabelCache
from brokers.collect.placing import Placing, summed
from brokers.collect.queue_table import QUEUE_COUNTERS, QueueTable, node_sum
from brokers.registry.details import VhostDetail
from brokers.series.codec import Table
from brokers.series.metrics import Kind

_BY_QUEUE = ("delivered", "acknowledged", "redelivered")
_BY_EXCHANGE = ("published", "confirmed", "returned", "dropped")
VHOST_COUNTERS = (*_BY_EXCHANGE, *_BY_QUEUE)


def vhost_table(
    scrape: Scrape,
    labels: LabelCache,
    queues: QueueTable,
    exchanges: Table,
    base: Base,
    reading: Reading,
    parts: Parts,
    restarted: Collection[str] = (),
) -> Table:
    """Return the table of the vhosts that are there, or in which a queue is. `restarted`: nodes, since the base."""
    known = labels.directory.by_slot.get(Kind.VHOST, {})
    placing = labels.placing
    home = labels.vhosts_of(placing.wide(queues.table.slots))
    there = {slot for slot, vhost in known.items() if vhost.gone_ms is None} | placing.distinct(home)
    slots = placing.ascending(frozenset(there))
    columns = {"queues": _counted(slots, home, scrape, placing)}
    served = home if queues.seen.all() else np.where(queues.seen, home, -1)
    for name in ("ready", "unacked", "consumers"):
        columns[name] = _added(slots, served, queues.table.column(name), scrape, placing)
    if scrape.exposed is None:
        blind = np.array([_unreadable(known[slot].detail) for slot in slots.tolist()], dtype=np.bool_)
        columns = {name: np.where(blind, np.nan, values) for name, values in columns.items()}
    # A node that is the only one counts nothing of before its restart.
    alone = len(labels.directory.by_slot.get(Kind.NODE, {})) == 1
    if reading.counters_exposed:
        for names, table, kind, where in (
            (_BY_QUEUE, queues.table, Kind.QUEUE, home),
            (
                _BY_EXCHANGE,
                exchanges,
                Kind.EXCHANGE,
                labels.vhosts_of(placing.wide(exchanges.slots), Kind.EXCHANGE),
            ),
        ):
            anew = _anew(scrape, labels, table, kind, names, restarted)
            grown = _grew(table, kind, names, base, reading, anew)
            for name in names:
                before = _before(slots, base, name)
                # A vhost without a queue has counted nothing since.
                sums = summed(slots, [(where, grown[name])], placing, unsaid=0.0)
                columns[name] = np.full(len(slots), np.nan) if scrape.uncounted else before + sums
    else:
        for name in VHOST_COUNTERS:
            before = _before(slots, base, name)
            columns[name] = np.array(
                [
                    _told(known[slot].name, name, parts, base.parts, before[i], alone=bool(restarted) and alone)
                    for i, slot in enumerate(slots.tolist())
                ],
                dtype=np.float64,
            )
    return Table(placing.narrow(slots), columns)


def _before(slots: NDArray[np.int64], base: Base, name: str) -> NDArray[np.float64]:
    """Return the sums at the base, 0 where it has none."""
    if base.frame is None:
        return np.zeros(len(slots))
    held = base.frame.table(Kind.VHOST)
    before = np.array([held.value(slot, name) for slot in slots.tolist()], dtype=np.float64)
    return np.where(np.isnan(before), 0.0, before)


def _told(vhost: str, counter: str, parts: Parts, base: Parts | None, before: float, *, alone: bool) -> float:
    """Return a counter that the management API counts by vhost, accumulated since the base.

    `alone`: the broker is one node, which restarted since.
    """
    now = parts.counts.get(f"vhost:{vhost}", {}).get(counter, math.nan)
    if base is not None and base.source != parts.source:
        return math.nan if math.isnan(now) else before
    held = base.counts.get(f"vhost:{vhost}") if base else None
    if alone and held is not None:
        return before + now
    if held is None:  # first seen: its past is as long as its count
        return before + now
    return before + counters.growth(now, held.get(counter))


def _grew(
    table: Table,
    kind: Kind,
    names: tuple[str, ...],
    base: Base,
    reading: Reading,
    anew: Mapping[str, NDArray[np.float64]],
) -> dict[str, NDArray[np.float64]]:
    """Return what each object counted since the base, by counter."""
    now = {name: table.column(name) for name in names}
    if base.frame is None:  # the first snapshot starts with what was counted before it
        return now
    if base.parts is None or base.parts.source != reading.source:
        # One after a change of source starts with nothing.
        return {name: np.where(np.isnan(values), np.nan, 0.0) for name, values in now.items()}
    held = base.frame.table(kind)
    in_base = np.zeros(len(table.slots), dtype=np.bool_)
    position = np.zeros(len(table.slots), dtype=np.int64)
    if held.slots is table.slots:
        return {name: counters.grown(now[name], held.column(name), ~in_base, anew.get(name)) for name in names}
    if len(held.slots):
        position = np.minimum(np.searchsorted(held.slots, table.slots), len(held.slots) - 1)
        in_base = held.slots[position] == table.slots
    grown = {}
    for name, values in now.items():
        before = np.full(len(values), np.nan)
        before[in_base] = held.column(name)[position[in_base]]
        grown[name] = counters.grown(values, before, in_base, anew.get(name))
    return grown


def _anew(
    scrape: Scrape, labels: LabelCache, table: Table, kind: Kind, names: tuple[str, ...], restarted: Collection[str]
) -> dict[str, NDArray[np.float64]]:
    """Return by counter what nodes that restarted counted of each object; empty where none did."""
    told = {node: families for node, families in (scrape.exposed or {}).items() if node in restarted}
    if not told:
        return {}
    slots = table.slots.astype(np.int64)
    found = {}
    for name in names:
        families = QUEUE_COUNTERS[name] if kind is Kind.QUEUE else (EXCHANGE_COUNTERS[name],)
        found[name] = np.nan_to_num(node_sum(told, labels, kind, families, slots))
    return found


def _counted(
    slots: NDArray[np.int64], home: NDArray[np.int64], scrape: Scrape, placing: Placing
) -> NDArray[np.float64]:
    if scrape.silent or scrape.told_nothing:
        return np.full(len(slots), np.nan)
    return placing.place(home, slots).said.astype(np.float64)


def _added(
    slots: NDArray[np.int64], served: NDArray[np.int64], values: NDArray[np.float64], scrape: Scrape, placing: Placing
) -> NDArray[np.float64]:
    """Add the queues of each vhost up, `served` by its slot; -1: on a node that is down, it can't be served."""
    if scrape.silent or scrape.told_nothing:
        return np.full(len(slots), np.nan)
    return summed(slots, [(served, values)], placing, unsaid=0.0)


def _unreadable(detail: bytes) -> bool:
    return msgspec.json.decode(detail, type=VhostDetail).readable is False
