"""Time lag on real brokers against the true age of each queue's head: the short form of benchmarks/lag_truth.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from brokers.collect import clients, labels, poll
from tests.collect.conftest import register
from tests.support import brokers, lag_judge, lag_run
from tests.support.aged_load import AgedLoad, scripts
from tests.support.brokers import TestBroker

SECONDS = 45.0


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(240)
def test_it_is_as_old_as_the_head(
    brokers_by_version: Callable[[str], TestBroker | None], any_broker: TestBroker, tmp_path: Path
) -> None:
    """Paces that change, redeliveries, a purge, rejects, dead letters; classic and quorum, all brokers at once.

    A machine that is busy with other tests delays ticks, the load and the queues' own beats, and a broker that answers
    slowly is asked for counters more seldom: it is held to most moments, and to twice what the long form allows, which
    is the measure. Where ages were computed wrongly, by a constant or of the wrong message, most moments would be off.
    """
    found = {version: brokers_by_version(version) or any_broker for version in brokers.versions()}
    vhosts = {version: broker.make_vhost("truth") for version, broker in found.items()}
    loads: dict[str, AgedLoad] = {}
    try:
        rows = {version: register(broker, f"broker {version}") for version, broker in found.items()}
        for version, broker in found.items():
            queues = scripts("classic", short=True) + scripts("quorum", short=True)
            loads[version] = AgedLoad(broker, vhosts[version], queues, SECONDS, tmp_path)
        for row in rows.values():
            lag_run.tick(row.id)
            lag_run.tick(row.id)  # the first asks for depth alone
        for load in loads.values():
            load.start()
        lag_run.poll_for([row.id for row in rows.values()], SECONDS + 2)
        truths = {version: load.wait(60) for version, load in loads.items()}
        records = [lag_judge.record(rows[version], version, vhosts[version], truths[version]) for version in rows]
    finally:
        for load in loads.values():
            load.end()
        for version, broker in found.items():
            broker.delete_vhost(vhosts[version])
        clients.forget()
        labels.forget()
        poll.forget_frames()
    verdicts = {one.version: lag_judge.judge(one) for one in records}
    for version, ones in verdicts.items():
        for one in ones:
            told = f"{version} {one.queue}:\n" + "\n".join(one.lines)
            assert one.unknown == 0, told
            assert one.within_two_beats * 2 >= one.moments, told
    moments = sum(one.moments for ones in verdicts.values() for one in ones)
    within = sum(one.within_two_beats for ones in verdicts.values() for one in ones)
    assert moments > 10
    assert within >= 0.8 * moments
    # Ages that are all alike, or all but none, would be held against nothing.
    assert max(one.oldest_s for ones in verdicts.values() for one in ones) > 15
