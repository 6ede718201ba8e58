"""Consumers' states on real brokers: each situation acted on classic and quorum queues of every version, at once.

`python -m benchmarks.consumer_states [VERSION …]` prints of each phase after how many polls its state was named, and
how often it was lost again while the phase lasted; about two and a half minutes. What is judged is what the dashboard
stored. Of a phase that was misjudged all polls are printed with their figures.
"""

from __future__ import annotations

import math
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from brokers.lag.state import METRICS, ConsumerState
from brokers.series.codec import Frame, decode
from brokers.series.metrics import Kind
from tests.support.brokers import RUN_DIR, broker_of, choose_source, end_all, versions
from tests.support.dashboard_server import start_dashboard
from tests.support.situations import Passed, Script, Stage, scripts

WITHIN = 3
# Polls are 5 s apart; from here on one was left out.
LATE_S = 9.0


@dataclass(frozen=True)
class Verdict:
    """How one phase was judged: `after` polls the state was named (None: never), and `lost` polls that said another
    one after that; `states` as letters, poll by poll, and the longest time between two polls, seconds; `figures`: a
    line of what each poll was told."""

    version: str
    passed: Passed
    after: int | None
    lost: int
    states: str
    slowest_s: float
    figures: tuple[str, ...] = ()
    # All polls until it had to be named had counters, which a broker that answers slowly is asked for more seldom.
    counted: bool = True

    @property
    def fair(self) -> bool:
        """Polls came as they should: on a machine that is too busy, or of a broker that was away, nothing is judged.

        Nor is what was named late for want of counters.
        """
        in_time = self.after is not None and self.after <= WITHIN
        return (
            (self.counted or in_time)
            and self.slowest_s <= LATE_S
            and "?" not in self.states[WITHIN:]
            and len(self.states) > WITHIN
        )

    @property
    def good(self) -> bool:
        """Named within three polls, and never lost."""
        return self.after is not None and self.after <= WITHIN and not self.lost


_LETTERS = {**{float(state): state.name[0] for state in ConsumerState}, 2.0: "B", 3.0: "P", 4.0: "X", 5.0: "S"}


def acted(names: Sequence[str], acts: Sequence[Script]) -> list[Verdict]:
    """Act the scripts on brokers of these versions under a dashboard of our own, and judge what it stored."""
    brokers = [broker_of(name) for name in names]
    with tempfile.TemporaryDirectory() as folder:
        server = start_dashboard(Path(folder) / "var", brokers=[f"{b.management_url}#on-{b.version}" for b in brokers])
        stages = [Stage(broker, broker.make_vhost("states"), acts) for broker in brokers]
        try:
            for stage in stages:
                stage.start()
            longest = max(sum(phase.seconds for phase in script.phases) for script in acts)
            for stage in stages:
                stage.join(longest + 120)
            time.sleep(1)
        finally:
            for stage in stages:
                stage.broker.delete_vhost(stage.vhost)
            server.stop()
        return [one for stage in stages for one in _judged(server.data_dir, stage)]


def _judged(data_dir: Path, stage: Stage) -> list[Verdict]:
    with closing(sqlite3.connect(f"file:{data_dir / 'warren.sqlite3'}?mode=ro", uri=True, timeout=20)) as database:
        (broker_id,) = database.execute(
            "SELECT id FROM registry_broker WHERE name = ?", (f"on-{stage.broker.version}",)
        ).fetchone()
        slots = dict(
            database.execute(
                "SELECT name, slot FROM registry_brokerobject WHERE broker_id = ? AND kind = 'queue' AND vhost = ?",
                (broker_id, stage.vhost),
            ).fetchall()
        )
        payloads = database.execute(
            "SELECT payload FROM series_snapshot WHERE broker_id = ? ORDER BY id", (broker_id,)
        ).fetchall()
    frames = [decode(payload, {Kind.QUEUE}, {"consumer_state", *METRICS}) for (payload,) in payloads]
    found = []
    for passed in stage.passed:
        polls = [
            (frame.at_ms, frame.table(Kind.QUEUE).value(slots[passed.queue], "consumer_state"))
            for frame in frames
            if passed.began_ms < frame.at_ms <= passed.ended_ms
        ]
        # Before its first poll a queue is not in the snapshots.
        while polls and math.isnan(polls[0][1]) and passed.number == 0 and len(polls) > 1 and math.isnan(polls[1][1]):
            polls.pop(0)
        # Two polls more before it: what the first of its own are seen beside.
        began_ms = passed.began_ms - 10_000
        told = [
            _line(frame, slots[passed.queue], passed) for frame in frames if began_ms < frame.at_ms <= passed.ended_ms
        ]
        mine = [frame.table(Kind.QUEUE) for frame in frames if passed.began_ms < frame.at_ms <= passed.ended_ms]
        counted = all(not math.isnan(table.value(slots[passed.queue], "acknowledged")) for table in mine[:WITHIN])
        found.append(replace(judge(stage.broker.version, passed, polls), figures=tuple(told), counted=counted))
    return found


def _line(frame: Frame, slot: int, passed: Passed) -> str:
    table = frame.table(Kind.QUEUE)
    shown = {name: table.value(slot, name) for name in ("consumer_state", *METRICS)}
    state = _LETTERS.get(shown.pop("consumer_state"), "?")
    figures = "  ".join(f"{name} {value:g}" for name, value in shown.items() if not math.isnan(value))
    return f"{(frame.at_ms - passed.began_ms) / 1000:7.1f} s  {state}  {figures}"


def judge(version: str, passed: Passed, polls: Sequence[tuple[int, float]]) -> Verdict:
    """Judge one phase by what its polls said."""
    wanted = passed.phase.state
    after = next((number + 1 for number, (_, state) in enumerate(polls) if state in wanted), None)
    lost = sum(state not in wanted for _, state in polls[after or 0 :]) if after else len(polls)
    times = [at_ms for at_ms, _ in polls]
    slowest = max((later - at for at, later in pairwise(times)), default=0) / 1000
    return Verdict(version, passed, after, lost, "".join(_LETTERS.get(state, "?") for _, state in polls), slowest)


def main() -> None:
    """Act every situation on the versions named, or on all there are; end with 1 where one was misjudged."""
    choose_source()
    names = sys.argv[1:] or versions()
    if not names:
        sys.exit("There is no RabbitMQ to measure against: see the README on how tests find brokers.")
    folder = Path(tempfile.mkdtemp(prefix="warren-bench-"))
    folder.joinpath("pid").write_text(str(os.getpid()))
    os.environ[RUN_DIR] = str(folder)
    try:
        verdicts = acted(names, scripts())
    finally:
        end_all(folder)
    print(f"{'version':8}{'queue':24}{'phase':16}{'named after':>12}{'lost':>6}{'slowest poll':>14}  polls")
    for one in verdicts:
        state = ConsumerState(one.passed.phase.state[0]).name.lower()
        after = f"{one.after}" if one.after else "never"
        missing = "  (polls were missing)" if one.counted else "  (its counters were read in every other poll)"
        mark = "" if one.good else "  <-- misjudged" if one.fair else missing
        print(
            f"{one.version:8}{one.passed.queue:24}{state:16}{after:>12}{one.lost:>6}{one.slowest_s:>12.1f} s"
            f"  {one.states}{mark}"
        )
        if not one.good:
            print("\n".join(f"        {line}" for line in one.figures))
    fair = [one for one in verdicts if one.good or one.fair]
    good = sum(one.good for one in fair)
    print(f"{good} of {len(fair)} phases named within {WITHIN} polls and never lost")
    if len(fair) < len(verdicts):
        print(
            f"{len(verdicts) - len(fair)} more are not judged: polls or their counters were missing, the machine was "
            "too busy for them."
        )
    sys.exit(good < len(fair) or not fair)


if __name__ == "__main__":
    main()
