"""Holds what Warren counts against what was really sent: a known load through channels that live for a second.

    python -m benchmarks.sums [--seconds 60] [--versions 3.10 4.3] [--restart COMMAND]

`--restart` is run by the shell in the middle of the load, with {version} in it replaced; it is to end the broker and
to start it again. What was sent between the last tick before it and the broker's end is lost to whoever polls: the
table has it as *at stake*, and a sum is right where it is no further from what was sent than that.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.apart import set_up, working_folder
from tests.support.brokers import TestBroker, broker_of, choose_source, versions

if TYPE_CHECKING:
    from tests.support.counted import Tally
    from tests.support.known_load import KnownLoad, Sums

TICK_S = 5.0
# How long behind counts are, at most: with the management API its statistics' 5 s and what it keeps of its answers; by
# Prometheus nothing, since a channel leaves its counts as it closes.
LAG_S, EXPOSED_LAG_S = 10.0, 0.5
SETTLED_S = 90.0


def main() -> int:
    """Run it and print what was found; 1 where a sum is not right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--versions", nargs="*", default=None)
    parser.add_argument("--restart", default="")
    asked = parser.parse_args()
    choose_source()
    with working_folder("warren-sums-") as folder:
        return _run(folder, asked)


def _run(folder: Path, asked: argparse.Namespace) -> int:
    set_up(folder, "CRITICAL")
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)
    return sum(_measure(broker_of(version), asked) for version in asked.versions or versions())


def _measure(broker: TestBroker, asked: argparse.Namespace) -> int:
    """Load one broker, restart it where that is asked, and print the table; return how many sums are wrong."""
    from brokers.registry import services
    from tests.support.counted import Tally
    from tests.support.known_load import KnownLoad, running

    vhost = broker.make_vhost("sums")
    row = services.add(
        services.BrokerInput(
            name=f"RabbitMQ {broker.version}",
            management_url=broker.management,
            username=broker.username,
            password=broker.password,
            prometheus_urls=(),
        )
    )
    load = KnownLoad(broker, vhost)
    at_stake: Sums = Counter()
    try:
        load.declare()
        # The first tick asks for depth alone.
        for _ in range(2):
            _tick(row.id)
        tally = Tally(row, vhost)
        tally.take()
        with running(load):
            ticked = _ticks(row.id, asked.seconds / 2)
            if asked.restart:
                lag_s = LAG_S if broker.release < (4, 0) else EXPOSED_LAG_S
                before = [sums for at, sums in load.history if at < ticked - lag_s]
                subprocess.run(asked.restart.format(version=broker.version), shell=True, check=True, timeout=120)
                at_stake = load.sent - (before[-1] if before else Counter())
            _ticks(row.id, asked.seconds / 2)
        ended = time.monotonic()
        settled = _settle(row.id, load, tally, ended)
    finally:
        load.forget_connections()
        broker.delete_vhost(vhost)
    return _print(broker.version, load, tally.take(), at_stake, settled)


def _tick(broker_id: int) -> None:
    from brokers.collect import claims, poll
    from brokers.collect.models import PollState

    PollState.objects.filter(broker_id=broker_id).update(next_due_ms=0)
    claimed = claims.claim(broker_id, poll.now_ms())
    if claimed is not None:
        poll.guarded(broker_id, claimed.token)


def _ticks(broker_id: int, seconds: float) -> float:
    """Tick for so long; return when the last began, monotonic seconds."""
    began = time.monotonic()
    ends = began + seconds
    while time.monotonic() < ends:
        began = time.monotonic()
        _tick(broker_id)
        time.sleep(max(0.0, TICK_S - (time.monotonic() - began)))
    return began


def _settle(broker_id: int, load: KnownLoad, tally: Tally, ended: float) -> float:
    """Tick until nothing more comes to what was sent; return how long after its end the last change was, seconds."""
    last, changed = Counter(tally.take()), ended
    while time.monotonic() < min(ended + SETTLED_S, max(changed, ended) + 3 * LAG_S):
        _ticks(broker_id, TICK_S)
        now = Counter({key: tally.take()[key] for key in load.sent if key[0] != "broker"})
        if now != Counter({key: last[key] for key in now}):
            last, changed = now, time.monotonic()
        if now == Counter({key: load.sent[key] for key in now}):
            break
    return changed - ended


def _print(version: str, load: KnownLoad, counted: Sums, at_stake: Sums, settled: float) -> int:
    print(
        f"\nRabbitMQ {version}: {load.rounds} rounds, a new channel of each kind in each; settled {settled:.0f} s after"
    )
    print(f"{'what':44} {'sent':>9} {'counted':>9} {'at stake':>9}")
    wrong = 0
    for key in sorted(load.sent):
        kind, name, what = key
        sent, found = load.sent[key], counted[key]
        if kind == "exchange" and what != "published" and not found:
            verdict = "not counted by exchange before 4.0"
        elif kind == "broker":
            verdict = "others count here too" if found > sent else ""
            if found < sent - at_stake[key]:
                verdict, wrong = "WRONG", wrong + 1
        else:
            good = sent - at_stake[key] <= found <= sent
            verdict = ("" if found == sent else "within") if good else "WRONG"
            wrong += not good
        label = f"{kind} {'' if kind == 'vhost' else name} {what}"
        print(f"{label:44} {sent:9,} {found:9,} {at_stake[key]:9,} {verdict}")
    return wrong


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
