"""The users' pages: for administrators of everything alone."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from brokers.registry import slots
from brokers.registry.slots import ObjectName
from dashboard.accounts import tokens
from dashboard.accounts.models import ApiToken, AuditEntry, Grant, Role, User
from dashboard.accounts.words import grant_words
from tests.support.builders import PASSWORD, make_broker, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client: Client) -> User:
    user = make_user("mara", Role.ADMINISTRATOR)
    client.force_login(user)
    return user


def grants_of(user: User) -> list[str]:
    return sorted(grant_words(grant) for grant in Grant.objects.filter(user=user))


def test_it_is_closed_to_all_but_administrators_of_everything(client: Client) -> None:
    broker = make_broker()
    other = make_user("other", Role.ADMINISTRATOR)
    _, token = tokens.create(other, "ci")
    grant = other.grants.get()
    here = f"/settings/users/{other.pk}"
    gets = ["/settings/users", "/settings/users/add", "/settings/users/matches", here, f"{here}/remove"]
    posts = [
        "/settings/users/add",
        f"{here}/grants",
        f"{here}/grants/{grant.pk}/withdraw",
        f"{here}/reset",
        f"{here}/active",
        f"{here}/remove",
        f"{here}/tokens/{token.pk}/revoke",
    ]
    for user in (
        make_user("v", Role.VIEWER),
        make_user("o", Role.OPERATOR),
        make_user("b", (Role.ADMINISTRATOR, broker)),
    ):
        client.force_login(user)
        for address in gets:
            answer = client.get(address)
            assert answer.status_code == 403
            assert "This needs the role administrator on all brokers" in answer.content.decode()
        for address in posts:
            data = {"name": "other", "username": "new", "role": "viewer"}
            assert client.post(address, data).status_code == 403
    assert User.objects.count() == 4
    assert Grant.objects.filter(user=other).exists()
    assert ApiToken.objects.exists()


def test_it_lists_people_with_their_grants_in_words(client: Client, admin: User) -> None:
    shop = make_broker("shop-prod-eu")
    make_user("noor", (Role.OPERATOR, shop, "tenant-*"), (Role.VIEWER, shop))
    make_user("idle")
    page = client.get("/settings/users").content.decode()
    assert "operator on shop-prod-eu, vhosts tenant-*" in page
    assert "viewer on shop-prod-eu" in page
    assert "administrator on all brokers" in page
    assert "nothing: no grants" in page
    filtered = client.get("/settings/users?q=NOO").content.decode()
    assert "noor" in filtered
    assert ">idle<" not in filtered
    assert "Nobody matches" in client.get("/settings/users", {"q": "<x>"}).content.decode()
    names = [row["person"].username for row in client.get("/settings/users?sort=-name").context["listed"]]
    assert names == ["noor", "mara", "idle"]
    assert client.get("/settings/users?sort=password&page=abc").status_code == 200


def test_it_adds_a_person_and_shows_the_password_once(client: Client, admin: User) -> None:
    shop = make_broker("shop")
    answer = client.post(
        "/settings/users/add",
        {"username": "ines", "role": "operator", "broker": str(shop.pk), "vhost_pattern": "tenant-*"},
    )
    password = answer.context["password"]
    assert password in answer.content.decode()
    assert "no-store" in answer.headers["Cache-Control"]
    ines = User.objects.get(username="ines")
    assert ines.check_password(password)
    assert grants_of(ines) == ["operator on shop, vhosts tenant-*"]
    assert password not in client.get(f"/settings/users/{ines.pk}").content.decode()
    entry = AuditEntry.objects.get()
    assert (entry.who, entry.action, entry.subject, entry.outcome) == ("mara", "user.add", "ines", "done")
    assert password not in str(AuditEntry.objects.values().get())


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"username": ""}, "Enter a user name."),
        ({"username": "MARA"}, "There is already an account named MARA."),
        ({"username": "<script>"}, "letters, digits and @ . + - _ only"),
        ({"vhost_pattern": "x*"}, "A vhost pattern belongs to one broker."),
        ({"broker": "999"}, "This broker is not there any more."),
        ({"role": "root"}, "root is not one of the available choices"),
    ],
)
def test_it_adds_nobody_of_a_wrong_form(client: Client, admin: User, form: dict[str, str], sentence: str) -> None:
    answer = client.post("/settings/users/add", {"username": "ines", "role": "viewer", **form})
    assert answer.status_code == 422
    assert sentence in answer.content.decode()
    assert User.objects.count() == 1


def test_it_shows_what_a_pattern_matches_before_it_is_saved(client: Client, admin: User) -> None:
    shop = make_broker("shop")
    slots.assign(shop, "vhost", [ObjectName("", name) for name in ("/", "tenant-<b>", "tenant-b")], 1)
    asked = {"broker": str(shop.pk), "vhost_pattern": "tenant-*"}
    part = client.get("/settings/users/matches", asked).content.decode()
    assert "Matches 2 of 3 vhosts of shop now" in part
    assert "<code>tenant-&lt;b&gt;</code>" in part
    assert "<html" not in part
    noor = make_user("noor")
    for address in (f"/settings/users/{noor.pk}/grants", "/settings/users/add"):
        shown = client.post(address, {"username": "new", "role": "viewer", "preview": "1", **asked})
        assert "Matches 2 of 3 vhosts of shop now" in shown.content.decode()
    assert not grants_of(noor)
    assert User.objects.count() == 2
    for odd in ({}, {"broker": "x"}, {"broker": "999", "vhost_pattern": "*"}, {"vhost_pattern": "*"}):
        assert "Matches" not in client.get("/settings/users/matches", odd).content.decode()


def test_it_gives_replaces_and_withdraws_roles(client: Client, admin: User) -> None:
    shop, noor = make_broker("shop"), make_user("noor")
    here = f"/settings/users/{noor.pk}"
    scope = {"broker": str(shop.pk), "vhost_pattern": "[[]x]\u202e<i>*"}
    assert client.post(f"{here}/grants", {"role": "viewer", **scope}).status_code == 302
    assert client.post(f"{here}/grants", {"role": "operator", **scope}).status_code == 302
    assert grants_of(noor) == ["operator on shop, vhosts [[]x]\u202e<i>*"]
    page = client.get(here).content.decode()
    assert "&lt;i&gt;" in page
    assert "<i>" not in page
    client.post(f"{here}/grants/{noor.grants.get().pk}/withdraw")
    assert grants_of(noor) == []
    assert list(AuditEntry.objects.values_list("action", "outcome")) == [
        ("user.withdraw", "done"),
        ("user.grant", "done"),
        ("user.grant", "done"),
    ]


def test_it_takes_a_grant_back_only_under_its_own_person(client: Client, admin: User) -> None:
    noor, ines = make_user("noor", Role.VIEWER), make_user("ines")
    assert client.post(f"/settings/users/{ines.pk}/grants/{noor.grants.get().pk}/withdraw").status_code == 404
    assert grants_of(noor) == ["viewer on all brokers"]


def test_it_keeps_the_last_administrator_with_a_sentence(client: Client, admin: User) -> None:
    here = f"/settings/users/{admin.pk}"
    for address, data in (
        (f"{here}/grants", {"role": "viewer"}),
        (f"{here}/grants/{admin.grants.get().pk}/withdraw", {}),
        (f"{here}/active", {"active": "0"}),
        (f"{here}/remove", {"name": "mara"}),
    ):
        answer = client.post(address, data)
        assert answer.status_code == 409
        assert "Make somebody else administrator of all brokers first." in answer.content.decode()
    assert grants_of(admin) == ["administrator on all brokers"]
    assert set(AuditEntry.objects.values_list("outcome", flat=True)) == {"refused"}


def test_it_deactivates_and_lets_in_again(client: Client, admin: User) -> None:
    noor = make_user("noor", Role.VIEWER)
    text, _ = tokens.create(noor, "ci")
    theirs = Client()
    theirs.force_login(noor)
    client.post(f"/settings/users/{noor.pk}/active", {"active": "0"})
    assert theirs.get("/account/tokens").status_code == 302
    assert tokens.user_of(text) is None
    assert "Deactivated" in client.get(f"/settings/users/{noor.pk}").content.decode()
    client.post(f"/settings/users/{noor.pk}/active", {"active": "1"})
    assert tokens.user_of(text) == noor


def test_it_gives_a_temporary_password_and_ends_sessions(client: Client, admin: User) -> None:
    noor = make_user("noor")
    theirs = Client()
    theirs.force_login(noor)
    answer = client.post(f"/settings/users/{noor.pk}/reset")
    password = answer.context["password"]
    assert "no-store" in answer.headers["Cache-Control"]
    noor.refresh_from_db()
    assert noor.check_password(password)
    assert not noor.check_password(PASSWORD)
    assert noor.must_change_password
    assert theirs.get("/account/tokens").url.startswith("/account/sign-in")
    assert client.post(f"/settings/users/{admin.pk}/reset").url == "/account/password"


def test_it_removes_once_the_name_is_typed(client: Client, admin: User) -> None:
    noor = make_user("noor", Role.VIEWER)
    tokens.create(noor, "ci")
    asked = client.get(f"/settings/users/{noor.pk}/remove").content.decode()
    assert "1 grant</b>" in asked
    assert "1 token</b>" in asked
    assert client.post(f"/settings/users/{noor.pk}/remove", {"name": "Noor"}).status_code == 422
    assert User.objects.filter(username="noor").exists()
    assert client.post(f"/settings/users/{noor.pk}/remove", {"name": "noor"}).status_code == 302
    assert not User.objects.filter(username="noor").exists()
    assert client.get(f"/settings/users/{noor.pk}").status_code == 404


def test_it_revokes_a_persons_token(client: Client, admin: User) -> None:
    noor = make_user("noor")
    text, row = tokens.create(noor, "ci")
    assert client.post(f"/settings/users/{admin.pk}/tokens/{row.pk}/revoke").status_code == 404
    client.post(f"/settings/users/{noor.pk}/tokens/{row.pk}/revoke")
    assert tokens.user_of(text) is None


def test_it_wants_a_csrf_token_everywhere(admin: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin)
    noor = make_user("noor", Role.VIEWER)
    here = f"/settings/users/{noor.pk}"
    for address in ("/settings/users/add", f"{here}/grants", f"{here}/reset", f"{here}/active", f"{here}/remove"):
        assert strict.post(address, {"name": "noor"}).status_code == 403
    for address in ("/account/password", "/account/tokens"):
        assert strict.post(address, {"name": "x", "lifetime": "30"}).status_code == 403
    assert not AuditEntry.objects.exists()


def test_it_leads_a_get_on_an_acts_address_to_the_page(client: Client, admin: User) -> None:
    for act in ("grants", "reset", "active", "grants/1/withdraw", "tokens/1/revoke"):
        assert client.get(f"/settings/users/{admin.pk}/{act}").url == f"/settings/users/{admin.pk}"


def test_it_costs_as_many_queries_with_many_people(
    client: Client, admin: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    shop = make_broker("shop")
    slots.assign(shop, "vhost", [ObjectName("", f"tenant-{number}") for number in range(40)], 1)
    for number in range(30):
        noor = make_user(f"noor-{number}", Role.VIEWER, (Role.OPERATOR, shop, f"tenant-{number}"))
        tokens.create(noor, "ci")
    client.get("/settings/users")
    with django_assert_num_queries(USERS):
        client.get("/settings/users")
    with django_assert_num_queries(PERSON):
        client.get(f"/settings/users/{noor.pk}")


# Session, person, rights, count, people, grants with brokers; and the brokers, for the shell around every page.
USERS = 7
# Session, person, rights, the other person, grants, vhosts of the pattern, tokens, brokers to choose from; the shell.
PERSON = 9
