"""Reading an exposition that is the one before it but for some values: only the lines that differ are taken apart.

From one scrape to the next an exporter mostly writes the same lines in the same order, and few of the values change. Of
the last body it is known where its lines and their values begin. The next one is compared with it as it stands, no
object is made of what is the same; where anything but values differs it is read as a whole.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from brokers.rabbitmq import exposition
from brokers.rabbitmq.exposition import Samples, Taken

# Depth of a large broker is read every half a minute, what is dearer every few minutes.
KEPT_S = 90.0

Places = NDArray[np.int32]
Bytes = NDArray[np.uint8]

_NEWLINE, _SPACE, _COMMENT = 10, 32, 35
# Behind a value that became longer or shorter all is moved. A body with more of them is read as a whole.
_MOVES = 2_000
# What is a value in the plain form (see exposition); Python takes 1_000 for a number, the format does not.
_VALUE = re.compile(rb"[^ \n\t}_]+")


class Labels(list[bytes]):
    """Label texts of a metric's samples; `memo` is for what somebody found out of them."""

    __slots__ = ("memo",)

    def __init__(self, texts: Iterable[bytes]) -> None:
        super().__init__(texts)
        self.memo: object = None


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the lines of a body begin and end (at their line's end), and where their values begin: at the line's end
    where it has none, as comments have.

    `place`: by line the place of its sample among all that are wanted, -1 where it is none.
    """

    body: Bytes
    starts: Places
    values_at: Places
    ends: Places
    place: Places


class Again:
    """The last body of one address and what was read of it, to read the next one by. Usable from several threads.

    Of a metric whose objects are those of the last body the labels are the same list, and where no value of it
    changed either, the values are the same array. Neither is to be changed.
    """

    def __init__(self) -> None:
        self._names: frozenset[str] = frozenset()
        self._layout: _Layout | None = None
        self._found: dict[str, Samples] = {}
        self._lock = threading.Lock()

    def samples(self, body: bytes, names: Collection[str]) -> dict[str, Samples]:
        """Return the samples of the wanted metrics; see exposition.samples, which gives the same."""
        exposition.check_whole(body)
        wanted = frozenset(names)
        with self._lock:
            if self._layout is None or wanted != self._names or not self._reread(body, self._layout):
                read = exposition.read(body, names)
                self._names, self._layout = wanted, _layout_of(body, read)
                self._found = _shared(read)
            return dict(self._found)

    def _reread(self, body: bytes, last: _Layout) -> bool:
        """Take the values that differ; False: anything else differs too, and nothing was taken."""
        now = _laid_out(last, np.frombuffer(body, dtype=np.uint8))
        changed = _changed(last, now) if now is not None else None
        if now is None or changed is None:
            return False
        changed = changed[now.place[changed] >= 0]
        begins, ends = now.values_at[changed].tolist(), now.ends[changed].tolist()
        told = [body[begin:end] for begin, end in zip(begins, ends, strict=True)]
        if not all(map(_VALUE.fullmatch, told)):
            return False
        try:
            numbers = np.fromiter(map(float, told), dtype=np.float64, count=len(told))
        except ValueError:
            return False
        self._layout, self._found = now, _with(self._found, now.place[changed], numbers)
        return True


class Bodies:
    """The last bodies by address; what was not asked for in KEPT_S seconds is let go, for bodies are long."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_url: dict[str, tuple[Again, float]] = {}
        self._lock = threading.Lock()

    def of(self, url: str) -> Again:
        """Return what is kept of an address, empty at first."""
        now = self._clock()
        with self._lock:
            self._by_url = {one: kept for one, kept in self._by_url.items() if now - kept[1] <= KEPT_S}
            found = self._by_url[url][0] if url in self._by_url else Again()
            self._by_url[url] = found, now
        return found


def _layout_of(body: bytes, read: Mapping[str, Taken]) -> _Layout | None:
    """Return where everything stands in a body that was read as a whole; None where it is not in the plain form."""
    text = np.frombuffer(body, dtype=np.uint8)
    ends = np.flatnonzero(text == _NEWLINE)
    starts = np.concatenate(([0], ends[:-1] + 1))
    spaces = np.flatnonzero(text == _SPACE)
    # The last space of each line, if there is one in it.
    last = np.concatenate(([-1], spaces))[np.searchsorted(spaces, ends)]
    has_value = (last >= starts) & (text[starts] != _COMMENT)
    place = np.full(len(ends), -1, dtype=np.int32)
    taken = 0
    if not read:
        return None
    for one in read.values():
        if one.runs is None:
            return None
        for begin, end in one.runs:
            lines = slice(*np.searchsorted(starts, (begin, end)).tolist())
            many = lines.stop - lines.start
            place[lines] = np.arange(taken, taken + many)
            taken += many
    if taken != sum(len(one.samples[1]) for one in read.values()):
        return None
    values_at = np.where(has_value, last + 1, ends)
    return _Layout(text, starts.astype(np.int32), values_at.astype(np.int32), ends.astype(np.int32), place)


def _shared(read: Mapping[str, Taken]) -> dict[str, Samples]:
    """Return the samples; labels that are the same become one list."""
    found: dict[str, Samples] = {}
    for name, one in read.items():
        labels, values = one.samples
        values.setflags(write=False)
        held = [held for held, _ in found.values() if held == labels]
        found[name] = held[0] if held else Labels(labels), values
    return found


def _laid_out(last: _Layout, body: Bytes) -> _Layout | None:
    """Return where everything stands in a body that has the lines of the last, but for their values; None: it has other
    lines for sure."""
    if len(body) == len(last.body) and not (body[last.ends] != _NEWLINE).any():
        # There may be more lines' ends, in values: what is between is compared all the same.
        return _Layout(body, last.starts, last.values_at, last.ends, last.place)
    ends = np.flatnonzero(body == _NEWLINE).astype(np.int32)
    if len(ends) != len(last.ends):
        return None
    starts = np.concatenate((np.zeros(1, dtype=np.int32), ends[:-1] + 1))
    return _Layout(body, starts, last.values_at + (starts - last.starts), ends, last.place)


def _changed(last: _Layout, now: _Layout) -> NDArray[np.intp] | None:
    """Return the lines whose values differ; None where anything else does."""
    moved = now.starts - last.starts
    edges = np.concatenate(([0], np.flatnonzero(np.diff(moved)) + 1, [len(moved)]))
    fixed = last.values_at == last.ends
    if len(edges) > _MOVES or (now.values_at > now.ends).any() or ((now.values_at == now.ends) != fixed).any():
        return None
    # Those before a move became longer or shorter; so may the last.
    found = [edges[1:] - 1]
    for differs in _differences(last, now, edges):
        lines = np.searchsorted(now.ends, differs)
        if (differs < now.values_at[lines]).any() or (now.body[differs] == _NEWLINE).any():
            return None
        found.append(lines)
    return np.unique(np.concatenate(found))


def _differences(last: _Layout, now: _Layout, edges: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """Yield where the bodies differ: of stretches of lines that moved by the same, but for the last line's value."""
    for first, behind in pairwise(edges.tolist()):
        begin, end = int(now.starts[first]), int(now.values_at[behind - 1])
        by = begin - int(last.starts[first])
        differs = now.body[begin:end] != last.body[begin - by : end - by]
        yield np.flatnonzero(differs) + begin


def _with(found: Mapping[str, Samples], places: Places, numbers: NDArray[np.float64]) -> dict[str, Samples]:
    """Return samples with other values in some places; metrics in which nothing changed stay as they are."""
    changed: dict[str, Samples] = {}
    begin = 0
    for name, (labels, values) in found.items():
        end = begin + len(values)
        inside = (places >= begin) & (places < end)
        if inside.any():
            values = values.copy()  # noqa: PLW2901
            values[places[inside] - begin] = numbers[inside]
            values.setflags(write=False)
        changed[name] = labels, values
        begin = end
    return changed
