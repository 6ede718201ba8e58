"""A broker is asked what it can do where that may have changed, and else seldom. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import msgspec
import pytest

from brokers.collect.answers import NodeSeen
from brokers.collect.budget import Budget, Cost, Held, Pace, Tier, anew, share_in_force
from brokers.collect.known import (
    LOCATE_MS,
    LOOK_BLIND_MS,
    LOOK_DOUBTED_MS,
    LOOK_MS,
    LOOK_PART,
    REFUSED_MS,
    SLOWEST_LOOK_MS,
    Known,
    after_answers,
    decode,
    doubted,
    encode,
    locate_due,
    look_due,
    look_every_ms,
    tried_again,
)
from brokers.collect.ledger import spent
from brokers.collect.measures import CallMeasure
from brokers.collect.pace import looked
from brokers.collect.plan import Abilities, look_share, plan, repaced
from brokers.rabbitmq.errors import BrokerError, ErrorKind

NOW_MS = 1_800_000_000_000
A = NodeSeen("a", running=True, uptime_s=86_400, runs="4.3.6 basic rabbitmq_management rabbitmq_prometheus")
B = replace(A, name="b", uptime_s=5000)
AWAY = NodeSeen("c", running=False)
KNOWN = Known("4.3.6", {"a": "http://a:15692"}, nodes={"a": A.runs, "b": B.runs, "c": ""})


def after(
    *nodes: NodeSeen,
    known: Known = KNOWN,
    later_ms: int = 5000,
    silent: tuple[str, ...] = (),
    untold: Mapping[str, BrokerError] | None = None,
) -> Known:
    """Ask at `NOW_MS` what it can do, and get these answers later."""
    return after_answers(known, NOW_MS, NOW_MS + later_ms, nodes or None, silent, untold or {})


def test_the_first_answer_tells_what_the_nodes_were() -> None:
    fresh = msgspec.structs.replace(KNOWN, nodes={})
    assert after(A, B, AWAY, known=fresh) == KNOWN


@pytest.mark.parametrize("later_ms", [5000, LOOK_MS - 1])
def test_what_goes_on_as_it_was_gives_no_doubt(later_ms: int) -> None:
    aged = [replace(node, uptime_s=node.uptime_s + later_ms / 1000 - 5) for node in (A, B)]
    assert after(*aged, AWAY, later_ms=later_ms) is KNOWN
    # One that went down tells nothing new of the others, and has lost no ability.
    assert after(aged[0], NodeSeen("b", running=False), AWAY, later_ms=later_ms) is KNOWN
    # Nor is it a contradiction where nobody told.
    assert after(later_ms=later_ms) is KNOWN


@pytest.mark.parametrize(
    "nodes",
    [
        (replace(A, uptime_s=3.0), B, AWAY),  # it restarted
        (A, B, replace(B, name="c", uptime_s=9.0)),  # one came back
        (A, B),  # one was taken out
        (A, B, AWAY, replace(B, name="d")),  # one joined
        (replace(A, runs=A.runs.replace(" rabbitmq_prometheus", "")), B, AWAY),  # a plugin was switched off
        (replace(A, runs=A.runs.replace("4.3.6", "4.3.7")), B, AWAY),
        (replace(A, runs=A.runs.replace("basic", "none")), B, AWAY),
    ],
)
def test_what_contradicts_it_makes_it_be_asked_again_soon_and_not_in_every_tick(nodes: tuple[NodeSeen, ...]) -> None:
    found = after(*nodes, later_ms=120_000)
    assert found.doubted
    assert look_due(found, NOW_MS, NOW_MS + 125_000)
    assert not look_due(found, NOW_MS, NOW_MS + LOOK_DOUBTED_MS - 1)
    assert after(*nodes, known=found, later_ms=125_000) is found


def test_it_is_asked_seldom_where_nothing_happens() -> None:
    assert not look_due(KNOWN, NOW_MS, NOW_MS + LOOK_MS - 1)
    assert look_due(KNOWN, NOW_MS, NOW_MS + LOOK_MS)
    # Our clock was set back.
    assert look_due(KNOWN, NOW_MS, NOW_MS - 1)
    for sooner in (msgspec.structs.replace(KNOWN, nodes={}), msgspec.structs.replace(KNOWN, upgrading=True)):
        assert look_due(sooner, NOW_MS, NOW_MS + LOOK_BLIND_MS)
        assert not look_due(sooner, NOW_MS, NOW_MS + LOOK_BLIND_MS - 1)
    assert look_due(doubted(KNOWN), NOW_MS, NOW_MS + LOOK_DOUBTED_MS)


def test_what_another_version_of_ours_remembered_is_nothing() -> None:
    known = msgspec.structs.replace(KNOWN, located_ms=NOW_MS)
    assert decode(encode(known)) == known
    # Its nodes could be looked for nowhere, and the broker would be polled by the management API meanwhile.
    before = b'{"version":"4.3.6","prometheus":{"a":"http://a:15692"},"whole":false,"refused":{}}'
    assert decode(before) is None
    assert decode(b"") is None
    assert decode(b'{"version":4}') is None


def test_the_dearer_the_seldomer() -> None:
    assert look_every_ms(0.004, 0.02) == LOOK_MS
    assert look_every_ms(2.0, 0.006) == pytest.approx(2000 / (0.006 * LOOK_PART), abs=1)
    assert look_every_ms(1000.0, 0.006) == SLOWEST_LOOK_MS


def test_a_node_whose_prometheus_is_silent_is_looked_for_without_asking_the_broker_anew() -> None:
    found = after(A, B, AWAY, silent=("b",))
    assert (found.whole, found.doubted) == (False, False)
    assert locate_due(found, 0, NOW_MS + LOCATE_MS)
    known = msgspec.structs.replace(found, located_ms=NOW_MS)
    assert not locate_due(known, 0, NOW_MS + LOCATE_MS - 1)
    assert locate_due(known, 1, NOW_MS + 1)
    assert not locate_due(KNOWN, 0, NOW_MS + LOOK_MS)


def test_what_was_refused_is_tried_again_after_some_minutes() -> None:
    refused = BrokerError(ErrorKind.FORBIDDEN, "guest may not ask that.", "")
    late = BrokerError(ErrorKind.TOO_SLOW, "It did not answer.", "")
    found = after(A, B, AWAY, untold={"/api/vhosts": refused, "/api/exchanges": late})
    assert found.refused == {"/api/vhosts": "guest may not ask that."}
    assert tried_again(found, NOW_MS + 5000 + REFUSED_MS - 1) is found
    assert tried_again(found, NOW_MS + 5000 + REFUSED_MS) == KNOWN
    # What is refused later on has no turn of its own.
    both = after(A, B, AWAY, known=found, untold={"/api/queues": refused}, later_ms=200_000)
    assert both.refused.keys() == {"/api/vhosts", "/api/queues"}
    assert both.refused_ms == found.refused_ms


def test_what_asking_takes_stands_in_the_ledger_and_is_set_aside() -> None:
    budget, depth = Budget(), Held(20_000, NOW_MS, ((0.05, 4_000_000),) * 7)
    calls = [CallMeasure("/api/overview", "", 0.2, 4000, 4000, own_s=0.02), CallMeasure("/api/feature-flags", "", 0.01)]
    pace = looked(Pace({Tier.DEPTH: depth}), calls, NOW_MS, budget, overview=True)
    assert spent(pace.spent, NOW_MS) == pytest.approx(0.19)
    assert pace.look.recent == ((pytest.approx(0.19), 4000),)
    assert pace.look.every_ms == look_every_ms(0.19, share_in_force(budget, Cost(0.05, 4_000_000)))
    assert look_share(pace) == pytest.approx(190 / pace.look.every_ms)
    dear = msgspec.structs.replace(pace, look=msgspec.structs.replace(pace.look, every_ms=100_000))
    chosen = plan(Abilities("4.3.6", {"a": "http://a:15692"}, counters_exposed=True), 10, 5000, dear)
    assert (
        repaced(chosen, dear, budget, 5000).of(Tier.DEPTH).every_ms
        > repaced(chosen, pace, budget, 5000).of(Tier.DEPTH).every_ms
    )
    assert looked(pace, [], NOW_MS, budget, overview=False) is pace


@pytest.mark.parametrize("overview", [True, False])
def test_looking_for_nodes_over_a_long_line_leaves_the_budget_to_figures(overview: bool) -> None:
    answers = [CallMeasure("/metrics/detailed?family=identity", "", 0.25, 1200, 1200)] * 5
    overviews = [CallMeasure("/api/overview", "", 0.2, 4000, 4000)] if overview else []
    pace = looked(Pace(), [*overviews, *answers], NOW_MS, Budget(), overview=overview)
    assert spent(pace.spent, NOW_MS) == (0.2 if overview else 0)
    assert pace.look.recent == (((0.2, 4000),) if overview else ())


def test_what_asking_another_address_took_is_forgotten() -> None:
    pace = Pace({}, source="prometheus http://a", look=Held(LOOK_MS, NOW_MS, ((0.2, 4000),)))
    assert anew(pace, "management http://a").look == pace.look
    assert anew(pace, "prometheus http://b").look == Held()
