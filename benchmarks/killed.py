"""Kills a polling worker, and PostgreSQL itself, at random moments; holds what is stored against what was committed.

    python -m benchmarks.killed --times 200 --database sqlite
    python -m benchmarks.killed --times 200 --database postgresql

Prints what was killed while it did what, and what was found; ends with 1 where a sample is lost, twice or changed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import django

from tests.support.brokers import RUN_DIR, TestBroker, broker_of, choose_source, end_all, versions
from tests.support.postgres import MISSING, Postgres, find_binaries


def main() -> int:
    """Run as asked for; return the exit code."""
    asked = _arguments()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="warren-killed-")))
        server = stack.enter_context(_server()) if asked.database == "postgresql" else None
        broker = stack.enter_context(_broker()) if not asked.without_broker else None
        return _run(asked, folder, server, broker)


def _run(asked: argparse.Namespace, folder: Path, server: Postgres | None, broker: TestBroker | None) -> int:
    for name in [name for name in os.environ if name.startswith("WARREN_") and not name.startswith("WARREN_TEST_")]:
        del os.environ[name]
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "dashboard.settings",
        "WARREN_DATA_DIR": str(folder),
        "WARREN_DATABASE_URL": server.create_database() if server else "",
        "WARREN_LOG_LEVEL": "CRITICAL",
    }
    django.setup()
    from benchmarks.durability import killing, prepared

    simulated, real = prepared.brokers(broker)
    report = killing.Killing(simulated, real, server, asked.seed).run(asked.times, asked.judge_every)
    print(f"{asked.database}: {report.times} times killed in {report.seconds:.0f} s, seed {asked.seed}")
    print("  " + ", ".join(f"{how} {times}" for how, times in sorted(report.how.items())))
    print("  while a thread was at: " + ", ".join(f"{what} {times}" for what, times in sorted(report.during.items())))
    print("  judged: " + ", ".join(f"{number:,} {what}" for what, number in report.counted.items()))
    print("\n".join(f"  WRONG: {one}" for one in report.wrong) or "  every committed sample is there exactly once")
    if asked.json:
        Path(asked.json).write_text(json.dumps({"times": report.times, "wrong": report.wrong, **report.counted}))
    return 1 if report.wrong else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--judge-every", type=int, default=25)
    parser.add_argument("--without-broker", action="store_true", help="known figures alone, no real RabbitMQ")
    parser.add_argument("--json", default="", help="a file to write the result to")
    return parser.parse_args()


@contextlib.contextmanager
def _server() -> Iterator[Postgres]:
    binaries = find_binaries()
    if binaries is None:
        sys.exit(MISSING)
    cluster = Postgres(Path(tempfile.mkdtemp(prefix="warren-pg-")), binaries, durable=True)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


@contextlib.contextmanager
def _broker() -> Iterator[TestBroker]:
    """The newest broker of the tests' finding, as `python -m benchmarks` takes it."""
    choose_source()
    found = versions()
    if not found:
        sys.exit("There is no RabbitMQ to poll: see the README on how tests find brokers, or give --without-broker.")
    folder = Path(tempfile.mkdtemp(prefix="warren-bench-"))
    folder.joinpath("pid").write_text(str(os.getpid()))
    before = os.environ.get(RUN_DIR)
    os.environ[RUN_DIR] = before or str(folder)
    try:
        yield broker_of(found[-1])
    finally:
        if before is None:
            end_all(folder)


if __name__ == "__main__":
    sys.exit(main())
