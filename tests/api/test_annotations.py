"""Notes by API: written and removed by operators of their scope, and seen as far as the person sees it."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from brokers.registry.models import Broker
from dashboard.accounts.models import AuditEntry, Role
from dashboard.annotations.models import Annotation
from tests.api.conftest import Api, api_of
from tests.support.builders import make_broker, make_user

pytestmark = pytest.mark.django_db(transaction=True)
AT = "2026-11-24T18:05:10Z"


def written(api: Api, **fields: object) -> int:
    """Write a note and return its number."""
    answer = api.call("POST", "/annotations", {"text": "v1.4", "kind": "deploy", "at": AT, **fields})
    assert answer.status_code == 201, answer.content
    return int(answer.json()["id"])


def seen(api: Api, query: str = "") -> list[str]:
    return [note["text"] for note in api.get(f"/annotations{query}")["items"]]


def test_it_writes_shows_and_removes_a_note(admin: Api, shop: Broker) -> None:
    answer = admin.call("POST", "/annotations", {"text": " v1.4\n of\tthe shop ", "kind": "deploy", "at": AT})
    assert answer.status_code == 201
    note = answer.json()
    assert note == {
        "id": note["id"],
        "kind": "deploy",
        "text": "v1.4 of the shop",
        "at": "2026-11-24T18:05:10.000Z",
        "end": None,
        "broker_id": None,
        "vhost": None,
        "who": "root",
    }
    assert answer.headers["Location"] == f"/api/v1/annotations/{note['id']}"
    assert admin.get(f"/annotations/{note['id']}") == note
    assert admin.call("DELETE", f"/annotations/{note['id']}").status_code == 204
    assert admin.status(f"/annotations/{note['id']}") == 404
    assert [entry.action for entry in AuditEntry.objects.order_by("id") if entry.action.startswith("annotation")] == [
        "annotation.add",
        "annotation.remove",
    ]


def test_it_shows_what_the_person_sees(admin: Api, shop: Broker, limited: Api) -> None:
    other = make_broker("other")
    for text, scope in {
        "everywhere": {},
        "shop": {"broker_id": shop.pk},
        "blue": {"broker_id": shop.pk, "vhost": "blue"},
        "green": {"broker_id": shop.pk, "vhost": "green"},
        "other": {"broker_id": other.pk},
    }.items():
        written(admin, text=text, **scope)
    assert sorted(seen(limited)) == ["blue", "everywhere", "shop"]
    assert sorted(seen(admin, f"?broker_id={other.pk}")) == ["everywhere", "other"]
    hidden = Annotation.objects.get(text="green").pk
    assert limited.status(f"/annotations/{hidden}") == limited.status("/annotations/999999") == 404
    assert limited.status(f"/annotations/{hidden}", "DELETE") == 404
    assert seen(api_of(make_user("nobody"))) == []


def test_it_takes_an_operator_of_the_scope(admin: Api, shop: Broker, limited: Api) -> None:
    operator = api_of(make_user("blue-operator", (Role.OPERATOR, shop, "blue")))
    blue = written(operator, broker_id=shop.pk, vhost="blue")
    whole = written(admin, broker_id=shop.pk)
    body = {"text": "x", "at": AT}
    assert operator.status("/annotations", "POST", body) == 403
    assert operator.status("/annotations", "POST", {**body, "broker_id": shop.pk}) == 403
    assert operator.status("/annotations", "POST", {**body, "broker_id": shop.pk, "vhost": "green"}) == 404
    assert operator.status("/annotations", "POST", {**body, "broker_id": 999}) == 404
    assert operator.status(f"/annotations/{whole}", "DELETE") == 403
    assert limited.status(f"/annotations/{blue}", "DELETE") == 403
    assert operator.status(f"/annotations/{blue}", "DELETE") == 204
    assert Annotation.objects.count() == 1
    assert AuditEntry.objects.filter(action__startswith="annotation", outcome="refused").count() == 4


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"text": ""}, "text"),
        ({"text": " \u200b\n"}, "text"),
        ({"text": "x" * 501}, "text"),
        ({"text": "a\x00b"}, "text"),
        ({"text": "a\ud800b"}, "text"),
        ({"broker_id": 1, "vhost": "\udfff"}, "vhost"),
        ({"kind": "party"}, "kind"),
        ({"at": "yesterday"}, "at"),
        ({"at": "1970-01-02T00:00:00Z"}, "at"),
        ({"at": "2199-01-01T00:00:00Z"}, "at"),
        ({"end": "2026-11-24T18:05:09Z"}, "end"),
        ({"vhost": "blue"}, "vhost"),
        ({"broker_id": 2**63}, "broker_id"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_it_says_what_can_not_be_taken(admin: Api, change: dict[str, object], field: str) -> None:
    answer = admin.call("POST", "/annotations", {"text": "v1.4", "at": AT, **change})
    assert answer.status_code == 422
    assert field in answer.json()["errors"]
    assert not Annotation.objects.exists()


def test_it_finds_notes_of_a_span(admin: Api) -> None:
    written(admin, text="before", at="2026-11-24T10:00:00Z")
    written(admin, text="over", at="2026-11-24T10:00:00Z", end="2026-11-24T18:00:00Z", kind="incident")
    written(admin, text="within", at="2026-11-24T17:00:00Z")
    written(admin, text="after", at="2026-11-24T20:00:00Z")
    span = "from=2026-11-24T16:00:00Z&to=2026-11-24T19:00:00Z"
    assert seen(admin, f"?{span}") == ["within", "over"]
    assert seen(admin, f"?{span}&kind=incident") == ["over"]
    assert admin.get("/annotations?page_size=2")["next"] is not None
    assert admin.status("/annotations?from=soon") == 422
    backwards = admin.call("GET", "/annotations?from=2026-11-24T19:00:00Z&to=2026-11-24T16:00:00Z")
    assert backwards.status_code == 422
    assert "The span is empty" in backwards.json()["errors"]["from"]


def test_it_takes_no_more_than_a_page_out_of_the_database(admin: Api, limited: Api, shop: Broker) -> None:
    for number in range(12):
        written(admin, text=f"n{number}", broker_id=shop.pk, vhost="green" if number % 2 else "blue")
    for api, total in ((admin, 12), (limited, 6)):
        with CaptureQueriesContext(connection) as asked:
            found = api.get("/annotations?page=2&page_size=3")
        assert found["total"] == total
        assert len(found["items"]) == 3
        [texts] = [one["sql"] for one in asked if '"annotations_annotation"."text"' in one["sql"]]
        assert '"annotations_annotation"."id" IN (' in texts


def test_it_refuses_a_vhost_that_there_is_not(admin: Api, shop: Broker) -> None:
    answer = admin.call("POST", "/annotations", {"text": "x", "at": AT, "broker_id": shop.pk, "vhost": "nowhere"})
    assert answer.status_code == 409
    assert "no such vhost" in answer.json()["detail"]
