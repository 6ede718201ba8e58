"""Warren's own processes killed while it runs: each comes back, and the log of snapshots has a short gap at most."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
import requests

from brokers.collect.state import Condition
from tests.support.brokers import TestBroker
from tests.support.collected import facts, now_ms, snapshots, wait_for_condition, wait_until
from tests.support.dashboard_server import DashboardServer, sign_in

pytestmark = [pytest.mark.faults, pytest.mark.timeout(420)]


@pytest.fixture(scope="module")
def server(make_dashboard: Callable[..., DashboardServer], any_broker: TestBroker) -> Iterator[DashboardServer]:
    """A dashboard that polls a broker."""
    started = make_dashboard(brokers=(f"{any_broker.management_url}#watched",))
    yield started
    started.stop()


@pytest.mark.parametrize("name", ["worker", "beat"])
def test_it_polls_again_after_a_gap_of_three_ticks_at_most(name: str, server: DashboardServer) -> None:
    def log() -> str:
        return server.log[-4000:]

    wait_for_condition(server.data_dir, "watched", Condition.LIVE, 60, log)
    first = server.child_pids()[name]
    before = snapshots(server.data_dir, "watched")
    os.kill(first, signal.SIGKILL)
    killed_ms = now_ms()

    wait_until(
        lambda: sum(at_ms > killed_ms for at_ms in snapshots(server.data_dir, "watched")) >= 3,
        90,
        "three snapshots after the end",
        log,
    )
    taken = [before[-1], *(at_ms for at_ms in snapshots(server.data_dir, "watched") if at_ms > before[-1])]
    gaps = [later - earlier for earlier, later in pairwise(taken)]
    held = facts(server.data_dir, "watched")
    assert held is not None
    assert max(gaps) <= 3 * held.cadence_ms, gaps
    assert f"{name} was ended by SIGKILL; it starts again in 0.2 s." in server.log
    assert server.child_pids()[name] != first


def test_it_answers_again_after_the_web_process_was_killed(server: DashboardServer) -> None:
    session = sign_in(server)
    first = server.child_pids()["web"]
    os.kill(first, signal.SIGKILL)

    def answers() -> bool:
        try:
            return session.get(f"{server.url}/", timeout=10).status_code == 200
        except requests.ConnectionError:
            return False

    wait_until(lambda: server.child_pids()["web"] != first, 30, "another web process", lambda: server.log[-4000:])
    wait_until(answers, 60, "the page again, still signed in", lambda: server.log[-4000:])
    assert "Sign in" not in session.get(f"{server.url}/", timeout=10).text.split("<h1", 1)[-1][:200]
