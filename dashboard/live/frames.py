"""What a frame says: a whole state, or what differs between the view that was sent last and the newest. Pure."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import msgspec

from dashboard.cells import ChartPoints, View

Frame = dict[str, Any]


class ChartFrame(msgspec.Struct, frozen=True, omit_defaults=True):
    """Points of one chart in a frame.

    `full`: they are the whole window. Otherwise the browser drops its points before `start`, and from the first of
    `times` on, and appends these; where `times` is empty only the window's start has moved.
    """

    times: list[int]
    values: dict[str, list[float | None]]
    start: int = 0
    full: bool = False


def state(sub: str, seq: int, view: View, now_ms: int) -> Frame:
    """Return the frame of a whole view. `now_ms` is the server's clock, which ages count from."""
    frame: Frame = {"op": "state", "sub": sub, "seq": seq, "now_ms": now_ms, "at_ms": view.at_ms, "cells": view.cells}
    if view.order is not None:
        frame["order"] = view.order
    if view.charts:
        frame["charts"] = {key: _whole(points) for key, points in view.charts.items()}
    if view.shape:
        frame["shape"] = view.shape
    return frame


def change(sub: str, seq: int, before: View, after: View, now_ms: int) -> Frame | None:
    """Return the frame that turns `before` into `after`; None where nothing differs.

    Holds, of the fields of a state, only those that changed; of `cells` only those that differ, `gone` their keys that
    are no more.
    """
    if before is after:
        return None
    frame: Frame = {}
    cells = {key: cell for key, cell in after.cells.items() if before.cells.get(key) != cell}
    if cells:
        frame["cells"] = cells
    gone = [key for key in before.cells if key not in after.cells]
    if gone:
        frame["gone"] = gone
    if after.order != before.order:
        frame["order"] = after.order
    charts = _charts(before.charts, after.charts)
    if charts:
        frame["charts"] = charts
    if after.shape != before.shape:
        frame["shape"] = after.shape
    if after.at_ms != before.at_ms:
        frame["at_ms"] = after.at_ms
    if not frame:
        return None
    return {"op": "change", "sub": sub, "seq": seq, "now_ms": now_ms, **frame}


def refused(sub: str | None, sentence: str) -> Frame:
    """Return the frame that ends a subscription, or (`sub` None) says why a message was not understood."""
    return {"op": "refused", "sub": sub, "sentence": sentence} if sub else {"op": "refused", "sentence": sentence}


def _whole(points: ChartPoints) -> ChartFrame:
    return ChartFrame(points.times, points.values, points.times[0] if points.times else 0, full=True)


def _charts(before: dict[str, ChartPoints], after: dict[str, ChartPoints]) -> dict[str, ChartFrame]:
    found: dict[str, ChartFrame] = {}
    for key, points in after.items():
        held = before.get(key)
        if held is None:
            found[key] = _whole(points)
        elif held != points:
            found[key] = _newer(held, points)
    for key in before:
        if key not in after:
            found[key] = _whole(ChartPoints([], {}))
    return found


def _newer(before: ChartPoints, after: ChartPoints) -> ChartFrame:
    """Return the points from the first one that differs, the whole window where they share no beginning."""
    if not after.times or not before.times or before.values.keys() != after.values.keys():
        return _whole(after)
    skip = bisect_left(before.times, after.times[0])
    same = _common(before.times, after.times, skip, min(len(before.times) - skip, len(after.times)))
    for name, values in after.values.items():
        same = _common(before.values[name], values, skip, same)
    left = before.times[skip + same :]
    if same == 0 or (left and (same == len(after.times) or left[0] < after.times[same])):
        # The browser would keep points that are no more.
        return _whole(after)
    return ChartFrame(
        after.times[same:], {name: points[same:] for name, points in after.values.items()}, after.times[0]
    )


def _common(before: list[Any], after: list[Any], skip: int, most: int) -> int:
    """Return how many elements of `after` are those of `before` from `skip` on, at most `most`."""
    if before[skip : skip + most] == after[:most]:
        return most
    for index in range(most):
        if before[skip + index] != after[index]:
            return index
    return most
