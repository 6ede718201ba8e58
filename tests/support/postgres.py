"""A PostgreSQL of one test session's own: a cluster in a temporary folder, reached over a socket in it.

PostgreSQL refuses to run as root, so that root runs it as an ordinary user. The cluster ends with the process that
started it, also where that is killed.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

OWNER = "warren"
_PORT = 5432  # names the socket; nothing listens on the network
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
MISSING = "There is no PostgreSQL server here: install Debian's postgresql (`make test` does where it may)."


def find_binaries() -> Path | None:
    """Return the folder of the newest server's programs: Debian's, which are not in PATH, else that of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    program = shutil.which("postgres")
    return Path(program).resolve().parent if program else None


class Postgres:
    """One cluster: `start`, `kill` (the postmaster, as by a power cut), and `start` again with its data."""

    def __init__(self, folder: Path, binaries: Path, *, durable: bool = False) -> None:
        self.folder = folder
        self.data = folder / "data"
        self._binaries = binaries
        self._durable = durable
        self._user = _ordinary_user()
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, making the cluster first where there is none. Raises AssertionError with what it said."""
        if not (self.data / "PG_VERSION").exists():
            self._make()
        # A killed postmaster leaves its lock and may leave backends that still end.
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [
                    str(self._binaries / "postgres"),
                    *("-D", str(self.data), "-k", str(self.folder), "-p", str(_PORT)),
                    *("-c", "listen_addresses=", "-c", "max_connections=60", "-c", "shared_buffers=32MB"),
                    *(() if self._durable else ("-c", "fsync=off", "-c", "synchronous_commit=off")),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=partial(_bind_to, os.getpid()),  # noqa: PLW1509 - it calls into libc alone
                start_new_session=True,
                **self._as_user(),
            )
        self.wait()

    def wait(self, seconds: float = 60) -> None:
        """Return when the server answers: one whose backend was killed recovers first. Raises AssertionError."""
        end = time.monotonic() + seconds
        while True:
            try:
                self._admin("SELECT 1")
                return
            except psycopg.OperationalError:
                ended = self._server is None or self._server.poll() is not None or time.monotonic() > end
            if ended:
                raise AssertionError(f"PostgreSQL does not answer: {self.said()}")
            time.sleep(0.05)

    def said(self) -> str:
        """Return the end of the server's log."""
        return (self.folder / "log").read_text(errors="replace")[-3000:]

    def create_database(self) -> str:
        """Make an empty database and return its address as WARREN_DATABASE_URL takes it."""
        name = f"warren_{secrets.token_hex(4)}"
        self._admin(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop a database, whoever is connected."""
        self._admin(f'DROP DATABASE "{url.rsplit("/", 1)[1]}" WITH (FORCE)')

    def move_tables(self, url: str, place: Path, tables: Sequence[str]) -> str:
        """Let some tables of a database lie in an empty folder; return the name of the tablespace, to be dropped."""
        name = f"small_{secrets.token_hex(4)}"
        if self._user is not None:
            os.chown(place, self._user.pw_uid, self._user.pw_gid)
        self._admin(f"CREATE TABLESPACE {name} LOCATION '{place}'")
        for table in tables:
            self._admin(f"ALTER TABLE {table} SET TABLESPACE {name}", url.rsplit("/", 1)[1])
        return name

    def drop_tablespace(self, name: str) -> None:
        """Drop an empty tablespace."""
        self._admin(f"DROP TABLESPACE {name}")

    def url(self, database: str) -> str:
        """Return the address of a database."""
        return f"postgres://{OWNER}@{quote(str(self.folder), safe='')}:{_PORT}/{database}"

    def cut_connections(self) -> int:
        """End every client's connection, as a failing network or a restarting proxy does; return how many."""
        query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        return int(self._admin(f"{query} AND pid <> pg_backend_pid()"))

    def backends(self) -> list[int]:
        """Return the process ids of the backends that serve clients."""
        query = "SELECT coalesce(string_agg(pid::text, ' '), '') FROM pg_stat_activity"
        found = str(self._admin(f"{query} WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"))
        return [int(pid) for pid in found.split()]

    @property
    def postmaster(self) -> int:
        """The process id of the server."""
        assert self._server is not None
        return self._server.pid

    def kill(self) -> None:
        """End the postmaster with SIGKILL, and wait until its children, which notice that, are gone too."""
        if self._server is not None:
            self._server.kill()
            self._server.wait(15)
            _wait_for_group(self._server.pid)
            self._server = None

    def stop(self) -> None:
        """End the server in order."""
        if self._server is not None:
            if self._server.poll() is None:
                self._server.send_signal(signal.SIGINT)  # "fast": clients are cut
            try:
                self._server.wait(20)
            except subprocess.TimeoutExpired:
                self._server.send_signal(signal.SIGQUIT)
                self._server.wait(20)
            self._server = None

    def remove(self) -> None:
        """Stop the server and delete the cluster."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self.folder.chmod(0o700)
        done = subprocess.run(
            [
                str(self._binaries / "initdb"),
                *("-D", str(self.data), "-U", OWNER, "--auth=trust", "--encoding=UTF8", "--locale=C"),
                *(() if self._durable else ("--no-sync",)),
            ],
            capture_output=True,
            text=True,
            check=False,
            **self._as_user(),
        )
        assert done.returncode == 0, f"initdb failed: {done.stdout}{done.stderr}"

    def _as_user(self) -> dict[str, object]:
        base: dict[str, object] = {"cwd": self.folder}
        if self._user is None:
            return base
        return {**base, "user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def _admin(self, statement: str, database: str = "postgres") -> object:
        with psycopg.connect(
            host=str(self.folder), port=_PORT, user=OWNER, dbname=database, autocommit=True, connect_timeout=10
        ) as connection:
            cursor = connection.execute(statement)  # type: ignore[arg-type]
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None


def make_cluster(*, durable: bool = False) -> Postgres:
    """Start a cluster in a new folder. `durable`: with fsync, as an installation has it. Skips where there is none."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip(MISSING)
    # Not pytest's own folder: a socket's path has room for 107 characters, and only its owner may pass through.
    cluster = Postgres(Path(tempfile.mkdtemp(prefix="warren-pg-")), binaries, durable=durable)
    try:
        cluster.start()
    except BaseException:
        cluster.remove()
        raise
    return cluster


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The session's cluster, for databases of a test's own: `postgres.create_database()`."""
    cluster = make_cluster()
    yield cluster
    cluster.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """WARREN_DATABASE_URL of an empty database: the test runs on the default (empty) and on PostgreSQL."""
    if request.param == "sqlite":
        return ""
    make: Callable[[], str] = request.getfixturevalue("postgres").create_database
    return make()


def _ordinary_user() -> pwd.struct_passwd | None:
    """Return whom root runs the server as, None where we are not root."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _bind_to(parent: int) -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
    if os.getppid() != parent:
        os._exit(1)


def _wait_for_group(group: int, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return
        time.sleep(0.02)
