"""One log for all processes: every line under the name of the one that wrote it, in colour on a terminal only."""

from __future__ import annotations

import sys
from typing import TextIO

_COLOURS = ("36", "33", "35", "32", "34", "31")
_OWN = "warren"
# A line without an end is cut here, so that a child can't fill our memory.
_LONGEST = 64 * 1024


class Log:
    """Writes prefixed lines to standard output."""

    def __init__(self, names: list[str], stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._coloured = self._stream.isatty()
        self._width = max(map(len, [_OWN, *names]))
        self._colour = {name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(names)}
        self._pending: dict[str, bytes] = {}

    def say(self, line: str) -> None:
        """Write a line of the supervisor's own."""
        self._write(_OWN, line)

    def feed(self, name: str, content: bytes) -> None:
        """Take what a child wrote and write the lines that are whole."""
        *lines, rest = (self._pending.get(name, b"") + content).split(b"\n")
        if len(rest) > _LONGEST:
            lines, rest = [*lines, rest], b""
        self._pending[name] = rest
        for line in lines:
            self._write(name, line.decode(errors="replace").rstrip("\r"))

    def end(self, name: str) -> None:
        """Write what a child left without a line's end."""
        rest = self._pending.pop(name, b"")
        if rest:
            self._write(name, rest.decode(errors="replace"))

    def _write(self, name: str, line: str) -> None:
        prefix = f"{name:<{self._width}} │ "
        if self._coloured:
            prefix = f"\x1b[{self._colour.get(name, '1')}m{prefix}\x1b[0m"
        try:
            self._stream.write(f"{prefix}{line}\n")
            self._stream.flush()
        except OSError:
            # The terminal is gone; the processes are not, and their end must still be seen to.
            return
