"""From a tick's answers to the table of exchanges: published to each, confirmed, returned, dropped. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brokers.collect.answers import Scrape
from brokers.collect.basis import Reading
from brokers.collect.labels import LabelCache
from brokers.collect.placing import summed
from brokers.collect.queue_table import figure_slots, node_sum
from brokers.series.codec import Table
from brokers.series.metrics import Kind

# Since RabbitMQ 4.0. A channel that closes leaves its counts here: none is lost [measured on 4.0.5 and 4.3.6].
EXCHANGE_COUNTERS = {
    "published": "rabbitmq_detailed_exchange_messages_published_total",
    "confirmed": "rabbitmq_detailed_exchange_messages_confirmed_total",
    "returned": "rabbitmq_detailed_exchange_messages_unroutable_returned_total",
    "dropped": "rabbitmq_detailed_exchange_messages_unroutable_dropped_total",
}


def exchange_table(scrape: Scrape, labels: LabelCache, reading: Reading) -> Table:
    """Return the table of exchanges that are there; counters as the broker counts them, so that they may fall."""
    known = labels.directory.by_slot.get(Kind.EXCHANGE, {})
    slots = labels.placing.ascending(frozenset(slot for slot, found in known.items() if found.gone_ms is None))
    columns: dict[str, NDArray[np.float64]] = {}
    if reading.counters_exposed and scrape.exposed is not None and scrape.asked_counters:
        for name, family in EXCHANGE_COUNTERS.items():
            sums = node_sum(scrape.exposed, labels, Kind.EXCHANGE, (family,), slots)
            if reading.counted:
                sums = np.where(np.isnan(sums), 0.0, sums)
            columns[name] = np.full(len(slots), np.nan) if scrape.silent else sums
    elif scrape.exchanges is not None:
        where = figure_slots(scrape.exchanges, labels, Kind.EXCHANGE)
        for name, values in scrape.exchanges.columns.items():
            columns[name] = summed(slots, [(where, values)], labels.placing)
    return Table(labels.placing.narrow(slots), columns)
