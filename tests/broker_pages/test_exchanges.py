"""What a broker's page says of its exchanges: what is published, confirmed, returned and dropped, and to whom."""

from __future__ import annotations

import time

import pytest
from django.test import Client

from brokers.collect.models import PollState
from brokers.registry.details import VhostDetail
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from dashboard.accounts.models import Role, User
from dashboard.accounts.rights import rights_of
from dashboard.queries.broker_exchanges import EXCHANGES_SHOWN, exchanges, heads
from dashboard.queries.broker_facts import BrokerFacts, facts_of
from tests.support.builders import Seen, append_snapshot, make_broker, make_user

pytestmark = pytest.mark.django_db
HOSTILE = "<script>alert('x')</script>"
# Vhost, name, and what was published, confirmed, returned and dropped a second.
FEW = (
    ("mine", "events", 10, 8, 0, 0),
    ("mine", "lost", 1, 0, 0.5, 0.3),
    ("mine", HOSTILE, 5, 6, 0, 0),
    ("mine", "unused", 0, 0, 0, 0),
    ("theirs", "", 40, 40, 0, 0),
)


def now() -> int:
    return time.time_ns() // 1_000_000


def polled(rows: tuple[tuple[str, str, float, float, float, float], ...] = FEW) -> Broker:
    broker = make_broker("shop")
    names = ("published", "confirmed", "returned", "dropped")
    end = now()
    for moment, seconds in ((end - 10_000, 0), (end, 10)):
        append_snapshot(
            broker,
            {
                Kind.VHOST: [
                    Seen("", vhost, dict.fromkeys(names, 3.0 * seconds), VhostDetail()) for vhost in ("mine", "theirs")
                ],
                Kind.EXCHANGE: [
                    Seen(row[0], row[1], {name: value * seconds for name, value in zip(names, row[2:], strict=True)})
                    for row in rows
                ],
            },
            whole={"published": 10 * seconds},
            at_ms=moment,
        )
    return broker


def seen_by(user: User) -> BrokerFacts:
    [facts] = facts_of(rights_of(user), now())
    return facts


def test_it_lists_what_is_published_to_and_what_leads_nowhere_first() -> None:
    polled()
    shown, cells = exchanges(seen_by(make_user("v", Role.VIEWER)))
    assert [row.name for row in shown.rows] == ["lost", "", "events", HOSTILE]
    lost, _, events, hostile = (row.key for row in shown.rows)
    assert (cells[f"{lost}.drop_rate"].text, cells[f"{lost}.drop_rate"].state) == ("0.3", "warning")
    assert cells[f"{lost}.return_rate"].text == "0.5"
    assert (cells[f"{events}.publish_rate"].text, cells[f"{events}.confirm_gap"].text) == ("10.0", "2.0")
    assert not cells[f"{events}.drop_rate"].state
    assert cells[f"{hostile}.confirm_gap"].zero


@pytest.mark.parametrize(
    ("sort", "first", "last"),
    [
        ("name", "", "lost"),
        ("-name", "lost", ""),
        ("-publish_rate", "", "lost"),
        ("publish_rate", "lost", ""),
        ("-confirm_gap", "events", ""),
        ("nonsense", "lost", HOSTILE),
    ],
)
def test_it_orders_them_as_the_address_says(sort: str, first: str, last: str) -> None:
    polled()
    shown, _ = exchanges(seen_by(make_user("v", Role.VIEWER)), sort)
    assert shown.rows[0].name == first
    assert shown.rows[-1].name == last or sort == "-confirm_gap"


def test_a_head_turns_the_order_round_and_keeps_the_rest_of_the_address() -> None:
    by_name, published, *_ = heads("-publish_rate", {"range": "6h", "exchanges": "-publish_rate"})
    assert (published.direction, by_name.direction) == ("descending", "")
    assert published.url == "?range=6h&exchanges=publish_rate#exchanges"
    assert by_name.url == "?range=6h&exchanges=name#exchanges"


def test_a_person_limited_to_a_vhost_sees_only_its_exchanges() -> None:
    broker = polled()
    shown, _ = exchanges(seen_by(make_user("v", (Role.VIEWER, broker, "mine"))))
    assert {row.vhost for row in shown.rows} == {"mine"}


def test_it_counts_those_that_it_does_not_list() -> None:
    polled(tuple(("mine", f"x{number}", number + 1, 0, 0, 0) for number in range(EXCHANGES_SHOWN + 5)))
    shown, cells = exchanges(seen_by(make_user("v", Role.VIEWER)))
    assert (len(shown.rows), shown.more) == (EXCHANGES_SHOWN, 5)
    assert shown.rows[0].name == f"x{EXCHANGES_SHOWN + 4}"
    assert len(cells) == 5 * EXCHANGES_SHOWN


def test_a_broker_that_does_not_tell_gets_its_reason() -> None:
    broker = polled(())
    for moment in (now(), now() + 1):
        append_snapshot(broker, {Kind.EXCHANGE: [Seen("mine", "events")]}, whole={"published": 1}, at_ms=moment)
    PollState.objects.filter(broker=broker).update(unknown={"exchange.published": "The watching user may not list it."})
    shown, cells = exchanges(seen_by(make_user("v", Role.VIEWER)))
    assert (shown.rows, cells) == ((), {})
    assert shown.why == "The watching user may not list it."


def test_the_page_has_them_with_their_charts_and_vhosts_with_what_they_lose() -> None:
    broker = polled()
    client = Client()
    client.force_login(make_user("v", Role.VIEWER))
    text = client.get(f"/brokers/{broker.pk}?exchanges=-drop_rate").content.decode()
    assert HOSTILE not in text
    assert "(default exchange)" in text
    assert "s=drop_rate%3Aexchange%3A" in text
    assert 'aria-sort="descending"' in text
    assert text.count('.dropped"') == 2
