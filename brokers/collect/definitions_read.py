"""Asks a broker for what is declared on it: one call behind the other, bounded in time and bytes as a whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from brokers.collect.clients import Clients
from brokers.collect.measures import CallMeasure
from brokers.rabbitmq.channels import Channel
from brokers.rabbitmq.errors import (
    AnswerError,
    BrokerError,
    ErrorKind,
    NotFoundError,
    UnauthorisedError,
    UnreachableError,
    quoted,
)
from brokers.rabbitmq.management import Management, Measure
from brokers.rabbitmq.streams import StreamConsumer
from brokers.rabbitmq.structs import Binding, Consumer, Exchange, Node, Overview, Policy, Queue, Vhost

# Of one reading as a whole: seconds, and bytes of all its answers together.
DEADLINE_S = 45.0
MAX_BYTES = 256 * 1024 * 1024
# Lists that would be longer are not asked for: each entry is computed by the broker from its statistics.
MOST_CONSUMERS = 10_000
MOST_CHANNELS = 2_000
# Vhosts that seem closed are asked one by one whether they are; more of them than this are believed to be.
_ASKED_VHOSTS = 20

T = TypeVar("T")


@dataclass(slots=True)
class Declared:
    """What one reading brought. None: not told; then `said` has a sentence that tells why."""

    overview: Overview | None = None
    nodes: list[Node] | None = None
    vhosts: list[Vhost] | None = None
    policies: list[Policy] | None = None
    operator_policies: list[Policy] | None = None
    exchanges: list[Exchange] | None = None
    queues: list[Queue] | None = None
    # Asked for only where a queue has a dead-letter exchange: `bindings_wanted`.
    bindings: list[Binding] | None = None
    bindings_wanted: bool = False
    # Not asked for where there are too many.
    consumers: list[Consumer] | None = None
    channels: list[Channel] | None = None
    channels_missing: str = ""
    # Asked for only where there is a stream.
    stream_consumers: list[StreamConsumer] | None = None
    streams_missing: str = ""
    # Vhosts into which the watching user may not look; None where that is not known.
    closed: frozenset[str] | None = None
    # Vhosts that show nothing, and did not tell why.
    unsure: frozenset[str] = frozenset()
    said: list[str] = field(default_factory=list)
    measures: list[CallMeasure] = field(default_factory=list)


class _SpentError(BrokerError):
    """The reading as a whole took too long, or brought too much."""


def read(clients: Clients, *, deadline_s: float = DEADLINE_S, max_bytes: int = MAX_BYTES) -> Declared:
    """Ask for everything. What is refused is left out and said.

    Raises BrokerError where the broker can't be reached, does not accept the sign-in, or told nothing at all.
    """
    found = Declared()
    ends = time.monotonic() + deadline_s
    left = max_bytes

    def measured(cost: Measure) -> None:
        nonlocal left
        found.measures.append(CallMeasure(cost.what, "", cost.seconds, cost.bytes, cost.wire_bytes, own_s=cost.own_s))
        left -= cost.bytes
        if time.monotonic() > ends:
            raise _SpentError(
                ErrorKind.TOO_SLOW,
                f"{clients.endpoint.address} did not tell its definitions within {deadline_s:g} s.",
                "Look at the broker's load, and at what stands between.",
            )
        if left < 0:
            raise _SpentError(
                ErrorKind.TOO_LARGE,
                f"{clients.endpoint.address} sent more than {max_bytes // (1024 * 1024):,} MB of definitions.",
                "Check that the address is RabbitMQ's own, and what stands between.",
            )

    asking = _Asking(found, Management(clients.endpoint, client=clients.patient, measured=measured))
    api = asking.api
    found.overview = asking.ask("its overview", api.overview)
    found.nodes = asking.ask("its nodes", api.nodes)
    found.vhosts = asking.ask("its vhosts", api.vhosts)
    found.policies = asking.ask("its policies", api.policies)
    found.operator_policies = asking.ask("its operator policies", api.operator_policies)
    found.exchanges = asking.ask("its exchanges", api.exchanges)
    found.queues = asking.ask("its queues", api.queue_definitions)
    found.bindings_wanted = _letters_go(found)
    if found.bindings_wanted:
        found.bindings = asking.ask("its bindings", lambda: [one for one in api.bindings() if one.source])
    totals = found.overview.totals if found.overview is not None else None
    if totals is not None and (totals.consumers or 0) <= MOST_CONSUMERS:
        found.consumers = asking.ask("its consumers", api.prefetches)
    if totals is not None:
        _ask_channels(found, asking, totals.channels or 0)
    _ask_streams(found, asking)
    found.closed, found.unsure = _closed(found, asking)
    if asking.error is not None and asking.answered == 0:
        asking.error.measures = found.measures  # type: ignore[attr-defined]
        raise asking.error
    return found


@dataclass(slots=True)
class _Asking:
    found: Declared
    api: Management
    answered: int = 0
    error: BrokerError | None = None
    # Nothing more is asked: the broker is gone, or the reading has taken all that it may.
    ended: bool = False

    def ask(self, what: str, call: Callable[[], T]) -> T | None:
        if self.ended:
            return None
        began = time.perf_counter()
        try:
            answer = call()
        except BrokerError as error:
            self.error = error
            # A user who was let in before may not see this one thing; one who never was will not be.
            refused = isinstance(error, UnauthorisedError) and not self.answered
            self.ended = refused or isinstance(error, UnreachableError | _SpentError)
            self.found.said.append(f"The broker did not tell {what}: {error.sentence}")
            self.found.measures.append(CallMeasure(what, "", time.perf_counter() - began, 0, 0, error.sentence))
            return None
        self.answered += 1
        return answer


def _ask_channels(found: Declared, asking: _Asking, channels: int) -> None:
    if channels > MOST_CHANNELS:
        found.channels_missing = (
            f"The broker has {channels:,} channels: a list of more than {MOST_CHANNELS:,} is too dear."
        )
        return
    before = len(found.said)
    found.channels = asking.ask("its channels", asking.api.channels)
    if found.channels is None:
        found.channels_missing = " ".join(found.said[before:])


def _ask_streams(found: Declared, asking: _Asking) -> None:
    if not any(queue.type == "stream" for queue in found.queues or ()):
        return

    def told() -> list[StreamConsumer] | None:
        try:
            return asking.api.stream_consumers()
        except AnswerError as error:
            # Without the plugin 3.10 answers 406, later ones 404 [measured].
            if error.kind not in {ErrorKind.NOT_FOUND, ErrorKind.PLUGIN_OFF} and error.status != 406:
                raise
            # A plugin that is not enabled is no fault of the broker's.
            found.streams_missing = (
                "The broker does not tell who reads its streams: its plugin rabbitmq_stream_management is not enabled."
            )
            return None

    before = len(found.said)
    found.stream_consumers = asking.ask("the consumers of its streams", told)
    found.streams_missing = found.streams_missing or " ".join(found.said[before:])


def _letters_go(found: Declared) -> bool:
    """Tell whether any queue may have a dead-letter exchange: only then bindings are worth their price."""
    key = "dead-letter-exchange"
    policies = (*(found.policies or ()), *(found.operator_policies or ()))
    return any(f"x-{key}" in queue.declared for queue in found.queues or ()) or any(key in one.keys for one in policies)


def _open(api: Management, vhost: str) -> bool:
    """Tell whether the user may look into a vhost; one that was deleted since it was listed hides nothing."""
    try:
        return api.looks_into(vhost)
    except NotFoundError:
        return True


def _closed(found: Declared, asking: _Asking) -> tuple[frozenset[str] | None, frozenset[str]]:
    """Return the vhosts that are listed and not open to the user, and those of which that could not be found out.

    Every vhost has exchanges from its beginning, the default one at least: one that shows none is closed, which
    a call into it decides. (RabbitMQ refuses such a call with 401 up to 4.0, and with 404 since.)
    """
    if found.vhosts is None or found.exchanges is None:
        return None, frozenset()
    shown = {exchange.vhost for exchange in found.exchanges}
    silent = sorted(vhost.name for vhost in found.vhosts if vhost.name not in shown)
    closed, unsure = set(silent[_ASKED_VHOSTS:]), set()
    for name in silent[:_ASKED_VHOSTS]:
        opened = asking.ask(f"whether the vhost {quoted(name)} is open", partial(_open, asking.api, name))
        if opened is None:
            unsure.add(name)
        elif not opened:
            closed.add(name)
    return frozenset(closed), frozenset(unsure)
