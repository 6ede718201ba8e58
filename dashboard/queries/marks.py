"""Notes in time as a page's charts show them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from dashboard import formats
from dashboard.accounts.rights import Rights
from dashboard.annotations.models import Annotation
from dashboard.annotations.seen import Place, may_change, of_places
from dashboard.queries.queues_rows import visible

# The newest of a page's notes.
MOST = 300


@dataclass(frozen=True, slots=True)
class Mark:
    """One note: times in Unix ms, `says` all of it in a sentence, `mine` whether the person may remove it."""

    id: int
    at_ms: int
    end_ms: int | None
    kind: str
    word: str
    text: str
    when: str
    scope: str
    who: str
    mine: bool

    @property
    def says(self) -> str:
        """The whole note, for hover and focus."""
        return f"{self.word}, {self.when}: {self.text}\n{self.scope}, by {self.who}"

    @property
    def drawn(self) -> dict[str, object]:
        """What static/js/chart_marks.js needs."""
        return {"at": self.at_ms, "end": self.end_ms, "kind": self.kind, "text": self.text, "says": self.says}


def marks(rights: Rights, places: Iterable[Place], zone: dt.tzinfo, now_ms: int) -> tuple[Mark, ...]:
    """Return the notes on some vhosts and brokers that a person sees, newest first."""
    return tuple(_mark(rights, note, zone, now_ms) for note in of_places(rights, places, MOST))


def _mark(rights: Rights, note: Annotation, zone: dt.tzinfo, now_ms: int) -> Mark:
    when = formats.clock(note.at_ms, zone, now_ms)
    if note.end_ms is not None:
        when = f"{when} to {formats.clock(note.end_ms, zone, now_ms)}"
    return Mark(
        id=note.pk,
        at_ms=note.at_ms,
        end_ms=note.end_ms,
        kind=note.kind,
        word=Annotation.Kind(note.kind).label,
        text=note.text,
        when=when,
        scope=scope_of(note),
        who=note.who,
        mine=may_change(rights, note.broker_id, note.vhost),
    )


def scope_of(note: Annotation) -> str:
    """Say what a note is about: `all brokers`, `shop`, `vhost orders of shop`."""
    if note.broker is None:
        return "all brokers"
    return note.broker.name if note.vhost is None else f"vhost {visible(note.vhost)} of {note.broker.name}"
