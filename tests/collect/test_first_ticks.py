"""A broker that was not asked for long is not asked for everything at once: depth first, what is dear by turns."""

from __future__ import annotations

import msgspec
import pytest

from brokers.collect import claims, poll
from brokers.collect.budget import Budget, Held, Pace, Tier, anew, decode_pace
from brokers.collect.measures import CallMeasure, decode
from brokers.collect.models import PollState
from brokers.collect.pace import COLD, SOON_MS, after, due_tiers, unfinished
from brokers.collect.plan import Abilities, plan
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from tests.collect.conftest import newest, register
from tests.support.brokers import TestBroker

NODES = {"rabbit@a": "http://a:15692"}
OLD = Abilities("3.10.8", NODES)
NEW = Abilities("4.0.5", NODES, counters_exposed=True)
LONG, SHORT = ((0.05, 2_000_000),) * 7, ((0.004, 20_000),) * 7
NOW_MS = 1_800_000_000_000


def asked(abilities: Abilities, pace: Pace, at_ms: int = NOW_MS) -> set[Tier]:
    return set(due_tiers(plan(abilities, 10, 5000, pace), pace, at_ms))


@pytest.mark.parametrize("abilities", [OLD, NEW])
def test_the_first_tick_asks_for_depth_alone(abilities: Abilities) -> None:
    assert asked(abilities, Pace()) == {Tier.DEPTH}


def test_without_prometheus_the_brokers_own_sums_are_depth_too() -> None:
    assert asked(Abilities("4.0.5", {}), Pace()) == {Tier.DEPTH, Tier.COUNTERS}


def test_where_depth_is_short_the_second_tick_asks_for_all() -> None:
    pace = Pace({Tier.DEPTH: Held(5000, NOW_MS - 1000, SHORT[:1])})
    assert asked(OLD, pace) == set(Tier)


def test_where_depth_is_long_each_tick_asks_for_one_more_until_all_are_known() -> None:
    held = {Tier.DEPTH: Held(10_000, NOW_MS, LONG[:1])}
    order = []
    for number in range(1, 6):
        at_ms = NOW_MS + number * 10_000
        found = asked(OLD, Pace(dict(held)), at_ms) - {Tier.DEPTH}
        fresh = [tier for tier in found if tier not in held]
        assert len(fresh) == 1, found
        held[fresh[0]] = Held(300_000, at_ms, ((0.1, 9),))
        order += fresh
    assert order == [Tier.COUNTERS, Tier.CONSUMERS, Tier.DETAILS, Tier.CHANNELS, Tier.LISTS]


@pytest.mark.parametrize("depth", [LONG, SHORT])
def test_after_a_pause_what_is_dear_comes_by_turns(depth: tuple[tuple[float, int], ...]) -> None:
    hour = NOW_MS - 3_600_000
    pace = Pace({tier: Held(60_000, hour, ((0.1, 2_000_000),) * 7) for tier in Tier})
    tiers = {**pace.tiers, Tier.DEPTH: Held(10_000, hour, depth)}
    found = asked(OLD, Pace(tiers))
    assert found == ({Tier.DEPTH, Tier.COUNTERS} if depth == LONG else set(Tier))


def test_what_is_due_in_its_turn_is_asked_together_with_others() -> None:
    late = NOW_MS - COLD * 60_000
    tiers = {tier: Held(60_000, late, ((0.1, 2_000_000),) * 7) for tier in Tier}
    assert asked(OLD, Pace({**tiers, Tier.DEPTH: Held(10_000, NOW_MS - 10_000, LONG)})) == set(Tier)


def test_the_rest_is_asked_soon_after_a_first_short_answer_and_then_at_the_beat() -> None:
    chosen = plan(OLD, 10, 5000)
    first = Pace({Tier.DEPTH: Held(5000, NOW_MS, SHORT[:1])})
    assert unfinished(chosen, Pace(), first, {Tier.DEPTH})
    assert not unfinished(chosen, Pace(), Pace({Tier.DEPTH: Held(5000, NOW_MS, LONG[:1])}), {Tier.DEPTH})
    assert not unfinished(chosen, first, first, {Tier.DEPTH})
    assert not unfinished(chosen, Pace(), first, set(Tier))


@pytest.mark.parametrize(("seconds", "own_s", "counts"), [(0.06, 0.05, 0.04), (0.09, 0.02, 0.07)])
def test_an_answer_counts_as_its_bytes_take_a_broker_at_least(seconds: float, own_s: float, counts: float) -> None:
    """Where it sends while it computes, most of the time seems to be ours."""
    call = CallMeasure("/metrics", "rabbit@a", seconds, 5_000_000, 200_000, own_s=own_s, tier=Tier.DEPTH)
    found = after(plan(OLD, 10, 5000), Pace(), {Tier.DEPTH}, [call], NOW_MS, Budget(), 5000)
    assert found.of(Tier.DEPTH).recent == ((pytest.approx(counts), 200_000),)


def test_what_another_source_cost_is_forgotten_and_depths_period_stays() -> None:
    pace = Pace({tier: Held(60_000, NOW_MS, LONG) for tier in Tier}, source="prometheus http://a")
    assert anew(pace, "prometheus http://a") == pace
    changed = anew(pace, "management http://a")
    assert changed.tiers == {Tier.DEPTH: Held(60_000)}
    # What was kept before there were sources stays.
    assert anew(msgspec.structs.replace(pace, source=""), "management http://a").tiers == pace.tiers


@pytest.mark.django_db(transaction=True)
def test_a_new_broker_has_names_and_depths_at_once_and_all_the_rest_a_second_later(
    broker: TestBroker, vhost: str
) -> None:
    with broker.connect(vhost) as connection:
        connection.channel().queue_declare("orders", durable=True)
    row = register(broker)

    def ticked() -> tuple[int, set[str]]:
        began = poll.now_ms()
        claimed = claims.claim(row.id, began)
        assert claimed is not None
        assert poll.guarded(row.id, claimed.token) is poll.Outcome.STORED
        state = PollState.objects.get(broker=row)
        return state.next_due_ms - poll.now_ms(), {
            call.tier
            for call in decode(state.measures).calls
            if call.tier and ("/metrics" in call.what or call.tier == Tier.LISTS)
        }

    due(row)
    wait_ms, tiers = ticked()
    assert tiers == {Tier.DEPTH}
    assert newest(row).table(Kind.QUEUE).column("ready").tolist()
    assert wait_ms <= SOON_MS
    due(row)
    wait_ms, tiers = ticked()
    assert tiers >= {Tier.COUNTERS, Tier.CHANNELS}
    assert {*decode_pace(PollState.objects.get(broker=row).pace).tiers} >= {Tier.COUNTERS, Tier.DETAILS}
    assert wait_ms > SOON_MS


def due(row: Broker) -> None:
    claims.due(poll.now_ms())  # makes its state
    PollState.objects.filter(broker=row).update(next_due_ms=0)
