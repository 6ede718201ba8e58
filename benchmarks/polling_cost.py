"""What polling costs: the broker against its official UI, and us against Prometheus, on one broker with 10,000 queues.

Stretches of time with the same traffic, in turns: Warren polls, nobody looks, the official UI's page is open; at last
Warren and Prometheus at once, from which bytes a sample, CPU a scrape and memory come.
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests

from benchmarks import cpu
from benchmarks.history_reads import ask
from benchmarks.load import Traffic, many_queues, queue_names
from benchmarks.prometheus import Prometheus, binaries, scrape_of
from benchmarks.results import Result, table
from tests.support.brokers import TestBroker
from tests.support.dashboard_server import DashboardServer, start_dashboard

# What the official UI's queue page asks every 5 s [seen in Chromium on 3.10.8 and 4.3.6], as it opens and
# as an operator who looks for backlogs sorts it.
_PAGE = "queues?page=1&page_size=100&name=&use_regex=false&pagination=true"
_UI = {
    "as it opens": (_PAGE, "vhosts"),
    "sorted by ready": (f"{_PAGE}&sort=messages_ready&sort_reverse=true", "vhosts"),
}
# What Warren asks of each queue at a 3.x broker; Prometheus is given the same.
_FAMILIES = ("queue_coarse_metrics", "queue_consumer_count")


# Messages a second: mixed traffic that leaves the broker's idle CPU steady enough to tell a percent of a core in it.
_RATE = 50
# Warren's stretch is so much longer than the others': tiers that are read once a minute or two must count as often as
# they come.
LONGER = 4
_CALLS = 20


def run(
    broker: TestBroker,
    folder: Path,
    *,
    queues: int = 10_000,
    settle_s: int = 90,
    stretch_s: int = 60,
    rounds: int = 2,
    together_s: int = 660,
) -> list[Result]:
    """Measure on a broker that is ours and on this machine."""
    beam = cpu.listener(urlsplit(broker.management).port or 15672)
    with many_queues(broker, queues) as vhosts, Traffic(broker, vhosts[0], queue_names(broker, vhosts[0], 40), _RATE):
        server = start_dashboard(folder / "warren", brokers=(f"{broker.management_url}#bench",))
        try:
            api = server.api(_token(server))
            broker_id = _wait(server, api, queues)
            # The budget finds its cadences within the first polls of each tier.
            time.sleep(settle_s)
            results = _of_the_broker(broker, beam, server, api, broker_id, stretch_s, rounds)
            print(table(results), flush=True)
            # Prometheus has no budget: for the comparison with it there is none here either.
            answer = api.patch(
                f"{server.url}/api/v1/brokers/{broker_id}",
                json={"budget_percent": 50, "budget_kb_s": 100_000},
                timeout=60,
            )
            assert answer.ok, answer.text
            results += _together(broker, server, folder, together_s)
        finally:
            server.stop()
        results += _on_disk(server, folder)
    return results


def _of_the_broker(
    broker: TestBroker,
    beam: int,
    server: DashboardServer,
    api: requests.Session,
    broker_id: int,
    stretch_s: int,
    rounds: int,
) -> list[Result]:
    """Return what the broker spends on our polling and on its official UI, in turns; leave Warren polling."""
    idle: list[float] = []
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in _UI}
    for _ in range(rounds):
        ours.append(_spent(beam, LONGER * stretch_s, lambda: None))
        ticks = _ticks_now(server)
        _post(server, api, broker_id, "pause")
        idle.append(_spent(beam, stretch_s, lambda: None))
        for name, calls in _UI.items():
            theirs[name].append(_spent(beam, stretch_s, _page_open(broker, calls)))
        idle.append(_spent(beam, stretch_s, lambda: None))
        _post(server, api, broker_id, "resume")
        time.sleep(stretch_s)
    base = statistics.mean(idle)
    print(f"the broker's CPU in ms a second: idle {idle}, Warren polls {ours}, official UI {theirs}")
    print(f"plan and last measures: {ticks}")
    polling = statistics.mean(ours) - base
    page = {name: statistics.mean(spent) - base for name, spent in theirs.items()}
    # The management API answers a call that comes again at once from its cache: a refresh is measured at its 5 s.
    reading = _cpu_of_call(
        beam, _page_open(broker, (f"{broker.prometheus}/detailed?family={'&family='.join(_FAMILIES)}",))
    )
    told = "the official UI's queue page at 5 s"
    return [
        *(
            Result("the broker's CPU for our polling", polling, "ms a second", f"{told}, {name}", spent)
            for name, spent in page.items()
        ),
        Result("the broker's CPU while nobody looks: least", min(idle), "ms a second", "most", max(idle)),
        *(
            Result("the broker's CPU for one reading of depths", reading, "ms", f"one refresh, {name}", spent * 5)
            for name, spent in page.items()
        ),
    ]


def _cpu_of_call(pid: int, call: Callable[[], object]) -> float:
    """Return the milliseconds of CPU that a process spends on a call, those of what it does anyway taken off."""
    call()
    began, before = time.monotonic(), cpu.seconds(pid)
    for _ in range(_CALLS):
        call()
    took, spent = time.monotonic() - began, cpu.seconds(pid) - before
    before = cpu.seconds(pid)
    time.sleep(took)
    return (spent - (cpu.seconds(pid) - before)) / _CALLS * 1000


def _together(broker: TestBroker, server: DashboardServer, folder: Path, together_s: int) -> list[Result]:
    """Let both collect for a while; return CPU a scrape and memory."""
    theirs = Prometheus(
        binaries(folder / "package"), folder / "prometheus", scrape_of([broker.prometheus], _FAMILIES)
    ).start()
    worker = server.child_pids()["worker"]
    try:
        # Both are past what comes only once.
        time.sleep(30)
        before = cpu.seconds(theirs.pid), cpu.seconds(worker), _measured(server)
        began = time.monotonic()
        ticks: dict[int, float] = {}
        while time.monotonic() - began < together_s:
            one = _measured(server)
            ticks[one["began_ms"]] = one["cpu_s"]
            time.sleep(1)
        scrapes = together_s / 5
        scraped = theirs.get("query", query="scrape_samples_scraped")["result"]
        per_scrape = int(scraped[0]["value"][1]) if scraped else 0
        count = len(ticks)
        their_cpu = (cpu.seconds(theirs.pid) - before[0]) / scrapes
        our_cpu = (cpu.seconds(worker) - before[1]) / max(1, count)
        memory = cpu.resident_mb(theirs.pid), cpu.resident_mb(worker)
        size = theirs.size()
    finally:
        theirs.stop()
    (folder / "prometheus-size.json").write_text(
        json.dumps({**size.__dict__, "per_scrape": per_scrape, "cpu": their_cpu, "our_cpu": our_cpu})
    )
    theirs_is = f"Prometheus' process, {per_scrape:,} samples a scrape"
    return [
        Result(
            "CPU a tick, fetch to row (the collector's own measure)",
            statistics.median(ticks.values()),
            "s",
            theirs_is,
            their_cpu,
        ),
        Result(f"CPU a tick, the worker's process and all it does ({count} ticks)", our_cpu, "s", theirs_is, their_cpu),
        Result("memory of the process that polls", memory[1], "MB RSS", "Prometheus' process", memory[0]),
    ]


def _on_disk(server: DashboardServer, folder: Path) -> list[Result]:
    """Compact what the run stored and compare it with what Prometheus would keep of the same time."""
    theirs = json.loads((folder / "prometheus-size.json").read_text())
    stored = ask(server.data_dir, "size")["sizes"]["bench"]
    size, known, ticks = stored["levels"]["RAW"]
    per_sample = theirs["block"] / theirs["samples"]
    with_log = (theirs["block"] + theirs["wal"]) / theirs["samples"]
    return [
        Result("bytes a sample on disk, in blocks", size / known, "B", "Prometheus, block with index", per_sample),
        Result("bytes a sample on disk, in blocks", size / known, "B", "Prometheus, with its log too", with_log),
        Result(
            "bytes a snapshot until it is in a block",
            stored["snapshot_bytes"] / max(1, stored["snapshots"]),
            "B",
            "",
            0,
        ),
        Result(
            "CPU for 1,000 samples, the worker's process and all it does",
            theirs["our_cpu"] / (known / ticks) * 1e6,
            "ms",
            "Prometheus' process",
            theirs["cpu"] / max(1, theirs["per_scrape"]) * 1e6,
        ),
    ]


def _spent(pid: int, seconds: int, work: Callable[[], object]) -> float:
    """Return the CPU that a process spends while something is done beside, in milliseconds a second."""
    stop = threading.Event()
    thread = threading.Thread(target=_every_5_s, args=(work, stop), daemon=True)
    before = cpu.seconds(pid)
    thread.start()
    time.sleep(seconds)
    spent = cpu.seconds(pid) - before
    stop.set()
    thread.join(60)
    return spent / seconds * 1000


def _every_5_s(work: Callable[[], object], stop: threading.Event) -> None:
    due = time.monotonic()
    while not stop.is_set():
        work()
        due = max(due + 5, time.monotonic())
        stop.wait(due - time.monotonic())


def _page_open(broker: TestBroker, calls: tuple[str, ...]) -> Callable[[], object]:
    session = requests.Session()
    session.auth = (broker.username, broker.password)

    def refresh() -> None:
        for call in calls:
            session.get(urljoin(f"{broker.management}/api/", call), timeout=60)

    return refresh


def _token(server: DashboardServer) -> str:
    """Make a token; a machine under load takes its time."""
    try:
        return server.token()
    except subprocess.TimeoutExpired:
        return server.token()


def _wait(server: DashboardServer, api: requests.Session, queues: int) -> int:
    """Return the broker's id when a snapshot has all queues; definitions come later where the broker is slow."""
    end = time.monotonic() + 900
    while time.monotonic() < end:
        brokers = api.get(f"{server.url}/api/v1/brokers", timeout=60).json()["items"]
        if brokers:
            broker_id = int(brokers[0]["id"])
            page = api.get(f"{server.url}/api/v1/brokers/{broker_id}/queues?page_size=1", timeout=60).json()
            if page.get("total", 0) >= queues:
                return broker_id
        time.sleep(1)
    raise AssertionError(f"{queues} queues did not appear within 900 s:\n{server.log[-3000:]}")


def _post(server: DashboardServer, api: requests.Session, broker_id: int, do: str) -> None:
    answer = api.post(f"{server.url}/api/v1/brokers/{broker_id}/{do}", timeout=60)
    assert answer.ok, answer.text


def _measured(server: DashboardServer) -> dict[str, float]:
    path = server.data_dir / "warren.sqlite3"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as database:
        (content,) = database.execute("SELECT measures FROM collect_pollstate").fetchone()
    measures: dict[str, float] = json.loads(content)
    return measures


def _ticks_now(server: DashboardServer) -> str:
    told = _measured(server)
    return json.dumps({key: told.get(key) for key in ("plan", "cpu_s", "calls")})[:1500]
