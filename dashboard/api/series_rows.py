"""A range of many objects as text, a row for each object and time, a piece at a time: JSON lines or CSV.

Nothing but one piece is ever in memory. A piece covers all objects over a stretch of time, or a part of them over one
step where they are very many, so that rows ascend by time and every stored block is read about once.
"""

from __future__ import annotations

import csv
import io
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from brokers.series.metrics import Kind
from dashboard.api.series_asked import Asked, Form
from dashboard.api.series_objects import Named, Subject
from dashboard.api.shapes import figure, figure_or_never, moment
from dashboard.queries import measured
from dashboard.queries.measured import Many

logger = logging.getLogger(__name__)

# Values that are read at once, and rows that are written at once: some 10 MB, and some 50 ms of a thread.
PIECE_VALUES = 500_000
PIECE_ROWS = 5_000
# What begins a formula in some spreadsheet, in full width too; white space before it does not keep one from it.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_BLANKS_THAT_COUNT = ("\t", "\r", "\n")
_LOW, _HIGH = "_low", "_high"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a stream is to hold. `spread`: least and greatest within each step too."""

    broker_id: int
    kind: Kind
    subject: Subject
    asked: Asked
    form: Form
    spread: bool = False

    @property
    def objects(self) -> tuple[Named, ...]:
        """Return what there are rows of: the objects, or the broker where one figure for all of them is asked for."""
        return (Named(0, "", ""),) if self.subject.summed else self.subject.objects

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the figures of a row."""
        if not self.spread:
            return self.asked.metrics
        return tuple(name + end for name in self.asked.metrics for end in ("", _LOW, _HIGH))


@dataclass(frozen=True, slots=True)
class Piece:
    """Objects `first` to `last` (not included) of a subject, between two moments."""

    first: int
    last: int
    start_ms: int
    end_ms: int


def pieces(objects: int, asked: Asked, most: int = PIECE_VALUES) -> Iterator[Piece]:
    """Yield what is read at once, ascending by time; each begins a whole number of steps after the start. Pure."""
    if not objects:
        return
    per_step = objects * len(asked.metrics)
    steps = max(1, most // per_step)
    at_once = objects if per_step <= most else max(1, most // len(asked.metrics))
    start_ms = asked.start_ms
    while start_ms < asked.end_ms:
        # Both ends belong to what a reader gives; the next piece begins with the moment after.
        end_ms = min(start_ms + steps * asked.step_ms, asked.end_ms)
        for first in range(0, objects, at_once):
            last_ms = end_ms if end_ms == asked.end_ms else end_ms - 1
            yield Piece(first, min(first + at_once, objects), start_ms, last_ms)
        start_ms = end_ms


def rows(wanted: Wanted, may_go_on: Callable[[], str]) -> Iterator[bytes]:
    """Yield the text of a range, a piece at a time, with a line at the end that says that it is whole.

    `may_go_on` is asked before each piece; where it answers with a sentence, the text ends with that. So it does
    where reading fails. Raises BrokenOffError after such a line, so that the transfer itself ends unfinished too.
    """
    writer = _Csv(wanted) if wanted.form is Form.CSV else _Lines(wanted)
    yield writer.begin()
    count = 0
    resolution_ms = 0
    try:
        for piece in pieces(len(wanted.objects), wanted.asked):
            sentence = may_go_on()
            if sentence:
                yield writer.broken(sentence)
                raise BrokenOffError(sentence)
            many = _read(wanted, piece)
            resolution_ms = max(resolution_ms, many.resolution_ms)
            objects = wanted.objects[piece.first : piece.last]
            for text, written in _written(writer, wanted, objects, many):
                count += written
                yield text
    except (BrokenOffError, GeneratorExit):
        raise
    except Exception as error:
        logger.exception("A stream of series of broker %s broke off.", wanted.broker_id)
        yield writer.broken("Reading failed; Warren's log says why. The rows so far are right.")
        raise BrokenOffError("Reading failed.") from error
    yield writer.end(count, resolution_ms)


class BrokenOffError(Exception):
    """A stream ended before its end; the line that says so was written."""


def content_type(form: Form) -> str:
    """Return the media type of a form that is streamed."""
    return (_Csv if form is Form.CSV else _Lines).content_type


def _read(wanted: Wanted, piece: Piece) -> Many:
    subject, asked = wanted.subject, wanted.asked
    if not subject.summed:
        slots = subject.slots[piece.first : piece.last]
        return measured.read_each(
            wanted.broker_id, subject.kind, slots, asked.metrics, piece.start_ms, piece.end_ms, step_ms=asked.step_ms
        )
    names = [name for name in asked.metrics if name in measured.names(subject.kind)]
    one = measured.read(
        wanted.broker_id, subject.kind, subject.slots, names, piece.start_ms, piece.end_ms, step_ms=asked.step_ms
    )

    def rows_of(given: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
        nothing = np.full(len(one.times_ms), np.nan)
        return {name: given.get(name, nothing)[np.newaxis] for name in asked.metrics}

    return Many(
        np.zeros(1, dtype=np.uint32),
        one.times_ms,
        rows_of(one.values),
        rows_of(one.low),
        rows_of(one.high),
        one.step_ms,
        one.resolution_ms,
    )


def _written(
    writer: _Csv | _Lines, wanted: Wanted, objects: Sequence[Named], many: Many
) -> Iterator[tuple[bytes, int]]:
    """Yield text and how many rows it has; a row in which nothing is known is left out."""
    by_slot = {one.slot: one for one in objects}
    named = [by_slot[slot] for slot in many.slots.tolist()]
    columns = _columns(wanted, many)
    known = np.zeros((len(named), len(many.times_ms)), dtype=np.bool_)
    for name in wanted.asked.metrics:
        known |= ~np.isnan(many.values[name])
    held: list[bytes] = []
    count = 0
    for place, at_ms in enumerate(many.times_ms.tolist()):
        there = np.flatnonzero(known[:, place])
        for first in range(0, len(there), PIECE_ROWS):
            part = there[first : first + PIECE_ROWS]
            figures = [column[part, place].tolist() for column in columns]
            held.append(writer.rows(moment(at_ms) or "", [named[row] for row in part.tolist()], figures))
            count += len(part)
            if count >= PIECE_ROWS:
                yield b"".join(held), count
                held, count = [], 0
    if held:
        yield b"".join(held), count


def _columns(wanted: Wanted, many: Many) -> list[NDArray[np.float64]]:
    if not wanted.spread:
        return [many.values[name] for name in wanted.asked.metrics]
    return [part[name] for name in wanted.asked.metrics for part in (many.values, many.low, many.high)]


class _Lines:
    """JSON lines: the first says what follows, the last that it is whole, or why it is not."""

    content_type = "application/x-ndjson"

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._keys = [f',"{name}":'.encode() for name in wanted.columns]
        self._names: dict[Named, bytes] = {}

    def begin(self) -> bytes:
        asked, kind = self._wanted.asked, self._wanted.kind
        return _line(
            {
                "broker_id": self._wanted.broker_id,
                "kind": self._wanted.kind.value,
                "objects": len(self._wanted.objects),
                "from": moment(asked.start_ms),
                "to": moment(asked.end_ms),
                "step": asked.step_ms / 1000,
                "units": {name: measured.unit(kind, name) for name in asked.metrics},
            }
        )

    def rows(self, at: str, objects: Sequence[Named], figures: Sequence[Sequence[float]]) -> bytes:
        begin = b'{"at":"' + at.encode() + b'"'
        lines: list[bytes] = []
        for row, one in enumerate(objects):
            parts = [begin, self._name(one)]
            for key, column in zip(self._keys, figures, strict=True):
                parts += (key, _json(column[row]))
            parts.append(b"}\n")
            lines.append(b"".join(parts))
        return b"".join(lines)

    def broken(self, sentence: str) -> bytes:
        return _line({"end": False, "error": sentence})

    def end(self, count: int, resolution_ms: int) -> bytes:
        return _line({"end": True, "rows": count, "resolution": resolution_ms / 1000})

    def _name(self, one: Named) -> bytes:
        found = self._names.get(one)
        if found is None:
            fields = _fields(self._wanted.kind, one)
            encoded = (f',"{key}":'.encode() + msgspec.json.encode(text) for key, text in fields.items())
            found = self._names[one] = b"".join(encoded)
        return found


class _Csv:
    """CSV (RFC 4180, UTF-8) with a line of names; unknown is an empty field, and `inf` stands for never.

    A name that a spreadsheet would take for a formula begins with an apostrophe: names are other people's text.
    """

    content_type = "text/csv"

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._kind = wanted.kind

    def begin(self) -> bytes:
        return _csv([["at", *_fields(self._kind, Named(0, "", "")), *self._wanted.columns]])

    def rows(self, at: str, objects: Sequence[Named], figures: Sequence[Sequence[float]]) -> bytes:
        return _csv(
            [at, *map(harmless, _fields(self._kind, one).values()), *(_plain(column[row]) for column in figures)]
            for row, one in enumerate(objects)
        )

    def broken(self, sentence: str) -> bytes:
        return _csv([[f"error: {sentence}"]])

    def end(self, _count: int, _resolution_ms: int) -> bytes:
        # A table has no line that is no row; that it is whole, the end of the transfer says.
        return b""


def harmless(text: str) -> str:
    """Return a name that no spreadsheet takes for a formula."""
    bad = text.startswith(_BLANKS_THAT_COUNT) or text.lstrip().startswith(_FORMULA)
    return f"'{text}" if bad else text


def _fields(kind: Kind, one: Named) -> dict[str, str]:
    fields = {
        Kind.BROKER: {},
        Kind.NODE: {"name": one.name},
        Kind.VHOST: {"vhost": one.vhost},
        Kind.EXCHANGE: {"vhost": one.vhost, "name": one.name},
        Kind.QUEUE: {"vhost": one.vhost, "name": one.name},
    }
    return fields[kind]


def _line(fields: dict[str, object]) -> bytes:
    return msgspec.json.encode(fields) + b"\n"


def _csv(table: Iterator[Sequence[object]] | Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(table)
    return text.getvalue().encode(errors="replace")


def _json(value: float) -> bytes:
    shown = figure_or_never(value)
    return b"null" if shown is None else b'"never"' if shown == "never" else repr(shown).encode()


def _plain(value: float) -> str:
    if value == math.inf:
        return "inf"
    shown = figure(value)
    return "" if shown is None else repr(shown)
