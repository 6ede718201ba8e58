"""The one registry of measures: everything that pages, charts, API, exports and alerts may show or ask for, by name.

Stored gauges, counters and states, rates read from counters, and what is derived from them here. A measure's name,
unit, formula and origin stand here once; docs/measures.md is held equal to it by a test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from brokers.lag.derive import Values, drain_time, growth, ratio
from brokers.series.metrics import METRICS, RATES, Kind, Metric, Shape

# What a measure of pace looks back on.
NOW_SPAN_S = 60
RECENT_SPAN_S = 600


class Form(StrEnum):
    """Where a measure's values come from."""

    GAUGE = "gauge"
    COUNTER = "counter"
    STATE = "state"
    RATE = "rate"
    DERIVED = "derived"


class Over(StrEnum):
    """What a measure of several objects at once means."""

    SUM = "sum"
    # The greatest or the least of those that are known.
    MAX = "max"
    MIN = "min"
    # Computed from the sums of what it needs: a ratio of sums.
    OF_SUMS = "of sums"


Columns = Mapping[str, Values]


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure of some kinds of objects.

    `unit` is `messages`, `messages/s`, `messages/min`, `count`, `count/s`, `bytes`, `ratio`, `offsets`, `s`, `flag`
    (0 or 1) or `code`. Derived ones have `needs` (names of stored measures and rates) and `compute`, a function of
    columns by those names. With a `span_s` they also need the pace of `total` over so long: the column `pace`.
    `compute_low` and `compute_high` bound it within a step; without them a step has but its one value.
    """

    name: str
    kinds: tuple[Kind, ...]
    unit: str
    says: str
    formula: str
    source: str
    form: Form
    over: Over = Over.SUM
    label: str = ""
    needs: tuple[str, ...] = ()
    span_s: int = 0
    compute: Callable[[Columns], Values] | None = field(default=None, compare=False)
    # Of the least and the greatest in each step of what it needs: columns `name` of the low and of the high values.
    bounds: Callable[[Columns, Columns], tuple[Values, Values]] | None = field(default=None, compare=False)


_QUEUE, _VHOST, _EXCHANGE, _BROKER = Kind.QUEUE, Kind.VHOST, Kind.EXCHANGE, Kind.BROKER
_STOCKED = (_QUEUE, _VHOST, _BROKER)


def _derived(
    name: str,
    label: str,
    kinds: tuple[Kind, ...],
    unit: str,
    says: str,
    formula: str,
    needs: tuple[str, ...],
    compute: Callable[[Columns], Values],
    *,
    source: str,
    span_s: int = 0,
    bounds: Callable[[Columns, Columns], tuple[Values, Values]] | None = None,
) -> Measure:
    return Measure(
        name,
        kinds,
        unit,
        says,
        formula,
        source,
        Form.DERIVED,
        Over.OF_SUMS,
        label,
        needs,
        span_s,
        compute,
        bounds,
    )


def _total(columns: Columns) -> Values:
    return columns["ready"] + columns["unacked"]


def _drain(span_s: int) -> Callable[[Columns], Values]:
    def computed(columns: Columns) -> Values:
        return drain_time(_total(columns), columns["pace"], span_s)

    return computed


def _minus(first: str, second: str) -> Callable[[Columns], Values]:
    return lambda columns: columns[first] - columns[second]


def _sum(first: str, second: str) -> Callable[[Columns], Values]:
    return lambda columns: columns[first] + columns[second]


def _sum_bounds(first: str, second: str) -> Callable[[Columns, Columns], tuple[Values, Values]]:
    """The two need not be highest at the same moment of a step: the bounds are never too narrow, but may be wide."""
    return lambda low, high: (low[first] + low[second], high[first] + high[second])


_DEPTH = "depths as the broker tells them"
_COUNTS = "the broker's counters"

DERIVED: tuple[Measure, ...] = (
    _derived(
        "total",
        "Messages",
        _STOCKED,
        "messages",
        "Messages in the queue, delivered and not yet acknowledged ones included",
        "ready + unacked",
        ("ready", "unacked"),
        _total,
        source=_DEPTH,
        bounds=_sum_bounds("ready", "unacked"),
    ),
    _derived(
        "growth",
        "Growth",
        _STOCKED,
        "messages/min",
        "How fast the backlog grows; below zero it shrinks",
        "60 × slope of the least-squares line through total over the last minute",
        ("ready", "unacked"),
        lambda columns: growth(columns["pace"]),
        source=_DEPTH,
        span_s=NOW_SPAN_S,
    ),
    _derived(
        "drain_time",
        "Drain time",
        _STOCKED,
        "s",
        "How long it takes to empty at the pace of the last minute; never, where it grows or stands still",
        "total / −(growth / 60)",
        ("ready", "unacked"),
        _drain(NOW_SPAN_S),
        source=_DEPTH,
        span_s=NOW_SPAN_S,
    ),
    _derived(
        "drain_time_recent",
        "Drain time, recent pace",
        _STOCKED,
        "s",
        "How long it takes to empty at the pace of the last ten minutes; never, where it grows or stands still",
        "total / −(slope of the least-squares line through total over the last ten minutes)",
        ("ready", "unacked"),
        _drain(RECENT_SPAN_S),
        source=_DEPTH,
        span_s=RECENT_SPAN_S,
    ),
    _derived(
        "redeliver_ratio",
        "Redelivered",
        _STOCKED,
        "ratio",
        "Share of the deliveries that were not a message's first",
        "redeliver_rate / deliver_rate",
        ("redeliver_rate", "deliver_rate"),
        lambda columns: ratio(columns["redeliver_rate"], columns["deliver_rate"]),
        source=_COUNTS,
    ),
    _derived(
        "prefetch_used",
        "Prefetch used",
        (_QUEUE,),
        "ratio",
        "Share of what the consumers may hold unacknowledged that they do hold; at 1 they get no more",
        "unacked / prefetch",
        ("unacked", "prefetch"),
        lambda columns: ratio(columns["unacked"], columns["prefetch"]),
        source="depths as the broker tells them, prefetch of its channels",
        bounds=lambda low, high: (
            ratio(low["unacked"], high["prefetch"]),
            ratio(high["unacked"], low["prefetch"]),
        ),
    ),
    _derived(
        "confirm_gap",
        "Confirm gap",
        (_BROKER,),
        "messages/s",
        "How much faster publishers that asked for confirms publish than they get them",
        "received_confirm_rate − confirm_rate",
        ("received_confirm_rate", "confirm_rate"),
        _minus("received_confirm_rate", "confirm_rate"),
        source=_COUNTS,
    ),
    _derived(
        "confirm_gap",
        "Confirm gap",
        (_VHOST, _EXCHANGE),
        "messages/s",
        "How much faster messages are published than confirmed; publishers without confirms count in full",
        "publish_rate − confirm_rate",
        ("publish_rate", "confirm_rate"),
        _minus("publish_rate", "confirm_rate"),
        source=_COUNTS,
    ),
    _derived(
        "no_confirm_rate",
        "Without confirms",
        (_BROKER,),
        "messages/s",
        "Messages published by publishers that did not ask for confirms: nobody tells them when one is lost",
        "publish_rate − received_confirm_rate",
        ("publish_rate", "received_confirm_rate"),
        lambda columns: np.maximum(columns["publish_rate"] - columns["received_confirm_rate"], 0.0),
        source=_COUNTS,
    ),
    _derived(
        "unroutable_rate",
        "Unroutable",
        (_VHOST, _EXCHANGE, _BROKER),
        "messages/s",
        "Messages that led to no queue: returned to their publisher or dropped",
        "return_rate + drop_rate",
        ("return_rate", "drop_rate"),
        _sum("return_rate", "drop_rate"),
        source=_COUNTS,
        bounds=_sum_bounds("return_rate", "drop_rate"),
    ),
)

# Of several objects these are not added up.
_GREATEST = frozenset(
    {
        "time_lag",
        "lag_source",
        "consumer_state",
        "stream_lag",
        "unconfirmed_highest",
        "memory_alarm",
        "disk_alarm",
    }
)
_LEAST = frozenset({"capacity", "running", "uptime"})

_LABELS = {
    "unacked": "Unacknowledged",
    "time_lag": "Time lag",
    "lag_source": "Source of the time lag",
    "stream_lag": "Stream lag",
    "fd_used": "File descriptors in use",
    "fd_limit": "File descriptor limit",
    "publish_rate": "Published",
    "confirm_rate": "Confirmed",
    "deliver_rate": "Delivered",
    "ack_rate": "Acknowledged",
    "redeliver_rate": "Redelivered",
    "return_rate": "Returned",
    "drop_rate": "Dropped",
    "dead_letter_rate": "Dead-lettered",
    "dead_letter_rejected_rate": "Dead-lettered: rejected",
    "dead_letter_expired_rate": "Dead-lettered: expired",
    "dead_letter_maxlen_rate": "Dead-lettered: queue full",
    "dead_letter_delivery_limit_rate": "Dead-lettered: delivery limit",
    "receive_rate": "Received",
    "received_confirm_rate": "Received, confirm asked for",
    "connection_open_rate": "Connections opened",
    "connection_close_rate": "Connections closed",
    "channel_open_rate": "Channels opened",
    "channel_close_rate": "Channels closed",
    "queue_create_rate": "Queues created",
    "queue_delete_rate": "Queues deleted",
}
_COMPUTED_AT_THE_TICK = {
    "time_lag": (
        "now − the time at which as many messages had entered as have left by now",
        "depths and counters since the head entered; head_message_timestamp or stream offsets where lag_source says so",
    ),
    "lag_source": (
        "0 counters, 1 timestamp of the head, 2 stream offsets, 3 at least, 4 about: see below",
        "computed with time_lag",
    ),
    "consumer_state": (
        "0 idle, 1 ok, 2 falling behind, 3 starved by prefetch, 4 stalled, 5 stopped",
        "computed at each poll from depths, consumers and counters of a sliding window",
    ),
}
_ACCUMULATED = "counted by the broker, accumulated over its restarts"
_AS_COUNTED = "as the broker counts it: it begins anew where the broker does, or the object is declared anew"
_FORMS = {Shape.GAUGE: Form.GAUGE, Shape.COUNTER: Form.COUNTER, Shape.STATE: Form.STATE}


def _label(name: str) -> str:
    return _LABELS.get(name, name.replace("_", " ").capitalize())


def _stored(kind: Kind, metric: Metric) -> Measure:
    formula, source = _COMPUTED_AT_THE_TICK.get(metric.name, ("as the broker tells it", "the broker"))
    if metric.shape is Shape.COUNTER:
        formula, source = _ACCUMULATED if kind in {_BROKER, _VHOST} else _AS_COUNTED, _COUNTS
    over = Over.MAX if metric.name in _GREATEST else Over.MIN if metric.name in _LEAST else Over.SUM
    label = _label(metric.name)
    return Measure(metric.name, (kind,), metric.unit, metric.says, formula, source, _FORMS[metric.shape], over, label)


def _rate(kind: Kind, rate: str, counter: Metric) -> Measure:
    return Measure(
        rate,
        (kind,),
        f"{counter.unit}/s",
        f"{counter.says}, a second",
        f"what {counter.name} grew by, a second, since a reading at least 9 s before",
        _COUNTS,
        Form.RATE,
        Over.SUM,
        _label(rate),
        (counter.name,),
    )


def _all_of(kind: Kind) -> dict[str, Measure]:
    stored = {metric.name: metric for metric in METRICS[kind]}
    found = {name: _stored(kind, metric) for name, metric in stored.items()}
    found |= {rate: _rate(kind, rate, stored[counter]) for rate, counter in RATES.items() if counter in stored}
    for one in DERIVED:
        missing = [name for name in one.needs if name not in found]
        if kind in one.kinds and not missing:
            found[one.name] = one
    return found


_REGISTRY: dict[Kind, dict[str, Measure]] = {kind: _all_of(kind) for kind in Kind}


def measures_of(kind: Kind) -> tuple[Measure, ...]:
    """Return all measures of a kind: stored ones, rates, derived ones."""
    return tuple(_REGISTRY[kind].values())


def measure(kind: Kind, name: str) -> Measure | None:
    """Return one measure of a kind by its name, None where the kind has none of it."""
    return _REGISTRY[kind].get(name)


def names_of(kind: Kind) -> tuple[str, ...]:
    """Return the names of a kind's measures."""
    return tuple(_REGISTRY[kind])
