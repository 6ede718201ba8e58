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

# What the strip shows: the end of the key, the metric.
STOCKS = {"ready": "ready", "unacked": "unacked", "consumers": "consumers"}
FLOWS = {"publish": "publish_rate", "deliver": "deliver_rate", "ack": "ack_rate", "redeliver": "redeliver_rate"}
STRIP_METRICS = (*STOCKS.values(), *FLOWS.values())
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
        "ready": at or peak(hour, zone),
        "unacked": at or ("" if np.isnan(now["unacked"]) else "held by consumers"),
        "consumers": at or "subscribed",
        "publish": "",
        "deliver": "",
        "ack": "" if at else balance(now["publish_rate"], now["ack_rate"]),
        "redeliver": "" if at else _again(now["deliver_rate"], now["redeliver_rate"]),
    }
    return {**cells, **{f"{key}.{word}.detail": Cell(text=text) for word, text in details.items()}}


def peak(hour: Series, zone: dt.tzinfo) -> str:
    """Say when in the last hour most messages waited."""
    ready = hour.values["ready"]
    if not len(ready) or np.isnan(ready).all():
        return ""
    highest = int(np.nanargmax(ready))
    if ready[highest] == 0:
        return "empty for an hour" if len(ready) > 50 else ""
    return f"peak {formats.count(float(ready[highest]))} at {formats.time_of_day(int(hour.times_ms[highest]), zone)}"


def _again(delivered: float, again: float) -> str:
    if np.isnan(delivered) or np.isnan(again):
        return ""
    return f"{formats.percent(again / delivered)} of deliveries" if delivered > 0 else "nothing is delivered"
