"""Moments as they stand in an address: RFC 3339 with an offset, or Unix seconds. Pure."""

from __future__ import annotations

import datetime as dt
import math
import re

_SECONDS = re.compile(r"[+-]?\d{1,15}(\.\d{1,9})?", re.ASCII)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+ -]\d\d:\d\d)", re.ASCII)
_WRONG = "Enter a moment by RFC 3339 (2026-11-24T18:00:00Z) or in Unix seconds."
_EARLIEST_MS = 0
_LATEST_MS = int(dt.datetime(2200, 1, 1, tzinfo=dt.UTC).timestamp() * 1000)


def parse(text: str) -> int:
    """Return Unix milliseconds. Raises ValueError with a sentence.

    A `+` that an address lost (it decodes to a blank there) is taken for one.
    """
    text = text.strip()
    if _SECONDS.fullmatch(text):
        ms = math.floor(float(text) * 1000)
    elif _RFC3339.fullmatch(text):
        whole = f"{text[:10]}T{text[11:]}".upper().replace(" ", "+").replace("Z", "+00:00")
        # More digits than microseconds are possible in RFC 3339, not in Python.
        whole = re.sub(r"(\.\d{6})\d+", r"\1", whole)
        try:
            ms = math.floor(dt.datetime.fromisoformat(whole).timestamp() * 1000)
        except (ValueError, OverflowError) as error:
            raise ValueError(_WRONG) from error
    else:
        raise ValueError(_WRONG)
    if not _EARLIEST_MS <= ms < _LATEST_MS:
        raise ValueError("The moment lies before 1970 or after 2199.")
    return ms
