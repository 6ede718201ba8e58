"""What a tick brought home from a broker, typed and not yet computed with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from brokers.collect.measures import CallMeasure
from brokers.rabbitmq.errors import BrokerError

# One metric family of one node: raw label bytes and values, in the same order.
Samples = tuple[list[bytes], NDArray[np.float64]]

NO_SAMPLES: Samples = ([], np.empty(0))


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """One node as the management API tells it; NaN and None are *unknown*. `uptime_s` in seconds."""

    name: str
    running: bool | None = None
    memory_used: float = float("nan")
    memory_limit: float = float("nan")
    memory_alarm: bool | None = None
    disk_free: float = float("nan")
    disk_limit: float = float("nan")
    disk_alarm: bool | None = None
    fd_used: float = float("nan")
    fd_limit: float = float("nan")
    processes_used: float = float("nan")
    processes_limit: float = float("nan")
    uptime_s: float = float("nan")
    partitions: tuple[str, ...] = ()
    # Version, rates mode and plugins: what it can be asked hangs on them. Empty: it does not tell.
    runs: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """Objects of one kind as the management API tells them: names and, by metric, their values (NaN: unknown)."""

    names: list[tuple[str, str]]
    columns: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Scrape:
    """One tick's answers. `at_ms` is when the last that tells depth was there, Unix milliseconds of our clock.

    `exposed` has, by node, the families of each node whose Prometheus answered; `silent` names the nodes that are
    thought to run and whose Prometheus did not. What was not asked, or was not answered, is None.
    """

    at_ms: int
    nodes: tuple[NodeSeen, ...] | None = None
    exposed: Mapping[str, Mapping[str, Samples]] | None = None
    silent: tuple[str, ...] = ()
    queues: Figures | None = None
    exchanges: Figures | None = None
    vhosts: Figures | None = None
    # Broker-wide figures by metric name, as the management API's overview tells them.
    overview: Mapping[str, float] | None = None
    # Every node told its counters: where one was not asked or did not, what has no count is unknown, and not zero.
    asked_counters: bool = True
    # The errors of calls of the management API that failed, by path.
    untold: Mapping[str, BrokerError] = field(default_factory=dict)
    measures: tuple[CallMeasure, ...] = ()
    # CPU seconds of the threads that asked and parsed.
    cpu_s: float = 0.0

    @property
    def told_nothing(self) -> bool:
        """No queue was told of, by anybody."""
        return self.exposed is None and self.queues is None

    @property
    def uncounted(self) -> bool:
        """A node's counts are missing: what is added up over nodes is unknown."""
        return bool(self.silent) or not self.asked_counters
