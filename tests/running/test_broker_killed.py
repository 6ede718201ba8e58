"""A broker that is killed: late, then unreachable with the reason, and back by itself when it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from brokers.collect.state import Condition
from tests.support.collected import condition, facts, now_ms, wait_for_condition, wait_until
from tests.support.dashboard_server import DashboardServer, sign_in
from tests.support.own_broker import OwnBroker


@pytest.mark.faults
@pytest.mark.timeout(420)
def test_it_is_late_then_unreachable_with_the_reason_and_back_by_itself(
    own_broker: OwnBroker, make_dashboard: Callable[..., DashboardServer]
) -> None:
    broker = own_broker.start()
    server = make_dashboard(brokers=(f"{broker.management_url}#mortal",))
    folder = server.data_dir

    def log() -> str:
        return server.log[-4000:]

    wait_for_condition(folder, "mortal", Condition.LIVE, 60, log)

    killed_ms = now_ms()
    own_broker.kill()
    seen: list[Condition] = []

    def unreachable() -> bool:
        found = condition(folder, "mortal")
        assert found is not None
        if not seen or seen[-1] is not found.condition:
            seen.append(found.condition)
        return found.condition is Condition.UNREACHABLE

    wait_until(unreachable, 60, "the killed broker is unreachable", log)
    assert Condition.LATE in seen
    assert seen.index(Condition.LATE) < seen.index(Condition.UNREACHABLE)

    held = facts(folder, "mortal")
    state = condition(folder, "mortal")
    assert held is not None
    assert state is not None
    # The second tick after the end says it: two cadences, and what a loaded machine adds to a tick.
    assert held.failing_since_ms is not None
    assert held.failing_since_ms - killed_ms <= 2 * held.cadence_ms
    assert held.failures >= 2
    assert not state.collector_stopped
    assert "refuse" in state.reason
    assert state.remedy

    session = sign_in(server)
    page = session.get(f"{server.url}/", timeout=20)
    assert page.status_code == 200
    assert "nreachable" in page.text
    assert "refuse" in page.text

    own_broker.start()
    wait_for_condition(folder, "mortal", Condition.LIVE, 60, log)
    recovered = facts(folder, "mortal")
    assert recovered is not None
    assert (recovered.failures, recovered.error_sentence, recovered.failing_since_ms) == (0, "", None)
