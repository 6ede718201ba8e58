"""Claims: one poll a broker at a time, no drift, no pile-up, and an end by themselves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from brokers.collect import claims
from brokers.collect.claims import Lane
from brokers.collect.models import PollState
from brokers.registry import services
from brokers.registry.models import Broker

NOW = 1_800_000_000_000
# Of a race, so that one which is lost seldom is lost here: on PostgreSQL one in some fifty was.
_ROUNDS = 40


@pytest.fixture
def shop(db: None) -> Broker:
    return services.add(services.BrokerInput(name="shop", management_url="http://127.0.0.1:1", cadence_s=5))


def test_it_finds_a_new_broker_due_and_claims_it_once(shop: Broker) -> None:
    assert claims.due(NOW) == [shop.id]
    claimed = claims.claim(shop.id, NOW)
    assert claimed is not None
    assert claims.claim(shop.id, NOW) is None
    assert claims.due(NOW) == []
    assert claims.holds(shop.id, claimed.token, NOW)


def test_it_is_due_again_a_cadence_later_without_drift(shop: Broker) -> None:
    first = claims.claim(shop.id, NOW)
    assert first is not None
    assert claims.release(shop.id, first.token)
    assert claims.claim(shop.id, NOW + 4999) is None
    late = claims.claim(shop.id, NOW + 5400)  # found 400 ms late
    assert late is not None
    claims.release(shop.id, late.token)
    assert PollState.objects.get(broker=shop).next_due_ms == NOW + 10_000


def test_it_leaves_out_what_it_missed(shop: Broker) -> None:
    first = claims.claim(shop.id, NOW)
    assert first is not None
    claims.release(shop.id, first.token)
    assert claims.claim(shop.id, NOW + 32_000) is not None
    assert PollState.objects.get(broker=shop).next_due_ms == NOW + 35_000


def test_a_claim_of_a_dead_worker_ends_by_itself(shop: Broker) -> None:
    dead = claims.claim(shop.id, NOW)
    assert dead is not None
    assert claims.claim(shop.id, NOW + 5000) is None
    assert dead.until_ms - NOW <= 10_000
    again = claims.claim(shop.id, dead.until_ms)
    assert again is not None
    assert not claims.holds(shop.id, dead.token, dead.until_ms)
    assert not claims.release(shop.id, dead.token)
    assert claims.holds(shop.id, again.token, dead.until_ms)


def test_it_claims_nothing_paused_or_removed(shop: Broker) -> None:
    claimed = claims.claim(shop.id, NOW)
    assert claimed is not None
    services.pause(shop.id)
    assert not claims.holds(shop.id, claimed.token, NOW)
    assert not claims.extend(shop.id, claimed.token, NOW, 10_000)
    claims.release(shop.id, claimed.token)
    assert claims.claim(shop.id, NOW + 60_000) is None
    services.resume(shop.id)
    assert claims.claim(shop.id, NOW + 60_000) is not None
    services.remove(shop.id)
    assert claims.claim(shop.id, NOW + 90_000) is None


def test_the_lanes_are_claimed_apart(shop: Broker) -> None:
    PollState.objects.filter(broker=shop).update(last_ok_ms=NOW)
    assert claims.claim(shop.id, NOW) is not None
    assert claims.claim(shop.id, NOW, Lane.DEFINITIONS) is not None
    assert claims.claim(shop.id, NOW, Lane.DEFINITIONS) is None


def test_definitions_wait_until_the_broker_has_answered(shop: Broker) -> None:
    assert claims.due(NOW, Lane.DEFINITIONS) == []
    PollState.objects.filter(broker=shop).update(last_ok_ms=NOW)
    assert claims.due(NOW, Lane.DEFINITIONS) == [shop.id]
    PollState.objects.filter(broker=shop).update(failures=1)
    assert claims.due(NOW, Lane.DEFINITIONS) == []


@pytest.mark.django_db(transaction=True)
def test_of_many_dispatchers_one_claims() -> None:
    shop = services.add(services.BrokerInput(name="shop", management_url="http://127.0.0.1:1"))

    def race(_: int) -> bool:
        try:
            return claims.claim(shop.id, NOW) is not None
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        for round_ in range(_ROUNDS):
            PollState.objects.filter(broker=shop).update(next_due_ms=0, claim="", claimed_until_ms=0)
            assert sum(pool.map(race, range(16))) == 1, f"round {round_}"


@given(st.integers(0, 10**9), st.integers(0, 10**7), st.integers(1000, 300_000))
def test_the_next_due_time_is_in_the_future_and_on_the_beat(due_ms: int, behind_ms: int, cadence_ms: int) -> None:
    now_ms = due_ms + behind_ms
    following = claims.next_due(due_ms, now_ms, cadence_ms)
    assert now_ms < following <= now_ms + cadence_ms
    if due_ms:
        assert (following - due_ms) % cadence_ms == 0


@pytest.mark.parametrize("lane", list(Lane))
def test_a_clock_that_is_set_back_stops_nobody(shop: Broker, lane: Lane) -> None:
    """An hour ahead a claim was made that nobody released: no claim lasts so long, and no broker waits so long."""
    PollState.objects.filter(broker=shop).update(last_ok_ms=NOW)
    hour = 3_600_000
    assert claims.claim(shop.id, NOW + hour, lane) is not None
    assert claims.due(NOW + hour, lane) == []
    assert claims.free_readings(NOW) == claims.READINGS_AT_ONCE
    assert claims.due(NOW, lane) == [shop.id]
    claimed = claims.claim(shop.id, NOW, lane)
    assert claimed is not None
    assert claims.holds(shop.id, claimed.token, NOW, lane)
    assert claims.due(NOW, lane) == []
    assert claims.claim(shop.id, NOW, lane) is None
    assert claims.due(NOW + 700_000, lane) == [shop.id]


def test_a_broker_that_is_never_due_is_left_alone(shop: Broker) -> None:
    PollState.objects.filter(broker=shop).update(next_due_ms=claims.NEVER_MS)
    assert claims.due(NOW) == []
    assert claims.claim(shop.id, NOW) is None
