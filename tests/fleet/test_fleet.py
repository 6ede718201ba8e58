"""The fleet's figures: sums over what answers, nothing of what a person does not see."""

from __future__ import annotations

import datetime as dt
import time
import zoneinfo

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from brokers.collect.models import BrokerEvent, PollState
from brokers.collect.state import Condition
from brokers.registry.details import NodeDetail, QueueDetail, VhostDetail
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from dashboard.accounts.models import Role
from dashboard.accounts.rights import rights_of
from dashboard.queries.broker import broker_page
from dashboard.queries.broker_facts import BrokerFacts, facts_of
from dashboard.queries.fleet import answered, balance, churn, fleet, grows, peak, summary, summed_spark, trend
from dashboard.queries.queues import queue_list
from dashboard.queries.queues_params import Params
from tests.support.builders import Seen, append_snapshot, make_broker, make_user, seen_queue

pytestmark = pytest.mark.django_db
ZONE = zoneinfo.ZoneInfo("Europe/Berlin")


def now() -> int:
    return time.time_ns() // 1_000_000


def polled(name: str = "shop", *, at_ms: int | None = None, published: float = 0) -> Broker:
    """A broker with two vhosts, four queues and a node, polled twice so that it has rates."""
    broker = Broker.objects.filter(name=name).first() or make_broker(name)
    end = at_ms or now()
    for moment, counted in ((end - 10_000, 0.0), (end, published)):
        append_snapshot(
            broker,
            {
                Kind.NODE: [
                    Seen(
                        "",
                        "rabbit@one",
                        {"running": 1, "memory_used": 10, "memory_limit": 100, "disk_free": 100, "disk_limit": 10},
                        NodeDetail(rabbitmq_version="4.3.6", erlang_version="27"),
                    )
                ],
                Kind.VHOST: [
                    Seen("", "mine", {"queues": 2, "ready": 5, "unacked": 1, "published": counted}, VhostDetail()),
                    Seen("", "theirs", {"queues": 2, "ready": 70, "unacked": 2, "published": counted}, VhostDetail()),
                ],
                Kind.QUEUE: [
                    seen_queue("mine", "lonely", ready=5, consumers=0),
                    seen_queue("mine", "served", ready=0, consumers=1),
                    seen_queue("theirs", "secret-queue", ready=60, consumers=0),
                    seen_queue("theirs", "letters", detail=QueueDetail(dead_letters_of=("x",)), ready=10, consumers=0),
                ],
            },
            whole={"ready": 75, "unacked": 3, "queues": 4, "connections": 9, "published": 2 * counted},
            at_ms=moment,
        )
    return broker


def test_it_gives_the_whole_broker_to_those_who_see_it_whole() -> None:
    broker = polled(published=100)
    [facts] = facts_of(rights_of(make_user("v", (Role.VIEWER, broker))), now())
    assert (facts.condition, facts.version, facts.total("ready")) == (Condition.LIVE, "4.3.6", 75)
    assert facts.total("publish_rate") == pytest.approx(20)
    assert [group.vhost for group in facts.unconsumed] == ["mine", "theirs"]
    assert [(group.vhost, group.letters) for group in facts.dead_letters] == [("theirs", 10)]


def test_it_counts_no_queue_as_unconsumed_in_which_messages_wait_for_their_time() -> None:
    broker = make_broker("shop")
    queues = [
        seen_queue("v", "orders.retry", detail=QueueDetail(waits=True), ready=5, consumers=0),
        seen_queue("w", "orders.retry", detail=QueueDetail(waits=True), ready=5, consumers=0),
        seen_queue("w", "orders", detail=QueueDetail(), ready=7, consumers=0),
    ]
    vhosts = [Seen("", name, {"queues": 1, "ready": 5}, VhostDetail()) for name in ("v", "w")]
    append_snapshot(broker, {Kind.VHOST: vhosts, Kind.QUEUE: queues}, at_ms=now())
    [facts] = facts_of(rights_of(make_user("v", Role.VIEWER)), now())
    assert [(group.vhost, group.queues, group.ready) for group in facts.unconsumed] == [("w", 1, 7)]
    assert {vhost.name: vhost.unconsumed for vhost in facts.vhosts} == {"v": 0, "w": 1}


def test_it_says_of_a_full_queue_what_becomes_of_messages() -> None:
    broker = make_broker("full")
    short = QueueDetail(type="classic", arguments={"x-max-length": 100})
    for moment, counted in ((now() - 10_000, 0.0), (now(), 90.0)):
        append_snapshot(
            broker,
            {
                Kind.VHOST: [Seen("", "mine", {"ready": 100}, VhostDetail())],
                Kind.QUEUE: [
                    seen_queue("mine", "short", detail=short, ready=100, unacked=0, consumers=0, published=counted)
                ],
            },
            whole={"ready": 100},
            at_ms=moment,
        )
    [need] = fleet(rights_of(make_user("v", Role.VIEWER)), ZONE, now()).needs
    said = "It is full: it holds 100 at most, and for each message that enters, the oldest is dropped, 9.0 a second."
    assert need.why == f"100 messages wait. {said}"
    listed = queue_list(rights_of(make_user("w", Role.VIEWER)), Params(), ZONE, now())
    assert listed is not None
    [state] = [cell for key, cell in listed.cells.items() if key.endswith(".state")]
    assert "nothing leaves" not in state.exact


def test_it_gives_sums_over_their_vhosts_to_people_limited_to_them() -> None:
    broker = polled(published=100)
    [facts] = facts_of(rights_of(make_user("v", (Role.VIEWER, broker, "mine"))), now())
    assert (facts.total("ready"), facts.total("queues"), facts.total("vhosts")) == (5, 2, 1)
    assert facts.total("publish_rate") == pytest.approx(10)
    assert np.isnan(facts.total("connections"))
    assert (facts.nodes, facts.erlang, facts.username, facts.dead_letters) == ((), "", "", ())
    assert [group.vhost for group in facts.unconsumed] == ["mine"]
    assert facts.spark("ready")[1][-1] == 5
    assert np.isnan(facts.spark("connections")[1]).all()


def test_it_tells_nothing_of_a_host_to_people_limited_to_vhosts() -> None:
    broker = polled()
    PollState.objects.filter(broker=broker).update(
        failures=3, failing_since_ms=now(), error_sentence="Connection refused on 10.4.0.12:15672.", error_remedy="Go."
    )
    [facts] = facts_of(rights_of(make_user("v", (Role.VIEWER, broker, "mine"))), now())
    assert (facts.condition, facts.reason()) == (Condition.UNREACHABLE, "")


def test_it_tells_a_paused_broker_from_a_silent_one_to_people_limited_to_vhosts_too() -> None:
    broker = polled()
    rights = rights_of(make_user("v", (Role.VIEWER, broker, "mine")))
    PollState.objects.filter(broker=broker).update(
        failures=3, failing_since_ms=now(), error_sentence="10.4.0.12 is off."
    )
    silent = broker_page(rights, broker.pk, ZONE, now())
    assert silent is not None
    assert silent.cells["page.reason"].text == "It does not answer."
    Broker.objects.filter(pk=broker.pk).update(paused=True)
    paused = broker_page(rights, broker.pk, ZONE, now())
    assert paused is not None
    assert paused.cells["page.reason"].text == "Nothing is asked of it."


def test_it_shows_only_the_brokers_that_the_person_sees() -> None:
    seen, veiled = polled("seen"), polled("veiled")
    BrokerEvent.objects.create(broker=veiled, at_ms=now(), kind="back", severity="ok", sentence="veiled is back")
    made = fleet(rights_of(make_user("v", (Role.VIEWER, seen))), ZONE, now())
    assert [row.name for row in made.rows] == ["seen"]
    assert made.days == ()
    assert "veiled" not in str(made)


def test_it_tells_events_only_of_brokers_seen_whole() -> None:
    broker = polled()
    BrokerEvent.objects.create(broker=broker, at_ms=now(), kind="node_down", severity="critical", sentence="Node x.")
    limited = fleet(rights_of(make_user("a", (Role.VIEWER, broker, "mine"))), ZONE, now())
    whole = fleet(rights_of(make_user("b", Role.VIEWER)), ZONE, now())
    assert (limited.days, limited.timeline) == ((), False)
    assert [one.sentence for day in whole.days for one in day.happenings] == ["Node x."]
    assert "alarm" not in limited.cells["page.quiet"].text
    assert "secret-queue" not in str(limited)
    assert "theirs" not in str(limited)


def test_it_names_a_broker_once_where_its_name_stands_before_what_happened() -> None:
    broker = polled("two")
    for sentence in ("two is unreachable.", "Node x is down."):
        BrokerEvent.objects.create(broker=broker, at_ms=now(), kind="x", severity="critical", sentence=sentence)
    made = fleet(rights_of(make_user("v", Role.VIEWER)), ZONE, now())
    assert {one.rest for day in made.days for one in day.happenings} == {"is unreachable.", "Node x is down."}


def test_it_claims_nothing_of_letters_and_nodes_that_it_does_not_know() -> None:
    broker = make_broker("new")
    made = fleet(rights_of(make_user("v", Role.VIEWER)), ZONE, now())
    assert made.cells["page.dead"].unknown
    assert made.cells["page.dead.detail"].text == ""
    assert made.cells[f"b.{broker.pk}.nodes"].unknown


def test_it_asks_the_database_a_pinned_number_of_times() -> None:
    for number in range(3):
        polled(f"broker-{number}")
    rights = rights_of(make_user("v", Role.VIEWER))
    fleet(rights, ZONE, now())
    with CaptureQueriesContext(connection) as asked:
        fleet(rights, ZONE, now())
    # Brokers, begun, happened, and one a broker.
    assert len(asked) == 3 + 3


def test_it_leaves_brokers_that_do_not_answer_out_of_the_sums_and_says_so() -> None:
    polled("one")
    silent = polled("two")
    PollState.objects.filter(broker=silent).update(failures=2, failing_since_ms=now())
    made = fleet(rights_of(make_user("v", Role.VIEWER)), ZONE, now())
    assert made.cells["page.ready"].text == "75"
    assert made.cells["page.ready.detail"].text == "without two"
    assert made.cells[f"b.{silent.pk}.ready"].unknown.startswith("two has not answered since")
    assert made.cells["page.answered"].text == "1 of 2 answer; two does not."
    assert made.needs[0].subject == "two"


def facts(name: str, condition: Condition, **totals: float) -> BrokerFacts:
    return BrokerFacts(1, name, condition, totals=totals)


def test_it_counts_in_words_that_hold_for_one_and_many() -> None:
    one = facts("a", Condition.LIVE, queues=1)
    assert summary([one]) == "1 broker, 1 queue. It answers."
    assert summary([one, facts("b", Condition.LIVE, queues=2)]) == "2 brokers, 3 queues. All 2 answer."
    assert answered([facts("a", Condition.PAUSED)]) == "Polling is paused everywhere."


def test_it_says_how_entering_and_leaving_compare() -> None:
    assert balance(100, 100.4) == "as much as published"
    assert balance(100, 174).startswith("74")
    assert balance(100, 174).endswith("more than published")
    assert balance(float("nan"), 3) == ""
    assert churn(0.2, 0.15) == "12 opened, 9 closed a minute"


def test_it_says_whether_what_waits_grows_by_depths_and_not_by_rates() -> None:
    assert trend(1_204.4) == "backlog +1,204 a minute"
    assert trend(-34) == "backlog −34 a minute"
    assert trend(0.3) == "backlog as it was"
    assert trend(float("nan")) == ""
    # Twelve a second are published once and acknowledged in five queues each; in a sixth they wait.
    end = now()
    broker = make_broker("fan-out")
    for seconds in range(90, -1, -10):
        done = 12 * (90 - seconds)
        append_snapshot(
            broker,
            {},
            whole={"ready": done, "unacked": 0, "published": 1_000 + done, "acknowledged": 1_000 + 5 * done},
            at_ms=end - seconds * 1_000,
        )
    [seen] = facts_of(rights_of(make_user("v", Role.VIEWER)), end)
    assert grows(seen) == pytest.approx(720, rel=0.02)
    shown = fleet(rights_of(make_user("w", Role.VIEWER)), dt.UTC, end)
    assert shown.cells["page.ack.detail"].text == "backlog +720 a minute"


def test_it_sums_an_hour_over_brokers_and_keeps_gaps() -> None:
    end = now() // 60_000 * 60_000
    first, second = make_broker("first"), make_broker("second")
    for broker, minutes in ((first, (5, 4, 3, 2, 1, 0)), (second, (3, 1, 0))):
        for minute in minutes:
            append_snapshot(broker, {}, whole={"ready": 1}, at_ms=end - minute * 60_000)
    times, values = summed_spark(facts_of(rights_of(make_user("v", Role.VIEWER)), now()), "ready")
    assert len(times) == 6
    np.testing.assert_equal(values, [1, 1, 2, np.nan, 2, 2])


@pytest.mark.parametrize(
    ("values", "current", "says"),
    [
        ([5, 900, 7], 7, "peak 900 at 08:01"),
        ([5, 600, 850], 901, "highest of the hour"),
        ([0, 0], 0, "none in the hour"),
        ([0, 0], 3, "highest of the hour"),
        # What is now is not known: it is not said to be the highest.
        ([5, 9, 7], np.nan, "peak 9 at 08:01"),
        ([np.nan, np.nan], 3, ""),
    ],
)
def test_it_says_when_most_was_there(values: list[float], current: float, says: str) -> None:
    times = np.arange(len(values)) * 60_000 + int(dt.datetime(2027, 1, 15, 8, tzinfo=dt.UTC).timestamp() * 1000)
    assert peak(times, np.array(values, dtype=np.float64), current, dt.UTC) == says
