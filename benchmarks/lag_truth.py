"""Holds the time lag that Warren stores against the true age of each queue's head, for ten minutes.

    python -m benchmarks.lag_truth [--short] [--show QUEUE] [--record FILE]
    python -m benchmarks.lag_truth --replay FILE [--show QUEUE]

Takes all brokers of the tests at once, classic and quorum queues on each. A moment is *within* where the lag is no
further from the truth than one tick + 5 % of it, and *within a beat* where that holds of some moment of the five
seconds before: RabbitMQ's queues tell their depth every 5 s, and what happened since a queue told nobody can know.
Some moments are told as *at least* (right where the truth is no less) or as *about*; *of the others* is the share of
those not told as about that are within.

What a run polled, and its truth, can be recorded; from a record the lag is computed anew without a broker.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.apart import set_up, working_folder
from tests.support.aged_load import AgedLoad, scripts
from tests.support.brokers import broker_of, choose_source, versions

LONG_S, SHORT_S = 600.0, 48.0


def main() -> int:
    """Run it and print what was found; 1 where a moment that is not told as about is not within a beat."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="the run of less than a minute that the tests do")
    parser.add_argument("--show", default="", help="print all moments of queues whose name has this in it")
    parser.add_argument("--versions", nargs="*", default=None)
    parser.add_argument("--record", type=Path, help="write what was polled, and the truth, to this file as JSON")
    parser.add_argument("--replay", type=Path, help="compute the lag anew from such a file")
    asked = parser.parse_args()
    if not asked.replay:
        choose_source()
    with working_folder("warren-lag-") as folder:
        return _run(folder, asked)


def _run(folder: Path, asked: argparse.Namespace) -> int:
    set_up(folder, "ERROR")
    from tests.support import lag_judge

    if asked.replay:
        return _print(asked, [lag_judge.replay(one) for one in lag_judge.load(asked.replay)])
    return _run_on_brokers(folder, asked)


def _run_on_brokers(folder: Path, asked: argparse.Namespace) -> int:
    from django.core.management import call_command

    from brokers.registry import services
    from tests.support import lag_judge, lag_run

    call_command("migrate", verbosity=0, interactive=False)
    seconds = SHORT_S if asked.short else LONG_S
    found = {version: broker_of(version) for version in (asked.versions or versions())}
    vhosts = {version: broker.make_vhost("lag") for version, broker in found.items()}
    loads = {}
    try:
        rows = {}
        for version, broker in found.items():
            rows[version] = services.add(
                services.BrokerInput(
                    name=f"RabbitMQ {version}",
                    management_url=broker.management,
                    username=broker.username,
                    password=broker.password,
                    prometheus_urls=(),
                )
            )
            queues = scripts("classic", short=asked.short) + scripts("quorum", short=asked.short)
            loads[version] = AgedLoad(broker, vhosts[version], queues, seconds, folder)
        for row in rows.values():
            lag_run.tick(row.id)
            lag_run.tick(row.id)  # the first asks for depth alone
            lag_run.read_definitions(row.id)
        time.sleep(2)
        for load in loads.values():
            load.start()
        lag_run.poll_for([row.id for row in rows.values()], seconds + 3)
        truths = {}
        for version, load in loads.items():
            try:
                truths[version] = load.wait(60)
            except AssertionError as error:
                print(f"{version}: {error}")
        records = [lag_judge.record(rows[version], version, vhosts[version], truths[version]) for version in truths]
    finally:
        for load in loads.values():
            load.end()
        for version, broker in found.items():
            broker.delete_vhost(vhosts[version])
    if asked.record:
        lag_judge.save(records, asked.record)
    return _print(asked, records) or int(len(records) < len(rows))


def _print(asked: argparse.Namespace, records: list[Any]) -> int:
    from tests.support import lag_judge

    print(f"{'queue':24} moments  within  a beat   worst   of allowed  (beat)  unknown  at least  about  of the others")
    bad = 0
    for found in records:
        for one in lag_judge.judge(found):
            bad += one.moments - one.about - one.sure_within_a_beat
            print(
                f"{found.version:5}{one.queue:19} {one.moments:6}  {one.within / max(1, one.moments):6.1%}  "
                f"{one.within_a_beat / max(1, one.moments):6.1%}  {one.worst_s:6.1f} s  {one.worst_share:6.2f}   "
                f"{one.worst_beat:6.2f}   {one.unknown:7}  {one.at_least:8}  {one.about:5}"
                f"  {one.sure_within / max(1, one.moments - one.about):13.1%}"
            )
            if asked.show and asked.show in f"{found.version} {one.queue}":
                print("\n".join("    " + line for line in one.lines))
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
