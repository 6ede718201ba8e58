"""Sign-in and sign-out on their real addresses: throttled, safe to be led on from, without a word too much."""

from __future__ import annotations

from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from dashboard.accounts import people
from dashboard.accounts.models import Role, User
from dashboard.accounts.throttle import ADDRESS_FACTOR, wait_in_words
from tests.support.builders import PASSWORD, make_user

pytestmark = pytest.mark.django_db

SIGN_IN = "/account/sign-in"
HOME = "/"


def try_sign_in(client: Client, name: str = "mara", password: str = PASSWORD, **more: str) -> object:
    return client.post(SIGN_IN, {"username": name, "password": password, **more}, REMOTE_ADDR="192.0.2.1")


def signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_it_lets_a_person_in_and_on_to_where_they_wanted(client: Client) -> None:
    make_user("mara")
    asked = client.get("/account/tokens?x=1")
    assert asked.status_code == 302
    assert asked.url == f"{SIGN_IN}?next=/account/tokens%3Fx%3D1"
    assert client.get(asked.url).status_code == 200
    answer = try_sign_in(client, next="/account/tokens?x=1")
    assert (answer.status_code, answer.url) == (302, "/account/tokens?x=1")
    assert signed_in(client)


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example",
        "javascript:alert(1)",
        "/\\evil.example",
        "http:///evil.example",
        "\t//evil.example",
    ],
)
def test_it_leads_nowhere_else(client: Client, elsewhere: str) -> None:
    make_user("mara")
    answer = try_sign_in(client, next=elsewhere)
    assert (answer.status_code, answer.url) == (302, HOME)


@pytest.mark.parametrize(
    ("name", "password"), [("mara", "wrong"), ("nobody", PASSWORD), ("asleep", PASSWORD), ("MARA", PASSWORD)]
)
def test_it_says_the_same_whatever_is_wrong(client: Client, name: str, password: str) -> None:
    make_user("mara")
    people.deactivate(make_user("asleep"))
    answer = try_sign_in(client, name, password)
    assert not signed_in(client)
    assert "fit no active account" in answer.content.decode()


@pytest.mark.parametrize(
    ("name", "password"), [("", ""), ("mara", ""), ("x" * 300, "y"), ("a\x00b", "c"), ("<b>", "d")]
)
def test_it_answers_odd_names_with_the_form(client: Client, name: str, password: str) -> None:
    answer = try_sign_in(client, name, password)
    assert answer.status_code == 200
    assert "<b>" not in answer.content.decode()


def test_it_wants_a_csrf_token() -> None:
    make_user("mara")
    client = Client(enforce_csrf_checks=True)
    assert try_sign_in(client).status_code == 403
    page = client.get(SIGN_IN)
    token = page.context["csrf_token"]
    assert try_sign_in(client, csrfmiddlewaretoken=str(token)).status_code == 302


def test_it_gives_a_new_session_key_on_signing_in(client: Client) -> None:
    make_user("mara")
    session = client.session
    session["planted"] = "x"
    session.save()
    before = session.session_key
    try_sign_in(client)
    assert client.session.session_key != before


def test_it_locks_a_name_from_one_address_and_says_for_how_long(client: Client) -> None:
    make_user("mara")
    make_user("noor")
    for _ in range(settings.AXES_FAILURE_LIMIT - 1):
        assert try_sign_in(client, password="wrong").status_code == 200
    assert try_sign_in(client, password="wrong").status_code == 429
    locked = try_sign_in(client)
    assert locked.status_code == 429
    assert not signed_in(client)
    assert "in 15 min" in locked.content.decode()
    assert 890 < int(locked.headers["Retry-After"]) <= 900
    # Neither another name from here nor this name from elsewhere is locked.
    assert try_sign_in(Client(), "noor").status_code == 302
    elsewhere = Client().post(SIGN_IN, {"username": "mara", "password": PASSWORD}, REMOTE_ADDR="192.0.2.2")
    assert elsewhere.status_code == 302


def test_it_does_not_make_the_wait_longer_by_trying(client: Client) -> None:
    make_user("mara")
    for _ in range(settings.AXES_FAILURE_LIMIT):
        try_sign_in(client, password="wrong")
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=14))
    assert "in 1 min" in try_sign_in(client).content.decode()
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    assert try_sign_in(client).status_code == 302
    assert not AccessAttempt.objects.exists()


def test_it_locks_an_address_that_tries_many_names(client: Client) -> None:
    make_user("mara")
    limit = settings.AXES_FAILURE_LIMIT * ADDRESS_FACTOR
    codes = [try_sign_in(client, f"guess-{number}", "x").status_code for number in range(limit)]
    assert codes[-2:] == [200, 429]
    assert try_sign_in(client).status_code == 429
    assert Client().post(SIGN_IN, {"username": "mara", "password": PASSWORD}).status_code == 302


def test_it_does_not_believe_a_forwarded_address(client: Client) -> None:
    make_user("mara")
    for number in range(settings.AXES_FAILURE_LIMIT):
        answer = client.post(
            SIGN_IN, {"username": "mara", "password": "wrong"}, HTTP_X_FORWARDED_FOR=f"198.51.100.{number}"
        )
    assert answer.status_code == 429


def test_it_believes_as_many_proxies_as_there_are(client: Client, settings: object) -> None:
    settings.WARREN_PROXIES = 1
    make_user("mara")
    for number in range(settings.AXES_FAILURE_LIMIT):
        # What the client wrote itself stands left of what the proxy saw.
        client.post(
            SIGN_IN, {"username": "mara", "password": "wrong"}, HTTP_X_FORWARDED_FOR=f"10.0.0.{number}, 198.51.100.7"
        )
    locked = client.post(SIGN_IN, {"username": "mara", "password": PASSWORD}, HTTP_X_FORWARDED_FOR="198.51.100.7")
    assert locked.status_code == 429
    other = client.post(SIGN_IN, {"username": "mara", "password": PASSWORD}, HTTP_X_FORWARDED_FOR="198.51.100.8")
    assert other.status_code == 302


def test_it_lifts_the_lock_with_a_temporary_password(client: Client) -> None:
    user = make_user("mara")
    for _ in range(settings.AXES_FAILURE_LIMIT):
        try_sign_in(client, password="wrong")
    password = people.reset_password(user)
    assert try_sign_in(client, password=password).status_code == 302


def test_it_keeps_no_password_of_a_failed_try(client: Client) -> None:
    try_sign_in(client, "mara", "hunter2hunter2")
    assert "hunter2" not in str(list(AccessAttempt.objects.values()))


def test_it_signs_out_by_post_alone(client: Client) -> None:
    client.force_login(make_user("mara"))
    assert client.get("/account/sign-out").status_code == 302
    assert signed_in(client)
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = client.cookies
    assert strict.post("/account/sign-out").status_code == 403
    assert client.post("/account/sign-out").url == SIGN_IN
    assert not signed_in(client)


def test_it_moves_the_whole_page_when_a_part_was_asked_for(client: Client) -> None:
    answer = client.get(
        "/settings/users/matches",
        headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/settings/users/3?a=b"},
    )
    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == f"{SIGN_IN}?next=/settings/users/3%3Fa%3Db"


def test_it_leads_back_to_the_page_of_a_form_that_came_too_late(client: Client) -> None:
    there = {"Referer": "http://testserver/settings/users/3"}
    assert client.post("/settings/users/3/reset", headers=there).url == f"{SIGN_IN}?next=/settings/users/3"
    other = {"Referer": "http://evil.example/x"}
    assert client.post("/settings/users/3/reset", headers=other).url == SIGN_IN


def test_it_tells_the_first_administrator_to_change_the_password(client: Client) -> None:
    User.objects.filter(pk=make_user("mara", Role.ADMINISTRATOR).pk).update(should_change_password=True)
    try_sign_in(client)
    assert "Change it" in client.get(reverse("accounts:tokens")).content.decode()


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (61, "2 min"), (900, "15 min")]
)
def test_it_rounds_a_wait_up(seconds: int, words: str) -> None:
    assert wait_in_words(seconds) == words
