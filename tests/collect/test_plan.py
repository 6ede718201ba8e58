"""What is asked of a broker follows from what it can do and from its size; what can't be had has its reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.collect import reasons
from brokers.collect.plan import Abilities, Source, definitions_every_ms, definitions_soon_ms, plan
from brokers.series.metrics import METRICS, Kind

NODES = {"rabbit@a": "http://a:15692", "rabbit@b": "http://b:15692"}
NEW = Abilities("4.0.5", NODES, counters_exposed=True)
OLD = Abilities("3.10.8", NODES)
BARE = Abilities("4.0.5", {}, prometheus_missing="There is no Prometheus here.")


def test_it_asks_prometheus_alone_where_that_counts_everything() -> None:
    chosen = plan(NEW, 10_000, 200, 5)
    assert chosen.source is Source.PROMETHEUS
    assert (chosen.queues_every_ms, chosen.exchanges_every_ms, chosen.vhosts, chosen.overview) == (None,) * 2 + (
        False,
    ) * 2
    assert "queue_delivery_metrics" in chosen.families
    assert chosen.nodes
    assert chosen.unknown == {}
    assert any("2 nodes" in sentence for sentence in chosen.sentences)


def test_it_asks_the_management_api_for_counters_up_to_3_13() -> None:
    chosen = plan(OLD, 10, 10, 5)
    assert chosen.source is Source.MIXED
    assert (chosen.queues_every_ms, chosen.vhosts) == (0, True)
    assert "queue_delivery_metrics" not in chosen.families
    assert "3.10.8" in chosen.unknown["exchange.confirmed"]


def test_it_asks_for_long_lists_seldom_and_says_so() -> None:
    chosen = plan(OLD, 10_000, 10, 5)
    assert chosen.queues_every_ms == 30_000
    assert "every 30 s" in chosen.unknown["queue.published"]


def test_it_asks_the_management_api_for_all_where_there_is_no_prometheus() -> None:
    chosen = plan(BARE, 10, 10, 5)
    assert chosen.source is Source.MANAGEMENT
    assert chosen.overview
    assert chosen.queues_every_ms == 0
    assert "There is no Prometheus here." in chosen.unknown["broker.dead_lettered"]
    assert "There is no Prometheus here." in chosen.sentences


def test_it_does_not_ask_for_what_was_refused_and_says_what_that_costs() -> None:
    refused = dict.fromkeys(("/api/queues", "/api/nodes", "/api/vhosts", "/api/exchanges", "/api/overview"), "No.")
    chosen = plan(Abilities("4.0.5", {}, refused=refused), 10, 10, 5)
    assert (chosen.queues_every_ms, chosen.exchanges_every_ms) == (None, None)
    assert (chosen.nodes, chosen.vhosts, chosen.overview) == (False, False, False)
    for name in ("queue.ready", "queue.published", "vhost.ready", "vhost.published", "node.memory_used"):
        assert chosen.unknown[name] == "No."
    assert chosen.unknown["broker.published"] == "No."


def test_it_tells_why_a_server_of_another_make_has_no_counts() -> None:
    chosen = plan(Abilities("2.4", {}, counts=False, counts_missing="It does not tell."), 10, 10, 5)
    assert chosen.unknown["queue.redelivered"] == "It does not tell."
    assert not chosen.reading.counted


def test_it_reads_definitions_seldom_where_that_keeps_the_broker_busy() -> None:
    assert definitions_every_ms(100) == 60_000
    assert definitions_every_ms(10_000) == 120_000
    assert definitions_every_ms(100, broker_s=4) == 200_000
    assert definitions_every_ms(10**6, broker_s=100) == 600_000
    assert definitions_soon_ms(0.1) == 15_000
    assert definitions_soon_ms(10) == 100_000


@given(
    st.booleans(),
    st.booleans(),
    st.sets(st.sampled_from([reasons.NODES, reasons.QUEUES, reasons.VHOSTS, reasons.EXCHANGES, reasons.OVERVIEW])),
    st.integers(0, 100_000),
)
def test_it_gives_reasons_only_for_figures_that_there_are(
    exposed: bool, counted: bool, refused: set[str], queues: int
) -> None:
    chosen = plan(
        Abilities("4.0.5", NODES if exposed else {}, counts=counted, refused=dict.fromkeys(refused, "No.")),
        queues,
        5,
        5,
    )
    there = {f"{kind}.{metric.name}" for kind, metrics in METRICS.items() for metric in metrics}
    assert set(chosen.unknown) <= there
    assert all(chosen.unknown.values())
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
