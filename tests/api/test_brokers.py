"""Brokers by the API: list, add, edit, test, pause, remove; secrets that go in and never come out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from brokers.registry.credentials import unseal
from brokers.registry.models import Broker
from dashboard.accounts.models import AuditEntry, Role
from dashboard.acting import connection
from dashboard.acting.connection import StepShown
from tests.api.conftest import Api, api_of, check_problem
from tests.support.builders import make_broker, make_user
from tests.support.certificates import make_pair

# Acts commit their intent before they begin: these tests need real transactions.
pytestmark = pytest.mark.django_db(transaction=True)
NEW = {
    "name": "harbour",
    "management_url": "http://127.0.0.1:9",
    "username": "watch",
    "password": "typed-secret-1b7a",
}


def test_it_lists_brokers_with_state_figures_and_reasons(admin: Api, shop: Broker) -> None:
    make_broker("attic")
    told = admin.get("/brokers")
    assert [one["name"] for one in told["items"]] == ["attic", "shop"]
    assert (told["total"], told["page"], told["page_size"], told["next"]) == (2, 1, 100, None)
    attic, found = told["items"]
    assert found["id"] == shop.pk
    assert found["state"]["condition"] == "live"
    assert found["version"] == "4.0.5"
    assert found["state"]["since"] is None
    assert found["polled_at"].endswith("Z")
    assert found["figures"]["ready"] == 7784
    assert found["figures"]["publish_rate"] == pytest.approx(110, rel=0.01)
    assert found["figures"]["channels"] is None
    assert found["unknown"]["channels"].startswith("shop does not tell it")
    assert "ready" not in found["unknown"]
    assert attic["state"]["condition"] == "new"
    assert set(attic["figures"].values()) == {None}
    assert set(attic["unknown"]) == set(attic["figures"])


def test_it_pages_the_list(admin: Api) -> None:
    for number in range(5):
        make_broker(f"b{number}")
    seen, address, turns = [], "/brokers?page_size=2", 0
    while address:
        told = admin.get(address)
        seen += [one["name"] for one in told["items"]]
        address, turns = (told["next"] or "").removeprefix("/api/v1"), turns + 1
        assert told["total"] == 5
    assert (seen, turns) == ([f"b{number}" for number in range(5)], 3)
    assert admin.get("/brokers?page=99")["items"] == []


def test_it_shows_one_broker_with_nodes_vhosts_and_settings(admin: Api, shop: Broker) -> None:
    told = admin.get(f"/brokers/{shop.pk}")
    assert [node["name"] for node in told["nodes"]] == ["rabbit@one"]
    assert told["nodes"][0]["figures"]["memory_used"] == 5e8
    assert told["nodes"][0]["figures"]["disk_free"] is None
    assert {vhost["name"]: vhost["figures"]["ready"] for vhost in told["vhosts"]} == {"blue": 7, "green": 7777}
    assert told["settings"]["has_password"] is True
    assert told["settings"]["username"] == "watch"
    assert "stored-secret" not in json.dumps(told)


def test_it_adds_a_broker_and_writes_it_into_the_trail(admin: Api) -> None:
    answer = admin.call("POST", "/brokers", NEW)
    assert answer.status_code == 201, answer.content
    told = json.loads(answer.content)
    assert answer.headers["Location"] == f"/api/v1/brokers/{told['id']}"
    assert "typed-secret" not in answer.content.decode()
    assert unseal(Broker.objects.get(name="harbour")).password == "typed-secret-1b7a"
    entry = AuditEntry.objects.get(action="broker.add")
    assert (entry.outcome, entry.via, entry.who, entry.subject) == ("done", "api", "root", "harbour")
    assert "typed-secret" not in json.dumps(entry.intent)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"name": None}, "name"),
        ({"management_url": "ftp://x"}, "management_url"),
        ({"management_url": "http://u:p@127.0.0.1:9"}, "management_url"),
        ({"prometheus_urls": ["nonsense"]}, "prometheus_urls"),
        ({"prometheus_urls": "http://127.0.0.1:9"}, "prometheus_urls"),
        ({"cadence_s": 0}, "cadence_s"),
        ({"cadence_s": "soon"}, "cadence_s"),
        ({"cadence_s": 10**30}, "cadence_s"),
        ({"username": ""}, "username"),
        ({"password": ""}, "password"),
        ({"ca_pem": "no certificate"}, "ca_pem"),
        ({"client_key_pem": "no key"}, "client_key_pem"),
        ({"verify_tls": "perhaps"}, "verify_tls"),
        ({"colour": "blue"}, "colour"),
        ({"username": "nul\x00"}, "username"),
    ],
)
def test_it_says_by_field_what_can_not_be_taken(admin: Api, change: dict[str, Any], field: str) -> None:
    answer = admin.call("POST", "/brokers", {**NEW, **change})
    assert answer.status_code == 422, answer.content
    assert field in check_problem(answer)["errors"]
    assert "typed-secret" not in answer.content.decode()
    assert not Broker.objects.exists()


def test_it_says_what_is_missing(admin: Api) -> None:
    answer = admin.call("POST", "/brokers", {})
    assert set(check_problem(answer)["errors"]) == {"name", "management_url"}


def test_it_answers_409_for_a_name_that_is_taken(admin: Api, shop: Broker) -> None:
    answer = admin.call("POST", "/brokers", {**NEW, "name": "shop"})
    assert answer.status_code == 409
    assert "already" in check_problem(answer)["errors"]["name"]
    other = make_broker("other")
    assert admin.status(f"/brokers/{other.pk}", "PATCH", {"name": "shop"}) == 409


def test_it_changes_what_is_sent_and_leaves_the_rest(admin: Api, shop: Broker) -> None:
    answer = admin.call("PATCH", f"/brokers/{shop.pk}", {"cadence_s": 30, "name": "store"})
    assert answer.status_code == 200, answer.content
    shop.refresh_from_db()
    assert (shop.name, shop.cadence_s, shop.username) == ("store", 30, "watch")
    assert unseal(shop).password == "stored-secret-9f3c"
    assert json.loads(answer.content)["settings"]["cadence_s"] == 30
    assert AuditEntry.objects.get(action="broker.edit").intent["fields"] == ["cadence_s", "name"]


def test_it_never_sends_a_stored_secret_to_another_address(admin: Api, shop: Broker) -> None:
    for path in (f"/brokers/{shop.pk}", f"/brokers/{shop.pk}/test"):
        answer = admin.call(
            "PATCH" if path[-1].isdigit() else "POST", path, {"management_url": "http://elsewhere:15672"}
        )
        assert answer.status_code == 422
        assert "not sent to another address" in check_problem(answer)["errors"]["password"]
    shop.refresh_from_db()
    assert shop.management_url == "http://127.0.0.1:9"


def test_it_changes_over_to_a_token(admin: Api, shop: Broker) -> None:
    assert admin.status(f"/brokers/{shop.pk}", "PATCH", {"token": "an-oauth-token"}) == 200
    shop.refresh_from_db()
    assert (shop.username, unseal(shop).token, unseal(shop).password) == ("", "an-oauth-token", "")
    assert "an-oauth-token" not in json.dumps(admin.get(f"/brokers/{shop.pk}"))


def test_it_pauses_and_resumes(admin: Api, shop: Broker) -> None:
    for verb, paused in (("pause", True), ("pause", True), ("resume", False)):
        answer = admin.call("POST", f"/brokers/{shop.pk}/{verb}")
        assert answer.status_code == 200
        assert (json.loads(answer.content)["state"]["condition"] == "paused") is paused
        shop.refresh_from_db()
        assert shop.paused is paused
    assert AuditEntry.objects.filter(action="broker.pause", via="api", outcome="done").count() == 2


def test_it_removes_only_what_is_named(admin: Api, shop: Broker) -> None:
    for query in ("", "?name=", "?name=harbour"):
        answer = admin.call("DELETE", f"/brokers/{shop.pk}{query}")
        assert answer.status_code == 422
        assert "Nothing was removed" in check_problem(answer)["detail"]
    assert admin.status(f"/brokers/{shop.pk}?name=shop", "DELETE") == 204
    assert not Broker.objects.exists()
    assert admin.status(f"/brokers/{shop.pk}") == 404
    assert AuditEntry.objects.get(action="broker.remove").subject == "shop"


def test_it_tests_the_connection_and_changes_nothing(admin: Api, shop: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def steps(place: Any, told: Any) -> None:
        asked.append(place)
        told.put(StepShown("TCP", "ok", "Connected."))
        told.put(StepShown("Sign-in", "critical", "The password is wrong.", "Enter another."))
        told.put(None)

    monkeypatch.setattr(connection, "_run", steps)
    answer = admin.call("POST", f"/brokers/{shop.pk}/test", {"username": "other"})
    assert answer.status_code == 200, answer.content
    told = json.loads(answer.content)
    assert told["ok"] is False
    assert told["steps"][1] == {
        "name": "Sign-in",
        "verdict": "critical",
        "sentence": "The password is wrong.",
        "remedy": "Enter another.",
    }
    assert (asked[0].username, asked[0].password) == ("other", "stored-secret-9f3c")
    shop.refresh_from_db()
    assert shop.username == "watch"
    assert admin.status(f"/brokers/{shop.pk}/test", "POST") == 200
    assert asked[1].username == "watch"


@pytest.mark.parametrize("grant", ["viewer", "operator", "vhosts", "nobody"])
def test_it_lets_only_administrators_change_brokers(shop: Broker, grant: str) -> None:
    grants: dict[str, Any] = {
        "viewer": Role.VIEWER,
        "operator": (Role.OPERATOR, shop),
        "vhosts": (Role.ADMINISTRATOR, shop, "*"),
    }
    api = api_of(make_user(None, *([grants[grant]] if grant in grants else [])))
    expected = 404 if grant == "nobody" else 403
    one = f"/brokers/{shop.pk}"
    assert api.status("/brokers", "POST", NEW) == 403
    assert api.status(one, "PATCH", {"cadence_s": 9}) == expected
    assert api.status(f"{one}?name=shop", "DELETE") == expected
    for verb in ("pause", "resume", "test"):
        assert api.status(f"{one}/{verb}", "POST") == expected
    if grant != "nobody":
        assert api.get(one)["settings"] is None
    shop.refresh_from_db()
    assert (shop.cadence_s, shop.paused, Broker.objects.count()) == (5, False, 1)


def test_it_lets_a_brokers_administrator_edit_but_not_remove_it(shop: Broker) -> None:
    api = api_of(make_user(None, (Role.ADMINISTRATOR, shop)))
    assert api.status(f"/brokers/{shop.pk}", "PATCH", {"cadence_s": 9}) == 200
    assert api.status(f"/brokers/{shop.pk}?name=shop", "DELETE") == 403
    assert api.status("/brokers", "POST", NEW) == 403


def test_it_says_when_stored_secrets_can_not_be_opened(admin: Api, shop: Broker) -> None:
    Broker.objects.filter(pk=shop.pk).update(sealed=b"sealed under a lost key")
    settings = admin.get(f"/brokers/{shop.pk}")["settings"]
    assert settings["has_password"] is False
    assert "under a key that is not in the key list" in settings["problem"]
    assert admin.status(f"/brokers/{shop.pk}", "PATCH", {"cadence_s": 9}) == 422
    assert admin.status(f"/brokers/{shop.pk}", "PATCH", {"cadence_s": 9, "password": "again"}) == 200


def test_it_tells_and_changes_the_budget(admin: Api, shop: Broker) -> None:
    told = admin.get(f"/brokers/{shop.pk}")["settings"]
    assert (told["budget_percent"], told["budget_kb_s"]) == (2.0, 1000)
    answer = admin.call("PATCH", f"/brokers/{shop.pk}", {"budget_percent": 0.25, "budget_kb_s": 64})
    assert answer.status_code == 200, answer.content
    told = json.loads(answer.content)["settings"]
    assert (told["budget_percent"], told["budget_kb_s"]) == (0.25, 64)
    shop.refresh_from_db()
    assert (shop.budget_percent, shop.budget_kb_s, shop.cadence_s) == (0.25, 64, 5)
    assert AuditEntry.objects.get(action="broker.edit").intent["fields"] == ["budget_kb_s", "budget_percent"]
    assert admin.status("/brokers", "POST", {**NEW, "budget_percent": 10, "budget_kb_s": 5000}) == 201
    added = Broker.objects.get(name="harbour")
    assert (added.budget_percent, added.budget_kb_s) == (10, 5000)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"budget_percent": 0}, "budget_percent"),
        ({"budget_percent": 51}, "budget_percent"),
        ({"budget_percent": "2"}, "budget_percent"),
        ({"budget_percent": None}, "budget_percent"),
        ({"budget_kb_s": 9}, "budget_kb_s"),
        ({"budget_kb_s": 100_001}, "budget_kb_s"),
        ({"budget_kb_s": 12.5}, "budget_kb_s"),
        ({"prometheus_username": "u" * 256}, "prometheus_username"),
        ({"prometheus_ca_pem": "no certificate"}, "prometheus_ca_pem"),
        ({"prometheus_password": 7}, "prometheus_password"),
    ],
)
def test_it_takes_no_budget_or_sign_in_that_can_not_be(
    admin: Api, shop: Broker, change: dict[str, Any], field: str
) -> None:
    before = Broker.objects.values().get(pk=shop.pk)
    for method, path, body in (("PATCH", f"/brokers/{shop.pk}", change), ("POST", "/brokers", {**NEW, **change})):
        answer = admin.call(method, path, body)
        assert answer.status_code == 422, answer.content
        assert field in check_problem(answer)["errors"]
    assert Broker.objects.values().get() == before


def test_it_keeps_the_sign_in_of_prometheus_endpoints_to_itself(admin: Api, shop: Broker) -> None:
    pem = make_pair("authority", authority=True).cert_pem
    # The stored password of the management API is not taken to a new address either.
    change = {
        "password": "stored-secret-9f3c",
        "prometheus_urls": ["https://127.0.0.1:9443/metrics"],
        "prometheus_username": "scraper",
        "prometheus_password": "secret-of-the-proxy",
        "prometheus_ca_pem": pem,
    }
    answer = admin.call("PATCH", f"/brokers/{shop.pk}", change)
    assert answer.status_code == 200, answer.content
    told = json.loads(answer.content)["settings"]
    assert (told["prometheus_username"], told["has_prometheus_password"]) == ("scraper", True)
    assert told["prometheus_ca_pem"].strip() == pem.strip()
    assert "secret-of-the-proxy" not in answer.content.decode()
    assert "secret-of-the-proxy" not in json.dumps([entry.intent for entry in AuditEntry.objects.all()])
    shop.refresh_from_db()
    assert unseal(shop).prometheus_password == "secret-of-the-proxy"
    # What is not sent stays.
    assert admin.status(f"/brokers/{shop.pk}", "PATCH", {"cadence_s": 9}) == 200
    shop.refresh_from_db()
    assert (shop.prometheus_username, unseal(shop).prometheus_password) == ("scraper", "secret-of-the-proxy")
    assert unseal(shop).password == "stored-secret-9f3c"


def test_it_never_sends_a_stored_sign_in_to_another_prometheus_endpoint(admin: Api, shop: Broker) -> None:
    mine = {"prometheus_urls": ["http://127.0.0.1:9/metrics"], "prometheus_username": "scraper"}
    assert admin.status(f"/brokers/{shop.pk}", "PATCH", {**mine, "prometheus_password": "secret-of-the-proxy"}) == 200
    for method, path in (("PATCH", f"/brokers/{shop.pk}"), ("POST", f"/brokers/{shop.pk}/test")):
        answer = admin.call(method, path, {"prometheus_urls": ["http://elsewhere:15692/metrics"]})
        assert answer.status_code == 422, answer.content
        assert "prometheus_password" in check_problem(answer)["errors"]
    shop.refresh_from_db()
    assert shop.prometheus_urls == "http://127.0.0.1:9/metrics"
