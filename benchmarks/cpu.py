"""CPU seconds and memory of processes, from /proc: what was really spent, however busy the machine is otherwise."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil

_TICK = os.sysconf("SC_CLK_TCK")


def seconds(pid: int) -> float:
    """Return the CPU seconds of a process so far, its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    return psutil.Process(pid).memory_info().rss / 1e6


def listener(port: int) -> int:
    """Return the process that listens on a port of this machine. Raises AssertionError where there is none."""
    for one in psutil.net_connections("tcp"):
        if one.status == psutil.CONN_LISTEN and one.laddr.port == port and one.pid:
            return one.pid
    raise AssertionError(f"Nothing of this machine listens on port {port}.")


def idle(pid: int, seconds_long: float) -> float:
    """Return the CPU seconds a second that a process spends for so long, nothing being asked of it."""
    began, before = time.monotonic(), seconds(pid)
    time.sleep(seconds_long)
    return (seconds(pid) - before) / (time.monotonic() - began)
