"""What needs a person: the right sentences, worst first, and never a word of what the person does not see."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.collect.state import Condition
from brokers.lag.state import ConsumerState
from brokers.rabbitmq.errors import grant_command
from dashboard.queries.attention import headline, needs, quiet, worst_first
from dashboard.queries.broker_analysis import NodeFacts, Troubled, Unconsumed, VhostFacts
from dashboard.queries.broker_facts import BrokerFacts
from dashboard.queries.need import Severity

GIB = 1024**3
HOSTILE = "<script>alert(1)</script>'\"/%\u202e\n"


def node(**figures: object) -> NodeFacts:
    """A healthy node, save for what is given."""
    healthy: dict[str, object] = {
        "slot": 0,
        "name": "rabbit@rabbit-1",
        "running": 1.0,
        "memory_used": 1.0 * GIB,
        "memory_limit": 6.0 * GIB,
        "disk_free": 30.0 * GIB,
        "disk_limit": 2.0 * GIB,
        "fd_used": 100.0,
        "fd_limit": 1000.0,
        "processes_used": 400.0,
        "processes_limit": 1_000_000.0,
        "memory_alarm": 0.0,
        "disk_alarm": 0.0,
    }
    return NodeFacts(**{**healthy, **figures})  # type: ignore[arg-type]


def broker(**facts: object) -> BrokerFacts:
    """A quiet live broker, save for what is given."""
    quiet: dict[str, object] = {
        "id": 3,
        "name": "shop",
        "condition": Condition.LIVE,
        "at_ms": 1_000_000,
        "nodes": (node(),),
    }
    return BrokerFacts(**{**quiet, **facts})  # type: ignore[arg-type]


def keys(facts: BrokerFacts) -> list[str]:
    return [need.key for need in needs(facts)]


def test_it_has_nothing_to_say_of_a_quiet_broker() -> None:
    assert needs(broker()) == []
    assert headline([]) == "Nothing needs you."


@pytest.mark.parametrize(
    ("all_facts", "said"),
    [
        ([broker()], "Nothing needs you: no alarm, every node runs, and no backlog waits for a consumer."),
        ([broker(whole=False, nodes=())], "Nothing needs you: in the vhosts that you see no backlog waits"),
        ([broker(), broker(whole=False, nodes=())], "every node of the brokers that you see whole runs"),
        ([broker(nodes=(node(memory_alarm=float("nan")),))], "not every node tells whether it runs and whether"),
        ([broker(nodes=())], "not every node tells"),
        ([broker(condition=Condition.PAUSED)], "Nothing is known to need you: no broker gives figures now."),
        ([broker(condition=Condition.NEW, nodes=(), at_ms=None)], "no broker gives figures now."),
    ],
)
def test_it_claims_no_more_to_be_well_than_is_known_and_seen(all_facts: list[BrokerFacts], said: str) -> None:
    assert said in quiet(all_facts)


def test_it_says_that_a_broker_does_not_answer_since_when_and_what_to_do() -> None:
    [need] = needs(
        broker(
            condition=Condition.UNREACHABLE,
            failing_since_ms=900_000,
            failures=4,
            reason_sentence="Connection refused on 10.4.0.12:15672.",
            remedy="Start the broker or correct the address.",
        )
    )
    assert need.severity is Severity.CRITICAL
    assert need.since_ms == 900_000
    assert "Connection refused on 10.4.0.12:15672." in need.why
    assert "correct the address" in need.why


def test_it_does_not_judge_figures_that_a_silent_broker_told_before() -> None:
    facts = broker(condition=Condition.UNREACHABLE, nodes=(node(memory_alarm=1.0, running=0.0),), failures=3)
    assert keys(facts) == ["3.silent"]


def test_it_says_nothing_of_a_paused_broker() -> None:
    assert needs(broker(condition=Condition.PAUSED, nodes=(node(disk_alarm=1.0),))) == []


@pytest.mark.parametrize(
    ("figures", "key", "severity"),
    [
        ({"memory_alarm": 1.0}, "3.node.0.memory", Severity.CRITICAL),
        ({"disk_alarm": 1.0}, "3.node.0.disk", Severity.CRITICAL),
        ({"running": 0.0}, "3.node.0.down", Severity.CRITICAL),
        ({"partitions": ("rabbit@rabbit-2",)}, "3.partition", Severity.CRITICAL),
        ({"memory_used": 5.0 * GIB}, "3.node.0.memory", Severity.WARNING),
        ({"disk_free": 2.5 * GIB}, "3.node.0.disk", Severity.WARNING),
        ({"fd_used": 850.0}, "3.node.0.fd", Severity.WARNING),
        ({"fd_used": 990.0}, "3.node.0.fd", Severity.CRITICAL),
        ({"processes_used": 960_000.0}, "3.node.0.processes", Severity.CRITICAL),
    ],
)
def test_it_sees_each_trouble_of_a_node(figures: dict[str, object], key: str, severity: Severity) -> None:
    [need] = needs(broker(nodes=(node(**figures),)))
    assert (need.key, need.severity) == (key, severity)
    assert need.why.endswith(".")


def test_it_takes_unknown_figures_for_unknown_not_for_trouble() -> None:
    assert needs(broker(nodes=(NodeFacts(slot=0, name="rabbit@rabbit-1"),))) == []


def test_it_knows_when_an_alarm_began() -> None:
    facts = broker(nodes=(node(memory_alarm=1.0),), begun={("memory_alarm", "rabbit@rabbit-1"): 777})
    assert needs(facts)[0].since_ms == 777


def test_it_groups_queues_without_a_consumer_by_vhost() -> None:
    group = Unconsumed("tenant-birch", 4, 12, 1204.0, "mail.out", 400.0, hour_ago=60.0, hour_span_s=3600)
    [need] = needs(broker(unconsumed=(group,)))
    assert (need.subject, need.sentence) == (
        "12 queues of tenant-birch",
        "on shop have a backlog and no consumer",
    )
    assert "1,204 messages wait, up from 60" in need.why
    assert "400, in mail.out" in need.why
    assert need.vhost == "tenant-birch"


def test_it_names_a_single_queue_without_a_consumer() -> None:
    [need] = needs(broker(unconsumed=(Unconsumed("/", 0, 1, 1.0, HOSTILE, 1.0),)))
    assert need.queue == HOSTILE
    assert need.why == "1 message waits."


def test_it_gives_the_command_that_opens_a_vhost() -> None:
    facts = broker(username="warren", vhosts=(VhostFacts(0, HOSTILE, readable=False),))
    [need] = needs(facts)
    assert need.command == grant_command(HOSTILE, "warren")


def test_it_gives_no_command_and_no_user_to_a_person_limited_to_vhosts() -> None:
    facts = broker(whole=False, nodes=(), username="warren", vhosts=(VhostFacts(0, "mine", readable=False),))
    [need] = needs(facts)
    assert need.command == ""
    assert "warren" not in (need.why + need.sentence)


# Line ends and the like are written as bash reads them ($'…'), which shlex does not.
WRITTEN = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\u2028\u2029"), min_size=1)


@given(WRITTEN, WRITTEN)
def test_it_quotes_every_name_for_the_shell(vhost: str, user: str) -> None:
    assert shlex.split(grant_command(vhost, user))[3:] == [vhost, user, "", "", ""]


figures = st.one_of(st.just(float("nan")), st.floats(0, 2**50))


@given(
    st.lists(
        st.builds(
            NodeFacts,
            slot=st.integers(0, 5),
            name=st.text(min_size=1),
            running=st.sampled_from([0.0, 1.0, float("nan")]),
            memory_used=figures,
            memory_limit=figures,
            disk_free=figures,
            disk_limit=figures,
            fd_used=figures,
            fd_limit=figures,
            processes_used=figures,
            processes_limit=figures,
            memory_alarm=st.sampled_from([0.0, 1.0, float("nan")]),
            disk_alarm=st.sampled_from([0.0, 1.0, float("nan")]),
            partitions=st.lists(st.text(), max_size=2).map(tuple),
        ),
        max_size=4,
        unique_by=lambda made: made.slot,
    ),
    st.sampled_from(list(Condition)),
    st.integers(0, 3),
)
def test_it_orders_anything_worst_first_and_names_each_thing_once(
    nodes: list[NodeFacts], condition: Condition, failures: int
) -> None:
    found = needs(broker(nodes=tuple(nodes), condition=condition, failures=failures))
    ranks = ["critical", "warning", "unknown", "notice"]
    assert [ranks.index(need.severity) for need in found] == sorted(ranks.index(need.severity) for need in found)
    assert len({need.key for need in found}) == len(found)
    assert worst_first(reversed(found)) == found
    assert all(need.subject and need.sentence and "nan" not in need.why for need in found)


@pytest.mark.parametrize(
    ("critical", "others", "says"),
    [
        (2, 3, "Two things cannot wait, three can."),
        (1, 0, "One thing cannot wait."),
        (0, 1, "One thing can wait, nothing is critical."),
        (13, 0, "13 things cannot wait."),
    ],
)
def test_it_says_how_much_cannot_wait(critical: int, others: int, says: str) -> None:
    bad = needs(broker(nodes=(node(memory_alarm=1.0),)))
    mild = needs(broker(nodes=(node(fd_used=850.0),)))
    assert headline(bad * critical + mild * others) == says


def test_it_names_queues_whose_consumers_do_not_keep_up_with_what_was_seen() -> None:
    said = "12 messages wait and 1 consumer holds 5 of 5, yet nothing is acknowledged."
    one = Troubled(ConsumerState.STALLED, "shop", 3, 1, 17, "orders", said)
    several = Troubled(ConsumerState.FALLING_BEHIND, "shop", 3, 4, 900, "mail", "900 messages are there.")
    found = needs(broker(troubled=(several, one)))
    assert [(need.subject, need.severity, need.icon, need.state) for need in found] == [
        ("orders", Severity.WARNING, "stalled", "stalled"),
        ("4 queues of shop", Severity.WARNING, "behind", "behind"),
    ]
    assert (found[0].queue, found[0].why) == ("orders", said)
    assert found[1].why == "The largest is mail: 900 messages are there."
