"""What is asked of a broker follows from what it can do and from its size; what can't be had has its reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.collect import reasons
from brokers.collect.allot import SLOWEST_RETRY_MS
from brokers.collect.budget import Budget, Held, Pace, Tier
from brokers.collect.plan import Abilities, Plan, Source, definitions_every_ms, definitions_soon_ms, repaced
from brokers.collect.plan import plan as planned
from brokers.collect.plan_words import cadences, explained
from brokers.series.metrics import METRICS, Kind

NODES = {"rabbit@a": "http://a:15692", "rabbit@b": "http://b:15692"}
NEW = Abilities("4.0.5", NODES, counters_exposed=True)
OLD = Abilities("3.10.8", NODES)
BARE = Abilities("4.0.5", {}, prometheus_missing="There is no Prometheus here.")


def plan(abilities: Abilities, objects: int = 20, pace: Pace | None = None) -> Plan:
    return explained(planned(abilities, objects, 5000, pace), abilities)


def test_it_asks_prometheus_alone_where_that_counts_everything() -> None:
    chosen = plan(NEW)
    assert chosen.source is Source.PROMETHEUS
    assert (chosen.queues, chosen.exchanges, chosen.vhosts, chosen.overview) == (None,) * 4
    assert chosen.families[Tier.DEPTH] == ("queue_coarse_metrics",)
    assert "queue_delivery_metrics" in chosen.families[Tier.COUNTERS]
    assert chosen.plain is Tier.COUNTERS
    assert chosen.nodes
    assert chosen.unknown == {}
    assert Tier.LISTS not in chosen.tiers
    assert any("2 nodes" in sentence for sentence in chosen.sentences)


def test_it_asks_the_management_api_for_counters_up_to_3_13() -> None:
    chosen = plan(OLD)
    assert chosen.source is Source.MIXED
    assert (chosen.queues, chosen.exchanges, chosen.vhosts) == (Tier.LISTS, Tier.LISTS, Tier.COUNTERS)
    assert Tier.COUNTERS not in chosen.families
    assert "3.10.8" in chosen.unknown["exchange.confirmed"]
    assert "queue.published" not in chosen.unknown


def test_it_names_what_is_read_seldom_and_tells_readers_how_long_it_stands() -> None:
    pace = Pace({Tier.DEPTH: Held(5000), Tier.LISTS: Held(60_000), Tier.DETAILS: Held(10_000)})
    chosen = plan(OLD, pace=pace)
    assert "3.10.8" in chosen.unknown["queue.published"]
    assert "every 60 s" in chosen.unknown["queue.published"]
    assert "every 10 s" in chosen.unknown["queue.memory"]
    told = cadences(chosen)
    assert (told["queue.published"], told["exchange.published"], told["queue.capacity"]) == (60_000, 60_000, 10_000)
    assert "queue.ready" not in told
    assert "broker.published" not in told


def test_it_tells_cadences_that_were_found_by_measuring_in_two_digits() -> None:
    pace = Pace({Tier.DEPTH: Held(10_400), Tier.COUNTERS: Held(104_000), Tier.CONSUMERS: Held(364_000)})
    said = " ".join(plan(NEW, pace=pace).sentences)
    assert "every 10 s" in said
    assert "every 104 s" in said
    assert "every 6.1 min" in said


@pytest.mark.parametrize(
    ("retry_ms", "says"), [(119_000, "119 s"), (900_000, "15 min"), (7_000_000, "117 min"), (SLOWEST_RETRY_MS, "6 h")]
)
def test_it_says_after_how_long_a_time_what_is_left_out_is_tried_again(retry_ms: int, says: str) -> None:
    out = Held(retry_ms, 1, ((60.0, 9),), left_out=True, tries=9)
    chosen = plan(NEW, pace=Pace({Tier.DEPTH: Held(5000), Tier.DETAILS: out}))
    assert f"It is tried again after {says}." in chosen.unknown["queue.memory"]


@pytest.mark.parametrize("abilities", [NEW, OLD, BARE])
def test_it_says_that_a_broker_has_no_streams_rather_than_that_their_lag_is_not_due(abilities: Abilities) -> None:
    chosen = planned(abilities, 20, 5000, Pace({Tier.DEPTH: Held(5000), Tier.CHANNELS: Held(10_000)}))
    said = explained(chosen, abilities, streams=False).unknown
    assert said["queue.stream_lag"] == "The broker has no streams."
    for streams in (True, None):
        told = explained(chosen, abilities, streams=streams).unknown
        assert told.pop("queue.stream_lag") != said["queue.stream_lag"]
        assert told == {name: why for name, why in said.items() if name != "queue.stream_lag"}


def test_it_says_of_what_the_budget_does_not_bear_that_it_is_left_out() -> None:
    pace = Pace({Tier.DEPTH: Held(5000), Tier.DETAILS: Held(300_000, recent=((9.0, 9),), left_out=True)})
    chosen = plan(NEW, pace=pace)
    assert "tried again after 5 min" in chosen.unknown["queue.memory"]
    assert "its answer takes more than this broker's budget bears even once in 10 min" in chosen.unknown["queue.memory"]
    assert not any(name in cadences(chosen) for name in ("queue.memory", "queue.capacity"))


def test_it_says_of_what_it_never_asked_that_it_is_expected_to_be_too_dear() -> None:
    pace = Pace({Tier.DEPTH: Held(20_000), Tier.DETAILS: Held(300_000, left_out=True)})
    said = plan(NEW, pace=pace).unknown["queue.memory"]
    assert "is expected to take more than this broker's budget bears" in said
    assert "tried after 5 min" in said


def test_it_changes_periods_by_what_the_tiers_cost_and_forgets_those_it_has_no_more() -> None:
    pace = Pace({Tier.DEPTH: Held(5000, recent=((0.002, 10),)), Tier.LISTS: Held(5000, recent=((2.0, 10),) * 3)})
    chosen = plan(OLD, pace=pace)
    slower = repaced(chosen, pace, Budget(), 5000)
    assert slower.of(Tier.DEPTH).every_ms == 5000
    assert 90_000 < slower.of(Tier.LISTS).every_ms < 200_000
    assert str(Tier.LISTS) not in repaced(plan(NEW), slower, Budget(), 5000).tiers


def test_it_asks_the_management_api_for_all_where_there_is_no_prometheus() -> None:
    chosen = plan(BARE)
    assert chosen.source is Source.MANAGEMENT
    assert chosen.overview
    assert chosen.queues is Tier.DEPTH
    assert set(chosen.tiers) == {Tier.DEPTH, Tier.COUNTERS, Tier.LISTS}
    assert "There is no Prometheus here." in chosen.unknown["broker.dead_lettered"]
    assert "There is no Prometheus here." in chosen.unknown["queue.stream_lag"]
    assert "There is no Prometheus here." in chosen.sentences


def test_it_does_not_ask_for_what_was_refused_and_says_what_that_costs() -> None:
    refused = dict.fromkeys(("/api/queues", "/api/nodes", "/api/vhosts", "/api/exchanges", "/api/overview"), "No.")
    chosen = plan(Abilities("4.0.5", {}, refused=refused))
    assert (chosen.queues, chosen.exchanges, chosen.vhosts, chosen.overview) == (None,) * 4
    assert not chosen.nodes
    for name in ("queue.ready", "queue.published", "vhost.ready", "vhost.published", "node.memory_used"):
        assert chosen.unknown[name] == "No."
    assert chosen.unknown["broker.published"] == "No."


def test_it_tells_why_a_server_of_another_make_has_no_counts() -> None:
    chosen = plan(Abilities("2.4", {}, counts=False, counts_missing="It does not tell."))
    assert chosen.unknown["queue.redelivered"] == "It does not tell."
    assert not chosen.reading.counted


def test_it_reads_definitions_seldom_where_that_keeps_the_broker_busy() -> None:
    assert definitions_every_ms(100) == 60_000
    assert definitions_every_ms(10_000) == 120_000
    assert definitions_every_ms(100, broker_s=0.5) == 125_000
    assert definitions_every_ms(100, broker_s=0.5, part=0.002) == 250_000
    assert definitions_every_ms(10**6, broker_s=100) == 600_000
    assert definitions_soon_ms(0.1) == 15_000
    assert definitions_soon_ms(10) == 500_000
    assert definitions_soon_ms(0.6, share=0.006) == 100_000


def test_it_reads_definitions_seldomer_where_depth_is_long_too() -> None:
    short, long = (Pace({Tier.DEPTH: Held(5000, recent=((seconds, 2_000_000),))}) for seconds in (0.01, 0.05))
    every = [planned(NEW, 100, 5000, pace, definitions_s=0.6).definitions_every_ms for pace in (short, long)]
    assert every == [150_000, pytest.approx(250_000, abs=1)]


@given(
    st.booleans(),
    st.booleans(),
    st.sets(st.sampled_from([reasons.NODES, reasons.QUEUES, reasons.VHOSTS, reasons.EXCHANGES, reasons.OVERVIEW])),
    st.dictionaries(
        st.sampled_from(list(Tier)), st.builds(Held, st.integers(5000, SLOWEST_RETRY_MS), left_out=st.booleans())
    ),
)
def test_it_gives_reasons_only_for_figures_that_there_are(
    exposed: bool, counted: bool, refused: set[str], held: dict[str, Held]
) -> None:
    chosen = plan(
        Abilities("4.0.5", NODES if exposed else {}, counts=counted, refused=dict.fromkeys(refused, "No.")),
        pace=Pace(held),
    )
    there = {f"{kind}.{metric.name}" for kind, metrics in METRICS.items() for metric in metrics}
    assert set(chosen.unknown) <= there
    assert all(chosen.unknown.values())
    assert set(cadences(chosen)) <= there
    lost = reasons.now(dict.fromkeys(refused, "No."), ["rabbit@a"], exposed=exposed)
    assert set(lost) <= there


@pytest.mark.parametrize(
    ("silent", "says"),
    [
        (["a"], "a did not answer: sums that it has a part in are unknown."),
        (["a", "b", "c"], "a, b and c did not answer: sums that they have a part in are unknown."),
    ],
)
def test_it_names_the_nodes_that_did_not_answer(silent: list[str], says: str) -> None:
    lost = reasons.now({}, silent, exposed=True)
    assert lost["broker.ready"] == lost["vhost.published"] == says
    assert "broker.nodes_running" not in lost
    assert not any(name.startswith(f"{Kind.QUEUE}.") for name in lost)
