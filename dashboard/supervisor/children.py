"""Starting, ending and restarting one child, so that it never outlives the supervisor."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from dashboard.supervisor.plan import Child

# The first restart comes at once, so that a gap in polling stays short; then each wait doubles up to the longest.
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 30.0
# A child that ran this long is well again: its next restart is a first one.
WELL_AFTER_S = 20.0
_PR_SET_PDEATHSIG = 1


def wait_before_restart(restarts: int) -> float:
    """Return the seconds to wait before restart number `restarts` in a row (0: the first)."""
    return FIRST_WAIT_S if restarts == 0 else float(min(LONGEST_WAIT_S, 2.0 ** (restarts - 1)))


class Running:
    """A child and its process."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.restarts = 0
        # Monotonic time at which it is to be started (again); None while it runs.
        self.due_at: float | None = 0.0

    def start(self, environment: Mapping[str, str]) -> int:
        """Start the process and return the descriptor of its output."""
        self.process = subprocess.Popen(  # noqa: S603 - the plan is our own
            self.child.argv,
            env={**environment, **self.child.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=_bound_to(os.getpid(), self.child.parent_death_signal),  # noqa: PLW1509 - the supervisor has one thread
        )
        self.started_at = time.monotonic()
        self.due_at = None
        assert self.process.stdout is not None  # noqa: S101 - PIPE was asked for
        os.set_blocking(self.process.stdout.fileno(), False)
        return self.process.stdout.fileno()

    def is_due(self, now: float) -> bool:
        """Tell whether it is to be started now (`now`: monotonic seconds)."""
        if self.due_at is None or self.due_at > now:
            return False
        return not self.child.after_file or Path(self.child.after_file).exists()

    def ended(self) -> int | None:
        """Return the exit code once the process has ended, else None. Negative: the signal that ended it."""
        return self.process.poll() if self.process else None

    def plan_restart(self) -> float:
        """Decide when to start it again; return the seconds until then."""
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None
        now = time.monotonic()
        if now - self.started_at >= WELL_AFTER_S:
            self.restarts = 0
        wait = wait_before_restart(self.restarts)
        self.restarts += 1
        self.due_at = now + wait
        return wait

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the child's process group."""
        if self.process is not None and self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)


def _bound_to(parent: int, number: int) -> Callable[[], None]:
    """Return what a child does before exec: a group of its own (Ctrl-C reaches the supervisor alone), and its end
    with the supervisor's, by Linux's parent death signal.
    """

    def bind() -> None:
        os.setpgid(0, 0)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
            if os.getppid() != parent:
                os._exit(1)

    return bind


def reason(code: int) -> str:
    """Say how a process ended: `exited with 1`, `was ended by SIGKILL`."""
    if code >= 0:
        return f"exited with {code}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"
