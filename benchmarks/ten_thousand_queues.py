"""10,000 queues on one broker: our queue page, tick and memory, with the official API measured beside them in one run."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Iterator
from itertools import cycle, islice, product
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import requests

from benchmarks.load import Traffic, many_queues, queue_names
from benchmarks.results import Result
from tests.support.brokers import TestBroker
from tests.support.dashboard_server import DashboardServer, sign_in, start_dashboard

QUEUES = 10_000
PAGES = 60
TICKS = 8
# What the project holds itself to; the baseline where the official side has nothing to compare with.
MEMORY_LIMIT_MB = 600.0

SORTS = ("name", "ready", "unacked", "publish_rate", "deliver_rate", "consumers", "state", "vhost", "type")
FILTERS = ("", "q=queue-01", "q=%2Fqueue-0%5B0-4%5D.%2A7%24%2F", "chip=backlog", "chip=no-consumers")


def run(broker: TestBroker) -> list[Result]:
    """Measure on a broker that is ours for the time being."""
    with (
        many_queues(broker, QUEUES) as vhosts,
        TemporaryDirectory() as folder,
        Traffic(broker, vhosts[0], queue_names(broker, vhosts[0], 40)),
    ):
        server = start_dashboard(Path(folder) / "var", brokers=(f"{broker.management_url}#bench",))
        try:
            return _measure(broker, server, vhosts[0])
        finally:
            server.stop()


def _measure(broker: TestBroker, server: DashboardServer, vhost: str) -> list[Result]:
    session = sign_in(server)
    broker_id = _wait_for_queues(server)
    addresses = _addresses(server, broker_id)
    pages = [_server_ms(session, address) for address in islice(addresses, PAGES)]
    official = [_official_ms(broker, sort, name) for sort, name in islice(_official_questions(), 12)]
    cpu, count = _tick_cpu(server, broker_id)
    whole = [_official_whole_s(broker) for _ in range(2)]
    memory = _memory_mb(server)
    return [
        Result(
            "queue page, any sort or filter, server time, median",
            statistics.median(pages),
            "ms",
            "the official API's answer for its own queue list (one page of 100)",
            statistics.median(official),
        ),
        Result(
            "queue page, slowest",
            max(pages),
            "ms",
            "the official API's slowest",
            max(official),
        ),
        Result(
            f"a tick: fetch, parse and store {count:,} queues, our CPU",
            cpu,
            "s CPU",
            "the official API's whole queue list, time to answer",
            statistics.median(whole),
        ),
        Result("memory of all processes", memory, "MB", "the limit", MEMORY_LIMIT_MB),
    ]


def _wait_for_queues(server: DashboardServer) -> int:
    """Return the broker's id when a snapshot has all queues and their definitions are known."""
    token = server.token()
    session = server.api(token)
    end = time.monotonic() + 180
    while time.monotonic() < end:
        brokers = session.get(f"{server.url}/api/v1/brokers", timeout=30).json()["items"]
        if brokers:
            broker_id = int(brokers[0]["id"])
            page = session.get(f"{server.url}/api/v1/brokers/{broker_id}/queues?page_size=1", timeout=30).json()
            if page.get("total", 0) >= QUEUES and page["items"][0].get("type"):
                time.sleep(12)
                return broker_id
        time.sleep(1)
    raise AssertionError(f"{QUEUES} queues did not appear within 180 s:\n{server.log[-3000:]}")


def _addresses(server: DashboardServer, broker_id: int) -> Iterator[str]:
    for (sort, filtered), order in product(product(SORTS, FILTERS), cycle(("asc", "desc"))):
        yield f"{server.url}/brokers/{broker_id}/queues?sort={sort}&order={order}&{filtered}"


def _server_ms(session: requests.Session, address: str) -> float:
    answer = session.get(address, timeout=60)
    assert answer.status_code == 200, f"{address}: {answer.status_code}"
    found = re.search(r"dur=([0-9.]+)", answer.headers.get("Server-Timing", ""))
    assert found, f"{address} has no Server-Timing"
    return float(found.group(1))


def _official_questions() -> Iterator[tuple[str, str]]:
    yield from product(("name", "messages_ready", "messages_unacknowledged", "consumers"), ("", "queue-01", "queue-00"))


def _official_ms(broker: TestBroker, sort: str, name: str) -> float:
    began = time.perf_counter()
    broker.api("GET", f"queues?page=1&page_size=100&sort={sort}&name={name}&use_regex=false")
    return (time.perf_counter() - began) * 1000


def _official_whole_s(broker: TestBroker) -> float:
    began = time.perf_counter()
    broker.api("GET", "queues")
    return time.perf_counter() - began


def _tick_cpu(server: DashboardServer, broker_id: int) -> tuple[float, int]:
    """Return the median CPU seconds of the last ticks, as the collector itself measures them, and the queues of one."""
    seen: dict[int, dict[str, object]] = {}
    end = time.monotonic() + 120
    while len(seen) < TICKS and time.monotonic() < end:
        measures = json.loads(
            server.manage(
                "shell",
                "--no-imports",
                "-c",
                "from brokers.collect.models import PollState;"
                f"print(bytes(PollState.objects.get(broker_id={broker_id}).measures).decode())",
            )
            .strip()
            .splitlines()[-1]
        )
        seen[measures["began_ms"]] = measures
        time.sleep(4)
    last = next(reversed(seen.values()))
    rows = last["rows"]
    assert isinstance(rows, dict)
    return statistics.median(float(str(one["cpu_s"])) for one in seen.values()), int(rows["queue"])


def _memory_mb(server: DashboardServer) -> float:
    """Return the proportional set size of the supervisor and all its children, in MB."""
    root = psutil.Process(server.process.pid)
    return sum(one.memory_full_info().pss for one in (root, *root.children(recursive=True))) / 1e6
