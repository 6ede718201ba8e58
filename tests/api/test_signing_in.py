"""Who is let in: tokens, expired and revoked ones, people who are deactivated, and a browser's session."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from brokers.registry.models import Broker
from dashboard.accounts import tokens
from dashboard.accounts.models import ApiToken, Role, User
from tests.api.conftest import Api, check_problem
from tests.support.builders import make_user

pytestmark = pytest.mark.django_db


def ask(authorization: str | None, path: str = "/api/v1/brokers", client: Client | None = None) -> HttpResponse:
    headers = {} if authorization is None else {"Authorization": authorization}
    return (client or Client()).get(path, headers=headers)


@pytest.fixture
def person() -> User:
    return make_user("viewer", Role.VIEWER)


def test_it_lets_a_token_in(person: User) -> None:
    token, row = tokens.create(person, "test")
    assert ask(f"Bearer {token}").status_code == 200
    assert ask(f"bearer  {token} ").status_code == 200
    row.refresh_from_db()
    assert row.last_used_at is not None


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer wrn_",
        "Bearer wrn_" + "A" * 43,
        "Bearer nonsense",
        "Basic cm9vdDpyb290",
        "Bearer ünïcode",
        "Bearer wrn_" + "x" * 5000,
    ],
)
def test_it_keeps_everybody_else_out(person: User, authorization: str | None) -> None:
    for path in ("/api/v1/brokers", "/api/v1/brokers/1", "/api/v1/openapi.json", "/api/v1/nowhere", "/api/v1/"):
        answer = ask(authorization, path)
        assert answer.status_code == 401
        assert "Bearer" in answer.headers["WWW-Authenticate"]
        check_problem(answer)


def test_it_refuses_an_expired_token(person: User) -> None:
    now = timezone.now()
    assert ask(f"Bearer {tokens.create(person, 'old', now - timedelta(seconds=1))[0]}").status_code == 401
    assert ask(f"Bearer {tokens.create(person, 'new', now + timedelta(hours=1))[0]}").status_code == 200


def test_it_refuses_a_revoked_token(person: User) -> None:
    token, row = tokens.create(person, "test")
    ApiToken.objects.filter(pk=row.pk).delete()
    assert ask(f"Bearer {token}").status_code == 401


def test_it_refuses_the_token_of_a_person_who_is_deactivated(person: User) -> None:
    token, _ = tokens.create(person, "test")
    person.is_active = False
    person.save()
    answer = ask(f"Bearer {token}")
    assert answer.status_code == 401
    assert "deactivated" in check_problem(answer)["detail"]


def test_it_lets_a_browsers_session_read(person: User) -> None:
    client = Client()
    client.force_login(person)
    assert ask(None, client=client).status_code == 200


def test_it_judges_by_the_token_alone_where_there_is_one(person: User, shop: Broker) -> None:
    client = Client()
    client.force_login(person)
    assert ask("Bearer wrn_wrong", client=client).status_code == 401
    nobody, _ = tokens.create(make_user("nobody"), "test")
    told = json.loads(ask(f"Bearer {nobody}", client=client).content)
    assert told["items"] == []


def test_it_keeps_a_person_with_a_temporary_password_out_of_the_session(person: User) -> None:
    User.objects.filter(pk=person.pk).update(must_change_password=True)
    client = Client()
    client.force_login(person)
    answer = ask(None, client=client)
    assert answer.status_code == 403
    assert "temporary" in check_problem(answer)["detail"]


@pytest.mark.django_db(transaction=True)
def test_it_takes_changes_by_session_only_with_the_csrf_token(shop: Broker) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_user("root", Role.ADMINISTRATOR))
    path = f"/api/v1/brokers/{shop.pk}/pause"
    answer = client.post(path)
    assert answer.status_code == 403
    assert "X-CSRFToken" in check_problem(answer)["detail"]
    shop.refresh_from_db()
    assert not shop.paused
    client.get("/account/tokens")
    token = client.cookies["csrftoken"].value
    assert client.post(path, headers={"X-CSRFToken": "x" * 64}).status_code == 403
    assert client.post(path, headers={"X-CSRFToken": token}).status_code == 200
    shop.refresh_from_db()
    assert shop.paused


def test_it_lets_nobody_keep_an_answer(admin: Api) -> None:
    for answer in (admin.call("GET", "/brokers"), ask(None)):
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Authorization" in answer.headers["Vary"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
