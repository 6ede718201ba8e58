"""The dashboard as people run it: `manage.py up` as a process, on a data folder and a port of its own."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

_ROOT = Path(__file__).resolve().parents[2]
ADMIN = "admin"


@dataclass
class DashboardServer:
    """A running dashboard. `url` ends without a slash; the administrator is `admin` with `password`."""

    url: str
    password: str
    data_dir: Path
    environment: dict[str, str]
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    @property
    def log(self) -> str:
        """Everything that its processes have written so far."""
        return "".join(self.lines)

    def manage(self, *arguments: str, input_text: str | None = None) -> str:
        """Run a management command on the same data and return what it printed. Raises AssertionError."""
        done = subprocess.run(
            [sys.executable, str(_ROOT / "manage.py"), *arguments],
            env=self.environment,
            cwd=_ROOT,
            capture_output=True,
            text=True,
            input=input_text,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"manage.py {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def token(self, user: str = ADMIN) -> str:
        """Make an API token for a user."""
        return self.manage("token", "create", "--user", user).strip().splitlines()[-1].strip()

    def api(self, token: str) -> requests.Session:
        """Return a session that sends the token; give it whole addresses."""
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {token}"
        return session

    def child_pids(self) -> dict[str, int]:
        """Return the supervised processes by their name (web, worker, beat) as the supervisor's status file tells."""
        told: dict[str, dict[str, int]] = json.loads((self.data_dir / "up.json").read_text())
        return told["children"]

    def children(self) -> dict[str, psutil.Process]:
        """Return the supervised processes by their name. Raises psutil.NoSuchProcess where one has just ended."""
        return {name: psutil.Process(pid) for name, pid in self.child_pids().items()}

    def wait_for(self, path: str = "/healthz", seconds: float = 120) -> None:
        """Return when a page answers 200. Raises AssertionError with the log where it does not."""
        end = time.monotonic() + seconds
        while True:
            try:
                if requests.get(self.url + path, timeout=5).status_code == 200:
                    return
            except requests.RequestException:
                pass
            assert self.process.poll() is None, f"`up` ended with {self.process.returncode}:\n{self.log}"
            assert time.monotonic() < end, f"{path} did not answer within {seconds} s:\n{self.log}"
            time.sleep(0.1)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 10) -> int:
        """Send a signal, wait for the end, return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def start_dashboard(
    data_dir: Path,
    *,
    brokers: tuple[str, ...] = (),
    environment: dict[str, str] | None = None,
    wait: bool = True,
    command: str = "up",
) -> DashboardServer:
    """Start `manage.py up` (or `demo`); `brokers` are management addresses with credentials, registered at start."""
    password = f"test-{secrets.token_hex(8)}"
    port = free_port()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("WARREN_", "DJANGO_"))}
    complete = {
        **clean,
        "WARREN_DATA_DIR": str(data_dir),
        "WARREN_HOST": "127.0.0.1",
        "WARREN_PORT": str(port),
        "WARREN_ADMIN_PASSWORD": password,
        "WARREN_BROKERS": " ".join(brokers),
        "PYTHONUNBUFFERED": "1",
        **(environment or {}),
    }
    process = subprocess.Popen(
        [sys.executable, str(_ROOT / "manage.py"), command],
        env=complete,
        cwd=_ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{complete['WARREN_PORT']}"
    server = DashboardServer(url, complete["WARREN_ADMIN_PASSWORD"], data_dir, complete, process)
    threading.Thread(target=_collect, args=(process, server.lines), daemon=True).start()
    if wait:
        try:
            server.wait_for()
        except AssertionError:
            server.stop()
            raise
    return server


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def sign_in(server: DashboardServer, username: str = ADMIN, password: str | None = None) -> requests.Session:
    """Sign in as a person does and return the session with its cookies."""
    session = requests.Session()
    page = session.get(server.url + "/", timeout=10)
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert found, page.text[:2000]
    answer = session.post(
        page.url,
        data={
            "username": username,
            "password": password or server.password,
            "csrfmiddlewaretoken": found.group(1),
            "next": "/",
        },
        headers={"Referer": page.url},
        timeout=10,
    )
    assert answer.ok, answer.text[:2000]
    assert "sessionid" in session.cookies, answer.text[:2000]
    return session


@pytest.fixture(scope="session")
def make_dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., DashboardServer]]:
    """Return a function that starts a dashboard (see start_dashboard), by default on a new folder; all end with the
    session.
    """
    started: list[DashboardServer] = []

    def make(data_dir: Path | None = None, **arguments: Any) -> DashboardServer:
        server = start_dashboard(data_dir or tmp_path_factory.mktemp("dashboard"), **arguments)
        started.append(server)
        return server

    yield make
    for server in started:
        server.stop()


@pytest.fixture(scope="module")
def dashboard_server(make_dashboard: Callable[..., DashboardServer]) -> Iterator[DashboardServer]:
    """A dashboard with no brokers yet, for the tests of one module."""
    server = make_dashboard()
    yield server
    server.stop()


def _collect(process: subprocess.Popen[str], lines: list[str]) -> None:
    assert process.stdout is not None
    lines.extend(process.stdout)
