"""What becomes of what is published to a broker: confirms, what waits for one, unroutable messages; churn.

Figures are live; the channels are those of the last reading of the definitions, each with the time of that.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from brokers.collect.channels import Publisher, Publishers, decode
from brokers.collect.models import PollState
from brokers.lag.measures import measure
from brokers.series.metrics import Kind
from dashboard import formats
from dashboard.cells import Cells
from dashboard.queries import broker_cells as cell
from dashboard.queries.broker_facts import BrokerFacts
from dashboard.queries.held import held, read_ms
from dashboard.queries.queue_measures import why_measure

# Channels that the page lists; more are counted.
CHANNELS_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the card: its label, the key of its cell, and what it means."""

    label: str
    key: str
    tip: str


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel in one of the lists; `figure` is formatted: messages that wait, or messages a second."""

    name: str
    vhost: str
    user: str
    figure: str


@dataclass(frozen=True, slots=True)
class Publishing:
    """All that the cards show. `why` says why nothing is known of channels, where it is not."""

    figures: tuple[Figure, ...]
    letters: tuple[Figure, ...]
    churn: tuple[Figure, ...]
    waiting: tuple[Channel, ...] = ()
    bare: tuple[Channel, ...] = ()
    bare_more: int = 0
    read_at: dt.datetime | None = None
    why: str = ""


# Labels and measures, all rates but two; what a vhost's sums don't have is left out for whoever sees only vhosts.
_FIGURES = (
    ("Published", "publish_rate"),
    ("Confirmed", "confirm_rate"),
    ("Confirm gap", "confirm_gap"),
    ("Without confirms", "no_confirm_rate"),
    ("Unconfirmed now", "unconfirmed"),
    ("Most on one channel", "unconfirmed_highest"),
    ("Returned", "return_rate"),
    ("Dropped", "drop_rate"),
)
_LETTERS = (
    ("Rejected", "dead_letter_rejected_rate"),
    ("Expired", "dead_letter_expired_rate"),
    ("Queue full", "dead_letter_maxlen_rate"),
    ("Delivery limit", "dead_letter_delivery_limit_rate"),
)
_CHURN = (
    ("Connections opened", "connection_open_rate"),
    ("Connections closed", "connection_close_rate"),
    ("Channels opened", "channel_open_rate"),
    ("Channels closed", "channel_close_rate"),
    ("Queues created", "queue_create_rate"),
    ("Queues deleted", "queue_delete_rate"),
)
_STOCKS = frozenset({"unconfirmed", "unconfirmed_highest"})


def publishing(facts: BrokerFacts, poll: PollState | None, zone: dt.tzinfo) -> tuple[Publishing, Cells]:
    """Return the cards of a broker as one person sees it, and their cells."""
    kind = facts.kind
    cells: Cells = {}
    groups = [_group(facts, kind, lines, cells) for lines in (_FIGURES, _LETTERS, _CHURN)]
    told = decode(poll.publishers) if poll is not None else Publishers()
    return (
        Publishing(
            figures=groups[0],
            letters=groups[1],
            churn=groups[2],
            waiting=tuple(_channel(one, _waits(one)) for one in told.waiting[:CHANNELS_SHOWN]),
            bare=tuple(_channel(one, _paces(one)) for one in told.without_confirms[:CHANNELS_SHOWN]),
            bare_more=max(0, (told.without_confirms_count or 0) - len(told.without_confirms[:CHANNELS_SHOWN])),
            read_at=formats.moment(told.at_ms, zone),
            why=told.why,
        ),
        cells,
    )


def figure(facts: BrokerFacts, kind: Kind, name: str) -> float:
    """Return a measure of all that a person sees of a broker, NaN for *unknown*: derived ones of sums."""
    found = measure(kind, name)
    if found is None or found.compute is None:
        return facts.total(name)
    return float(found.compute({one: np.array([facts.total(one)]) for one in found.needs})[0])


def _group(facts: BrokerFacts, kind: Kind, lines: Sequence[tuple[str, str]], cells: Cells) -> tuple[Figure, ...]:
    found = []
    for label, name in lines:
        known = measure(kind, name)
        if known is None:
            continue
        key = f"b.{facts.id}.{name}"
        value = figure(facts, kind, name) if facts.fresh else cell.NAN
        why = why_measure(kind, name, facts.unknown) or cell.why_unknown(facts)
        # A gap of rates that were read a moment apart is as often a little below zero as above.
        value = max(value, 0.0) if name == "confirm_gap" and not np.isnan(value) else value
        made = cell.count(value, why) if name in _STOCKS else cell.rate(value, why)
        cells[key] = held(made, read_ms(facts.shown, kind, name))
        found.append(Figure(label, key, known.says))
    return tuple(found)


def _channel(one: Publisher, figure_shown: str) -> Channel:
    return Channel(one.channel, one.vhost, one.user or "", figure_shown)


def _waits(one: Publisher) -> str:
    return formats.UNKNOWN if one.unconfirmed is None else formats.count(one.unconfirmed)


def _paces(one: Publisher) -> str:
    return formats.UNKNOWN if one.rate is None else f"{formats.rate(one.rate)} /s"
