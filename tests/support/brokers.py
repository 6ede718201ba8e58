"""Real brokers for tests, from the first of: WARREN_TEST_BROKERS, a Docker engine, an installed rabbitmq-server.

What a test session starts is shared by its xdist workers and ended with the session, however that ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import pika
import requests

from dashboard.demo.local_rabbitmq import LocalBroker, find_server, installed_version

RUN_DIR = "WARREN_TEST_RUN_DIR"
_SOURCE = "WARREN_TEST_SOURCE"
_ROOT = Path(__file__).resolve().parents[2]
# What the Docker engine is asked to run; each is the tag of the official image, less `-management`.
_IMAGES = tuple(os.environ.get("WARREN_TEST_VERSIONS", "4.0 4.1").split())


@dataclass(frozen=True)
class TestBroker:
    """A running broker. Addresses without credentials, save `amqp` (an AMQP URL of the vhost `/` with them)."""

    __test__: ClassVar[bool] = False

    version: str
    amqp: str
    management: str
    prometheus: str
    username: str
    password: str
    # For each node: name, amqp, management, prometheus (what the source of the broker tells).
    nodes: list[dict[str, Any]] = field(default_factory=list)

    @property
    def management_url(self) -> str:
        """The management address with the credentials in it, as WARREN_BROKERS takes it."""
        scheme, rest = self.management.split("://", 1)
        return f"{scheme}://{quote(self.username, safe='')}:{quote(self.password, safe='')}@{rest}"

    @property
    def release(self) -> tuple[int, ...]:
        """The version as numbers: (3, 10), (4, 0)."""
        return tuple(int(part) for part in self.version.split(".") if part.isdigit())

    def api(self, method: str, path: str, body: Any = None, *, expect: tuple[int, ...] = ()) -> Any:
        """Call the management API as the administrator; `path` begins after `/api/` and is already encoded.

        Raises AssertionError with the broker's answer where the status is neither 2xx nor in `expect`.
        """
        answer = requests.request(
            method,
            f"{self.management}/api/{path}",
            auth=(self.username, self.password),
            json=body,
            timeout=30,
        )
        assert answer.ok or answer.status_code in expect, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content and answer.ok else None

    def make_vhost(self, prefix: str = "test") -> str:
        """Make a vhost with a random name and return the name."""
        name = f"{prefix}-{secrets.token_hex(5)}"
        self.api("PUT", f"vhosts/{quote(name, safe='')}", {})
        self.api(
            "PUT",
            f"permissions/{quote(name, safe='')}/{quote(self.username, safe='')}",
            {"configure": ".*", "write": ".*", "read": ".*"},
        )
        return name

    def delete_vhost(self, name: str) -> None:
        """Delete a vhost, present or not."""
        self.api("DELETE", f"vhosts/{quote(name, safe='')}", expect=(404,))

    def make_watcher(self, *vhosts: str) -> tuple[str, str]:
        """Make a user with the tag monitoring and an empty permission row in the vhosts; return name and password."""
        name, password = f"watch-{secrets.token_hex(5)}", secrets.token_hex(8)
        self.api("PUT", f"users/{name}", {"password": password, "tags": "monitoring"})
        for vhost in vhosts:
            row = {"configure": "", "write": "", "read": ""}
            self.api("PUT", f"permissions/{quote(vhost, safe='')}/{name}", row)
        return name, password

    def delete_user(self, name: str) -> None:
        """Delete a user, present or not."""
        self.api("DELETE", f"users/{quote(name, safe='')}", expect=(404,))

    def connect(self, vhost: str = "/") -> pika.BlockingConnection:
        """Open an AMQP connection to a vhost as the administrator."""
        address = self.amqp.rsplit("/", 1)[0]
        parameters = pika.URLParameters(f"{address}/{quote(vhost, safe='')}")
        parameters.blocked_connection_timeout = 30
        return pika.BlockingConnection(parameters)


def versions() -> list[str]:
    """Return the versions that this session's brokers have: ids of the fixture `broker`, the same in every worker."""
    source = os.environ.get(_SOURCE) or choose_source()
    if source == "given":
        return [str(one["version"]) for one in _given()]
    if source == "docker":
        return list(_IMAGES)
    server = find_server()
    if source == "local" and server is not None:
        return [".".join(installed_version(server).split(".")[:2])]
    return []


def choose_source() -> str:
    """Decide once a session where brokers come from, and leave the answer in the environment for the workers."""
    if os.environ.get("WARREN_TEST_BROKERS"):
        source = "given"
    elif _docker_answers():
        source = "docker"
    elif find_server() is not None:
        source = "local"
    else:
        source = "none"
    os.environ[_SOURCE] = source
    return source


def broker_of(version: str) -> TestBroker:
    """Return the running broker of a version; starts it where nobody in the session has."""
    if os.environ[_SOURCE] == "given":
        found = next(one for one in _given() if str(one["version"]) == version)
        return TestBroker(
            version=version,
            **{name: found[name] for name in ("amqp", "management", "prometheus", "username", "password")},
            nodes=list(found.get("nodes", [])),
        )
    folder = Path(os.environ[RUN_DIR])
    with _locked(folder / f"broker-{version}.lock"):
        return _docker_broker(folder, version) if os.environ[_SOURCE] == "docker" else _local_broker(folder, version)


def end_all(folder: Path) -> None:
    """End what a session started and remove its folder."""
    for file in folder.glob("container-*"):
        subprocess.run(["docker", "rm", "--force", file.read_text()], capture_output=True, check=False)
    for file in folder.glob("keeper-*"):
        pid = int(file.read_text())
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + 8
        while Path(f"/proc/{pid}").exists() and time.monotonic() < end and not _is_zombie(pid):
            time.sleep(0.1)
    shutil.rmtree(folder, ignore_errors=True)


def _given() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(os.environ["WARREN_TEST_BROKERS"])
    return found


def _docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=10, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _local_broker(folder: Path, version: str) -> TestBroker:
    """Return the session's local node; the first to ask starts its keeper, which watches the session's process."""
    data = folder / f"rabbitmq-{version}"
    keeper = folder / f"keeper-{version}"
    if not keeper.exists():
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "dashboard.demo.local_rabbitmq",
                str(data),
                "--watch",
                folder.joinpath("pid").read_text(),
            ],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=folder.joinpath("keeper.log").open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        keeper.write_text(str(process.pid))
    end = time.monotonic() + 90
    while not (data / "ready").exists():
        assert time.monotonic() < end, f"RabbitMQ did not start:\n{folder.joinpath('keeper.log').read_text()}"
        time.sleep(0.1)
    local = LocalBroker(**json.loads((data / "broker.json").read_text()))
    node = {
        "name": local.node,
        "amqp": local.amqp,
        "management": local.management,
        "prometheus": local.prometheus,
    }
    return TestBroker(
        version, local.amqp, local.management, local.prometheus, local.username, local.password, nodes=[node]
    )


def _docker_broker(folder: Path, version: str) -> TestBroker:
    """Return the session's container of a version; the first to ask starts it."""
    name = f"{folder.name}-{version}".replace(".", "-")
    if not (folder / f"container-{version}").exists():
        subprocess.run(
            ["docker", "run", "--detach", "--rm", "--name", name, "--hostname", "warren-test"]
            + [f"--publish=127.0.0.1::{port}" for port in (5672, 15672, 15692)]
            + [f"rabbitmq:{version}-management"],
            check=True,
            capture_output=True,
        )
        (folder / f"container-{version}").write_text(name)
    amqp, management, prometheus = (
        subprocess.run(["docker", "port", name, str(port)], check=True, capture_output=True, text=True)
        .stdout.splitlines()[0]
        .strip()
        for port in (5672, 15672, 15692)
    )
    broker = TestBroker(
        version,
        f"amqp://guest:guest@{amqp}/%2F",
        f"http://{management}",
        f"http://{prometheus}/metrics",
        "guest",
        "guest",
    )
    end = time.monotonic() + 120
    while True:
        try:
            broker.api("GET", "overview")
            broker.connect().close()
        except (requests.RequestException, AssertionError, pika.exceptions.AMQPError):
            assert time.monotonic() < end, f"rabbitmq:{version}-management did not become ready."
            time.sleep(0.5)
        else:
            return broker


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True
