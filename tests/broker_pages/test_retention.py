"""How long history is kept: what it takes is shown before, and nothing is deleted that was not confirmed."""

from __future__ import annotations

import time
from dataclasses import asdict

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from brokers.registry.models import Broker
from brokers.series.levels import Level
from brokers.series.metrics import Kind
from brokers.series.models import Span
from brokers.series.retention import Retention, check, retention_of
from dashboard.accounts.models import AuditEntry, Role, User
from dashboard.queries.retention import FIELDS, entered, plan
from tests.support.builders import append_snapshot, make_broker, make_user, seen_queue

# Acts commit their intent before they begin: these tests need real transactions.
pytestmark = pytest.mark.django_db(transaction=True)
HOUR_MS = 3_600_000
USUAL = {"raw_h": "48", "minute_d": "14", "ten_minutes_d": "90", "hour_d": "400"}


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def admin() -> Client:
    return signed_in(make_user("admin", Role.ADMINISTRATOR))


@pytest.fixture
def shop() -> Broker:
    """A broker with a snapshot of now, and blocks of every poll of 30 hours, of minutes of 10 days."""
    broker = make_broker("shop")
    now_ms = time.time_ns() // 1_000_000
    append_snapshot(broker, {Kind.QUEUE: [seen_queue("/", "q", ready=1)]}, at_ms=now_ms)
    begin = now_ms // HOUR_MS * HOUR_MS
    for ago_h in range(30):
        stored(broker, Level.RAW, begin - ago_h * HOUR_MS, HOUR_MS, 1_000_000)
    for ago_d in range(10):
        stored(broker, Level.MINUTE, begin - ago_d * 24 * HOUR_MS, 24 * HOUR_MS, 5_000_000)
    return broker


def stored(broker: Broker, level: Level, end_ms: int, length_ms: int, size: int) -> None:
    Span.objects.create(
        broker=broker,
        level=int(level),
        start_ms=end_ms - length_ms,
        end_ms=end_ms,
        ticks=b"",
        samples=10,
        known=10,
        stored_bytes=size,
    )


def address(broker: Broker, part: str = "") -> str:
    return f"/settings/brokers/{broker.pk}/retention{part}"


def test_polls_that_are_in_no_block_yet_count_as_single_polls() -> None:
    broker = make_broker("new")
    at_ms = time.time_ns() // 1_000_000 - 60_000
    for moment in (at_ms, at_ms + 5_000):
        append_snapshot(broker, {Kind.QUEUE: [seen_queue("/", "q", ready=1)]}, at_ms=moment)
    made = plan(broker, Retention())
    raw, *others = made.levels
    assert (raw.oldest_ms, raw.used_bytes) == (at_ms, made.used_bytes)
    assert raw.used_bytes > 0
    assert all(one.used_bytes == 0 and one.oldest_ms is None for one in others)


def test_it_shows_what_is_kept_what_it_takes_and_what_it_will_take(admin: Client, shop: Broker) -> None:
    text = admin.get(address(shop)).content.decode()
    assert "Every poll" in text
    assert "29 MiB" in text
    assert "48 MiB" in text
    assert "nothing yet" in text
    assert "This deletes" not in text


def test_a_preview_says_what_goes_and_changes_nothing(admin: Client, shop: Broker) -> None:
    text = admin.post(address(shop, "/plan"), {**USUAL, "raw_h": "10"}).content.decode()
    assert "This deletes" in text
    assert "within the hour" in text
    assert "Type" in text
    assert "Save and delete" in text
    longer = admin.post(address(shop, "/plan"), {**USUAL, "hour_d": "800"}).content.decode()
    assert "No history is deleted by this." in longer
    wrong = admin.post(address(shop, "/plan"), {**USUAL, "hour_d": "3"}).content.decode()
    assert "must be kept at least as long as" in wrong
    assert retention_of(shop.pk) == Retention()
    assert not AuditEntry.objects.filter(action="broker.retention").exists()


def test_it_deletes_nothing_that_was_not_confirmed(admin: Client, shop: Broker) -> None:
    for confirm in ("", "Shop", "sho"):
        answer = admin.post(address(shop), {**USUAL, "raw_h": "10", "confirm": confirm})
        assert answer.status_code == 422
        assert "Nothing was changed." in answer.content.decode()
    assert retention_of(shop.pk) == Retention()
    assert not AuditEntry.objects.filter(action="broker.retention").exists()
    answer = admin.post(address(shop), {**USUAL, "raw_h": "10", "confirm": "shop"})
    assert answer.status_code == 302
    assert retention_of(shop.pk) == Retention(raw_h=10)
    entry = AuditEntry.objects.get(action="broker.retention")
    assert (entry.outcome, entry.broker) == ("done", shop)
    assert (entry.intent["from"]["raw_h"], entry.intent["to"]["raw_h"]) == (48, 10)
    assert "of history goes within the hour" in entry.sentence


def test_longer_needs_no_confirmation(admin: Client, shop: Broker) -> None:
    assert admin.post(address(shop), {**USUAL, "raw_h": "96", "hour_d": "800"}).status_code == 302
    assert retention_of(shop.pk) == Retention(raw_h=96, hour_d=800)
    # Shorter than it was, and still longer than what there is.
    assert admin.post(address(shop), {**USUAL, "raw_h": "72"}).status_code == 302


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"raw_h": "1"}, "raw_h"),
        ({"raw_h": "-4"}, "raw_h"),
        ({"raw_h": "forty"}, "raw_h"),
        ({"raw_h": "٤٨"}, "raw_h"),
        ({"raw_h": "9" * 30}, "raw_h"),
        ({"minute_d": "1.5"}, "minute_d"),
        ({"minute_d": "1"}, "minute_d"),
        ({"ten_minutes_d": "10"}, "ten_minutes_d"),
        ({"hour_d": "5000"}, "hour_d"),
        ({"hour_d": ""}, "hour_d"),
    ],
)
def test_it_says_beside_the_field_what_can_not_be(
    admin: Client, shop: Broker, fields: dict[str, str], field: str
) -> None:
    answer = admin.post(address(shop), {**USUAL, **fields})
    assert answer.status_code == 422
    assert f'id="f-{field}-e"' in answer.content.decode()
    assert retention_of(shop.pk) == Retention()


@given(st.fixed_dictionaries({one.name: st.one_of(st.integers(-2, 500).map(str), st.text()) for one in FIELDS}))
def test_what_is_entered_can_be_kept_or_is_refused(fields: dict[str, str]) -> None:
    retention, errors = entered(fields, Retention())
    assert set(errors) <= set(asdict(retention))
    if not errors:
        check(retention)


def test_only_administrators_of_the_broker_see_and_change_it(shop: Broker) -> None:
    other = make_broker("other")
    for grant, status in (
        ((Role.ADMINISTRATOR, shop), 200),
        ((Role.OPERATOR, shop), 403),
        ((Role.ADMINISTRATOR, shop, "v*"), 403),
        ((Role.ADMINISTRATOR, other), 404),
    ):
        client = signed_in(make_user(None, grant))
        assert client.get(address(shop)).status_code == status
        assert client.post(address(shop, "/plan"), USUAL).status_code == status
        assert client.post(address(shop), {**USUAL, "raw_h": "10", "confirm": "shop"}).status_code in {302, status}
    assert retention_of(shop.pk) == Retention(raw_h=10)


def test_what_is_predicted_grows_with_what_is_kept(shop: Broker) -> None:
    usual, longer = plan(shop, Retention()), plan(shop, Retention(hour_d=800))
    assert usual.predicted_bytes < longer.predicted_bytes
    assert usual.predicted_bytes == sum(one.predicted_bytes for one in usual.levels)
