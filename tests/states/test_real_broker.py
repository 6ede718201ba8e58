"""The states of consumers on a real broker, in short: benchmarks/consumer_states.py acts all situations for longer."""

from __future__ import annotations

import math
import time

import pytest

from brokers.lag import at_tick
from brokers.lag.state import ConsumerState
from brokers.registry.models import Broker, BrokerObject
from brokers.series.metrics import Kind
from tests.collect.conftest import Tick, _fresh_process, newest, register, tick  # noqa: F401  # fixtures
from tests.support.brokers import TestBroker
from tests.support.situations import Consumes, Phase, Script, Stage

pytestmark = pytest.mark.django_db(transaction=True)

IDLE, OK, BEHIND, STARVED, STALLED, STOPPED = map(int, ConsumerState)
_WELL = Phase(0, (OK,), rate=10, consumers=(Consumes(prefetch=100),))
_TROUBLES = {
    "behind": Phase(0, (BEHIND,), rate=20, consumers=(Consumes(prefetch=20, work_s=0.1),)),
    "full": Phase(0, (STALLED,), rate=10, consumers=(Consumes(10, answer="never"),)),
    "stopped": Phase(0, (STOPPED,), rate=10),
    "starved": Phase(0, (STARVED,), rate=40, consumers=(Consumes(prefetch=1, latency_s=0.04),)),
}
_SCRIPTS = (
    Script("idle", (Phase(0, (IDLE,)),) * 3),
    Script("gets", (Phase(0, (OK,), rate=4, gets=12, prefill=5), *(Phase(0, (OK,), rate=4, gets=12),) * 2)),
    *(Script(name, (_WELL, trouble, _WELL)) for name, trouble in _TROUBLES.items()),
)
# Polls of a phase, and how far apart they are, as a dashboard's. A poll that came without figures, or late, does not
# count; a phase has so many polls in all.
_POLLS, _CADENCE_S, _LATE_S, _MOST_POLLS = 5, 5.0, 9.0, 15
# The first poll comes as the phase begins, so that the fourth is three ticks into it: from there on it must be right.
_JUDGED_FROM = 3
# Where a poll takes so long the machine is too busy for the broker to keep its beats of 5 s: it gets a poll more.
_BUSY_S = 1.0


@pytest.mark.timeout(400)
def test_it_names_what_happens_on_a_real_broker_within_three_ticks(
    any_broker: TestBroker,
    vhost: str,
    tick: Tick,  # noqa: F811
) -> None:
    """Polls that a busy machine let come back without figures do not count: phases last for so many that do."""
    row = register(any_broker)
    at_tick.forget(row.id)
    stage = Stage(any_broker, vhost, _SCRIPTS, paced=True)
    tick(row)
    stage.start()
    misjudged = []
    for phase in range(3):
        seen: list[dict[str, float]] = []
        slowest, polls, last = 0.0, 0, time.monotonic()
        while stage.reached < phase:
            assert stage.problem is None, stage.problem
            time.sleep(0.05)
        while len(seen) < _POLLS:
            polls += 1
            assert polls <= _MOST_POLLS, (
                f"{polls} polls, and {len(seen)} of them in time and with figures of all queues"
            )
            began = time.monotonic()
            tick(row)
            slowest = max(slowest, time.monotonic() - began)
            told = _states(row, vhost)
            if told is not None and began - last <= _LATE_S:
                seen.append(told)
            last = began
            time.sleep(max(0.0, _CADENCE_S - (time.monotonic() - began)))
        for kind in stage.types:
            for script in _SCRIPTS:
                named = [told[f"{kind}.{script.name}"] for told in seen]
                wanted = script.phases[phase].state
                if any(state not in wanted for state in named[_JUDGED_FROM + (slowest >= _BUSY_S) :]):
                    misjudged.append(f"{kind}.{script.name}, phase {phase}: {wanted} was wanted, {named} named")
        stage.advance()
    stage.join(60)
    assert not misjudged, "\n".join(misjudged)


def _states(row: Broker, vhost: str) -> dict[str, float] | None:
    """Return the state of each queue, None where a queue is not there yet or its figures are unknown."""
    names = dict(BrokerObject.objects.filter(broker=row, kind=Kind.QUEUE, vhost=vhost).values_list("name", "slot"))
    table = newest(row).table(Kind.QUEUE)
    if len(names) < 2 * len(_SCRIPTS) or any(math.isnan(table.value(slot, "ready")) for slot in names.values()):
        return None
    return {name: table.value(slot, "consumer_state") for name, slot in names.items()}
