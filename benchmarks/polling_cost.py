"""What polling costs: the broker against its official UI, and us against Prometheus, on one broker with 10,000 queues.

Warren's first minutes with the broker; then, once its plan has settled, stretches of time with the same traffic, in
turns: Warren polls, the official UI's page is open, and nobody looks right before and after each; beside that each kind
of call that Warren made, repeated. At last Warren and Prometheus at once, from which bytes a sample, CPU a scrape and
memory come.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from benchmarks import cpu
from benchmarks.history_reads import ask
from benchmarks.load import Traffic, many_queues, queue_names
from benchmarks.polling_calls import Watched, cost_of_each, stored
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
# Warren's first minutes with a broker, and how long its plan has to settle after them, seconds.
FIRST_S = 300
SETTLE_S = 150
# A stretch in which Warren polls is so much longer than one with the page open: tiers that are read once in minutes
# must count as often as they come. One in which nobody looks is twice as long: each stretch stands between two of them.
LONGER, IDLE = 5, 2
# What Warren asks first after a pause, all of it anew, does not count: seconds.
RESUMED_S = 60
# Ours is asked twice a round: it is the smallest, so it needs the most stretches to be told from an idle broker.
_TURNS = ("ours", "ours", *_UI)


@dataclass(frozen=True)
class Above:
    """CPU above idle, milliseconds a second: the mean of some stretches, and its standard error."""

    mean: float
    error: float

    @classmethod
    def of(cls, found: Sequence[float]) -> Above:
        error = statistics.stdev(found) / math.sqrt(len(found)) if len(found) > 1 else math.nan
        return cls(statistics.mean(found), error)

    def __str__(self) -> str:
        return f"{self.mean:.1f} +- {self.error:.1f}"


def run(
    broker: TestBroker,
    folder: Path,
    *,
    queues: int = 10_000,
    stretch_s: int = 30,
    rounds: int = 2,
    together_s: int = 660,
) -> list[Result]:
    """Measure on a broker that is ours and on this machine. Without `together_s` Prometheus is left out."""
    beam = cpu.listener(urlsplit(broker.management).port or 15672)
    with many_queues(broker, queues) as vhosts, Traffic(broker, vhosts[0], queue_names(broker, vhosts[0], 40), _RATE):
        # What a broker does after it was given so many queues is not what it does when idle.
        time.sleep(stretch_s)
        before = cpu.idle(beam, 2 * stretch_s) * 1000
        began, spent = time.monotonic(), cpu.seconds(beam)
        server = start_dashboard(folder / "warren", brokers=(f"{broker.management_url}#bench",))
        try:
            api = server.api(_token(server))
            broker_id = _wait(server, api, queues)
            first = _watched_first(server, beam, began, spent)
            results = _of_the_broker(broker, beam, server, api, broker_id, stretch_s, rounds, (before, *first))
            print(table(results), flush=True)
            if together_s:
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
        if together_s:
            results += _on_disk(server, folder)
    return results


def _watched_first(server: DashboardServer, beam: int, began: float, spent: float) -> tuple[float, list[float]]:
    """Return the CPU, ms a second, of the first minutes since Warren was started, and the periods of depth since."""
    watched = Watched(_database(server))
    with watched.polling():
        time.sleep(max(0.0, began + FIRST_S - time.monotonic()))
        first = (cpu.seconds(beam) - spent) / (time.monotonic() - began) * 1000
        time.sleep(SETTLE_S)
    print(f"calls of the first {FIRST_S + SETTLE_S} s: {dict(watched.calls)}", flush=True)
    return first, watched.depth_s


def _of_the_broker(
    broker: TestBroker,
    beam: int,
    server: DashboardServer,
    api: requests.Session,
    broker_id: int,
    stretch_s: int,
    rounds: int,
    first: tuple[float, float, list[float]],
) -> list[Result]:
    """Return what the broker spends on our polling and on its official UI, in turns; leave Warren polling."""
    watched = Watched(_database(server))
    found: dict[str, list[float]] = {name: [] for name in ("ours", *_UI)}
    _post(server, api, broker_id, "pause")
    idle = [_spent(beam, IDLE * stretch_s, lambda: None)]
    ticks = ""
    for name in rounds * _TURNS:
        if name in _UI:
            spent = _spent(beam, stretch_s, _page_open(broker, _UI[name]))
        else:
            _post(server, api, broker_id, "resume")
            time.sleep(RESUMED_S)
            with watched.polling():
                spent = _spent(beam, LONGER * stretch_s, lambda: None)
            ticks = _ticks_now(server)
            _post(server, api, broker_id, "pause")
        idle.append(_spent(beam, IDLE * stretch_s, lambda: None))
        # The idle broker has its ups and downs: what counts is the time right before and right after.
        found[name].append(spent - statistics.mean(idle[-2:]))
    print(f"the broker's CPU in ms a second: idle {_rounded(idle)}; above the idle time beside it:")
    print("  ".join(f"{name} {_rounded(each)}" for name, each in found.items()))
    print(f"plan and last measures: {ticks}")
    above = {name: Above.of(each) for name, each in found.items()}
    by_calls = _by_calls(broker, beam, watched)
    _post(server, api, broker_id, "resume")
    print(f"above idle, ms a second, each with its standard error: {', '.join(f'{k} {v}' for k, v in above.items())}")
    refresh = {name: f"the official UI's queue page at 5 s, {name}" for name in _UI}
    before, first_ms, depth_s = first
    idle_ms = statistics.mean([before, *idle])
    ways = {
        "the broker's CPU for our polling, in turns": above["ours"].mean,
        "the broker's CPU for our polling, call by call": by_calls,
    }
    return [
        *(
            Result(way, ours, "ms a second", refresh[name], above[name].mean)
            for way, ours in ways.items()
            for name in _UI
        ),
        Result(
            f"the broker's CPU above idle in Warren's first {FIRST_S} s",
            first_ms - idle_ms,
            "ms a second",
            "the same, sorted by ready",
            above["sorted by ready"].mean,
        ),
        Result("the broker's CPU while nobody looks: least", min(idle), "ms a second", "most", max(idle)),
        Result("depth is read every: at the end", watched.depth_s[-1], "s", "at most so far", max(depth_s)),
    ]


def _by_calls(broker: TestBroker, beam: int, watched: Watched) -> float:
    """Return the CPU, ms a second, of the calls that Warren made while it was watched: each kind's by how often."""
    cost = cost_of_each(broker, beam, watched.calls)
    total = 0.0
    for what, count in watched.calls.most_common():
        a_second = cost[what] * count / watched.seconds
        total += a_second
        print(f"{what}: {count} times in {watched.seconds:.0f} s, {cost[what]:.1f} ms each: {a_second:.2f} ms a second")
    return total


def _rounded(found: Sequence[float]) -> list[float]:
    return [round(one, 1) for one in found]


def _database(server: DashboardServer) -> Path:
    return server.data_dir / "warren.sqlite3"


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


def _measured(server: DashboardServer) -> dict[str, Any]:
    return stored(_database(server))[0]


def _ticks_now(server: DashboardServer) -> str:
    told = _measured(server)
    return json.dumps({key: told.get(key) for key in ("plan", "cpu_s", "calls")})[:1500]
