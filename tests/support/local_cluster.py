"""RabbitMQ nodes of one test's own, joined to a cluster, with or without Prometheus; from Debian's package."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import requests

from dashboard.demo.local_rabbitmq import LocalBroker, LocalRabbitMQ, find_server
from tests.support.brokers import TestBroker


class _Node(LocalRabbitMQ):
    """A node that shares another's epmd, and knows whom to join."""

    def join(self, first: LocalBroker | None, number: int, cookie: str, *, prometheus: bool) -> LocalBroker:
        """Write the configuration of node `number` of a cluster; `first` is node 1, None where this is it."""
        broker = self.prepare()
        if first is not None:
            broker = replace(
                broker,
                node=first.node.replace("-1@", f"-{number}@"),
                epmd_port=first.epmd_port,
                username=first.username,
                password=first.password,
            )
        else:
            broker = replace(broker, node=broker.node.replace("@", "-1@"))
        (self.folder / "broker.json").write_text(json.dumps(asdict(broker)))
        secret = self.folder / ".erlang.cookie"
        secret.write_text(cookie)
        secret.chmod(0o400)
        conf = self.folder / "rabbitmq.conf"
        lines = [line for line in conf.read_text().splitlines() if not line.startswith(("default_", "prometheus."))]
        lines += [f"default_user = {broker.username}", f"default_pass = {broker.password}"]
        if prometheus:
            lines += ["prometheus.tcp.ip = 127.0.0.1", f"prometheus.tcp.port = {broker.prometheus_port}"]
        else:
            (self.folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
        if first is not None:
            lines += ["cluster_formation.peer_discovery_backend = classic_config"]
            lines += [f"cluster_formation.classic_config.nodes.1 = {first.node}"]
            lines += [f"cluster_formation.classic_config.nodes.2 = {broker.node}"]
        conf.write_text("\n".join(lines) + "\n")
        return broker

    def start(self, broker: LocalBroker, *, with_epmd: bool = True) -> None:
        """Start the node, and epmd where it is the first."""
        if with_epmd:
            super().start(broker)
        else:
            self._spawn("server", [str(self._server())], self._environment(broker))


class LocalCluster:
    """`start` joins so many nodes and returns the cluster; `nodes` are their addresses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nodes: list[LocalBroker] = []
        self._running: list[_Node] = []

    def start(self, nodes: int = 3, *, prometheus: bool = True) -> TestBroker:
        """Start the nodes one behind the other; the second and third join the first."""
        cookie = secrets.token_hex(10).upper()
        for number in range(1, nodes + 1):
            node = _Node(self.folder / f"node-{number}")
            first = self.nodes[0] if self.nodes else None
            broker = node.join(first, number, cookie, prometheus=prometheus)
            node.start(broker, with_epmd=first is None)
            self.nodes.append(broker)
            self._running.append(node)
            self._wait(number, node)
        one = self.nodes[0]
        return TestBroker(
            ".".join(one.version.split(".")[:2]),
            one.amqp,
            one.management,
            one.prometheus,
            one.username,
            one.password,
            nodes=[{"name": each.node, "amqp": each.amqp, "management": each.management} for each in self.nodes],
        )

    def kill(self, number: int) -> None:
        """End node `number` (from 1) at once."""
        self._running[number - 1].stop(0.0)

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl on the first node and return what it prints."""
        server = find_server()
        assert server is not None
        one = self.nodes[0]
        environment = self._running[0]._environment(one) | {"RABBITMQ_CTL_ERL_ARGS": ""}
        environment.pop("ERL_AFLAGS")  # the tool's own node may look the others up
        done = subprocess.run(
            [str(server.with_name("rabbitmqctl")), "--node", one.node, "--quiet", *arguments],
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stop(self) -> None:
        """End all nodes."""
        for node in reversed(self._running):
            node.stop(1.0)

    def _wait(self, nodes: int, newest: _Node) -> None:
        """Return once the first node's management API sees so many nodes running."""
        one = self.nodes[0]
        end = time.monotonic() + 150
        while True:
            assert newest.alive(), f"A node ended while it started:\n{newest.last_words()}"
            try:
                told = requests.get(f"{one.management}/api/nodes", auth=(one.username, one.password), timeout=5)
                if told.ok and sum(bool(node.get("running")) for node in told.json()) == nodes:
                    return
            except requests.RequestException:
                pass  # not listening yet
            assert time.monotonic() < end, f"Not ready in time:\n{newest.last_words()}"
            time.sleep(0.2)


@contextmanager
def _ended(cluster: LocalCluster) -> Iterator[LocalCluster]:
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def local_cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    """Nodes of this test's own, not yet started."""
    if find_server() is None or os.name != "posix":
        pytest.fail("This test joins RabbitMQ nodes of its own: install Debian's rabbitmq-server.", pytrace=False)
    with _ended(LocalCluster(tmp_path / "cluster")) as cluster:
        yield cluster
