"""Where in an exposition each metric's lines stand: found by leaps, since the lines of one metric stand together.

Searching the text for each wanted name read it once a name and once more for those that are not in it; this touches a
few places of each metric and then counts, which is ten times as fast as a search. Measured on 12 MB of 13 metrics.
"""

from __future__ import annotations

import re

# In the text that begins with a line's end: from the line's end before a run to the one that ends it.
Run = tuple[int, int]

_NAME = re.compile(rb"[a-zA-Z_:][a-zA-Z0-9_:]*(?=[{ \t])")
_AFTER = (b"{", b" ", b"\t")
_NEWLINE, _COMMENT = 10, 35
_LEAP = 512
# Where metrics are mixed, as the parts of histograms are, a text is gone through line by line: up to this many bytes.
_BY_LINE = 1_000_000
_LINE = re.compile(rb"(?<=\n)(?:([a-zA-Z_:][a-zA-Z0-9_:]*)(?=[{ \t])|#)?[^\n]*\n")


def runs(text: bytes) -> dict[bytes, list[Run]] | None:
    """Return by name the runs of its lines; comments and empty lines are in none.

    `text` begins and ends with a line's end. None where lines don't begin with a name as exporters write them, or
    metrics are mixed in a long text: then they have to be searched.
    """
    found: dict[bytes, list[Run]] = {}
    position, last = 0, len(text) - 1
    while position < last:
        first = text[position + 1]
        if first == _NEWLINE:
            position += 1
            continue
        if first == _COMMENT:
            position = text.index(b"\n", position + 1)
            continue
        match = _NAME.match(text, position + 1)
        if match is None:
            return None
        name = match[0]
        end = _end(text, position, name, last)
        if not _alone(text, position, end, name):
            return _by_line(text) if len(text) <= _BY_LINE else None
        found.setdefault(name, []).append((position, end))
        position = end
    return found


def _by_line(text: bytes) -> dict[bytes, list[Run]] | None:
    """Return what `runs` does, without leaps."""
    found: dict[bytes, list[Run]] = {}
    for line in _LINE.finditer(text, 1):
        name = line[1]
        if name is not None:
            found.setdefault(name, []).append((line.start() - 1, line.end() - 1))
        elif text[line.start()] not in (_NEWLINE, _COMMENT):
            return None
    return found


def block(text: bytes, found: list[Run]) -> bytes:
    """Return the lines of a metric, from the line's end before the first of them."""
    if len(found) == 1:
        start, end = found[0]
        return text[start : end + 1]
    return b"".join(text[start:end] for start, end in found) + b"\n"


def _end(text: bytes, start: int, name: bytes, last: int) -> int:
    """Return the line's end after the run that begins at `start`, if no line of another metric stands in it."""
    low, leap = start, _LEAP
    while (ahead := text.find(b"\n", low + leap)) >= 0 and ahead < last and _begins(text, ahead, name):
        low, leap = ahead, leap * 2
    while leap >= _LEAP:
        ahead = text.find(b"\n", low + leap)
        if 0 <= ahead < last and _begins(text, ahead, name):
            low = ahead
        else:
            leap //= 2
    while True:
        ahead = text.index(b"\n", low + 1)
        if ahead >= last or not _begins(text, ahead, name):
            return ahead
        low = ahead


def _alone(text: bytes, start: int, end: int, name: bytes) -> bool:
    """Tell whether all lines of a run are of one metric: a leap sees only where it lands."""
    left = text.count(b"\n", start, end)
    if left == 1:
        return True
    for after in _AFTER:
        left -= text.count(b"\n" + name + after, start, end)
        if left == 0:
            return True
    return False


def _begins(text: bytes, line: int, name: bytes) -> bool:
    """Tell whether the line after a line's end is one of a metric."""
    after = line + 1 + len(name)
    return text.startswith(name, line + 1) and text[after : after + 1] in _AFTER
