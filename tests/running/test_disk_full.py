"""A disk that is full: Warren keeps running and says so, and polls again by itself once there is room.

The limit on the size of files that a process may write stands for the disk: it can be set for what runs, and be lifted.
"""

from __future__ import annotations

import resource
from collections.abc import Callable

import pytest

from brokers.collect.state import Condition
from tests.support.brokers import TestBroker
from tests.support.collected import condition, now_ms, snapshots, wait_for_condition, wait_until
from tests.support.dashboard_server import DashboardServer, sign_in


@pytest.mark.faults
@pytest.mark.timeout(420)
def test_it_keeps_running_while_nothing_can_be_written(
    make_dashboard: Callable[..., DashboardServer], any_broker: TestBroker
) -> None:
    server = make_dashboard(brokers=(f"{any_broker.management_url}#watched",))

    def log() -> str:
        return server.log[-4000:]

    wait_for_condition(server.data_dir, "watched", Condition.LIVE, 60, log)
    session = sign_in(server)
    pids = server.child_pids()
    everybody = [*pids.values(), server.process.pid]
    limits = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in everybody}
    for pid, (_soft, hard) in limits.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        wait_until(lambda: "No message can be left in" in server.log, 30, "the log says why", log)

        def late() -> bool:
            found = condition(server.data_dir, "watched")
            return found is not None and found.condition is Condition.LATE

        wait_until(late, 60, "the broker is late", log)
        assert session.get(f"{server.url}/", timeout=20).status_code == 200
    finally:
        for pid, before in limits.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    lifted_ms = now_ms()
    wait_until(
        lambda: sum(at_ms > lifted_ms for at_ms in snapshots(server.data_dir, "watched")) >= 2,
        60,
        "it polls again",
        log,
    )
    assert server.child_pids() == pids
    assert server.log.count("No message can be left in") <= 30
