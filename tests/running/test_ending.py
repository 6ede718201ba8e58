"""How it ends: by Ctrl-C within five seconds, by SIGKILL of the supervisor at once, and nothing stays behind."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable

import pytest

from brokers.collect.state import Condition
from tests.support.brokers import TestBroker
from tests.support.collected import wait_for_condition, wait_until
from tests.support.dashboard_server import DashboardServer
from tests.support.processes import alive, tree

pytestmark = pytest.mark.timeout(420)
# Each is killed by the supervisor once its patience is over, so that no load can make it take longer.
MOST_S = 5.0


def test_it_ends_everything_on_ctrl_c(make_dashboard: Callable[..., DashboardServer], any_broker: TestBroker) -> None:
    server = make_dashboard(brokers=(f"{any_broker.management_url}#watched",))
    wait_for_condition(server.data_dir, "watched", Condition.LIVE, 60, lambda: server.log[-4000:])
    everybody = tree(server.process.pid)
    assert len(everybody) >= 4
    assert server.stop(signal.SIGINT) == 0
    assert not [one for one in everybody if alive(one)]
    assert _said_seconds(server) <= MOST_S
    assert "Traceback" not in server.log
    assert not (server.data_dir / "up.json").exists()


@pytest.mark.faults
def test_it_leaves_nothing_running_when_the_supervisor_is_killed(
    make_dashboard: Callable[..., DashboardServer],
) -> None:
    server = make_dashboard()
    everybody = tree(server.process.pid)
    assert len(everybody) >= 4
    server.process.kill()
    server.process.wait(15)
    wait_until(lambda: not any(map(alive, everybody)), 30, "every process is gone", lambda: server.log[-4000:])

    again = make_dashboard(data_dir=server.data_dir)
    assert again.child_pids().keys() == {"web", "worker", "beat"}


def _said_seconds(server: DashboardServer) -> float:
    wait_until(lambda: "Ended after" in server.log, 10, "the supervisor says how long it took", lambda: server.log)
    found = re.search(r"Ended after ([0-9.]+) s\.", server.log)
    assert found
    return float(found.group(1))
