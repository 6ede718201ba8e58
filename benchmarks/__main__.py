"""Runs the benchmarks against a broker of the tests' finding, prints a table and writes results/latest.json."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from benchmarks import ten_thousand_queues
from benchmarks.results import save, table
from tests.support.brokers import RUN_DIR, broker_of, choose_source, end_all, versions


def main() -> None:
    """Run all of them; the version to use can be named as the only argument."""
    choose_source()
    found = versions()
    if not found:
        sys.exit("There is no RabbitMQ to measure against: see the README on how tests find brokers.")
    version = sys.argv[1] if len(sys.argv) > 1 else found[-1]
    folder = Path(tempfile.mkdtemp(prefix="warren-bench-"))
    folder.joinpath("pid").write_text(str(os.getpid()))
    os.environ[RUN_DIR] = str(folder)
    try:
        results = ten_thousand_queues.run(broker_of(version))
    finally:
        end_all(folder)
    save(results)
    print(f"RabbitMQ {version}, {os.cpu_count()} cores")
    print(table(results))


if __name__ == "__main__":
    main()
