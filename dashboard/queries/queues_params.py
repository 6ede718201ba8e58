"""What a list of queues is asked for: filters, order, columns and page, as they stand in the address. Pure.

One `Params` is read from an address, from a form and from a live subscription alike; `query()` writes the shortest
query string that reads back to the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import urlencode

# Page sizes that may be asked for; the first is the default.
PAGE_SIZES = (50, 100, 200)
# Worst first.
DEFAULT_SORT = "-state"
# A queue's name has at most 255 bytes; a longer question is cut off here.
_LONGEST = 500
_FLAGS = ("regex", "backlog", "no_consumers", "dlq")
_TEXTS = ("name", "vhost", "type", "state")
_YES = frozenset({"1", "true", "on", "yes"})
_NO = frozenset({"", "0", "false", "off", "no"})
# What an address may have; `part` asks for the rows alone.
_NAMES = frozenset({*_TEXTS, *_FLAGS, "sort", "cols", "page", "page_size", "part"})
# So many sentences on what was not understood are shown.
_SAID = 4


@dataclass(frozen=True, slots=True)
class Params:
    """One question for a list of queues.

    `name` is part of a name, or with `regex` a regular expression (RE2, without case). `vhost`, `type` and `state` are
    whole; empty is any. `sort` is a column's key, with a minus before it for descending. `cols` is the columns chosen,
    empty for the usual ones. `page` counts from 1; one beyond the last shows the last.
    """

    name: str = ""
    regex: bool = False
    vhost: str = ""
    type: str = ""
    state: str = ""
    backlog: bool = False
    no_consumers: bool = False
    dlq: bool = False
    sort: str = DEFAULT_SORT
    cols: tuple[str, ...] = ()
    page: int = 1
    page_size: int = PAGE_SIZES[0]

    @property
    def descending(self) -> bool:
        """The order is from the highest down."""
        return self.sort.startswith("-")

    @property
    def sort_key(self) -> str:
        """The column that orders the list."""
        return self.sort.removeprefix("-")

    @property
    def filtered(self) -> bool:
        """Anything narrows the list."""
        return any(getattr(self, name) for name in (*_TEXTS, "backlog", "no_consumers", "dlq"))

    def but(self, **changes: Any) -> Params:
        """Return the same question with some of it changed; from its first page on, unless a page is named."""
        return replace(self, **{"page": 1, **changes})

    def items(self) -> list[tuple[str, str]]:
        """Return what differs from the defaults, as it stands in an address."""
        found: list[tuple[str, str]] = []
        for one in fields(self):
            value = getattr(self, one.name)
            if value == one.default:
                continue
            if isinstance(value, tuple):
                found += [(one.name, part) for part in value]
            else:
                found.append((one.name, "1" if value is True else str(value)))
        return found

    def query(self, **changes: Any) -> str:
        """Return the query string, with its question mark, of this question or a changed one; empty where usual."""
        encoded = urlencode((self.but(**changes) if changes else self).items())
        return f"?{encoded}" if encoded else ""

    def plain(self) -> dict[str, str | list[str]]:
        """Return what a live subscription carries: `parse` reads it back."""
        found: dict[str, str | list[str]] = dict(self.items())
        if self.cols:
            found["cols"] = list(self.cols)
        return found


def parse(data: Mapping[str, Any], columns: Iterable[str], sortable: Iterable[str], states: Iterable[str]) -> Params:
    """Read a question from lists of strings by name (`dict(QueryDict.lists())`) or plain values (a subscription).

    Of a value that comes twice the last counts. What can't be understood falls back to its default: an address that
    was cut off or made by hand still shows a list, and `unread` says what of it does not count. `columns`, `sortable`
    and `states` are those that there are.
    """
    given = {name: _strings(value) for name, value in data.items() if isinstance(name, str)}

    def last(name: str) -> str:
        return given[name][-1] if given.get(name) else ""

    there = set(columns)
    sort = last("sort")
    texts: dict[str, Any] = {name: _clean(last(name)) for name in _TEXTS}
    if texts["state"] not in set(states):
        texts["state"] = ""
    flags: dict[str, Any] = {name: last(name).lower() in _YES for name in _FLAGS}
    return Params(
        **texts,
        **flags,
        sort=sort if sort.removeprefix("-") in set(sortable) else DEFAULT_SORT,
        cols=tuple(dict.fromkeys(part for part in given.get("cols", ()) if part in there)),
        page=min(_whole(last("page"), 1), 1_000_000),
        page_size=size if (size := _whole(last("page_size"), 0)) in PAGE_SIZES else PAGE_SIZES[0],
    )


def unread(
    data: Mapping[str, list[str]], columns: Iterable[str], sortable: Iterable[str], states: Iterable[str]
) -> tuple[str, ...]:
    """Say what of an address `parse` could not use, and what is shown instead, a sentence each."""
    last = {name: values[-1] for name, values in data.items() if values and values[-1]}
    said = [f"{_quoted(name)} is no filter of this list: it is left out." for name in data if name not in _NAMES]
    if last.get("state") and last["state"] not in set(states):
        said.append(f"There is no state {_quoted(last['state'])}: queues in any state are shown.")
    unclear = [name for name in _FLAGS if last.get(name, "").lower() not in _YES | _NO]
    said += [f"{_quoted(f'{name}={last[name]}')} is neither yes nor no: it is left out." for name in unclear]
    if last.get("sort") and last["sort"].removeprefix("-") not in set(sortable):
        said.append(f"There is no column {_quoted(last['sort'].removeprefix('-'))} to sort by: the worst come first.")
    unknown = set(data.get("cols", ())) - {*columns, ""}
    said += [f"There is no column {_quoted(one)}: it is left out." for one in sorted(unknown)]
    if last.get("page") and not _whole(last["page"], 0):
        said.append(f"There is no page {_quoted(last['page'])}: the first is shown.")
    if last.get("page_size") and _whole(last["page_size"], 0) not in PAGE_SIZES:
        *some, most = PAGE_SIZES
        sizes = f"{', '.join(map(str, some))} or {most}"
        said.append(f"A page has {sizes} rows, not {_quoted(last['page_size'])}: {PAGE_SIZES[0]} are shown.")
    if len(said) > _SAID:
        said[_SAID - 1 :] = [f"{len(said) - _SAID + 1} more of the address was not understood and is left out."]
    return tuple(said)


def _quoted(text: str) -> str:
    short = _clean(text)
    return f"“{short[:39]}…”" if len(short) > 40 else f"“{short}”"


def _strings(value: Any) -> list[str]:
    parts = value if isinstance(value, list | tuple) else [value]
    return [("1" if part is True else str(part)) for part in parts if isinstance(part, str | int)]


def _clean(text: str) -> str:
    """Cut off what no name is as long as; replace half characters, which JSON may carry and nothing can encode."""
    return text[:_LONGEST].encode("utf-8", "replace").decode()


def _whole(text: str, otherwise: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0 else otherwise
