"""Warren on PostgreSQL: the same tests of what is stored hold there, and `up` collects, shows and is ready."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.support.brokers import TestBroker
from tests.support.collected import wait_until
from tests.support.dashboard_server import DashboardServer, sign_in
from tests.support.postgres import Postgres

_ROOT = Path(__file__).resolve().parents[2]
# What reads and writes tables and needs no broker: claims, slots, snapshots, blocks, roll-ups.
_STORED = [
    *(f"tests/series/test_{name}.py" for name in ("read", "reference", "upkeep", "retention", "present")),
    "tests/registry/test_slots.py",
    "tests/collect/test_claims.py",
    "tests/live/test_tail.py",
]


@pytest.mark.timeout(420)
def test_the_tests_of_what_is_stored_hold_on_it(postgres: Postgres) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("WARREN_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *_STORED, "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-x"],
        env={**clean, "WARREN_TEST_DATABASE_URL": postgres.create_database()},
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


@pytest.mark.timeout(240)
def test_it_collects_shows_and_is_ready(
    make_dashboard: Callable[..., DashboardServer], any_broker: TestBroker, postgres: Postgres
) -> None:
    server = make_dashboard(
        brokers=(f"{any_broker.management_url}#watched",),
        environment={"WARREN_DATABASE_URL": postgres.create_database()},
    )
    assert not (server.data_dir / "warren.sqlite3").exists()
    api = server.api(server.token())

    def points() -> int:
        broker_id = api.get(f"{server.url}/api/v1/brokers", timeout=10).json()["items"][0]["id"]
        answer = api.get(
            f"{server.url}/api/v1/brokers/{broker_id}/series",
            params={"kind": "broker", "metrics": "ready", "from": time.time() - 600},
            timeout=10,
        )
        assert answer.ok, answer.text
        values = next(iter(answer.json()["values"].values()))
        return sum(value is not None for value in values)

    wait_until(lambda: points() >= 1, 60, "there is a first point", lambda: server.log)
    before = points()
    wait_until(lambda: points() > before, 30, "history grows", lambda: server.log)
    ready = requests.get(f"{server.url}/readyz", timeout=10)
    assert ready.status_code == 200
    assert all(check["ok"] for check in ready.json()["checks"]), ready.json()
    page = sign_in(server).get(f"{server.url}/", timeout=20)
    assert page.status_code == 200
    assert "watched" in page.text
    # A cut connection costs no more than the poll that it cut.
    assert postgres.cut_connections() > 0
    before = points_after_cut(points)
    wait_until(lambda: points() > before, 40, "history grows after the cut", lambda: server.log)
    assert "Traceback" not in server.log, server.log


def points_after_cut(points: Callable[[], int]) -> int:
    """The first answers after a cut may be errors of the connections that were cut."""
    end = time.monotonic() + 20
    while True:
        try:
            return points()
        except (AssertionError, KeyError, requests.RequestException):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
