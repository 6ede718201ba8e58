"""The epoch grows with every change of rights, and with nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import Client

from dashboard.accounts import people, tokens
from dashboard.accounts.models import Grant, Role, User
from dashboard.accounts.rights import NOBODY, Rights, Scope, rights_epoch, rights_of
from dashboard.accounts.sessions import user_of_session
from tests.support.builders import make_broker, make_user

pytestmark = pytest.mark.django_db


def _delete_broker(user: User) -> None:
    grant = user.grants.exclude(broker=None).get()
    assert grant.broker is not None
    grant.broker.delete()


@pytest.mark.parametrize(
    "change",
    [
        lambda user: Grant.objects.create(user=user, role=Role.VIEWER),
        lambda user: user.grants.first().delete(),
        lambda user: user.grants.all().delete(),
        _delete_broker,
        lambda user: people.choose_password(user, "another-long-one"),
        people.reset_password,
        people.deactivate,
        people.remove,
        lambda user: tokens.create(user, "ci"),
    ],
)
def test_it_grows_with_a_change(change: Callable[[User], object]) -> None:
    user = make_user("mara", (Role.VIEWER, make_broker()))
    before = rights_epoch()
    change(user)
    assert rights_epoch() > before


def test_it_stays_on_signing_in_and_on_using_a_token(client: Client) -> None:
    user = make_user("mara", Role.VIEWER)
    text, _ = tokens.create(user, "ci")
    before = rights_epoch()
    client.force_login(user)
    assert tokens.user_of(text) == user
    assert rights_epoch() == before


def test_it_grows_on_signing_out_and_the_session_is_nobodys_then(client: Client) -> None:
    user = make_user("mara", Role.VIEWER)
    client.force_login(user)
    key = client.session.session_key
    assert user_of_session(key) == user
    before = rights_epoch()
    client.post("/account/sign-out")
    assert rights_epoch() > before
    assert user_of_session(key) is None


def test_it_ends_a_session_when_its_person_changes(client: Client) -> None:
    user = make_user("mara", Role.VIEWER)
    client.force_login(user)
    key = client.session.session_key
    people.deactivate(user)
    assert user_of_session(key) is None
    people.activate(user)
    assert user_of_session(key) == user
    people.choose_password(user, "another-long-one")
    assert user_of_session(key) is None
    assert user_of_session(None) is None
    assert user_of_session("no-such-session") is None


def test_it_reads_rights_from_grants_of_active_people() -> None:
    broker = make_broker()
    user = make_user("mara", (Role.OPERATOR, broker, "shop"), Role.VIEWER)
    assert rights_of(user) == Rights(
        user.pk, "mara", frozenset({Scope(Role.OPERATOR, broker.pk, "shop"), Scope(Role.VIEWER)})
    )
    user.is_active = False
    assert rights_of(user) == NOBODY
    assert rights_of(AnonymousUser()) == NOBODY


def test_it_takes_the_grant_away_with_its_broker() -> None:
    broker = make_broker()
    user = make_user("mara", (Role.ADMINISTRATOR, broker))
    broker.delete()
    assert rights_of(user).scopes == frozenset()


def test_it_keeps_a_session_over_a_rotation_of_keys_without_touching_it(client: Client, settings: Any) -> None:
    user = make_user("mara")
    client.force_login(user)
    key, old = client.session.session_key, settings.SECRET_KEY
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a-new-key-" * 5, [old]
    assert user_of_session(key) == user
    assert user_of_session(key) == user
    settings.SECRET_KEY_FALLBACKS = []
    assert user_of_session(key) is None


def test_it_knows_nobody_by_a_temporary_password() -> None:
    user, temporary = people.add("ines", Role.VIEWER)
    client = Client()
    client.post("/account/sign-in", {"username": "ines", "password": temporary})
    assert client.session["_auth_user_id"] == str(user.pk)
    assert user_of_session(client.session.session_key) is None
