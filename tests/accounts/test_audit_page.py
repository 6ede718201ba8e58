"""The audit page: everybody sees what they may, newest first."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from brokers.registry.models import Broker
from dashboard.accounts import trail
from dashboard.accounts.models import AuditEntry, Role, User
from dashboard.accounts.rights import NOBODY
from tests.support.builders import make_broker, make_user

pytestmark = pytest.mark.django_db

AUDIT = "/settings/audit"


def entry(action: str, user: User | None = None, broker: Broker | None = None, **more: object) -> AuditEntry:
    fields = {
        "who": user.username if user else "somebody",
        "via": "page",
        "outcome": "done",
        "broker_name": broker.name if broker else "",
        **more,
    }
    return AuditEntry.objects.create(action=action, user=user, broker=broker, **fields)


def seen(client: Client, user: User, query: str = "") -> list[str]:
    client.force_login(user)
    answer = client.get(f"{AUDIT}{query}")
    assert answer.status_code == 200
    return [row["entry"].action for row in answer.context["rows"]]


def test_it_shows_each_person_what_they_may_see(client: Client) -> None:
    shop, mill = make_broker("shop"), make_broker("mill")
    noor = make_user("noor", (Role.OPERATOR, shop))
    entry("own", noor)
    entry("shop", None, shop)
    entry("shop-tenant", None, shop, vhost="tenant-a")
    entry("shop-other", None, shop, vhost="payments")
    entry("mill", None, mill, vhost="tenant-a")
    entry("warren")
    everything = ["warren", "mill", "shop-other", "shop-tenant", "shop", "own"]
    assert seen(client, make_user("all", Role.ADMINISTRATOR)) == everything
    assert seen(client, make_user("one", (Role.ADMINISTRATOR, shop))) == ["shop-other", "shop-tenant", "shop"]
    assert seen(client, make_user("vhosts", (Role.ADMINISTRATOR, shop, "tenant-*"))) == ["shop-tenant"]
    assert seen(client, noor) == ["own"]
    assert seen(client, make_user("viewer", Role.VIEWER)) == []
    assert seen(client, make_user("nothing")) == []
    assert not trail.visible(NOBODY).exists()


def test_it_offers_as_filters_only_what_the_person_sees(client: Client) -> None:
    shop = make_broker("shop")
    entry("broker.add", make_user("mara"), shop)
    client.force_login(make_user("noor", Role.VIEWER))
    # The shell around the page may name the broker, which this person sees.
    _, page = client.get(AUDIT).content.decode().split("<main", 1)
    for hidden in ("mara", "shop", "broker.add"):
        assert hidden not in page


def test_it_filters_by_person_broker_action_and_outcome(client: Client) -> None:
    admin, shop = make_user("mara", Role.ADMINISTRATOR), make_broker("shop")
    entry("broker.add", admin, shop)
    entry("broker.remove", None, shop, outcome="failed")
    entry("user.add", admin, outcome="refused")
    assert seen(client, admin, "?who=mara") == ["user.add", "broker.add"]
    assert seen(client, admin, "?broker=shop") == ["broker.remove", "broker.add"]
    assert seen(client, admin, "?action=user.add") == ["user.add"]
    assert seen(client, admin, "?outcome=failed") == ["broker.remove"]
    assert seen(client, admin, "?outcome=failed&who=mara") == []
    assert seen(client, admin, "?outcome=bogus&before=abc&after=&who=%00") == seen(client, admin)


def test_it_shows_a_cut_off_act_as_in_doubt(client: Client) -> None:
    admin = make_user("mara", Role.ADMINISTRATOR)
    entry("running", admin, outcome="")
    old = entry("cut-off", admin, outcome="")
    AuditEntry.objects.filter(pk=old.pk).update(at=timezone.now() - timedelta(hours=1))
    client.force_login(admin)
    assert [row["word"] for row in client.get(AUDIT).context["rows"]] == ["In doubt", "Under way"]
    assert "In doubt" in client.get(AUDIT).content.decode()
    assert seen(client, admin, "?outcome=doubt") == ["cut-off"]


def test_it_pages_both_ways_and_keeps_the_filter(client: Client) -> None:
    admin = make_user("mara", Role.ADMINISTRATOR)
    for number in range(120):
        entry(f"act-{number}", admin)
    entry("other")
    first = seen(client, admin, "?who=mara")
    assert first == [f"act-{number}" for number in range(119, 69, -1)]
    shown = client.get(f"{AUDIT}?who=mara").context["shown"]
    assert (shown.total, shown.newer) == (120, None)
    second = client.get(f"{AUDIT}?who=mara&before={shown.older}")
    assert f"?who=mara&amp;before={second.context['shown'].older}" in second.content.decode()
    third = client.get(f"{AUDIT}?who=mara&before={second.context['shown'].older}").context
    assert [row["entry"].action for row in third["rows"]] == [f"act-{number}" for number in range(19, -1, -1)]
    assert third["shown"].older is None
    back = client.get(f"{AUDIT}?who=mara&after={third['shown'].newer}").context
    assert [row["entry"].action for row in back["rows"]] == [f"act-{number}" for number in range(69, 19, -1)]
    newest = client.get(f"{AUDIT}?who=mara&after={back['shown'].newer}").context
    assert [row["entry"].action for row in newest["rows"]] == first
    assert newest["shown"].newer is None


def test_it_shows_hostile_names_as_text(client: Client) -> None:
    admin = make_user("mara", Role.ADMINISTRATOR)
    name = "<script>alert(1)</script>\u202e\"'%2F"
    entry("x", admin, make_broker(name), vhost=name, subject=name, intent={name: name}, sentence=name)
    client.force_login(admin)
    page = client.get(AUDIT).content.decode()
    assert "<script>alert" not in page
    assert seen(client, admin, "?broker=%3Cscript%3Ealert(1)%3C/script%3E%E2%80%AE%22%27%252F") == ["x"]


def test_it_costs_as_many_queries_with_many_entries(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    admin, shop = make_user("mara", Role.ADMINISTRATOR), make_broker("shop")
    for number in range(60):
        entry(f"act-{number}", admin, shop)
    client.force_login(admin)
    client.get(AUDIT)
    with django_assert_num_queries(AUDIT_QUERIES):
        client.get(AUDIT)


# Session, person, rights, count, entries, three filters; and the brokers, for the shell around every page.
AUDIT_QUERIES = 9
