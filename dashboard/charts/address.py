"""What the page of charts shows, as its address says it, whole: series, top lists, comparison. Pure.

    s=ready:queue:1:%2F:orders          a measure of an object: kind, broker, vhost and name, percent-encoded
    top=10:ready:mean:queue:1:%2F       the objects of a broker (or of one vhost of it) with most of a measure
    compare=day | week                  with the same time yesterday or last week
    range=… or from=…&to=…              the window (dashboard.charts.window); step=… (seconds) asks for a coarser one

Every name comes from somebody else, and an address from anybody: what can't be shown is a sentence, never an error.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import quote, unquote, urlencode

from brokers.series.metrics import Kind
from brokers.series.top import By
from dashboard.charts.measures import measures_of

Part = TypeVar("Part")
MOST_SERIES = 10
MOST_TOPS = 3
LONGEST = 2_000
_LARGEST_ID = 2**63 - 1
COMPARES = {"day": ("yesterday", 1), "week": ("last week", 7)}
BYS: dict[By, str] = {"mean": "on average", "max": "at the highest", "min": "at the lowest", "last": "at the end"}
RANKED = (Kind.QUEUE, Kind.EXCHANGE, Kind.VHOST, Kind.NODE)
_WITH_VHOST = frozenset({Kind.QUEUE, Kind.EXCHANGE})


@dataclass(frozen=True, slots=True)
class Source:
    """One measure of one object. A vhost's own name stands in `vhost`, a node's in `name`; a broker has neither."""

    measure: str
    kind: Kind
    broker_id: int
    vhost: str = ""
    name: str = ""

    @property
    def text(self) -> str:
        """How the address has it."""
        return ":".join((self.measure, self.kind.value, str(self.broker_id), _quoted(self.vhost), _quoted(self.name)))


@dataclass(frozen=True, slots=True)
class Top:
    """The `number` objects of a kind with most of a measure over the window, ranked `by` mean, max, min or last.

    `vhost` None: of the whole broker, as far as the person sees it.
    """

    number: int
    measure: str
    by: By
    kind: Kind
    broker_id: int
    vhost: str | None = None

    @property
    def text(self) -> str:
        """How the address has it."""
        parts = [str(self.number), self.measure, self.by, self.kind.value, str(self.broker_id)]
        return ":".join(parts if self.vhost is None else [*parts, _quoted(self.vhost)])


@dataclass(frozen=True, slots=True)
class Asked:
    """All that an address asks for; `problems` says what in it can't be shown."""

    sources: tuple[Source, ...] = ()
    tops: tuple[Top, ...] = ()
    compare: str = ""
    # The parameters that name the window.
    window: Mapping[str, str] | None = None
    step_s: int = 0
    problems: tuple[str, ...] = ()

    @property
    def times(self) -> dict[str, str]:
        """The window's parameters."""
        return dict(self.window or {})

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The parameters of the address, save the window."""
        pairs = [("s", source.text) for source in self.sources]
        pairs += [("top", top.text) for top in self.tops]
        pairs += [("compare", self.compare)] if self.compare else []
        pairs += [("step", str(self.step_s))] if self.step_s else []
        return pairs

    def query(self, window: Mapping[str, str] | None = None) -> str:
        """Return the parameters of the address that shows this, or the same over another window."""
        return urlencode([*self.pairs, *(self.times if window is None else window).items()])

    def compared(self, compare: str) -> Asked:
        """Return the same compared with another time, or with none."""
        return replace(self, compare=compare)

    def having(self, source: Source) -> Asked:
        """Return the same with one more series, at its end."""
        return self if source in self.sources else replace(self, sources=(*self.sources, source))

    def without(self, source: Source) -> Asked:
        """Return the same without a series."""
        return replace(self, sources=tuple(one for one in self.sources if one != source))

    def having_top(self, top: Top) -> Asked:
        """Return the same with one more top list, at its end."""
        return self if top in self.tops else replace(self, tops=(*self.tops, top))

    def saying(self, problem: str) -> Asked:
        """Return the same with one more thing that can't be shown."""
        return replace(self, problems=(*self.problems, problem))

    def without_top(self, top: Top) -> Asked:
        """Return the same without a top list."""
        return replace(self, tops=tuple(one for one in self.tops if one != top))


def asked_of(params: Mapping[str, Sequence[str]], zone: dt.tzinfo = dt.UTC) -> Asked:
    """Read an address: parameters with all their values. Local times in `from` and `to` are of `zone`."""
    problems: list[str] = []
    sources = _read(params.get("s", ()), _source, problems)
    tops = _read(params.get("top", ()), _top, problems)
    if len(sources) > MOST_SERIES:
        problems.append(
            f"A chart has at most {MOST_SERIES} series: {len(sources) - MOST_SERIES} of these are left out."
        )
    if len(tops) > MOST_TOPS:
        problems.append(f"A chart has at most {MOST_TOPS} top lists: {len(tops) - MOST_TOPS} of these are left out.")
    compare = _last(params, "compare")
    if compare and compare not in COMPARES:
        problems.append("A chart is compared with a day or a week before, so this one is compared with nothing.")
        compare = ""
    step = _last(params, "step")
    if step and not (step.isascii() and step.isdigit() and len(step) <= 8 and int(step) > 0):
        problems.append("A step is a whole number of seconds, so this is the one that fits the window.")
        step = ""
    window = {name: _last(params, name) for name in ("range", "from", "to") if params.get(name)}
    window |= {name: moment_ms(window[name], zone) for name in ("from", "to") if name in window}
    return Asked(
        tuple(sources[:MOST_SERIES]), tuple(tops[:MOST_TOPS]), compare, window, int(step or 0), tuple(problems)
    )


def top_of(fields: Mapping[str, str]) -> tuple[Top | None, str]:
    """Read the form that adds a top list: the list, or the sentence that says why not; neither where it is empty."""
    if not fields.get("top_of"):
        return None, ""
    kind, _, place = fields["top_of"].partition(":")
    parts = [fields.get("top_n", ""), fields.get("top_measure", ""), fields.get("top_by", ""), kind, *place.split(":")]
    try:
        return _top(parts), ""
    except ValueError as error:
        return None, str(error)


def moment_ms(text: str, zone: dt.tzinfo) -> str:
    """Return a moment as Unix milliseconds: itself, or what a local or ISO time says; unreadable ones come back."""
    if text.isdigit() or len(text) > 40:
        return text
    try:
        at = dt.datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        return str(int((at if at.tzinfo else at.replace(tzinfo=zone)).timestamp() * 1000))
    except (ValueError, OverflowError):
        return text


def _read(texts: Sequence[str], parse: Callable[[list[str]], Part], problems: list[str]) -> list[Part]:
    """Parse what stands in a parameter, each once; of what can't be read a sentence is kept."""
    found: list[Part] = []
    for text in (text.encode("utf-8", "replace").decode() for text in texts[:100]):
        try:
            if len(text) > LONGEST or "\x00" in text or "%00" in text:
                raise ValueError("A series in the address is no name that RabbitMQ could have.")
            part = parse(text.split(":"))
        except ValueError as error:
            problems.append(str(error))
        else:
            if part not in found:
                found.append(part)
    return found


def _source(parts: list[str]) -> Source:
    if len(parts) != 5:
        raise ValueError("A series in the address can't be read: it is measure:kind:broker:vhost:name.")
    measure, kind_text, broker, vhost, name = parts
    kind = _kind(kind_text, tuple(Kind))
    _check_measure(measure, kind)
    source = Source(measure, kind, _broker(broker), unquote(vhost), unquote(name))
    has_vhost, has_name = kind in {*_WITH_VHOST, Kind.VHOST}, kind in {*_WITH_VHOST, Kind.NODE}
    if (source.vhost and not has_vhost) or (source.name and not has_name):
        raise ValueError(f"A series of a {kind.value} in the address has a name too many.")
    return source


def _top(parts: list[str]) -> Top:
    if len(parts) not in {5, 6}:
        raise ValueError("A top list in the address can't be read: it is number:measure:by:kind:broker:vhost.")
    number, measure, by, kind_text, broker = parts[:5]
    kind = _kind(kind_text, RANKED)
    _check_measure(measure, kind)
    ranked_by = next((one for one in BYS if one == by), None)
    if ranked_by is None:
        raise ValueError(f"A top list is ranked by {', '.join(BYS)}.")
    if not (number.isascii() and number.isdigit() and len(number) <= 4 and 1 <= int(number) <= MOST_SERIES):
        raise ValueError(f"A top list has 1 to {MOST_SERIES} series.")
    vhost = unquote(parts[5]) if len(parts) == 6 and kind in _WITH_VHOST else None
    return Top(int(number), measure, ranked_by, kind, _broker(broker), vhost)


def _kind(text: str, possible: Sequence[Kind]) -> Kind:
    if text not in possible:
        raise ValueError(f"There is no kind “{_short(text)}”; these are possible: {', '.join(possible)}.")
    return Kind(text)


def _check_measure(name: str, kind: Kind) -> None:
    if name not in measures_of(kind):
        raise ValueError(f"{_A[kind]} has no measure “{_short(name)}”.")


def _broker(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and 0 < int(text) <= _LARGEST_ID):
        raise ValueError(f"There is no broker “{_short(text)}”.")
    return int(text)


def _last(params: Mapping[str, Sequence[str]], name: str) -> str:
    values = params.get(name) or ("",)
    return values[-1]


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"


_A = {
    Kind.BROKER: "A broker",
    Kind.NODE: "A node",
    Kind.VHOST: "A vhost",
    Kind.EXCHANGE: "An exchange",
    Kind.QUEUE: "A queue",
}
