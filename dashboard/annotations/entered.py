"""What a person enters as a note, checked: a sentence for each field that can't be taken. Pure."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from dashboard.annotations.models import LONGEST, Annotation

# Nobody watched a broker before, and nobody plans further ahead.
EARLIEST_MS = 946_684_800_000
AHEAD_MS = 366 * 86_400_000


@dataclass(frozen=True, slots=True)
class Entered:
    """A note as entered; times in Unix ms, None where there is none or it could not be read."""

    kind: str
    text: str
    at_ms: int | None
    end_ms: int | None = None
    broker_id: int | None = None
    vhost: str | None = None

    @property
    def clean_text(self) -> str:
        """The text on one line, without what can't be seen."""
        seen = "".join(" " if unicodedata.category(letter)[0] == "C" else letter for letter in self.text)
        return " ".join(seen.split())


def problems(entered: Entered, now_ms: int) -> dict[str, str]:
    """Return a sentence for each field that can't be taken; nothing where the note can be written."""
    found: dict[str, str] = {}
    if entered.kind not in Annotation.Kind.values:
        found["kind"] = f"One of these is possible: {', '.join(Annotation.Kind.values)}."
    if not entered.clean_text:
        found["text"] = "Say what happened."
    elif len(entered.clean_text) > LONGEST:
        found["text"] = f"A note has at most {LONGEST} characters; these are {len(entered.clean_text)}."
    if entered.at_ms is None or not EARLIEST_MS <= entered.at_ms <= now_ms + AHEAD_MS:
        found["at"] = "Enter when it was: a moment from 2000 to a year from now."
    elif entered.end_ms is not None and not entered.at_ms <= entered.end_ms <= now_ms + AHEAD_MS:
        found["end"] = "Enter an end that is not before the beginning, or none."
    if entered.vhost is not None and entered.broker_id is None:
        found["vhost"] = "A vhost needs its broker."
    return found
