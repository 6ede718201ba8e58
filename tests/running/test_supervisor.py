"""The supervisor over small children of the test's own: it restarts them, prefixes their lines and outlives none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from dashboard.supervisor.children import LONGEST_WAIT_S, wait_before_restart
from dashboard.supervisor.plan import Child, Plan, hand_over
from tests.support.collected import wait_until
from tests.support.processes import alive, tree

ROOT = Path(__file__).resolve().parents[2]
SLEEPS = "import time; print('here', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('stubborn', flush=True); time.sleep(600)"
)
HAS_A_CHILD = (
    "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "print('two', flush=True); time.sleep(600)"
)


@dataclass
class Run:
    """A supervisor and what it printed."""

    process: subprocess.Popen[str]
    status: Path
    lines: list[str] = field(default_factory=list)

    @property
    def log(self) -> str:
        """Everything so far."""
        return "".join(self.lines)

    def wait_for(self, text: str, times: int = 1) -> None:
        """Return once a text was printed so many times."""
        wait_until(lambda: self.log.count(text) >= times, 40, f"{text!r} is printed", lambda: self.log)

    def pid_of(self, name: str) -> int:
        """Return a child's process id by the status file."""
        return int(json.loads(self.status.read_text())["children"][name])


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Return a function that runs children (name, Python code, further fields of Child) under a supervisor."""
    runs: list[Run] = []

    def start(*children: tuple[str, str] | tuple[str, str, dict[str, object]], **environment: str) -> Run:
        status = tmp_path / f"up-{len(runs)}.json"
        plan = Plan(
            children=[
                Child(name, [sys.executable, "-c", code], **(rest[0] if rest else {}))  # type: ignore[arg-type]
                for name, code, *rest in children
            ],
            address="http://127.0.0.1:1",
            ready_url="",
            status_file=str(status),
        )
        descriptor = hand_over(plan)
        process = subprocess.Popen(
            [sys.executable, "-m", "dashboard.supervisor", str(descriptor)],
            pass_fds=(descriptor,),
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        os.close(descriptor)
        run = Run(process, status)
        threading.Thread(target=lambda: run.lines.extend(process.stdout or ()), daemon=True).start()
        runs.append(run)
        return run

    yield start
    for run in runs:
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGTERM)
            run.process.wait(15)


def test_it_waits_longer_before_each_restart_in_a_row_and_never_too_long() -> None:
    waits = [wait_before_restart(restarts) for restarts in range(12)]
    assert waits == sorted(waits)
    assert waits[0] < 1
    assert waits[-1] == LONGEST_WAIT_S


def test_it_restarts_a_child_that_keeps_ending_with_growing_waits(supervise: Callable[..., Run]) -> None:
    run = supervise(("brief", "print('hello', flush=True); raise SystemExit(3)"), ("steady", SLEEPS))
    run.wait_for("brief  │ hello", times=3)
    run.wait_for("brief exited with 3", times=3)
    assert "brief exited with 3; it starts again in 0.2 s." in run.log
    assert "brief exited with 3; it starts again in 1 s." in run.log
    assert "brief exited with 3; it starts again in 2 s." in run.log
    assert run.log.count("steady │ here") == 1


def test_it_brings_a_child_back_that_was_killed(supervise: Callable[..., Run]) -> None:
    run = supervise(("worker", SLEEPS))
    run.wait_for("here")
    first = run.pid_of("worker")
    os.kill(first, signal.SIGKILL)
    run.wait_for("here", times=2)
    assert "worker was ended by SIGKILL" in run.log
    assert run.pid_of("worker") != first


def test_it_ends_what_a_dead_child_left_running(supervise: Callable[..., Run]) -> None:
    run = supervise(("family", HAS_A_CHILD))
    run.wait_for("two")
    (grandchild,) = psutil.Process(run.pid_of("family")).children()
    os.kill(run.pid_of("family"), signal.SIGKILL)
    wait_until(lambda: not alive(grandchild), 20, "the grandchild is gone", lambda: run.log)
    run.wait_for("two", times=2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_ends_all_and_leaves_nothing_when_it_is_asked_to(
    number: signal.Signals, supervise: Callable[..., Run]
) -> None:
    run = supervise(("plain", SLEEPS), ("stubborn", STUBBORN, {"patience_s": 0.5}), ("family", HAS_A_CHILD))
    for text in ("here", "stubborn │ stubborn", "two"):
        run.wait_for(text)
    everybody = tree(run.process.pid)
    assert len(everybody) == 5
    run.process.send_signal(number)
    assert run.process.wait(15) == 0
    assert not [one for one in everybody if alive(one)]
    assert not run.status.exists()


@pytest.mark.faults
def test_it_takes_its_children_with_it_when_it_is_killed(supervise: Callable[..., Run]) -> None:
    run = supervise(("plain", SLEEPS), ("stubborn", STUBBORN))
    for text in ("here", "stubborn │ stubborn"):
        run.wait_for(text)
    everybody = tree(run.process.pid)
    run.process.kill()
    run.process.wait(15)
    wait_until(lambda: not any(map(alive, everybody)), 20, "every process is gone")


def test_it_ends_last_what_others_still_need(supervise: Callable[..., Run]) -> None:
    says_so = (
        "import signal, sys, time\n"
        "def end(*_):\n    print('ending', flush=True); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); print('there', flush=True); time.sleep(600)"
    )
    run = supervise(("broker", says_so, {"ends_last": True}), ("shop", says_so))
    run.wait_for("there", times=2)
    run.process.send_signal(signal.SIGINT)
    run.process.wait(15)
    run.wait_for("Ended after")
    assert run.log.index("shop   │ ending") < run.log.index("broker │ ending")


def test_it_starts_a_child_once_the_file_that_it_waits_for_is_there(
    supervise: Callable[..., Run], tmp_path: Path
) -> None:
    opened = tmp_path / "open"
    run = supervise(
        (
            "first",
            (
                f"import pathlib, time; time.sleep(0.5); print('opens', flush=True);"
                f"pathlib.Path({str(opened)!r}).touch(); time.sleep(600)"
            ),
        ),
        ("second", SLEEPS, {"after_file": str(opened)}),
    )
    run.wait_for("second │ here")
    assert run.log.index("opens") < run.log.index("second │ here")


def test_it_keeps_what_only_the_start_needed_from_the_children(supervise: Callable[..., Run]) -> None:
    shows = (
        "import os, time; print(sorted(n for n in os.environ if n.startswith('WARREN_')), flush=True); time.sleep(600)"
    )
    run = supervise(("web", shows), WARREN_ADMIN_PASSWORD="hidden", WARREN_BROKERS="http://u:p@h", WARREN_PORT="8123")
    run.wait_for("'WARREN_PORT'")
    assert "WARREN_ADMIN_PASSWORD" not in run.log
    assert "WARREN_BROKERS" not in run.log


def test_it_prints_whole_lines_and_cuts_endless_ones(supervise: Callable[..., Run]) -> None:
    run = supervise(
        (
            "loud",
            (
                "import sys, time; sys.stdout.write('x' * 200_000); sys.stdout.write('\\nlast'); sys.stdout.flush();"
                "time.sleep(1); sys.exit()"
            ),
        ),
    )
    run.wait_for("loud   │ last")
    assert max(map(len, run.lines)) < 140_000
    assert sum(line.count("x") for line in run.lines if line.startswith("loud")) == 200_000
