"""API tokens: kept as hashes, refused when they should be, cheap to use."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from dashboard.accounts import people, tokens
from dashboard.accounts.models import ApiToken
from tests.support.builders import make_user

pytestmark = pytest.mark.django_db


def test_it_stores_no_token() -> None:
    text, row = tokens.create(make_user(), "ci")
    assert text.startswith("wrn_")
    assert len(text) == 4 + 43
    stored = ApiToken.objects.values().get(pk=row.pk)
    assert text not in str(stored)
    assert text[4:] not in str(stored)
    assert stored["prefix"] == text[:12]


def test_it_finds_the_person() -> None:
    user = make_user()
    text, _ = tokens.create(user, "ci")
    assert tokens.user_of(text) == user


@pytest.mark.parametrize("text", ["", "wrn_", "wrn_x", "Bearer", "wrn_\ud800", "wrn_" + "a" * 43])
def test_it_knows_nobody_by_another_text(text: str) -> None:
    tokens.create(make_user(), "ci")
    assert tokens.user_of(text) is None


def test_it_refuses_by_a_changed_letter_and_by_the_digest_itself() -> None:
    text, row = tokens.create(make_user(), "ci")
    assert tokens.user_of(text[:-1] + ("a" if text[-1] != "a" else "b")) is None
    assert tokens.user_of(row.digest) is None


def test_it_refuses_when_expired_revoked_or_deactivated() -> None:
    user = make_user()
    expired, _ = tokens.create(user, "old", timezone.now() - timedelta(seconds=1))
    assert tokens.user_of(expired) is None
    revoked, row = tokens.create(user, "gone")
    row.delete()
    assert tokens.user_of(revoked) is None
    good, _ = tokens.create(user, "good", timezone.now() + timedelta(minutes=1))
    assert tokens.user_of(good) == user
    people.deactivate(user)
    assert tokens.user_of(good) is None


def test_it_notes_the_use_once_a_minute(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    text, row = tokens.create(make_user(), "ci")
    with django_assert_num_queries(2):
        tokens.user_of(text)
    row.refresh_from_db()
    first = row.last_used_at
    assert first is not None
    with django_assert_num_queries(1):
        tokens.user_of(text)
    ApiToken.objects.update(last_used_at=first - timedelta(minutes=2))
    tokens.user_of(text)
    row.refresh_from_db()
    assert row.last_used_at is not None
    assert row.last_used_at >= first
