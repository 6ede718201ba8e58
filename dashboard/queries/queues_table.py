"""The queues of one or several brokers as columns, row by row: what filters and orders are worked out on.

Figures come from the present's arrays. Texts (names, vhosts, types, policies, …) are coded: the distinct values in
their order, and a code a row, so that a filter looks at each value once and an order compares numbers. What a
definition says is read again only when it changed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import is_
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from brokers.lag.present import column
from brokers.registry.details import QueueDetail
from brokers.registry.slots import KnownObject
from brokers.series.metrics import Kind
from brokers.series.present import Present, PresentTable
from dashboard.queries.keys import queue_key

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Codes = NDArray[np.int32]
Indices = NDArray[np.intp]
S = TypeVar("S", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of texts: `values` distinct and in order (case aside), `codes` a row's index in it, -1 unknown."""

    values: tuple[str, ...]
    codes: Codes

    def at(self, row: int) -> str:
        """Return a row's text, empty where it is unknown."""
        code = int(self.codes[row])
        return self.values[code] if code >= 0 else ""

    def ranks(self) -> Floats:
        """Return a number a row that orders as the texts do, NaN for *unknown*."""
        return np.where(self.codes < 0, np.nan, self.codes.astype(np.float64))

    def where(self, test: Callable[[str], bool]) -> Flags:
        """Tell of each row whether its text passes; each distinct text is asked once, an unknown one never passes."""
        passed = np.array([*(test(value) for value in self.values), False], dtype=np.bool_)
        return passed[self.codes]

    def take(self, rows: Indices) -> Coded:
        """Return the column of some rows."""
        return Coded(self.values, self.codes[rows])


def coded(texts: Sequence[str | None]) -> Coded:
    """Make a column of texts; None is *unknown*."""
    values = tuple(sorted({text for text in texts if text is not None}, key=lambda text: (text.casefold(), text)))
    number = {value: code for code, value in enumerate(values)}
    return Coded(values, np.array([-1 if text is None else number[text] for text in texts], dtype=np.int32))


def together(parts: Sequence[Coded]) -> tuple[Coded, ...]:
    """Return columns under one common set of values."""
    values = tuple(sorted({value for part in parts for value in part.values}, key=lambda text: (text.casefold(), text)))
    number = {value: code for code, value in enumerate(values)}
    return tuple(
        Coded(values, np.array([*(number[value] for value in part.values), -1], dtype=np.int32)[part.codes])
        for part in parts
    )


class Trait(NamedTuple):
    """What of a queue's definition can be filtered and ordered by."""

    type: str | None
    word: str | None
    policy: str | None
    node: str | None
    features: str
    dead: bool
    named: bool
    waits: bool


@dataclass(frozen=True, slots=True)
class Traits:
    """The texts and flags of one broker's queues, in the order of its table.

    `dead`: a dead-letter queue by topology; `named`: only named like one; `waits`: messages wait in it for their time.
    """

    objects: list[KnownObject]
    texts: dict[str, Coded]
    dead: Flags
    named: Flags
    waits: Flags


TEXTS = ("name", "vhost", "type", "word", "policy", "node", "features")


def detail_of(raw: bytes) -> QueueDetail:
    """Decode a queue's definition; what this version can't read is *unknown*."""
    try:
        return msgspec.json.decode(raw or b"{}", type=QueueDetail)
    except msgspec.MsgspecError:
        return QueueDetail()


def features(detail: QueueDetail) -> tuple[str, ...]:
    """Return the letters that RabbitMQ's operators know: durable, auto-delete, exclusive, has arguments."""
    marks = ((detail.durable, "D"), (detail.auto_delete, "AD"), (detail.exclusive, "Excl"), (detail.arguments, "args"))
    return tuple(text for mark, text in marks if mark)


@lru_cache(maxsize=24_000)
def _trait(raw: bytes) -> Trait:
    detail = detail_of(raw)
    return Trait(
        type=detail.type,
        word=detail.state,
        policy=detail.policy or detail.operator_policy,
        node=detail.node,
        features=" ".join(features(detail)),
        dead=bool(detail.dead_letters_of),
        named=detail.named_like_dlq,
        waits=detail.waits,
    )


def traits(objects: list[KnownObject], before: Traits | None = None) -> Traits:
    """Read the definitions of a table's queues; the order of names is taken from `before` where they are the same."""
    if before is not None and _same_names(before.objects, objects):
        names = {key: before.texts[key] for key in ("name", "vhost")}
    else:
        names = {"name": coded([one.name for one in objects]), "vhost": coded([one.vhost for one in objects])}
    found = [_trait(known.detail) for known in objects]
    return Traits(
        objects=objects,
        texts={**names, **{key: coded([getattr(one, key) for one in found]) for key in TEXTS[2:]}},
        dead=np.array([one.dead for one in found], dtype=np.bool_),
        named=np.array([one.named and not one.dead for one in found], dtype=np.bool_),
        waits=np.array([one.waits for one in found], dtype=np.bool_),
    )


def _same_names(before: list[KnownObject], now: list[KnownObject]) -> bool:
    return len(before) == len(now) and all(
        one.name == other.name and one.vhost == other.vhost for one, other in zip(before, now, strict=True)
    )


_held: dict[int, Traits] = {}


def traits_of(broker_id: int, table: PresentTable) -> Traits:
    """Return the traits of a broker's queues, read once as long as nothing about them changes.

    The registry's directory keeps an object's entry until it changes, so that comparing entries by identity tells.
    """
    held = _held.get(broker_id)
    if held is None or len(held.objects) != len(table.objects) or not all(map(is_, held.objects, table.objects)):
        held = _held[broker_id] = traits(table.objects, held)
    return held


# Columns of texts over several brokers, put together once: the traits that went in, and what came out.
_over: OrderedDict[tuple[str, tuple[int, ...]], tuple[tuple[Traits, ...], tuple[Coded, ...]]] = OrderedDict()
_OVER_KEPT = 24


def over(name: str, all_traits: tuple[Traits, ...]) -> tuple[Coded, ...]:
    """Return a column of each broker with codes that compare across them."""
    if len(all_traits) == 1:
        return (all_traits[0].texts[name],)
    key = (name, tuple(map(id, all_traits)))
    found = _over.get(key)
    if found is None:
        # The traits are kept along: as long as they live, nothing else has their ids.
        found = _over[key] = (all_traits, together([one.texts[name] for one in all_traits]))
        while len(_over) > _OVER_KEPT:
            _over.popitem(last=False)
    return found[1]


@dataclass(frozen=True, slots=True)
class Part:
    """One broker's share of a list: its table, and the rows of it that the person sees.

    `fresh`: its figures are of now. `whole`: the person sees all of the broker, its nodes' names too. `why` says why a
    figure of it is unknown; `unknown` says so for single metrics.
    """

    broker_id: int
    broker: str
    table: PresentTable
    traits: Traits
    seen: Indices
    fresh: bool = True
    whole: bool = True
    why: str = ""
    unknown: dict[str, str] = field(default_factory=dict)
    shown: Present | None = None

    def measure(self, name: str) -> Floats:
        """Return a measure of all queues of the table."""
        return self.table.column(name) if self.shown is None else column(self.shown, Kind.QUEUE, name)


# What is derived from how things went lately: nothing of it is known of a broker that is silent.
_OF_PACE = frozenset({"growth", "drain_time", "drain_time_recent", "redeliver_ratio"})


class Rows:
    """Every queue that a person sees, over one or several brokers. Columns are made when asked for, and kept."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self.parts = tuple(parts)
        lengths = [len(part.seen) for part in self.parts]
        # A row's part, and its row in that part's table.
        self.part = np.repeat(np.arange(len(self.parts), dtype=np.int32), lengths)
        self.local: Indices = _joined([part.seen for part in self.parts], np.intp)
        self._figures: dict[str, Floats] = {}
        self._texts: dict[str, Coded] = {}

    def __len__(self) -> int:
        return len(self.local)

    def figure(self, name: str) -> Floats:
        """Return a measure of queues (brokers.lag.measures).

        A rate or a pace of a broker that is silent is unknown; a stock of it is its last.
        """
        if name not in self._figures:
            if name == "total":
                self._figures[name] = self.figure("ready") + self.figure("unacked")
            else:
                past = name.endswith("_rate") or name in _OF_PACE
                self._figures[name] = _joined(
                    [
                        np.full(len(part.seen), np.nan) if past and not part.fresh else part.measure(name)[part.seen]
                        for part in self.parts
                    ],
                    np.float64,
                )
        return self._figures[name]

    def kept(self, name: str, make: Callable[[Rows], Floats]) -> Floats:
        """Return a column that is worked out from others, made once; `name` must not be a figure's."""
        if name not in self._figures:
            self._figures[name] = make(self)
        return self._figures[name]

    def text(self, name: str) -> Coded:
        """Return a column of texts: one of TEXTS, or `broker`. Names of nodes are for who sees the whole broker."""
        if name not in self._texts:
            if name == "broker":
                self._texts[name] = coded([part.broker for part in self.parts]).take(self.part.astype(np.intp))
            else:
                columns = over(name, tuple(part.traits for part in self.parts))
                codes = [
                    column.codes[part.seen] if part.whole or name != "node" else np.full(len(part.seen), -1, np.int32)
                    for column, part in zip(columns, self.parts, strict=True)
                ]
                self._texts[name] = Coded(columns[0].values if columns else (), _joined(codes, np.int32))
        return self._texts[name]

    def flag(self, name: str) -> Flags:
        """Return one of the flags of Traits, or `fresh`."""
        if name == "fresh":
            return np.array([part.fresh for part in self.parts], dtype=np.bool_)[self.part]
        flags: list[Flags] = [getattr(part.traits, name)[part.seen] for part in self.parts]
        return _joined(flags, np.bool_)

    def key(self, row: int) -> str:
        """Return what the keys of a row's cells begin with."""
        part = self.parts[self.part[row]]
        return queue_key(part.broker_id, int(part.table.slots[self.local[row]]))


def _joined(arrays: Sequence[NDArray[S]], dtype: type[S]) -> NDArray[S]:
    return np.concatenate(arrays) if arrays else np.empty(0, dtype=dtype)
