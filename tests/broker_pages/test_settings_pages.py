"""Adding, editing, testing, pausing and removing brokers: rights, audit, and secrets that stay inside."""

from __future__ import annotations

import pytest
from django.test import Client

from brokers.registry.credentials import unseal
from brokers.registry.models import Broker
from dashboard.accounts.models import AuditEntry, Role, User
from tests.support.builders import make_broker, make_user

# Acts commit their intent before they begin: these tests need real transactions.
pytestmark = pytest.mark.django_db(transaction=True)
SECRET = "stored-secret-9f3c"
FORM = {
    "name": "shop",
    "management_url": "http://127.0.0.1:9",
    "signs_in": "password",
    "username": "watch",
    "password": "typed-secret-1b7a",
    "verify_tls": "1",
    "cadence_s": "5",
}


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def admin() -> Client:
    return signed_in(make_user("admin", Role.ADMINISTRATOR))


@pytest.fixture
def shop() -> Broker:
    return make_broker("shop", management_url="http://127.0.0.1:9", password=SECRET)


def test_it_adds_a_broker_and_writes_it_into_the_trail(admin: Client) -> None:
    assert admin.get("/settings/brokers/add").status_code == 200
    answer = admin.post("/settings/brokers/add", FORM)
    shop = Broker.objects.get(name="shop")
    assert answer.headers["Location"] == f"/brokers/{shop.pk}"
    assert unseal(shop).password == "typed-secret-1b7a"
    entry = AuditEntry.objects.get(action="broker.add")
    assert (entry.outcome, entry.subject) == ("done", "shop")
    assert "typed-secret" not in f"{entry.intent}{entry.sentence}"


def test_it_says_what_is_wrong_and_does_not_give_the_password_back(admin: Client) -> None:
    answer = admin.post("/settings/brokers/add", {**FORM, "name": "", "cadence_s": "soon"})
    assert answer.status_code == 422
    text = answer.content.decode()
    assert "A broker needs a name." in text
    assert "whole seconds" in text
    assert "typed-secret" not in text
    assert not Broker.objects.exists()


def test_it_keeps_the_password_when_the_field_is_left_blank(admin: Client, shop: Broker) -> None:
    page = admin.get(f"/settings/brokers/{shop.pk}").content.decode()
    assert SECRET not in page
    assert "kept; leave blank to keep it" in page
    answer = admin.post(f"/settings/brokers/{shop.pk}", {**FORM, "password": "", "cadence_s": "9"})
    assert answer.status_code == 302
    shop.refresh_from_db()
    assert (unseal(shop).password, shop.cadence_s) == (SECRET, 9)
    assert AuditEntry.objects.get(action="broker.edit").intent["fields"] == ["cadence_s"]


@pytest.mark.parametrize("path", ["", "/test"])
def test_it_does_not_send_a_stored_password_to_another_host(admin: Client, shop: Broker, path: str) -> None:
    form = {**FORM, "management_url": "http://127.0.0.2:9", "password": ""}
    answer = admin.post(f"/settings/brokers/{shop.pk}{path}", form)
    assert answer.status_code == 422
    assert "Enter the password again" in answer.content.decode()
    shop.refresh_from_db()
    assert shop.management_url == "http://127.0.0.1:9"
    assert not AuditEntry.objects.exists()


def test_it_tests_a_connection_step_by_step_with_the_stored_password(admin: Client, shop: Broker) -> None:
    form = {**FORM, "password": ""}
    parts = admin.post(f"/settings/brokers/{shop.pk}/test", form, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in parts
    assert "127.0.0.1:9" in parts
    assert SECRET not in parts
    whole = admin.post(f"/settings/brokers/{shop.pk}/test", form).content.decode()
    assert "<html" in whole
    assert "127.0.0.1:9" in whole
    assert AuditEntry.objects.filter(action="broker.test").count() == 2


def test_it_tests_a_connection_before_anything_is_saved(admin: Client) -> None:
    answer = admin.post("/settings/brokers/test", {**FORM, "name": ""})
    assert answer.status_code == 200
    assert "typed-secret" not in answer.content.decode()
    assert not Broker.objects.exists()


def test_it_pauses_and_resumes(admin: Client, shop: Broker) -> None:
    admin.post(f"/settings/brokers/{shop.pk}/pause", {"do": "pause"})
    shop.refresh_from_db()
    assert shop.paused
    assert "Resume" in admin.get("/settings/brokers").content.decode()
    admin.post(f"/settings/brokers/{shop.pk}/pause", {"do": "resume"})
    shop.refresh_from_db()
    assert not shop.paused
    assert list(AuditEntry.objects.values_list("action", flat=True)) == ["broker.resume", "broker.pause"]


def test_it_removes_a_broker_only_when_its_name_is_typed(admin: Client, shop: Broker) -> None:
    assert "Type" in admin.get(f"/settings/brokers/{shop.pk}/remove").content.decode()
    assert admin.post(f"/settings/brokers/{shop.pk}/remove", {"name": "Shop"}).status_code == 422
    assert Broker.objects.filter(pk=shop.pk).exists()
    assert admin.post(f"/settings/brokers/{shop.pk}/remove", {"name": "shop"}).status_code == 302
    assert not Broker.objects.filter(pk=shop.pk).exists()


def test_it_lets_administrators_of_one_broker_edit_that_one_alone(shop: Broker) -> None:
    other = make_broker("other")
    client = signed_in(make_user("mine", (Role.ADMINISTRATOR, shop)))
    listed = client.get("/settings/brokers").content.decode()
    assert "shop" in listed
    assert "other" not in listed
    assert client.get(f"/settings/brokers/{shop.pk}").status_code == 200
    assert client.get(f"/settings/brokers/{other.pk}").status_code == 404
    assert client.get("/settings/brokers/add").status_code == 403
    assert client.post("/settings/brokers/test", FORM).status_code == 403
    assert client.post(f"/settings/brokers/{shop.pk}/remove", {"name": "shop"}).status_code == 403
    assert Broker.objects.filter(pk=shop.pk).exists()


@pytest.mark.parametrize(
    ("method", "path"),
    [("get", ""), ("post", ""), ("post", "/test"), ("post", "/pause"), ("get", "/remove"), ("post", "/remove")],
)
@pytest.mark.parametrize("grant", ["viewer", "operator", "vhosts"])
def test_it_keeps_everybody_else_out(shop: Broker, method: str, path: str, grant: str) -> None:
    grants = {
        "viewer": (Role.VIEWER, shop),
        "operator": (Role.OPERATOR, shop),
        "vhosts": (Role.ADMINISTRATOR, shop, "*"),
    }
    client = signed_in(make_user("v", grants[grant]))
    assert getattr(client, method)(f"/settings/brokers/{shop.pk}{path}").status_code == 403
    assert client.get("/settings/brokers").status_code == 403


def test_it_says_when_stored_credentials_cannot_be_opened(admin: Client, shop: Broker) -> None:
    Broker.objects.filter(pk=shop.pk).update(sealed=b"gAAAAABnonsense")
    page = admin.get(f"/settings/brokers/{shop.pk}")
    assert page.status_code == 200
    assert "key" in page.content.decode()
    assert admin.post(f"/settings/brokers/{shop.pk}", {**FORM, "password": ""}).status_code == 422
    assert admin.post(f"/settings/brokers/{shop.pk}", FORM).status_code == 302
