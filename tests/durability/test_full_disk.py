"""A disk that really is full: nothing is corrupted, a person sees why polling stopped, and it goes on by itself.

On a file system of the test's own, as small as it needs to be.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests

from brokers.collect.state import Condition
from brokers.series.codec import decode
from tests.support.brokers import TestBroker
from tests.support.collected import now_ms, snapshots, wait_for_condition, wait_until
from tests.support.dashboard_server import DashboardServer, sign_in
from tests.support.postgres import Postgres

SIZE_MIB = 192


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A mounted file system of SIZE_MIB. Not below pytest's own folder, which PostgreSQL's user may not enter."""
    if os.geteuid() != 0:
        pytest.skip("Only root may mount a file system of its own to fill.")
    place = Path(tempfile.mkdtemp(prefix="warren-disk-"))
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "warren-test", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        place.rmdir()
        pytest.skip(f"This machine lets nobody mount a file system: {done.stderr.strip()}")
    place.chmod(0o755)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)
    place.rmdir()


def fill(place: Path, leave_mib: float) -> Path:
    """Fill the file system up with one file, so that only so much is free; return the file."""
    filler = place / "filler"
    free = os.statvfs(place)
    size = free.f_bavail * free.f_frsize - int(leave_mib * 2**20)
    with filler.open("ab") as file:
        while size > 0:
            try:
                size -= os.write(file.fileno(), bytes(min(size, 2**20)))
            except OSError:
                break
    return filler


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_polling_stops_visibly_and_goes_on_by_itself(
    make_dashboard: Callable[..., DashboardServer], any_broker: TestBroker, small_disk: Path
) -> None:
    data_dir = small_disk / "var"
    server = make_dashboard(data_dir, brokers=(f"{any_broker.management_url}#watched",))

    def log() -> str:
        return server.log[-4000:]

    wait_for_condition(data_dir, "watched", Condition.LIVE, 60, log)
    session = sign_in(server)
    pids = server.child_pids()

    # Nearly full: polling stops before the last room is used up, and every page says why.
    filler = fill(small_disk, 30)
    wait_until(lambda: "disk is full" in session.get(f"{server.url}/", timeout=20).text, 60, "the fleet says so", log)
    stopped = snapshots(data_dir, "watched")
    collector = session.get(f"{server.url}/settings/collector", timeout=20).text
    assert "Disk full" in collector
    assert f"the disk of {data_dir} is nearly full" in collector
    checks = {one["name"]: one for one in requests.get(f"{server.url}/readyz", timeout=10).json()["checks"]}
    assert not checks["storage"]["ok"]
    assert "Polling is stopped" in server.log
    assert sign_in(server).get(f"{server.url}/", timeout=20).status_code == 200  # there is room for that

    # Full to the last byte, by somebody else: pages still show what is stored.
    fill(small_disk, 0)
    end = time.monotonic() + 8
    while time.monotonic() < end:
        assert session.get(f"{server.url}/", timeout=20).status_code == 200
        time.sleep(0.5)
    assert snapshots(data_dir, "watched") == stopped

    filler.unlink()
    freed_ms = now_ms()
    wait_until(
        lambda: sum(at_ms > freed_ms for at_ms in snapshots(data_dir, "watched")) >= 2, 60, "it polls again", log
    )
    wait_until(lambda: "disk is full" not in session.get(f"{server.url}/", timeout=20).text, 30, "the fleet is", log)
    assert server.child_pids() == pids
    server.stop()
    _is_whole(data_dir / "warren.sqlite3", stopped)


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_a_poll_that_finds_no_room_is_not_stored_half(
    make_dashboard: Callable[..., DashboardServer], any_broker: TestBroker, small_disk: Path
) -> None:
    data_dir = small_disk / "var"
    server = make_dashboard(data_dir, brokers=(f"{any_broker.management_url}#watched",))

    def log() -> str:
        return server.log[-4000:]

    wait_for_condition(data_dir, "watched", Condition.LIVE, 60, log)
    session = sign_in(server)
    # From plenty to nothing between two polls.
    filler = fill(small_disk, 0)
    stored = snapshots(data_dir, "watched")
    wait_until(lambda: "disk is full" in session.get(f"{server.url}/", timeout=20).text, 60, "the fleet says so", log)
    filler.unlink()
    freed_ms = now_ms()
    wait_until(lambda: any(at_ms > freed_ms for at_ms in snapshots(data_dir, "watched")), 60, "it polls again", log)
    server.stop()
    _is_whole(data_dir / "warren.sqlite3", stored)


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_a_full_disk_of_postgresql_is_seen_too(
    make_dashboard: Callable[..., DashboardServer], any_broker: TestBroker, small_disk: Path, postgres: Postgres
) -> None:
    url = postgres.create_database()
    server = make_dashboard(brokers=(f"{any_broker.management_url}#watched",), environment={"WARREN_DATABASE_URL": url})
    place = small_disk / "tables"
    place.mkdir()
    # What grows lies on the small disk; the server's own files stay where they are.
    small = postgres.move_tables(url, place, ["series_snapshot"])

    def log() -> str:
        return server.log[-4000:]

    try:
        session = sign_in(server)

        def polls_well() -> bool:
            checks = {one["name"]: one for one in requests.get(f"{server.url}/readyz", timeout=10).json()["checks"]}
            return checks["collector"]["sentence"] == "Collecting: running."

        def fleet() -> str:
            return session.get(f"{server.url}/", timeout=20).text

        wait_until(polls_well, 60, "it polls", log)
        filler = fill(small_disk, 0)
        wait_until(lambda: "disk is full" in fleet() and "could not be stored" in fleet(), 120, "it says so", log)
        filler.unlink()
        wait_until(polls_well, 60, "it polls again", log)
        wait_until(lambda: "disk is full" not in fleet(), 30, "the fleet is well", log)
    finally:
        server.stop()
        postgres.drop_database(url)
        postgres.drop_tablespace(small)


def _is_whole(file: Path, times_ms: list[int]) -> None:
    """Hold SQLite's check, and that every snapshot of these times is there once and can be read."""
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = database.execute("SELECT at_ms, payload FROM series_snapshot").fetchall()
    assert len({at_ms for at_ms, _ in rows}) == len(rows)
    assert set(times_ms) <= {at_ms for at_ms, _ in rows}
    for at_ms, payload in rows:
        assert decode(payload).at_ms == at_ms


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_compaction_and_roll_ups_find_no_room_and_lose_nothing(small_disk: Path) -> None:
    # Whatever little room there is, the transaction that needs more is not there at all.
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.durability.on_full_disk", str(small_disk)],
        cwd=Path(__file__).resolve().parents[2],
        env={name: value for name, value in os.environ.items() if not name.startswith("WARREN_")},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["wrong"] == []
    assert found["refused"]["keep"] > 0, found
    assert found["refused"]["append"] > 0, found
    assert found["spans"] > 0, found
    assert found["rolled up"] > 0, found
