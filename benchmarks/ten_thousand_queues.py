"""10,000 queues on one broker: our queue page, tick and memory, with the official API measured in the same run."""

from __future__ import annotations

import json
import sqlite3
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
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
TICKS = 8
# What the project holds itself to, where the official side has nothing to compare with.
PAGE_LIMIT_MS = 150.0
TICK_LIMIT_S = 0.5
MEMORY_LIMIT_MB = 600.0

SORTS = (
    *("name", "vhost", "type", "features", "policy", "node", "state"),
    *("ready", "unacked", "total", "consumers", "publish", "deliver", "ack", "redeliver"),
)
FILTERS = ("", "name=queue-00", "name=%5Ebench.*-0%5B0-4%5D&regex=1", "backlog=1", "no_consumers=1", "type=classic")


def run(broker: TestBroker) -> list[Result]:
    """Measure on a broker that is ours for the time being."""
    with (
        many_queues(broker, QUEUES) as vhosts,
        TemporaryDirectory() as folder,
        Traffic(broker, vhosts[0], queue_names(broker, vhosts[0], 40)),
    ):
        server = start_dashboard(Path(folder) / "var", brokers=(f"{broker.management_url}#bench",))
        try:
            return _measure(broker, server)
        finally:
            server.stop()


def _measure(broker: TestBroker, server: DashboardServer) -> list[Result]:
    session = sign_in(server)
    broker_id = _wait_for_queues(server)
    addresses = [*_addresses(server, broker_id)]
    # The first pages after a start read templates and load code: they are not what a person waits for all day.
    first = _page_ms(session, addresses[0])
    pages = [_page_ms(session, address) for address in addresses]
    official = [_official_ms(broker, sort, name) for sort, name in islice(_official_questions(), 12)]
    ticks, count = _ticks(server)
    whole = [_official_whole_s(broker) for _ in range(2)]
    median = statistics.median(pages)
    page = "queue page of 50 rows, any sort or filter, from request to last byte"
    theirs = "the official API's page of 100 queues"
    tick = f"a tick: fetch, parse and store {count:,} queues, CPU, median"
    return [
        Result(f"{page}, median", median, "ms", f"{theirs}, median", statistics.median(official)),
        Result(f"{page}, median, held to its limit", median, "ms", "the limit", PAGE_LIMIT_MS),
        Result(f"{page}, slowest", max(pages), "ms", f"{theirs}, slowest", max(official)),
        Result("the first queue page after a start", first, "ms", f"{theirs}, slowest", max(official)),
        Result(tick, statistics.median(ticks), "s", "the official API's whole list", statistics.median(whole)),
        Result(f"{tick}, held to its limit", statistics.median(ticks), "s", "the limit", TICK_LIMIT_S),
        Result("memory of all processes (PSS)", _memory_mb(server), "MB", "the limit", MEMORY_LIMIT_MB),
    ]


def _wait_for_queues(server: DashboardServer) -> int:
    """Return the broker's id when a snapshot has all queues and their definitions are known."""
    session = server.api(server.token())
    end = time.monotonic() + 900
    while time.monotonic() < end:
        brokers = session.get(f"{server.url}/api/v1/brokers", timeout=60).json()["items"]
        if brokers:
            broker_id = int(brokers[0]["id"])
            page = session.get(f"{server.url}/api/v1/brokers/{broker_id}/queues?page_size=1", timeout=60).json()
            if page.get("total", 0) >= QUEUES and page["items"][0].get("type"):
                # Two more ticks, so that there are rates.
                time.sleep(12)
                return broker_id
        time.sleep(1)
    raise AssertionError(f"{QUEUES} queues did not appear within 900 s:\n{server.log[-3000:]}")


def _addresses(server: DashboardServer, broker_id: int) -> Iterator[str]:
    for (sort, filtered), minus in zip(product(SORTS, FILTERS), cycle(("", "-", "-")), strict=False):
        yield f"{server.url}/brokers/{broker_id}/queues?sort={minus}{sort}&{filtered}"


def _page_ms(session: requests.Session, address: str) -> float:
    began = time.perf_counter()
    answer = session.get(address, timeout=60)
    ended = time.perf_counter()
    assert answer.status_code == 200, f"{address}: {answer.status_code}"
    assert "data-row=" in answer.text, f"{address} shows no queue"
    return (ended - began) * 1000


def _official_questions() -> Iterator[tuple[str, str]]:
    yield from product(
        ("name", "messages_ready", "messages_unacknowledged", "consumers"), ("", "queue-00", "queue-000")
    )


def _official_ms(broker: TestBroker, sort: str, name: str) -> float:
    began = time.perf_counter()
    broker.api("GET", f"queues?page=1&page_size=100&sort={sort}&name={name}&use_regex=false")
    return (time.perf_counter() - began) * 1000


def _official_whole_s(broker: TestBroker) -> float:
    began = time.perf_counter()
    broker.api("GET", "queues")
    return time.perf_counter() - began


def _ticks(server: DashboardServer) -> tuple[list[float], int]:
    """Return the CPU seconds of ticks to come, as the collector itself measures them, and the queues of one."""
    seen: dict[int, dict[str, object]] = {}
    end = time.monotonic() + 180
    while len(seen) < TICKS:
        assert time.monotonic() < end, f"There were {len(seen)} ticks in 180 s:\n{server.log[-3000:]}"
        path = server.data_dir / "warren.sqlite3"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as database:
            (content,) = database.execute("SELECT measures FROM collect_pollstate").fetchone()
        measures = json.loads(content)
        if measures["rows"].get("queue"):
            seen[measures["began_ms"]] = measures
        time.sleep(0.5)
    rows = next(reversed(seen.values()))["rows"]
    assert isinstance(rows, dict)
    return [float(str(one["cpu_s"])) for one in seen.values()], int(rows["queue"])


def _memory_mb(server: DashboardServer) -> float:
    """Return the proportional set size of the supervisor and all its children, in MB: shared pages count once."""
    root = psutil.Process(server.process.pid)
    return sum(one.memory_full_info().pss for one in (root, *root.children(recursive=True))) / 1e6
