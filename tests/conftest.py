"""Fixtures for every test: real brokers, the dashboard as people run it, and a browser that accepts no error."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pika
import pytest

from brokers.lag import keeper, watched
from brokers.series import present, snapshots
from dashboard.queries import chart_series, lasting, queue_asked
from tests.support import brokers
from tests.support.brokers import TestBroker

# A busy machine draws examples slowly: that is no fault of what is tested.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")

pytest_plugins = [
    "tests.support.dashboard_server",
    "tests.support.browser",
    "tests.support.own_broker",
    "tests.support.postgres",
]


def pytest_configure(config: pytest.Config) -> None:
    """In the session's own process, not in its workers: decide where brokers come from, and where they are kept."""
    if hasattr(config, "workerinput"):
        return
    folder = Path(tempfile.mkdtemp(prefix="warren-run-"))
    (folder / "pid").write_text(str(os.getpid()))
    os.environ[brokers.RUN_DIR] = str(folder)
    brokers.choose_source()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what the session started."""
    if not hasattr(config, "workerinput") and brokers.RUN_DIR in os.environ:
        brokers.end_all(Path(os.environ.pop(brokers.RUN_DIR)))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for `broker` once on each version there is."""
    if "broker" in metafunc.fixturenames:
        metafunc.parametrize("broker", brokers.versions() or ["none"], indirect=True, scope="session")


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest) -> TestBroker:
    """A real broker; the test runs once for each version."""
    return _running(str(request.param))


@pytest.fixture(scope="session")
def any_broker() -> TestBroker:
    """One real broker, the newest there is, for what does not depend on the version."""
    found = brokers.versions()
    return _running(max(found, key=_order) if found else "none")


@pytest.fixture(scope="session")
def brokers_by_version() -> Callable[[str], TestBroker | None]:
    """Return the broker of a version, None where this session has none of it."""
    return lambda version: _running(version) if version in brokers.versions() else None


@pytest.fixture
def vhost(request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh vhost on the test's `broker` (else on `any_broker`), deleted afterwards."""
    here = _broker_of_test(request)
    name = here.make_vhost()
    yield name
    here.delete_vhost(name)


@pytest.fixture
def amqp(request: pytest.FixtureRequest, vhost: str) -> Iterator[pika.BlockingConnection]:
    """An AMQP connection to the test's vhost."""
    connection = _broker_of_test(request).connect(vhost)
    yield connection
    if connection.is_open:
        connection.close()


@pytest.fixture
def watcher(request: pytest.FixtureRequest, vhost: str) -> Iterator[tuple[str, str]]:
    """Name and password of a watching user (tag monitoring, an empty permission row in `/` and the test's vhost)."""
    here = _broker_of_test(request)
    name, password = here.make_watcher("/", vhost)
    yield name, password
    here.delete_user(name)


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """The database's file is already this worker's own: tests/settings.py makes a folder a process."""


@pytest.fixture(autouse=True)
def _fresh_memory() -> Iterator[None]:
    """Forget what the process remembers of brokers: ids come again in the next test's database."""
    yield
    for broker_id in list(present._keepers):
        present.forget(broker_id)
    chart_series.forget()
    lasting.forget()
    queue_asked.forget()
    snapshots.forget()
    keeper.forget()
    watched.forget()


def _broker_of_test(request: pytest.FixtureRequest) -> TestBroker:
    name = "broker" if "broker" in request.fixturenames else "any_broker"
    found: TestBroker = request.getfixturevalue(name)
    return found


def _running(version: str) -> TestBroker:
    if version == "none":
        pytest.fail(
            "No broker to test against: set WARREN_TEST_BROKERS, start a Docker engine, or install rabbitmq-server "
            "(`make test` does where it may).",
            pytrace=False,
        )
    return brokers.broker_of(version)


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
