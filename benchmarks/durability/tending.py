"""The work on stored history that may be cut short anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator


def works(simulated: int, real: int | None) -> Iterator[tuple[str, Callable[[], None]]]:  # noqa: ARG001
    """Yield the phases of one round, and what to call for each."""
    yield from ()
