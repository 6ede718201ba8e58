"""The demo's RabbitMQ in a container, where a Docker engine answers.

Run as a program (`python -m dashboard.demo.docker_rabbitmq FOLDER`) it keeps one container of the official image, with
its ports on loopback, until it is told to end. The container leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

from dashboard.demo.local_rabbitmq import LocalBroker, LocalRabbitMQError, answers, free_ports

IMAGE = "rabbitmq:4-management"


def engine_answers() -> bool:
    """Tell whether there is a Docker engine that answers within five seconds."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        return subprocess.run([docker, "info"], capture_output=True, timeout=5, check=False).returncode == 0  # noqa: S603
    except subprocess.TimeoutExpired:
        return False


def prepare(folder: Path, username: str = "warren-demo") -> LocalBroker:
    """Choose ports and a password, or keep those of an earlier start, and note them in the folder."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    noted = folder / "broker.json"
    amqp, management, prometheus = free_ports(3)
    try:
        broker = replace(LocalBroker(**json.loads(noted.read_text())), version="docker")
    except (OSError, ValueError, TypeError):
        name = f"warren-demo-{secrets.token_hex(4)}"
        broker = LocalBroker(name, "docker", amqp, management, prometheus, 0, 0, username, secrets.token_hex(12))
    noted.touch(mode=0o600)
    noted.write_text(json.dumps(asdict(broker)))
    return broker


def _docker(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    docker = shutil.which("docker") or "docker"
    return subprocess.run([docker, *arguments], capture_output=True, check=False)  # noqa: S603 - our own words


def _keep(folder: Path) -> int:
    broker = prepare(folder)
    container = broker.node.replace("@", "-")
    ready = folder / "ready"
    ready.unlink(missing_ok=True)
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: asked.append(received))
    _docker("rm", "--force", container)
    ports = [(broker.amqp_port, 5672), (broker.management_port, 15672), (broker.prometheus_port, 15692)]
    started = _docker(
        *("run", "--detach", "--rm", "--name", container, "--hostname", "warren-demo"),
        *("--env", f"RABBITMQ_DEFAULT_USER={broker.username}", "--env", f"RABBITMQ_DEFAULT_PASS={broker.password}"),
        *(f"--publish=127.0.0.1:{outside}:{inside}" for outside, inside in ports),
        IMAGE,
    )
    try:
        if started.returncode != 0:
            raise LocalRabbitMQError(f"Docker did not start {IMAGE}: {started.stderr.decode(errors='replace').strip()}")
        while not asked:
            time.sleep(0.3)
            if not ready.exists() and answers(broker):
                ready.write_text(str(os.getpid()))
                sys.stdout.write(f"RabbitMQ ({IMAGE}) is ready on {broker.management}\n")
                sys.stdout.flush()
            elif int(time.monotonic()) % 5 == 0 and _docker("inspect", container).returncode != 0:
                raise LocalRabbitMQError(f"The container {container} ended.")
    except LocalRabbitMQError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        ready.unlink(missing_ok=True)
        _docker("rm", "--force", container)
    return 0


if __name__ == "__main__":
    sys.exit(_keep(Path(sys.argv[1])))
