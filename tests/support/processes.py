"""Processes that a test started, and whether they are gone."""

from __future__ import annotations

import psutil


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and everything that it started, as of now."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def alive(process: psutil.Process) -> bool:
    """Tell whether a process still runs: gone and ended-but-not-yet-reaped count as not, another under its id too."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
