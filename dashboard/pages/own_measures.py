"""What Warren computes of brokers, re-exported for Prometheus with a bounded number of series.

Every broker and its largest vhosts have all measures but cumulative counters, which the brokers' own exporters have. Of
queues only those have series that somebody should look at: the worst by time lag, by drain time and by the state of
their consumers, so many of each. What is unknown has no sample, and a broker that does not answer has none of these.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from brokers.collect.state import Condition, state_of
from brokers.lag.measures import Form, Measure, measures_of
from brokers.lag.present import column
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from brokers.series.present import Present, present

logger = logging.getLogger(__name__)

# What a queue has: enough to see what is wrong with it and since when; the rest is Warren's own pages' and API's.
QUEUE_MEASURES = (
    *("total", "ready", "unacked", "consumers", "time_lag", "lag_source", "growth", "drain_time", "consumer_state"),
    *("redeliver_ratio", "prefetch_used", "publish_rate", "ack_rate"),
)
# States of consumers from this on are worth a series: falling behind, starved by prefetch, stalled, stopped.
_BAD_STATE = 2
_SUFFIXES = {
    "messages": "_messages",
    "messages/s": "_messages_per_second",
    "messages/min": "_messages_per_minute",
    "count": "",
    "count/s": "_per_second",
    "bytes": "_bytes",
    "ratio": "_ratio",
    "offsets": "_offsets",
    "s": "_seconds",
    "flag": "",
    "code": "",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many series there may be: queues of each list of the worst, vhosts, a broker."""

    queues: int
    vhosts: int


@dataclass
class _Families:
    """Families in the order in which they were first named."""

    made: dict[str, GaugeMetricFamily] = field(default_factory=dict)

    def add(self, kind: Kind, measure: Measure, labels: Mapping[str, str], value: float) -> None:
        """Add a sample, none where the value is unknown."""
        if np.isnan(value):
            return
        name = family_name(kind, measure)
        family = self.made.get(name)
        if family is None:
            says = f"{measure.says}. Unit: {measure.unit}. {measure.formula}."
            family = self.made[name] = GaugeMetricFamily(name, says, labels=tuple(labels))
        family.add_metric(tuple(labels.values()), value)


class Measures(Collector):
    """The measures of one moment. A query or two a broker."""

    def __init__(self, now_ms: int, bounds: Bounds) -> None:
        self.now_ms = now_ms
        self.bounds = bounds

    def collect(self) -> Iterator[Metric]:
        """Yield every family that has a sample; a broker whose figures can't be read is told by a family of its own."""
        families = _Families()
        left_out = GaugeMetricFamily(
            "warren_broker_vhosts_left_out",
            "Vhosts without series, being smaller than those that have some.",
            labels=["broker"],
        )
        failed = GaugeMetricFamily(
            "warren_broker_figures_failed",
            "1 where Warren could not read its own figures of the broker.",
            labels=["broker"],
        )
        for broker in Broker.objects.select_related("poll_state").order_by("id"):
            if state_of(broker, self.now_ms).condition not in {Condition.LIVE, Condition.LATE}:
                continue
            try:
                shown = present(broker.pk)
                if shown is None:
                    continue
                self._whole(families, broker.name, shown)
                left_out.add_metric([broker.name], self._vhosts(families, broker.name, shown))
                self._queues(families, broker.name, shown)
            except Exception:
                # One broker's figures must not take everybody's scrape away.
                logger.exception("The figures of %s can't be given to Prometheus.", broker.name)
                failed.add_metric([broker.name], 1)
                continue
            failed.add_metric([broker.name], 0)
        yield from families.made.values()
        yield from (left_out, failed)

    @staticmethod
    def _whole(families: _Families, broker: str, shown: Present) -> None:
        for one in _exported(Kind.BROKER):
            values = column(shown, Kind.BROKER, one.name)
            if len(values):
                families.add(Kind.BROKER, one, {"broker": broker}, float(values[0]))

    def _vhosts(self, families: _Families, broker: str, shown: Present) -> int:
        table = shown.table(Kind.VHOST)
        chosen = highest(column(shown, Kind.VHOST, "total"), self.bounds.vhosts, unknown_too=True)
        for one in _exported(Kind.VHOST):
            values = column(shown, Kind.VHOST, one.name)
            for row in chosen.tolist():
                families.add(Kind.VHOST, one, {"broker": broker, "vhost": table.objects[row].name}, float(values[row]))
        return len(table.objects) - len(chosen)

    def _queues(self, families: _Families, broker: str, shown: Present) -> None:
        table = shown.table(Kind.QUEUE)
        for row in worst(shown, self.bounds.queues).tolist():
            queue = table.objects[row]
            labels = {"broker": broker, "vhost": queue.vhost, "queue": queue.name}
            for one in _exported(Kind.QUEUE):
                families.add(Kind.QUEUE, one, labels, float(column(shown, Kind.QUEUE, one.name)[row]))


def worst(shown: Present, most: int) -> NDArray[np.intp]:
    """Return the rows of the queues to look at, ascending: the worst by time lag, drain time and consumers' state."""
    lag = column(shown, Kind.QUEUE, "time_lag")
    total = column(shown, Kind.QUEUE, "total")
    state = column(shown, Kind.QUEUE, "consumer_state")
    drain = column(shown, Kind.QUEUE, "drain_time")
    lists = (
        highest(np.where(lag > 0, lag, np.nan), most),
        highest(np.where(drain > 0, drain, np.nan), most, then=total),
        highest(np.where(state >= _BAD_STATE, state, np.nan), most, then=total),
    )
    return np.unique(np.concatenate(lists))


def highest(
    values: NDArray[np.float64], most: int, *, then: NDArray[np.float64] | None = None, unknown_too: bool = False
) -> NDArray[np.intp]:
    """Return the places of the `most` highest values, highest first; equal ones by `then`, then by place. Pure."""
    places = np.arange(len(values)) if unknown_too else np.flatnonzero(~np.isnan(values))
    least = np.where(np.isnan(values), -np.inf, values)
    second = np.zeros(len(values)) if then is None else np.where(np.isnan(then), -np.inf, then)
    order = np.lexsort((places, -second[places], -least[places]))
    found: NDArray[np.intp] = places[order[:most]].astype(np.intp)
    return found


def family_name(kind: Kind, measure: Measure) -> str:
    """Return the name of a family: the measure's own, between what it is of and its unit."""
    suffix = _SUFFIXES[measure.unit]
    return f"warren_{kind}_{measure.name}{'' if measure.name.endswith(suffix) else suffix}"


def _exported(kind: Kind) -> list[Measure]:
    every = [one for one in measures_of(kind) if one.form is not Form.COUNTER]
    return [one for one in every if one.name in QUEUE_MEASURES] if kind is Kind.QUEUE else every
