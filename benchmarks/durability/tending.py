"""The work on stored history that may be cut short anywhere: what `upkeep.keep` does, each step a phase."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from brokers.series import upkeep
from brokers.series.spans import ReplacedError

_PHASES = {"compact": "compact", "merge": "merge", "roll_up": "roll up"}


def works(simulated: int, real: int | None) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield what is due, and in which phase it is.

    Without the claim of `upkeep.keep`: that of a killed process holds for ten minutes. So two at once are tried too.
    """
    for broker_id in (simulated, real):
        if broker_id is None:
            continue
        for step in upkeep.steps(broker_id):
            name = getattr(getattr(step, "func", step), "__name__", "")
            yield _PHASES.get(name, "let go"), _passed_over(step)


def _passed_over(step: Callable[[], object]) -> Callable[[], None]:
    def work() -> None:
        try:
            step()
        except ReplacedError:
            return  # somebody else was faster: what is due is found anew

    return work
