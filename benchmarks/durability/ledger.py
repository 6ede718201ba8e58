"""What a child says on its pipe, and the record that the parent keeps of it: independent of any database.

A message is a pickled tuple behind its length: `(verb, …)`. A child that is killed in the middle of one leaves a stump,
which is dropped; what it had not said may be committed or not, and is *open*.
"""

from __future__ import annotations

import os
import pickle
import select
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_lock = threading.Lock()


def say(descriptor: int, *message: Any) -> None:
    """Write one message whole, whatever thread says it."""
    content = pickle.dumps(message)
    data = struct.pack("<I", len(content)) + content
    with _lock:
        while data:
            data = data[os.write(descriptor, data) :]


class Ear:
    """The reading end of a child's pipe."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = b""
        self.ended = False

    def hear(self, seconds: float) -> Iterator[tuple[Any, ...]]:
        """Yield what the child says for so long, or until it ends."""
        end = time.monotonic() + seconds
        while not self.ended:
            yield from self._whole()
            left = end - time.monotonic()
            if left <= 0:
                return
            if select.select([self._descriptor], [], [], left)[0]:
                self._read()
        yield from self._whole()

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._descriptor)

    def _read(self) -> None:
        data = os.read(self._descriptor, 1 << 20)
        self.ended = not data
        self._buffer += data

    def _whole(self) -> Iterator[tuple[Any, ...]]:
        while len(self._buffer) >= 4:
            size = struct.unpack("<I", self._buffer[:4])[0]
            if len(self._buffer) < 4 + size:
                return
            content, self._buffer = self._buffer[4 : 4 + size], self._buffer[4 + size :]
            yield pickle.loads(content)


@dataclass
class Ledger:
    """Ticks of known figures, and polls of a real broker by the moment of their answer."""

    intended: set[int] = field(default_factory=set)
    committed: set[int] = field(default_factory=set)
    # at_ms → {kind: (slots, {metric: column})}
    polls_intended: dict[int, Any] = field(default_factory=dict)
    polls_committed: set[int] = field(default_factory=set)
    phases: dict[str, str] = field(default_factory=dict)  # thread → what it was doing when last heard of
    done: dict[str, int] = field(default_factory=dict)  # phase → how often it came to its end
    statements: dict[str, int] = field(default_factory=dict)  # phase → most statements that one took
    wrong: list[str] = field(default_factory=list)

    def note(self, message: tuple[Any, ...]) -> None:
        """Take a message in."""
        verb = message[0]
        if verb == "phase":
            _, thread, phase, statements = message
            before = self.phases.get(thread, "")
            if phase == "" and before:
                self.done[before] = self.done.get(before, 0) + 1
                self.statements[before] = max(self.statements.get(before, 1), statements)
            self.phases[thread] = phase
        elif verb == "append":
            if message[1] in self.committed:
                self.wrong.append(f"tick {message[1]} was committed and is lost: it is written anew")
            self.intended.add(message[1])
        elif verb == "appended":
            self.committed.add(message[1])
        elif verb == "poll":
            self.polls_intended[message[1]] = message[2]
        elif verb == "polled":
            self.polls_committed.add(message[1])
        elif verb == "wrong":
            self.wrong.append(message[1])
