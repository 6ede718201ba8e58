"""The own password and API tokens."""

from __future__ import annotations

import pytest
from axes.models import AccessAttempt
from django.conf import settings
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from dashboard.accounts import people, tokens
from dashboard.accounts.models import ApiToken, AuditEntry, Role, User
from tests.support.builders import PASSWORD, make_user

pytestmark = pytest.mark.django_db

FRESH = "correct-horse-battery"
CHANGE = {"old_password": PASSWORD, "new_password1": FRESH, "new_password2": FRESH}


def test_it_changes_the_password_and_ends_other_sessions(client: Client) -> None:
    user = make_user("mara")
    elsewhere = Client()
    for one in (client, elsewhere):
        one.force_login(user)
    assert client.post("/account/password", CHANGE).status_code == 302
    user.refresh_from_db()
    assert user.check_password(FRESH)
    assert client.get("/account/tokens").status_code == 200
    assert elsewhere.get("/account/tokens").status_code == 302
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.who, entry.outcome) == ("user.password", "mara", "done")
    assert FRESH not in str(AuditEntry.objects.values().get())


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"old_password": "x"}, "not your present password"),
        ({"new_password2": "y"}, "The two new passwords differ"),
        ({"new_password1": "short", "new_password2": "short"}, "at least 10"),
        ({"new_password1": "mara-mara-mara", "new_password2": "mara-mara-mara"}, "too similar to the username"),
        ({"new_password1": PASSWORD, "new_password2": PASSWORD}, "the password that you have"),
    ],
)
def test_it_refuses_a_change_with_a_sentence(client: Client, wrong: dict[str, str], sentence: str) -> None:
    user = make_user("mara-mara")
    client.force_login(user)
    answer = client.post("/account/password", {**CHANGE, **wrong})
    assert answer.status_code == 422
    assert sentence in answer.content.decode()
    user.refresh_from_db()
    assert user.check_password(PASSWORD)


def test_it_counts_wrong_present_passwords_as_wrong_sign_ins(client: Client) -> None:
    client.force_login(make_user("mara"))
    for _ in range(settings.AXES_FAILURE_LIMIT):
        answer = client.post("/account/password", {**CHANGE, "old_password": "guess"})
    assert answer.status_code == 429
    assert client.post("/account/password", CHANGE).status_code == 429
    assert FRESH not in str(list(AccessAttempt.objects.values()))


def test_it_shows_nothing_else_until_a_temporary_password_is_changed(client: Client) -> None:
    user, temporary = people.add("ines", Role.ADMINISTRATOR)
    make_user("other", Role.ADMINISTRATOR)
    client.post("/account/sign-in", {"username": "ines", "password": temporary})
    for page in ("/", "/settings/users", "/settings/audit", "/account/tokens", f"/settings/users/{user.pk}"):
        answer = client.get(page)
        assert (answer.status_code, answer.url) == (302, "/account/password")
    assert client.get("/settings/users", headers={"HX-Request": "true"}).headers["HX-Redirect"] == "/account/password"
    assert client.post(f"/settings/users/{user.pk}/active", {"active": "0"}).url == "/account/password"
    assert client.get("/account/password").status_code == 200
    same = {"old_password": temporary, "new_password1": temporary, "new_password2": temporary}
    assert client.post("/account/password", same).status_code == 422
    assert client.post("/account/password", {**CHANGE, "old_password": temporary}).url == "/"
    assert client.get("/settings/users").status_code == 200


def test_it_does_not_force_the_first_administrator(client: Client) -> None:
    user = make_user("mara", Role.ADMINISTRATOR)
    User.objects.update(should_change_password=True)
    client.force_login(user)
    assert client.get("/settings/users").status_code == 200
    client.post("/account/password", CHANGE)
    user.refresh_from_db()
    assert not user.should_change_password


def test_it_shows_a_token_once(client: Client) -> None:
    user = make_user("mara", Role.VIEWER)
    client.force_login(user)
    answer = client.post("/account/tokens", {"name": "<ci>", "lifetime": "30"})
    row = ApiToken.objects.get()
    text = answer.context["made"]
    assert text in answer.content.decode()
    assert "no-store" in answer.headers["Cache-Control"]
    assert tokens.user_of(text) == user
    assert row.expires_at is not None
    assert round((row.expires_at - row.created_at).total_seconds() / 86400) == 30
    again = client.get("/account/tokens").content.decode()
    assert text not in again
    assert row.prefix in again
    assert "&lt;ci&gt;" in again
    assert "<ci>" not in again
    assert text not in str(list(AuditEntry.objects.values()))


@pytest.mark.parametrize("wrong", [{"name": ""}, {"name": "x" * 81}, {"lifetime": "9999"}])
def test_it_makes_no_token_of_a_wrong_form(client: Client, wrong: dict[str, str]) -> None:
    client.force_login(make_user("mara"))
    assert client.post("/account/tokens", {"name": "ci", "lifetime": "30", **wrong}).status_code == 422
    assert not ApiToken.objects.exists()


def test_it_bounds_the_tokens_of_one_person(client: Client) -> None:
    user = make_user("mara")
    client.force_login(user)
    for number in range(50):
        tokens.create(user, str(number))
    answer = client.post("/account/tokens", {"name": "ci", "lifetime": "30"})
    assert answer.status_code == 422
    assert "Revoke one first" in answer.content.decode()


def test_it_revokes_the_own_tokens_alone(client: Client) -> None:
    mara, noor = make_user("mara"), make_user("noor", Role.ADMINISTRATOR)
    text, row = tokens.create(mara, "ci")
    client.force_login(noor)
    assert client.post(f"/account/tokens/{row.pk}/revoke").status_code == 404
    client.force_login(mara)
    assert client.get(f"/account/tokens/{row.pk}/revoke").status_code == 302
    assert tokens.user_of(text) == mara
    client.post(f"/account/tokens/{row.pk}/revoke")
    assert tokens.user_of(text) is None


def test_it_costs_as_many_queries_with_many_tokens(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    user = make_user("mara", Role.VIEWER)
    for number in range(20):
        tokens.create(user, str(number))
    client.force_login(user)
    client.get("/account/tokens")
    with django_assert_num_queries(OWN_TOKENS):
        client.get("/account/tokens")


# Session, person, tokens, grants; and rights and brokers, for the shell around every page.
OWN_TOKENS = 6
