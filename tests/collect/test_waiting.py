"""What is asked before the claims: it says no where nothing is due, and never where something is."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brokers.collect import claims
from brokers.collect.claims import LONGEST_CLAIM_MS, NEVER_MS, Lane
from brokers.collect.models import PollState
from brokers.collect.waiting import anything_due
from brokers.registry import services
from brokers.registry.models import Broker

NOW = 1_800_000_000_000


@pytest.fixture
def shop(db: None) -> Broker:
    return services.add(services.BrokerInput(name="shop", management_url="http://127.0.0.1:1", cadence_s=5))


def test_it_sees_a_broker_that_has_no_state_yet(shop: Broker) -> None:
    PollState.objects.all().delete()
    assert anything_due(NOW)


def test_it_says_no_where_both_lanes_wait_for_their_time_or_nobody_is_to_be_polled(shop: Broker) -> None:
    claims.due(NOW)
    PollState.objects.update(next_due_ms=NOW + 5000, definitions_due_ms=NOW + 60_000)
    assert not anything_due(NOW)
    assert anything_due(NOW + 5000)
    PollState.objects.update(next_due_ms=NEVER_MS)
    assert not anything_due(NOW + 5000)
    assert anything_due(NOW + 60_000)
    services.pause(shop.id)
    assert not anything_due(NOW + 60_000)
    Broker.objects.all().delete()
    assert not anything_due(NOW + 60_000)


moments = st.one_of(
    st.integers(NOW - 100_000, NOW + 100_000),
    st.integers(NOW + LONGEST_CLAIM_MS - 10, NOW + 2_000_000),
    st.sampled_from([0, NOW, NOW + 1, NOW + LONGEST_CLAIM_MS, NEVER_MS - 1, NEVER_MS, NEVER_MS + 1]),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moments, moments, st.sampled_from([1, 5, 300]), st.booleans())
def test_it_never_says_no_where_something_is_due(
    shop: Broker, tick_ms: int, definitions_ms: int, cadence_s: int, paused: bool
) -> None:
    Broker.objects.update(cadence_s=cadence_s, paused=paused)
    PollState.objects.update(next_due_ms=tick_ms, definitions_due_ms=definitions_ms, failures=0, last_ok_ms=NOW - 1000)
    if claims.due(NOW, Lane.TICK) or claims.due(NOW, Lane.DEFINITIONS):
        assert anything_due(NOW)
