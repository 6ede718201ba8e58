"""What the supervisor is to run, handed to it as JSON over a pipe: nothing of it (a password, say) is ever on disk."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep alive."""

    name: str
    argv: list[str]
    # Added to the environment that all children share.
    environment: dict[str, str] = field(default_factory=dict)
    # Seconds between SIGTERM and SIGKILL at the end; all must fit into five.
    patience_s: float = 3.5
    # What Linux sends it when the supervisor was killed: SIGKILL, or SIGTERM to one that has others to end itself.
    parent_death_signal: int = 9
    # It is asked to end once the others have, or have had 1.5 s for it.
    ends_last: bool = False
    # It is started once this file exists; empty: at once.
    after_file: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The processes, where the dashboard answers, and what to say once it does."""

    children: list[Child]
    address: str
    # The address that answers 200 once the dashboard can be used; empty: there is no web process to wait for.
    ready_url: str
    status_file: str
    # A file whose existence is a part of being ready; empty: there is none.
    ready_file: str = ""
    # Sentences printed under the address at the first moment that the dashboard can be used.
    welcome: list[str] = field(default_factory=list)


def hand_over(plan: Plan) -> int:
    """Write a plan into a pipe and return the descriptor to read it from, open across exec."""
    reading, writing = os.pipe()
    content = json.dumps(asdict(plan)).encode()
    # A pipe holds 64 KiB; a plan is two.
    with os.fdopen(writing, "wb") as file:
        file.write(content)
    os.set_inheritable(reading, True)
    return reading


def receive(descriptor: int) -> Plan:
    """Read a plan from a descriptor, and close it."""
    with os.fdopen(descriptor, "rb") as file:
        stored = json.load(file)
    children = [Child(**child) for child in stored.pop("children")]
    return Plan(children=children, **stored)
