"""A RabbitMQ of one test's own, to be killed: a local node in a folder, on free loopback ports that it keeps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.demo.local_rabbitmq import LocalBroker, find_server
from tests.support.brokers import TestBroker

_ROOT = Path(__file__).resolve().parents[2]


class OwnBroker:
    """`start`, `kill` (as by a power cut), and `start` again: the same node on the same ports, with its data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._keeper: subprocess.Popen[bytes] | None = None

    def start(self) -> TestBroker:
        """Start the node and return it once it answers. Raises AssertionError with what it said."""
        self.folder.mkdir(parents=True, exist_ok=True)
        said = self.folder.with_name(f"{self.folder.name}.log")
        (self.folder / "ready").unlink(missing_ok=True)
        with said.open("ab") as output:
            self._keeper = subprocess.Popen(
                [sys.executable, "-m", "dashboard.demo.local_rabbitmq", str(self.folder), "--watch", str(os.getpid())],
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        end = time.monotonic() + 120
        while not (self.folder / "ready").exists():
            assert self._keeper.poll() is None, f"RabbitMQ did not start:\n{said.read_text()}"
            assert time.monotonic() < end, f"RabbitMQ was not ready in time:\n{said.read_text()}"
            time.sleep(0.1)
        local = LocalBroker(**json.loads((self.folder / "broker.json").read_text()))
        return TestBroker(
            ".".join(local.version.split(".")[:2]),
            local.amqp,
            local.management,
            local.prometheus,
            local.username,
            local.password,
        )

    def kill(self) -> None:
        """End the node with SIGKILL: it dies with its keeper."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the node in order."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._keeper is not None:
            if self._keeper.poll() is None:
                self._keeper.send_signal(number)
            self._keeper.wait(15)
            self._keeper = None


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[OwnBroker]:
    """A node of this test's own, not yet started."""
    if find_server() is None:
        pytest.fail("This test kills a RabbitMQ of its own: install Debian's rabbitmq-server.", pytrace=False)
    node = OwnBroker(tmp_path / "own-rabbitmq")
    yield node
    node.stop()
