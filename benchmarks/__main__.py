"""Runs the benchmarks, prints a table and writes results/latest.json: `python -m benchmarks [VERSION] [--parts …]`.

`charts`: drawing one in Chromium. `pages`: the dashboard on 10,000 queues. `history`: bytes and reads over history
against Prometheus. `polling`: what polling costs, against the official UI and against Prometheus, on a broker of its
own unless a version is named. All of them take about an hour.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks import charts, history_reads, polling_cost, ten_thousand_queues
from benchmarks.results import Result, save, table
from dashboard.demo.local_rabbitmq import find_server
from tests.support.brokers import RUN_DIR, broker_of, choose_source, end_all, versions
from tests.support.own_broker import OwnBroker

PARTS = ("charts", "pages", "history", "polling")


def main() -> None:
    """Run the parts that are asked for, all of them by default, on the newest broker that tests find by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", nargs="?", help="which of the tests' brokers pages and polling are measured with")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--folder", type=Path, help="where to work, on a disk with some GB; a temporary one by default")
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="warren-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.joinpath("pid").write_text(str(os.getpid()))
    os.environ[RUN_DIR] = str(folder)
    results: list[Result] = []
    for part in asked.parts:
        found = {"charts": _charts, "pages": _pages, "history": _history, "polling": _polling}[part](
            folder, asked.version
        )
        print(f"\n{part}, {os.cpu_count()} cores\n{table(found)}", flush=True)
        results += found
        save(results)


def _charts(_folder: Path, _version: str | None) -> list[Result]:
    return charts.run()


def _pages(folder: Path, version: str | None) -> list[Result]:
    choose_source()
    found = versions()
    if not found:
        sys.exit("There is no RabbitMQ to measure against: see the README on how tests find brokers.")
    try:
        return ten_thousand_queues.run(broker_of(version or found[-1]))
    finally:
        end_all(folder)


def _history(folder: Path, _version: str | None) -> list[Result]:
    return history_reads.run(folder / "history")


def _polling(folder: Path, version: str | None) -> list[Result]:
    if version:
        choose_source()
        return polling_cost.run(broker_of(version), folder / "polling")
    if find_server() is None:
        sys.exit("Polling is measured on a broker of its own: install Debian's rabbitmq-server.")
    node = OwnBroker(folder / "polling" / "rabbitmq")
    broker = node.start()
    try:
        return polling_cost.run(broker, folder / "polling")
    finally:
        node.stop()


if __name__ == "__main__":
    main()
