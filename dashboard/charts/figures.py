"""What the charts show: each figure described once, as data, for the server's reads and the browser's drawing alike.

A figure names its traces by metric (brokers.series.metrics), with the colour token, dash and area that the design gives
them: hue says the side of the broker, line style the step. Stocks and flows never share a figure. Nothing here
comes from a broker: a figure holds no name that somebody else chose. static/js/charts.js draws what stands here.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from brokers.series.metrics import Kind, readable_names


class Axis(StrEnum):
    """What an axis counts, and so how its figures are written: how many there are, how many a second, and so on."""

    STOCK = "stock"
    FLOW = "flow"
    BYTES = "bytes"
    SECONDS = "seconds"
    SHARE = "share"
    CONSUMER_STATE = "consumer_state"
    LAG_SOURCE = "lag_source"


class Trace(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line. `token` is the CSS custom property of its colour; `dash` as SVG has it, empty for solid."""

    metric: str
    name: str
    token: str
    dash: str = ""
    # "plain" or "hatched": the surface under the line is filled.
    area: str = ""
    # Drawn on top of the trace before it.
    stacked: bool = False
    # The value holds until the next: drawn as steps.
    steps: bool = False
    # Belongs to the axis on the right.
    right: bool = False
    # There are points `METRIC:low` and `METRIC:high` as well, drawn as a soft band around the line.
    band: bool = False
    # There are points `METRIC:then` as well, of another time: drawn dashed and pale in the same colour, by this name.
    then: str = ""

    @property
    def style(self) -> str:
        """The end of the class names that draw the trace in legends (static/css/charts.css)."""
        return self.token.removeprefix("--").removeprefix("s-").removesuffix("-letter")


class Figure(msgspec.Struct, frozen=True, omit_defaults=True):
    """One chart: `key` is unique on its page, `says` is the unit in words."""

    key: str
    title: str
    says: str
    axis: Axis
    traces: tuple[Trace, ...]
    # The least upper end of the axis: 14 messages that come and go should not fill it.
    floor: float
    tall: bool = False
    # What a second axis on the right counts; None: there is none.
    right: Axis | None = None
    right_floor: float = 1
    # Lines are named at their ends; otherwise a list beside the chart names them.
    ends: bool = True

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of its traces."""
        return tuple(trace.metric for trace in self.traces)


DASHED = "6px,4px"
DOTTED = "1px,4px"

_READY = Trace("ready", "ready", "--s-ready", area="plain", band=True)
_UNACKED = Trace("unacked", "unacknowledged", "--s-unacked", area="hatched", stacked=True)
_PUBLISH = Trace("publish_rate", "publish", "--s-publish", band=True)
_CONFIRM = Trace("confirm_rate", "confirm", "--s-confirm", dash=DASHED, band=True)
_DELIVER = Trace("deliver_rate", "deliver", "--s-deliver", band=True)
_ACK = Trace("ack_rate", "ack", "--s-ack", dash=DASHED, band=True)
_REDELIVER = Trace("redeliver_rate", "redeliver", "--s-redeliver", dash=DOTTED, band=True)

WAITING = Figure("waiting", "Waiting", "messages", Axis.STOCK, (_READY, _UNACKED), floor=10)
FLOW = Figure("flow", "Flow", "messages a second", Axis.FLOW, (_PUBLISH, _CONFIRM, _DELIVER, _ACK, _REDELIVER), floor=1)
CONSUMERS = Figure(
    "consumers",
    "Consumers",
    "subscribed",
    Axis.STOCK,
    (Trace("consumers", "consumers", "--s-ready", steps=True, band=True),),
    floor=4,
)
LAG = Figure(
    "lag",
    "Time lag",
    "age of the oldest message that is not acknowledged",
    Axis.SECONDS,
    (Trace("time_lag", "time lag", "--s-lag", area="plain", band=True),),
    floor=5,
)
CHURN = Figure(
    "churn",
    "Churn",
    "opened and closed a second",
    Axis.FLOW,
    (
        Trace("connection_open_rate", "connections opened", "--s-ready"),
        Trace("connection_close_rate", "connections closed", "--s-ready", dash=DASHED),
        Trace("channel_open_rate", "channels opened", "--s-unacked"),
        Trace("channel_close_rate", "channels closed", "--s-unacked", dash=DASHED),
    ),
    floor=1,
)


def readable(figure: Figure, kind: Kind) -> Figure | None:
    """Return the figure with the traces that objects of a kind have; None where it would be empty."""
    names = readable_names(kind)
    traces = tuple(trace for trace in figure.traces if trace.metric in names)
    return msgspec.structs.replace(figure, traces=traces) if traces else None


def queue_figures() -> tuple[Figure, ...]:
    """Return the charts of a queue: what waits, how long, what moves, who consumes."""
    return (msgspec.structs.replace(WAITING, tall=True), *_kept((LAG, FLOW, CONSUMERS), Kind.QUEUE))


def broker_figures(kind: Kind) -> tuple[Figure, ...]:
    """Return the charts of a broker: of the whole (Kind.BROKER), or of a sum over vhosts (Kind.VHOST), which has no
    connections."""
    return _kept((FLOW, WAITING, CHURN), kind)


def _kept(figures: Iterable[Figure], kind: Kind) -> tuple[Figure, ...]:
    return tuple(kept for kept in (readable(figure, kind) for figure in figures) if kept is not None)


def metrics_of(figures: Iterable[Figure]) -> tuple[str, ...]:
    """Return all metrics of some figures, each once."""
    return tuple(dict.fromkeys(metric for figure in figures for metric in figure.metrics))
