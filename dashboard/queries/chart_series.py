"""Series for charts, read once and then grown: a chart that follows the present reads only what is new.

Reading an hour of a broker with 10,000 queues opens 720 snapshots and takes 0.3 s [measured]; growing what is held by
one tick opens a dozen. What is held is keyed by what was asked, so that everybody who looks at the same chart
shares it. Rights are not asked here: whoever calls has decided which slots a person may see.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from brokers.lag.read import Many, Series, read, read_each
from brokers.series.metrics import Kind
from dashboard.charts.window import Window

# Charts held in memory: 720 points × 7 metrics are 45 kB.
_HELD = 128
# Ranges up to so many points are read while the page waits; longer ones come by a request of their own.
AT_ONCE = 200
# Read so much beyond the end, for the clocks of two processes may differ by a moment.
_CLOCKS_MS = 1_000


@dataclass(frozen=True, slots=True)
class Subject:
    """What a chart is of: one object, or the sum over several of one kind."""

    broker_id: int
    kind: Kind
    slots: tuple[int, ...]
    metrics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Held:
    """What was read from `start_ms` on."""

    start_ms: int
    series: Series


# What is charted, the step, and how far back the window lies.
_Key = tuple[Subject, int, int]
_held: OrderedDict[_Key, _Held] = OrderedDict()
_lock = threading.Lock()


def series_of(subject: Subject, window: Window) -> Series:
    """Return the series of a window, from memory as far as it is there."""
    if not window.follows:
        return _read(subject, window, window.start_ms)
    key = (subject, window.step_ms, window.shift_ms)
    held = _get(key)
    if held is not None and _reaches(held, window):
        found = _grown(held.series, subject, window)
    else:
        found = _read(subject, window, window.start_ms)
    _put(key, _Held(window.start_ms, found))
    return found


def all_series(subjects: Sequence[Subject], window: Window) -> list[Series]:
    """Return the series of several subjects, in their order: those of one broker and kind are read together."""
    starts = {subject: _from(subject, window) for subject in subjects}
    groups: dict[tuple[int, Kind, int], list[Subject]] = {}
    found: dict[Subject, Series] = {}
    for subject, (start_ms, _) in starts.items():
        if len(subject.slots) == 1:
            groups.setdefault((subject.broker_id, subject.kind, start_ms), []).append(subject)
        else:
            found[subject] = series_of(subject, window)
    for (broker_id, kind, start_ms), group in groups.items():
        slots = sorted({subject.slots[0] for subject in group})
        names = list(dict.fromkeys(name for subject in group for name in subject.metrics))
        end_ms = window.end_ms + _CLOCKS_MS
        many = read_each(broker_id, kind, slots, names, start_ms, end_ms, step_ms=window.step_ms)
        for subject in group:
            series = _one_of(many, slots.index(subject.slots[0]), subject.metrics)
            if window.follows:
                held = starts[subject][1]
                series = on_grid(series, window.step_ms)
                series = joined(since(held, window.start_ms), series) if held else series
                _put((subject, window.step_ms, window.shift_ms), _Held(window.start_ms, series))
            found[subject] = series
    return [found[subject] for subject in subjects]


def _from(subject: Subject, window: Window) -> tuple[int, Series | None]:
    """Return from when on a subject is to be read, and what of it is held before."""
    held = _get((subject, window.step_ms, window.shift_ms)) if window.follows else None
    if held is None or not _reaches(held, window):
        return window.start_ms, None
    again = int(held.series.times_ms[-1]) // window.step_ms * window.step_ms
    return max(again, window.start_ms), held.series


def _one_of(many: Many, row: int, names: Sequence[str]) -> Series:
    return Series(
        many.times_ms,
        {name: many.values[name][row] for name in names},
        many.step_ms,
        {name: many.low[name][row] for name in names},
        {name: many.high[name][row] for name in names},
        many.resolution_ms,
    )


def at_once(subject: Subject, window: Window) -> bool:
    """Tell whether the window is cheap enough to be read while a page waits."""
    if (window.end_ms - window.start_ms) <= AT_ONCE * max(window.step_ms, 5_000):
        return True
    held = _get((subject, window.step_ms, window.shift_ms)) if window.follows else None
    return held is not None and _reaches(held, window)


def since(series: Series, start_ms: int) -> Series:
    """Return the part of a series from a moment on."""
    first = int(np.searchsorted(series.times_ms, start_ms))
    if first == 0:
        return series
    return series.part(slice(first, None))


def joined(older: Series, newer: Series) -> Series:
    """Return one series of two that have the same metrics; where they overlap the newer one holds."""
    if not len(newer.times_ms):
        return older
    keep = int(np.searchsorted(older.times_ms, newer.times_ms[0]))
    return Series(
        np.concatenate((older.times_ms[:keep], newer.times_ms)),
        {name: np.concatenate((values[:keep], newer.values[name])) for name, values in older.values.items()},
        newer.step_ms,
        {name: np.concatenate((values[:keep], newer.low[name])) for name, values in older.low.items()},
        {name: np.concatenate((values[:keep], newer.high[name])) for name, values in older.high.items()},
        max(older.resolution_ms, newer.resolution_ms),
    )


def forget() -> None:
    """Drop everything that is held."""
    with _lock:
        _held.clear()


def _grown(held: Series, subject: Subject, window: Window) -> Series:
    # The last step may have been read before it was over: it is read again.
    again = int(held.times_ms[-1]) // window.step_ms * window.step_ms
    return joined(since(held, window.start_ms), _read(subject, window, max(again, window.start_ms)))


def _reaches(held: _Held, window: Window) -> bool:
    """Tell whether what is held begins where the window does or before, and ends inside it."""
    times = held.series.times_ms
    return bool(held.start_ms <= window.start_ms and len(times) and times[-1] >= window.start_ms)


def _read(subject: Subject, window: Window, start_ms: int) -> Series:
    found = read(
        subject.broker_id,
        subject.kind,
        subject.slots,
        subject.metrics,
        start_ms,
        window.end_ms + _CLOCKS_MS,
        step_ms=window.step_ms,
    )
    return on_grid(found, window.step_ms) if window.follows else found


def on_grid(series: Series, step_ms: int) -> Series:
    """Return a series whose times are the beginnings of their steps.

    The last step goes on while it is shown: so its point keeps its place and changes its value.
    """
    return replace(series, times_ms=series.times_ms // step_ms * step_ms)


def _get(key: _Key) -> _Held | None:
    with _lock:
        if key in _held:
            _held.move_to_end(key)
        return _held.get(key)


def _put(key: _Key, held: _Held) -> None:
    with _lock:
        _held[key] = held
        _held.move_to_end(key)
        while len(_held) > _HELD:
            _held.popitem(last=False)
