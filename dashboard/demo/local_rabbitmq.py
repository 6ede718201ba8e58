"""A RabbitMQ node of one's own, in one folder and on free loopback ports, from an installed `rabbitmq-server`.

Nothing outside the folder is read or written: not /etc/rabbitmq, not the machine's own node, not its epmd or cookie.
Run as a program (`python -m dashboard.demo.local_rabbitmq FOLDER --watch PID`) it keeps the node until it is told to
end, or until the process it watches is gone; so nothing is left behind even where that process was killed.
"""

from __future__ import annotations

import argparse
import base64
import ctypes
import http.client
import json
import os
import re
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType

# Debian's /usr/sbin/rabbitmq-server is a wrapper that wants to become the user `rabbitmq`; the server itself is here.
_SERVERS = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server")
_PLUGINS = "[rabbitmq_management,rabbitmq_prometheus].\n"
_PR_SET_PDEATHSIG = 1


class LocalRabbitMQError(Exception):
    """The node can't be had or did not start; the text is a sentence for the person."""


@dataclass(frozen=True, slots=True)
class LocalBroker:
    """Where a node listens, and the administrator that it was made with."""

    node: str
    version: str
    amqp_port: int
    management_port: int
    prometheus_port: int
    distribution_port: int
    epmd_port: int
    username: str
    password: str

    @property
    def amqp(self) -> str:
        """AMQP address of the vhost `/`, with credentials."""
        return f"amqp://{self.username}:{self.password}@127.0.0.1:{self.amqp_port}/%2F"

    @property
    def management(self) -> str:
        """Address of the management API, without credentials."""
        return f"http://127.0.0.1:{self.management_port}"

    @property
    def prometheus(self) -> str:
        """Address of the Prometheus exposition."""
        return f"http://127.0.0.1:{self.prometheus_port}/metrics"


def find_server() -> Path | None:
    """Return the path of an installed rabbitmq-server that can be started by anybody, or None."""
    for candidate in (*_SERVERS, shutil.which("rabbitmq-server")):
        if candidate and os.access(candidate, os.X_OK):
            return Path(candidate)
    return None


def installed_version(server: Path) -> str:
    """Return the release (`3.10.8`) of an installed server, `unknown` where its folders do not tell."""
    for parent in (server.resolve().parent.parent / "lib", server.resolve().parent.parent / "plugins"):
        for found in sorted(parent.glob("rabbitmq_server-*")) + sorted(parent.glob("rabbit-*")):
            match = re.search(r"-(\d+\.\d+\.\d+)", found.name)
            if match:
                return match.group(1)
    match = re.search(r"/rabbitmq[_/-](?:server[_-])?(\d+\.\d+\.\d+)/", str(server.resolve()))
    return match.group(1) if match else "unknown"


class LocalRabbitMQ:
    """One node in `folder`. `prepare`, `start`, `wait_until_ready`, later `stop`; each is safe to call again."""

    def __init__(self, folder: Path, username: str = "warren-demo") -> None:
        self.folder = folder.resolve()
        self.username = username
        self._processes: list[subprocess.Popen[bytes]] = []

    def prepare(self) -> LocalBroker:
        """Write the node's configuration; keep name, password and (where still free) ports of an earlier start.

        Raises LocalRabbitMQError where no server is installed.
        """
        server = self._server()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (self.folder / "data" / "complete").exists():
            # A first start that was cut off leaves tables that the next would wait for in vain.
            shutil.rmtree(self.folder / "data", ignore_errors=True)
        for name in ("data", "log"):
            (self.folder / name).mkdir(exist_ok=True)
        broker = self._remembered(installed_version(server)) or self._fresh(installed_version(server))
        descriptor = os.open(self.folder / "broker.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(broker), file)
        (self.folder / "enabled_plugins").write_text(_PLUGINS)
        (self.folder / "env.conf").write_text("")
        (self.folder / "advanced.config").write_text("[].\n")
        conf = self.folder / "rabbitmq.conf"
        conf.touch(mode=0o600)
        conf.write_text(_configuration(broker))
        return broker

    def start(self, broker: LocalBroker) -> None:
        """Start epmd and the node as children that die with this process."""
        environment = self._environment(broker)
        self._spawn("epmd", [str(_epmd()), "-port", str(broker.epmd_port), "-address", "127.0.0.1"], environment)
        self._spawn("server", [str(self._server())], environment)

    def wait_until_ready(self, broker: LocalBroker, seconds: float = 90) -> None:
        """Return when AMQP, management and Prometheus all answer. Raises LocalRabbitMQError with the log's end."""
        end = time.monotonic() + seconds
        while not answers(broker):
            if not self.alive():
                raise LocalRabbitMQError(f"RabbitMQ ended while it started. Its last words:\n{self.last_words()}")
            if time.monotonic() > end:
                raise LocalRabbitMQError(f"RabbitMQ was not ready after {seconds:.0f} s:\n{self.last_words()}")
            time.sleep(0.1)
        (self.folder / "data" / "complete").touch()

    def alive(self) -> bool:
        """Tell whether the node's process runs."""
        return bool(self._processes) and self._processes[-1].poll() is None

    def stop(self, seconds: float = 2.5) -> None:
        """End the node in order, by force after `seconds`.

        Its message stores are closed within the first 0.1 s; 3.10 then idles for another six before it ends.
        """
        for process in reversed(self._processes):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(seconds)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self._processes.clear()

    def _server(self) -> Path:
        server = find_server()
        if server is None:
            raise LocalRabbitMQError(
                "No rabbitmq-server is installed here. `apt-get install --no-install-recommends rabbitmq-server` "
                "installs one; a running Docker engine serves too."
            )
        return server

    def _remembered(self, version: str) -> LocalBroker | None:
        try:
            stored = LocalBroker(**json.loads((self.folder / "broker.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None
        if stored.version != version:
            # A node's data is not for another release.
            shutil.rmtree(self.folder / "data")
            (self.folder / "data").mkdir()
            return None
        names = ("amqp_port", "management_port", "prometheus_port", "distribution_port", "epmd_port")
        taken = [name for name in names if not _is_free(getattr(stored, name))]
        return replace(stored, **dict(zip(taken, free_ports(len(taken)), strict=True)))  # type: ignore[arg-type]

    def _fresh(self, version: str) -> LocalBroker:
        node = f"warren-{secrets.token_hex(4)}@localhost"
        amqp, management, prometheus, distribution, epmd = free_ports(5)
        return LocalBroker(
            node, version, amqp, management, prometheus, distribution, epmd, self.username, secrets.token_hex(12)
        )

    def _environment(self, broker: LocalBroker) -> dict[str, str]:
        folder = str(self.folder)
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            "HOME": folder,
            "ERL_CRASH_DUMP": f"{folder}/log/erl_crash.dump",
            "ERL_EPMD_PORT": str(broker.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # Distribution on loopback only, and no epmd but ours.
            "ERL_AFLAGS": "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
            # Without busy waiting an idle node costs next to no CPU.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",
            # The script then becomes the VM instead of waiting for it, so that the child we end is the node itself.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_NODENAME": broker.node,
            "RABBITMQ_DIST_PORT": str(broker.distribution_port),
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/env.conf",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/advanced.config",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_MNESIA_DIR": f"{folder}/data/db",
        }

    def _spawn(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        with (self.folder / "log" / f"{name}.out").open("wb") as output:
            self._processes.append(
                subprocess.Popen(  # noqa: S603 - the command is found above, not given by anybody
                    command,
                    env=dict(environment),
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    preexec_fn=_die_with_parent,  # noqa: PLW1509 - one thread only
                )
            )

    def last_words(self) -> str:
        """Return the end of what the node printed."""
        output = (self.folder / "log" / "server.out").read_text(errors="replace")
        return "\n".join(output.splitlines()[-25:]) or "(nothing)"


def _die_with_parent() -> None:
    """Run in the child before exec: Linux ends it when the thread that made it ends."""
    os.setpgid(0, 0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _configuration(broker: LocalBroker) -> str:
    # The log of quorum queues takes half a gigabyte unless it is told not to, and the node's own log any size.
    return f"""\
listeners.tcp.1 = 127.0.0.1:{broker.amqp_port}
management.tcp.ip = 127.0.0.1
management.tcp.port = {broker.management_port}
prometheus.tcp.ip = 127.0.0.1
prometheus.tcp.port = {broker.prometheus_port}
default_user = {broker.username}
default_pass = {broker.password}
disk_free_limit.absolute = 50MB
raft.wal_max_size_bytes = 16000000
log.file.rotation.size = 5000000
log.file.rotation.count = 2
"""


def _epmd() -> Path:
    for candidate in (shutil.which("epmd"), "/usr/lib/erlang/bin/epmd"):
        if candidate and os.access(candidate, os.X_OK):
            return Path(candidate)
    raise LocalRabbitMQError("Erlang's epmd was not found beside rabbitmq-server; install Debian's erlang-base.")


def free_ports(count: int) -> list[int]:
    """Return loopback ports that nobody listens on now."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def answers(broker: LocalBroker) -> bool:
    """Tell whether AMQP, the management API and the Prometheus exposition all answer."""
    token = base64.b64encode(f"{broker.username}:{broker.password}".encode()).decode()
    asked = [
        (broker.management_port, "/api/overview", {"Authorization": f"Basic {token}"}),
        (broker.prometheus_port, "/metrics", {}),
    ]
    try:
        socket.create_connection(("127.0.0.1", broker.amqp_port), 1).close()
        for port, path, headers in asked:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path, headers=headers)
            status = connection.getresponse().status
            connection.close()
            if status != http.client.OK:
                return False
    except (OSError, http.client.HTTPException):
        return False
    return True


def _keep(folder: Path, watched: int | None) -> int:
    """Run the node until SIGTERM, SIGINT, the end of the watched process, or its own end (then the result is 1)."""
    reading, writing = os.pipe()

    def ask_to_end(_number: int, _frame: FrameType | None) -> None:
        os.write(writing, b"x")

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, ask_to_end)
    try:
        watching = [os.pidfd_open(watched)] if watched else []
    except ProcessLookupError:
        return 0
    node = LocalRabbitMQ(folder)
    (folder / "ready").unlink(missing_ok=True)
    try:
        broker = node.prepare()
        node.start(broker)
        ready = False
        while True:
            if select.select([reading, *watching], [], [], 0.2)[0]:
                return 0
            if not node.alive():
                sys.stderr.write(f"RabbitMQ ended. Its last words:\n{node.last_words()}\n")
                return 1
            if not ready and answers(broker):
                ready = True
                (folder / "data" / "complete").touch()
                (folder / "ready").write_text(str(os.getpid()))
                sys.stdout.write(f"RabbitMQ {broker.version} is ready on {broker.management}\n")
                sys.stdout.flush()
    except LocalRabbitMQError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        (folder / "ready").unlink(missing_ok=True)
        node.stop()


def main() -> int:
    """Keep one node; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--watch", type=int, default=None, metavar="PID")
    arguments = parser.parse_args()
    return _keep(arguments.folder, arguments.watch)


if __name__ == "__main__":
    sys.exit(main())
