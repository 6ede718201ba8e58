"""What `manage.py up` says when it starts, and when it cannot."""

from __future__ import annotations

import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from brokers.collect.state import Condition
from tests.support.brokers import TestBroker
from tests.support.collected import facts, wait_for_condition, wait_until
from tests.support.dashboard_server import DashboardServer, sign_in, start_dashboard

pytestmark = pytest.mark.timeout(420)
NOT_A_KEY = "not-a-key"


@pytest.fixture(scope="module")
def server(make_dashboard: Callable[..., DashboardServer]) -> Iterator[DashboardServer]:
    """A dashboard that runs."""
    started = make_dashboard()
    yield started
    started.stop()


def refused(data_dir: Path, **environment: str) -> str:
    """Return what `up` says where it does not start. Raises AssertionError where it starts."""
    server = start_dashboard(data_dir, environment=environment, wait=False)
    try:
        assert server.process.wait(120) == 1
    except subprocess.TimeoutExpired:
        server.stop()
        raise AssertionError(f"It started:\n{server.log}") from None
    wait_until(lambda: server.log.endswith("\n"), 10, "it says something", lambda: server.log)
    assert "Traceback" not in server.log
    return server.log


def test_it_says_once_how_to_sign_in_for_the_first_time(make_dashboard: Callable[..., DashboardServer]) -> None:
    server = make_dashboard(environment={"WARREN_ADMIN_PASSWORD": ""})
    wait_until(lambda: "Ctrl-C ends it." in server.log, 30, "it says that it is ready", lambda: server.log)
    found = re.search(r"Sign in as admin with the password (\S+)", server.log)
    assert found, server.log
    assert f"Warren is at {server.url}" in server.log
    sign_in(server, password=found.group(1))
    server.stop()

    again = make_dashboard(data_dir=server.data_dir, environment={"WARREN_ADMIN_PASSWORD": ""})
    wait_until(lambda: "Ctrl-C ends it." in again.log, 30, "it says that it is ready", lambda: again.log)
    assert "password" not in again.log
    sign_in(again, password=found.group(1))


def test_it_registers_the_brokers_that_the_environment_names(
    make_dashboard: Callable[..., DashboardServer], any_broker: TestBroker
) -> None:
    user, password = any_broker.make_watcher("/")
    scheme, rest = any_broker.management.split("://", 1)
    try:
        wrong = f"{scheme}://{user}:wrong@{rest}#watched"
        first = make_dashboard(brokers=(wrong, "ftp://somewhere#odd"))
        assert "Broker watched of WARREN_BROKERS was added." in first.log
        assert "An address of WARREN_BROKERS can't be used." in first.log
        wait_until(
            lambda: (found := facts(first.data_dir, "watched")) is not None and found.failures > 0,
            60,
            "the wrong password is refused",
            lambda: first.log,
        )
        first.stop()

        second = make_dashboard(data_dir=first.data_dir, brokers=(f"{scheme}://{user}:{password}@{rest}#watched",))
        assert "Broker watched of WARREN_BROKERS was changed." in second.log
        wait_for_condition(second.data_dir, "watched", Condition.LIVE, 60, lambda: second.log)
        assert password not in second.log
        assert "wrong" not in first.log
    finally:
        any_broker.delete_user(user)


def test_beat_keeps_to_itself_that_a_moment_has_come(
    make_dashboard: Callable[..., DashboardServer], any_broker: TestBroker
) -> None:
    server = make_dashboard(brokers=(f"{any_broker.management_url}#quiet",))
    first = newest_poll(server)
    wait_until(lambda: newest_poll(server) > first + 5, 60, "it polls", lambda: server.log)
    assert not [line for line in server.lines if line.startswith(("beat", "worker"))]
    server.stop()


def newest_poll(server: DashboardServer) -> int:
    """Return the moment of the newest poll, Unix seconds, 0 before the first."""
    with sqlite3.connect(server.data_dir / "warren.sqlite3") as database:
        [(at_ms,)] = database.execute("SELECT max(last_ok_ms) FROM collect_pollstate").fetchall()
    return int(at_ms or 0) // 1000


def test_it_names_a_free_port_where_its_own_is_taken(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        said = refused(tmp_path / "var", WARREN_PORT=str(port))
    assert f"Warren cannot listen on 127.0.0.1:{port}: Address already in use." in said
    assert "Set WARREN_PORT" in said


def test_it_names_who_has_the_data_folder(server: DashboardServer) -> None:
    said = refused(server.data_dir)
    assert f"Warren already runs on {server.data_dir} (process {server.process.pid}, {server.url})." in said
    server.wait_for()


def test_it_says_why_it_cannot_use_its_database(tmp_path: Path) -> None:
    (tmp_path / "var" / "warren.sqlite3").mkdir(parents=True)
    said = refused(tmp_path / "var")
    assert f"Warren cannot use the database file {tmp_path / 'var' / 'warren.sqlite3'}" in said


def test_it_says_why_it_cannot_use_its_data_folder(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file")
    said = refused(tmp_path / "var" / "deeper")
    assert f"Warren cannot use its data folder {tmp_path / 'var' / 'deeper'}" in said
    assert "Set WARREN_DATA_DIR" in said


def test_it_keeps_the_password_of_an_unreachable_database_to_itself(tmp_path: Path) -> None:
    address = "postgres://warren:very-secret@127.0.0.1:1/warren"
    said = refused(tmp_path / "var", WARREN_DATABASE_URL=address)
    assert "Warren cannot use the database warren on 127.0.0.1 (WARREN_DATABASE_URL)" in said
    assert "very-secret" not in said


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("WARREN_PORT", "eighty", "WARREN_PORT is 'eighty'; it must be a whole number."),
        ("WARREN_SECRET_KEYS", NOT_A_KEY, "Key 1 in WARREN_SECRET_KEYS is not a Fernet key"),
    ],
)
def test_it_says_which_setting_is_wrong(name: str, value: str, sentence: str, tmp_path: Path) -> None:
    said = refused(tmp_path / "var", **{name: value})
    assert sentence in said


def test_it_can_be_told_from_anywhere_what_it_is(tmp_path: Path, server: DashboardServer) -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parents[2] / "manage.py"), "token", "create", "--user", "admin"],
        cwd=tmp_path,
        env=server.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert re.fullmatch(r"\S+", done.stdout.strip().splitlines()[-1])
