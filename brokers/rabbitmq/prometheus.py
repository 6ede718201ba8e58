"""The Prometheus endpoint of one node (plugin rabbitmq_prometheus): typed errors around the text format.

Every answer says which node gave it. It is checked, since what stands before a cluster may lead anywhere in it, and
figures of one node must not be taken for another's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode

from brokers.rabbitmq import exposition
from brokers.rabbitmq.endpoint import Endpoint, address_of
from brokers.rabbitmq.errors import AnswerError, BrokerError, ErrorKind, clipped, quoted
from brokers.rabbitmq.exposition import Samples
from brokers.rabbitmq.exposition_again import Bodies
from brokers.rabbitmq.http import Answer, Client, Limits, Measure
from brokers.rabbitmq.refusals import described

_IDENTITY = "rabbitmq_identity_info"
# A family that no version has: the answer is the node's identity alone, 1.2 kB in a millisecond [measured].
_NO_FAMILY = "identity"
# A cluster of eighty nodes, each with its own name, the entered host and an address; a server may tell of any number.
_MOST = 240
_PLUGIN = "Switch the plugin on: rabbitmq-plugins enable rabbitmq_prometheus"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answers at a Prometheus address, by its own words."""

    node: str
    cluster: str = ""


class Prometheus:
    """One node's Prometheus endpoint at `address` (with or without `/metrics`). Every method raises BrokerError.

    With `node`, answers of any other node are refused. `measured` is called after each answer. `packed` lets answers
    be compressed: 4 MB of depths take the broker 87 ms so and 52 ms as they are [measured on 4.3], but 0.18 MB of line.
    With `bodies`, which is to be kept from tick to tick, an answer is read by the one before it.
    """

    def __init__(
        self,
        client: Client,
        address: str,
        *,
        node: str = "",
        limits: Limits | None = None,
        measured: Callable[[Measure], None] | None = None,
        packed: bool = True,
        bodies: Bodies | None = None,
    ) -> None:
        self._packed = packed
        self._bodies = bodies
        self.url = metrics_url(address)
        self.node = node
        self._client = client
        self._limits = limits
        self._measured = measured

    def __repr__(self) -> str:
        return f"Prometheus({self.url!r}, node={self.node!r})"

    def identity(self) -> Identity:
        """Return which node answers, by the cheapest call there is."""
        return self._get("/detailed", [_NO_FAMILY], ())[0]

    def plain(self, names: Collection[str]) -> dict[str, Samples]:
        """Return the wanted metrics of `/metrics`: figures of the node and global counters."""
        return self._get("", (), names)[1]

    def detailed(self, families: Iterable[str], names: Collection[str]) -> dict[str, Samples]:
        """Return the wanted metrics of `/metrics/detailed`, a sample an object, of the given families only."""
        return self._get("/detailed", families, names)[1]

    def _get(self, path: str, families: Iterable[str], names: Collection[str]) -> tuple[Identity, dict[str, Samples]]:
        query = urlencode([("family", family) for family in families])
        url = f"{self.url}{path}{'?' if query else ''}{query}"
        answer = self._client.get(url, accept="text/plain", limits=self._limits, packed=self._packed)
        if self._measured is not None:
            what = url.removeprefix(self.url.removesuffix("/metrics"))
            self._measured(Measure(what, answer.seconds, answer.bytes, answer.wire_bytes, answer.own_s))
        read = self._bodies.of(url).samples if self._bodies is not None else exposition.samples
        found = _read(answer, {*names, _IDENTITY}, self._client.endpoint, read)
        identity = _identity(answer, found.pop(_IDENTITY, None))
        if self.node and identity.node != self.node:
            raise AnswerError(
                ErrorKind.WRONG_NODE,
                f"{address_of(url)} answers for the node {quoted(identity.node)}, not for {quoted(self.node)}.",
                "Enter each node's own Prometheus address; behind a balancer the answers come from nodes by turns.",
                status=answer.status,
            )
        return identity, found


def metrics_url(address: str) -> str:
    """Return the whole URL of `/metrics` from what a person or a listener gave."""
    return address.rstrip("/").removesuffix("/metrics").rstrip("/") + "/metrics"


def locate(
    client: Client, addresses: Iterable[str], limits: Limits, measured: Callable[[Measure], None] | None = None
) -> dict[str, Identity | BrokerError]:
    """Ask who answers at each address, all side by side; within the limits' total time. Of `_MOST` addresses at most.

    `measured` is called after each answer, from the thread that got it.
    """
    asked = list(dict.fromkeys(addresses))[:_MOST]
    if not asked:
        return {}

    def ask(address: str) -> Identity | BrokerError:
        try:
            return Prometheus(client, address, limits=limits, measured=measured).identity()
        except BrokerError as error:
            return error

    with ThreadPoolExecutor(len(asked), thread_name_prefix="locate") as pool:
        return dict(zip(asked, pool.map(ask, asked), strict=True))


def _read(
    answer: Answer,
    names: Collection[str],
    endpoint: Endpoint,
    read: Callable[[bytes, Collection[str]], dict[str, Samples]],
) -> dict[str, Samples]:
    where = address_of(answer.url)
    if answer.status == HTTPStatus.NOT_FOUND:
        raise AnswerError(
            ErrorKind.PLUGIN_OFF,
            f"{where} answers, but there is no Prometheus endpoint at {answer.url.partition('?')[0]} (404).",
            f"{_PLUGIN}. Behind a proxy, add its path prefix.",
            status=answer.status,
        )
    if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise AnswerError(
            ErrorKind.FORBIDDEN,
            f"{where} lets nobody read its Prometheus endpoint {_who(endpoint)} (HTTP {answer.status}).",
            "Enter the user and password of the Prometheus endpoints in the broker's settings; those of the management "
            "API are never sent there.",
            status=answer.status,
        )
    if answer.status != HTTPStatus.OK:
        raise AnswerError(
            ErrorKind.SERVER_ERROR if answer.status >= 500 else ErrorKind.REFUSED_REQUEST,
            f"The Prometheus endpoint of {where} answers HTTP {answer.status}.",
            "Look at the node's log at this minute.",
            status=answer.status,
        )
    if answer.body.lstrip()[:1] in {b"<", b"{", b""} or "html" in answer.content_type:
        raise _not_rabbitmq(answer, described(answer, endpoint))
    try:
        return read(answer.body, names)
    except exposition.TruncatedExpositionError:
        raise AnswerError(
            ErrorKind.TRUNCATED,
            f"The Prometheus endpoint of {where} ended its answer in the middle ({answer.bytes:,} bytes).",
            "Look for a proxy that cuts answers, or a node that restarts.",
            status=answer.status,
        ) from None


def _who(endpoint: Endpoint) -> str:
    user = endpoint.prometheus_username
    return f"as {quoted(user)} with the password that was entered" if user else "without signing in"


def _identity(answer: Answer, told: Samples | None) -> Identity:
    if told is None:
        raise _not_rabbitmq(answer, "with metrics that name no RabbitMQ node")
    names = exposition.labels(told[0][0])
    return Identity(names.get("rabbitmq_node", ""), names.get("rabbitmq_cluster", ""))


def _not_rabbitmq(answer: Answer, how: str) -> AnswerError:
    return AnswerError(
        ErrorKind.NOT_RABBITMQ,
        f"{address_of(answer.url)} answers {clipped(how)}, not RabbitMQ's Prometheus endpoint.",
        f"Check the port: it is 15692 unless it was changed. {_PLUGIN}",
        status=answer.status,
    )
