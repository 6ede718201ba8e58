"""*Test connection*: from the broker's name to each node's Prometheus, step by step, a verdict and a remedy for each.

Nothing on the broker is changed. Where a step fails those behind it, which stand on it, are told as not tried. The
whole is bounded in time, whatever the other side does.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

from urllib3.exceptions import ConnectTimeoutError

from brokers.rabbitmq import connect_verdicts as verdicts
from brokers.rabbitmq.capabilities import Capabilities, capabilities
from brokers.rabbitmq.connect_verdicts import Step, Verdict
from brokers.rabbitmq.connection import CALL, Address, connect, resolve
from brokers.rabbitmq.endpoint import Endpoint
from brokers.rabbitmq.errors import BrokerError, ErrorKind, UnreachableError
from brokers.rabbitmq.failures import explain
from brokers.rabbitmq.handshake import shake
from brokers.rabbitmq.http import Client, Limits
from brokers.rabbitmq.management import UNNAMEABLE, Management
from brokers.rabbitmq.prometheus import locate
from brokers.rabbitmq.structs import Node, Whoami

T = TypeVar("T")

TOTAL_S = 18.0
# Seconds of it that one step, or one call, may take.
_STEP_S = 3.0
_CALL_S = 5.0
# A broker may have more vhosts than a person waits for.
_MOST_VHOSTS = 200

__all__ = ["TOTAL_S", "Step", "Verdict", "check"]


def check(endpoint: Endpoint, *, total_s: float = TOTAL_S) -> Iterator[Step]:
    """Yield each step as soon as it is done; the last one within about `total_s` seconds."""
    run = _Run(endpoint, total_s)
    try:
        yield from run.steps()
    finally:
        run.close()


class _Run:
    """One check: what is known so far, and the time that is left."""

    def __init__(self, endpoint: Endpoint, total_s: float) -> None:
        self.endpoint = endpoint
        self.total_s = total_s
        self.ends_at = time.monotonic() + total_s
        self.addresses: list[Address] = []
        self.user = Whoami()
        self.found = Capabilities("", "", ())
        self.nodes: list[Node] = []
        self.clients: list[Client] = []

    def close(self) -> None:
        for client in self.clients:
            client.close()

    def steps(self) -> Iterator[Step]:
        stages: list[tuple[str, Callable[[], Iterator[Step]]]] = [
            ("Name", self.name),
            ("TCP", self.tcp),
            ("TLS", self.tls),
            ("Sign-in", self.sign_in),
            ("Rights", self.rights),
            ("Plugins", self.plugins),
            ("Prometheus", self.prometheus),
        ]
        for index, (name, stage) in enumerate(stages):
            began = time.monotonic()
            try:
                for step in stage():
                    yield replace(step, seconds=time.monotonic() - began)
            except BrokerError as error:
                took = time.monotonic() - began
                yield Step(name, Verdict.CRITICAL, error.sentence, error.remedy, seconds=took)
                for later, _ in stages[index + 1 :]:
                    yield Step(later, Verdict.IDLE, "Not tried.")
                return

    def name(self) -> Iterator[Step]:
        host, left = self.endpoint.host, self.left(_STEP_S)
        try:
            self.addresses = resolve(host, self.endpoint.port, left)
        except socket.gaierror as error:
            raise explain(error, self.endpoint.management_url, left) from error
        yield verdicts.name_step(host, self.numbers())

    def tcp(self) -> Iterator[Step]:
        left = self.left(_STEP_S)
        CALL.begin(left, left)
        try:
            with connect(self.addresses, left) as connected:
                at = connected.getpeername()[0]
        except TimeoutError as error:
            raise explain(ConnectTimeoutError("no answer"), self.endpoint.management_url, left) from error
        except OSError as error:
            raise explain(error, self.endpoint.management_url, left) from error
        where = "" if at == self.endpoint.host else f" at {at}"
        yield Step("TCP", Verdict.OK, f"{self.endpoint.address} accepts connections{where}.")

    def tls(self) -> Iterator[Step]:
        if self.endpoint.scheme != "https":
            yield verdicts.plain_step(self.numbers())
            return
        made = shake(self.endpoint, self.addresses, self.left(_STEP_S))
        if self.endpoint.verify:
            yield verdicts.tls_step(made, datetime.now(UTC))
            return
        refusal = None
        try:
            shake(replace(self.endpoint, verify=True), self.addresses, self.left(_STEP_S))
        except BrokerError as error:
            refusal = error
        yield verdicts.unchecked_tls_step(made, refusal)

    def sign_in(self) -> Iterator[Step]:
        self.user = self.ask(Management.whoami)
        by = " by token" if self.endpoint.token else ""
        yield Step("Sign-in", Verdict.OK, f"{verdicts.who(self.user)} signed in{by}.")

    def rights(self) -> Iterator[Step]:
        judged = verdicts.tags_step(self.user)
        if judged is not None:
            yield judged
            return
        vhosts = [one.name for one in self.ask(Management.vhosts)]
        # The rest of the time is kept for the steps behind.
        enough_at = self.ends_at - 2 * _CALL_S
        asked = self.management()

        def looks(vhost: str) -> bool | None:
            # Signed in it is, so every answer but this one means that there is no permission row.
            # The API has no address for a vhost that is named by a dot or two.
            if vhost in UNNAMEABLE or time.monotonic() >= enough_at:
                return None
            return asked.get(["policies", vhost]).status == 200

        with ThreadPoolExecutor(4, thread_name_prefix="rights") as pool:
            answers = zip(vhosts[:_MOST_VHOSTS], pool.map(looks, vhosts[:_MOST_VHOSTS]), strict=True)
            looked = {vhost: answer for vhost, answer in answers if answer is not None}
        yield verdicts.vhosts_step(self.user, len(vhosts), looked)

    def plugins(self) -> Iterator[Step]:
        overview = self.ask(Management.overview)
        self.nodes = self.ask_if_allowed(Management.nodes, [])
        flags = self.ask_if_allowed(Management.feature_flags, None)
        self.found = capabilities(overview, self.endpoint, flags)
        yield verdicts.plugins_step(self.found, overview.management_version or "", self.nodes)

    def prometheus(self) -> Iterator[Step]:
        addresses = [one for several in self.found.addresses.values() for one in several]
        if not addresses:
            yield verdicts.no_listener_step(self.user)
            return
        left = self.left(_CALL_S)
        answers = locate(self.client(of_nodes=True), addresses, Limits(connect=left, read=left, total=left))
        yield from verdicts.prometheus_steps(self.found, self.nodes, answers)

    def numbers(self) -> list[str]:
        """Return the addresses without their ports."""
        return [str(address[0]) for _, address in self.addresses]

    def ask(self, call: Callable[[Management], T]) -> T:
        """Make one call of the management API within what is left of the time."""
        return call(self.management())

    def ask_if_allowed(self, call: Callable[[Management], T], otherwise: T) -> T:
        """The same, with an answer of ours where this user, or this server, may not or can not tell."""
        try:
            return self.ask(call)
        except UnreachableError:
            raise
        except BrokerError:
            return otherwise

    def management(self) -> Management:
        left = self.left(_CALL_S)
        client = self.client()
        client.limits = Limits(connect=min(_STEP_S, left), read=left, total=left)
        return Management(self.endpoint, client=client)

    def client(self, *, of_nodes: bool = False) -> Client:
        """Return the one client of its kind: for management, or for the nodes' Prometheus with the sign-in there."""
        endpoint = self.endpoint.at_prometheus() if of_nodes else self.endpoint
        for client in self.clients:
            if client.endpoint == endpoint:
                return client
        self.clients.append(Client(endpoint))
        return self.clients[-1]

    def left(self, most: float) -> float:
        """Return seconds for the next step. Raises UnreachableError when there are none."""
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise UnreachableError(
                ErrorKind.TOO_SLOW,
                f"{self.endpoint.address} was given {self.total_s:g} s for everything, and they are used up.",
                "Look at the node's load and memory, and at what stands between.",
            )
        return min(most, left)
