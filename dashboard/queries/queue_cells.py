"""The cells of a queue's figures: what the strip at the top of its page shows, with an hour of each. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import numpy as np

from brokers.series.read import Series
from dashboard import formats
from dashboard.cells import Cell, Cells
from dashboard.queries import broker_cells as cell
from dashboard.queries.fleet import balance
from dashboard.queries.queue_measures import drain_cell, growth_cell, lag_cell

# What the strip shows: the end of the key, the metric.
STOCKS = {"ready": "ready", "unacked": "unacked", "consumers": "consumers"}
FLOWS = {"publish": "publish_rate", "deliver": "deliver_rate", "ack": "ack_rate", "redeliver": "redeliver_rate"}
STRIP_METRICS = (*STOCKS.values(), *FLOWS.values())
# What follows from these: the second strip.
DERIVED = ("time_lag", "lag_source", "drain_time", "drain_time_recent", "growth", "prefetch_used")
SIZES = ("message_bytes", "memory", "capacity", "prefetch", "stream_lag")
SHOWN = (
    ("Time lag", ".lag"),
    ("Empty in", ".drain"),
    ("Growth", ".growth"),
    ("Prefetch used", ".prefetch"),
    ("Bytes", ".bytes"),
    ("Capacity", ".capacity"),
)
# Of a stream nothing is removed by reading: there is nothing to drain and nothing to redeliver.
STREAM_SHOWN = (("Time lag", ".lag"), ("Stream lag", ".offsets"), ("Bytes", ".bytes"))
METRICS = (*STRIP_METRICS, *DERIVED, *SIZES)
# The cells of figures: the end of the key, the metric.
FIGURES = {
    **STOCKS,
    **FLOWS,
    "lag": "time_lag",
    "drain": "drain_time",
    "growth": "growth",
    "prefetch": "prefetch_used",
    "bytes": "message_bytes",
    "capacity": "capacity",
    "offsets": "stream_lag",
}
STRIP_MS, STRIP_STEP_MS = 3_600_000, 60_000


def figures(
    key: str, now: Mapping[str, float], hour: Series, why: Mapping[str, str], *, at: str, zone: dt.tzinfo
) -> Cells:
    """Return the cells of a queue.

    `now` has its figures by metric, NaN for unknown; `why` says why one is unknown; `at` is the time of figures that
    are not of now: stocks then keep their last figure with it, and rates are unknown.
    """
    cells: Cells = {}
    for word, metric in STOCKS.items():
        cells[f"{key}.{word}"] = cell.count(now[metric], why[metric])
        cells[f"{key}.{word}.spark"] = cell.spark(
            hour.values[metric], hour.times_ms, floor=50 if word != "consumers" else 4, area=word == "ready"
        )
    for word, metric in FLOWS.items():
        cells[f"{key}.{word}"] = cell.rate(cell.NAN if at else now[metric], why[metric])
        cells[f"{key}.{word}.spark"] = cell.spark(hour.values[metric], hour.times_ms, area=False)
    details = {
        "ready": at or peak(hour, now["ready"], zone),
        "unacked": at or ("" if np.isnan(now["unacked"]) else "held by consumers"),
        "consumers": at or "subscribed",
        "publish": "",
        "deliver": "",
        "ack": "" if at else balance(now["publish_rate"], now["ack_rate"]),
        "redeliver": "" if at else _again(now["deliver_rate"], now["redeliver_rate"]),
    }
    return {**cells, **{f"{key}.{word}.detail": Cell(text=text) for word, text in details.items()}}


def derived(key: str, now: Mapping[str, float], why: Mapping[str, str], *, past: bool, stream: bool) -> Cells:
    """Return the cells of what follows from a queue's figures; `past`: they are not of now, so no pace is known."""

    def pace(name: str) -> float:
        return cell.NAN if past else now[name]

    used = now["prefetch_used"]
    cells = {
        f"{key}.lag": lag_cell(now["time_lag"], now["lag_source"], why["time_lag"]),
        f"{key}.lag.detail": Cell(text=_from(now["lag_source"])),
        f"{key}.growth": growth_cell(pace("growth"), why["growth"], unit=True),
        f"{key}.growth.detail": Cell(text="over the last minute"),
        f"{key}.drain": drain_cell(pace("drain_time"), why["drain_time"]),
        f"{key}.drain.detail": Cell(text=_recently(pace("drain_time_recent"))),
        f"{key}.prefetch": _share(used, _no_prefetch(now) or why["prefetch_used"]),
        f"{key}.prefetch.detail": Cell(text=_held(now)),
        f"{key}.bytes": _size(now["message_bytes"], why["message_bytes"]),
        f"{key}.bytes.detail": Cell(text=_memory(now["memory"])),
        f"{key}.capacity": _share(now["capacity"], why["capacity"]),
        f"{key}.capacity.detail": Cell(text="of the time free to deliver"),
    }
    if stream:
        cells[f"{key}.offsets"] = cell.count(now["stream_lag"], why["stream_lag"])
        cells[f"{key}.offsets.detail"] = Cell(text="messages behind the end, the slowest reader")
    return cells


_SHORT_SOURCES = {
    0: "from counters",
    1: "from the head’s timestamp",
    2: "from offsets",
    3: "at least",
    4: "about, from late figures",
}


def _from(source: float) -> str:
    return "" if np.isnan(source) else _SHORT_SOURCES.get(int(source), "")


def _recently(seconds: float) -> str:
    return "" if np.isnan(seconds) else f"{formats.drain(seconds)} at the pace of 10 min"


def _held(now: Mapping[str, float]) -> str:
    if np.isnan(now["prefetch"]) or np.isnan(now["unacked"]):
        return ""
    return f"{formats.count(now['unacked'])} of {formats.count(now['prefetch'])} held"


def _no_prefetch(now: Mapping[str, float]) -> str:
    if now["consumers"] == 0:
        return "Nobody is subscribed."
    return "Its consumers have no limit, or have only just come." if now["consumers"] > 0 else ""


def _memory(number: float) -> str:
    return "" if np.isnan(number) else f"{formats.size(number)} of memory"


def _share(value: float, why: str) -> Cell:
    return (
        Cell(text=formats.UNKNOWN, unknown=why)
        if np.isnan(value)
        else Cell(text=formats.percent(value), zero=value == 0)
    )


def _size(number: float, why: str) -> Cell:
    if np.isnan(number):
        return Cell(text=formats.UNKNOWN, unknown=why)
    return Cell(text=formats.size(number), exact=formats.exact_size(number), zero=number == 0)


def peak(hour: Series, now: float, zone: dt.tzinfo) -> str:
    """Say when in the last hour most messages waited; `now` is how many do, NaN for *unknown*.

    What counts is the greatest single reading, not the mean of its minute.
    """
    ready = hour.high.get("ready", hour.values["ready"])
    if not len(ready) or np.isnan(ready).all():
        return ""
    highest = int(np.nanargmax(ready))
    if max(ready[highest], 0 if np.isnan(now) else now) == 0:
        return "empty for an hour" if len(ready) > 50 else ""
    if now >= ready[highest]:
        return "highest of the hour"
    return f"peak {formats.count(float(ready[highest]))} at {formats.time_of_day(int(hour.times_ms[highest]), zone)}"


def _again(delivered: float, again: float) -> str:
    if np.isnan(delivered) or np.isnan(again):
        return ""
    return f"{formats.percent(again / delivered)} of deliveries" if delivered > 0 else "nothing is delivered"
