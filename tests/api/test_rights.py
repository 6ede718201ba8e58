"""What a person limited to one vhost gets from the API: that vhost, and no word of anything else."""

from __future__ import annotations

from typing import Any

import pytest

from brokers.collect.models import PollState
from brokers.registry.models import Broker
from dashboard.accounts.models import Role
from tests.api.conftest import Api, api_of, fill
from tests.support.builders import make_broker, make_user

pytestmark = pytest.mark.django_db
# What belongs to the rest of the broker and may not come up anywhere.
HIDDEN = ("green", "bulk", "7777", "7784", "rabbit@one", "watch", "127.0.0.1", "refused by 10.0.0.7")


@pytest.fixture
def secret_trouble(shop: Broker) -> Broker:
    """The shop after a failed poll whose sentence names a host."""
    PollState.objects.filter(broker=shop).update(
        failures=1,
        error_sentence="The connection was refused by 10.0.0.7.",
        error_remedy="Look at 10.0.0.7.",
        unknown={"vhost.ready": "refused by 10.0.0.7", "queue.delivered": "refused by 10.0.0.7"},
    )
    return shop


def test_it_shows_a_limited_person_nothing_else(limited: Api, secret_trouble: Broker) -> None:
    other = make_broker("attic")
    fill(other)
    one = f"/brokers/{secret_trouble.pk}"
    for path in (
        "/brokers",
        one,
        f"{one}/queues",
        f"{one}/queues?sort=ready&order=desc",
        f"{one}/queues?vhost=green",
        f"{one}/queues?name=b",
        f"{one}/queues/blue/orders",
        f"{one}/series?kind=broker",
        f"{one}/series?kind=vhost&vhost=blue",
        f"{one}/series?kind=queue&vhost=blue&name=orders",
        "/openapi.json",
    ):
        answer = limited.call("GET", path)
        assert answer.status_code == 200, path
        text = answer.content.decode()
        asked = path.split("?", 1)[-1]
        found = [word for word in (*HIDDEN, "attic") if word in text and word not in asked]
        assert not found, (path, found, text)


def test_it_counts_and_sums_only_what_is_seen(limited: Api, shop: Broker) -> None:
    make_broker("attic")
    told = limited.get("/brokers")
    assert (told["total"], [one["name"] for one in told["items"]]) == (1, ["shop"])
    found = limited.get(f"/brokers/{shop.pk}")
    assert (found["whole"], found["nodes"], found["settings"]) == (False, [], None)
    assert [vhost["name"] for vhost in found["vhosts"]] == ["blue"]
    assert (found["figures"]["ready"], found["figures"]["queues"], found["figures"]["vhosts"]) == (7, 2, 1)
    assert found["figures"]["publish_rate"] == pytest.approx(10, rel=0.01)
    assert found["figures"]["connections"] is None
    assert "as a whole" in found["unknown"]["connections"]
    queues = limited.get(f"/brokers/{shop.pk}/queues")
    assert (queues["total"], {one["vhost"] for one in queues["items"]}) == (2, {"blue"})
    assert limited.get(f"/brokers/{shop.pk}/queues?vhost=green")["total"] == 0
    assert limited.get(f"/brokers/{shop.pk}/queues/blue/orders")["members"] is None


def test_it_answers_alike_for_hidden_and_missing_brokers_and_queues(limited: Api, shop: Broker) -> None:
    other = make_broker("attic")
    fill(other)
    for hidden, missing in (
        (f"/brokers/{other.pk}", "/brokers/999999"),
        (f"/brokers/{other.pk}/queues", "/brokers/999999/queues"),
        (f"/brokers/{other.pk}/queues/blue/orders", "/brokers/999999/queues/blue/orders"),
        (f"/brokers/{other.pk}/series?kind=broker", "/brokers/999999/series?kind=broker"),
        (f"/brokers/{shop.pk}/queues/green/bulk", f"/brokers/{shop.pk}/queues/green/no-such"),
        (f"/brokers/{shop.pk}/queues/green/bulk", f"/brokers/{shop.pk}/queues/no-such/bulk"),
    ):
        answers = [limited.call("GET", path) for path in (hidden, missing)]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].content == answers[1].content
    for verb in ("pause", "resume", "test"):
        assert limited.status(f"/brokers/{other.pk}/{verb}", "POST") == 404
    assert limited.status(f"/brokers/{other.pk}?name=attic", "DELETE") == 404
    assert limited.status(f"/brokers/{other.pk}", "PATCH", {"name": "mine"}) == 404


@pytest.mark.parametrize(
    ("grant", "brokers", "queues"),
    [
        ("nobody", 0, None),
        ("everything", 2, 3),
        ("the broker", 1, 3),
        ("every vhost", 1, 3),
        ("no vhost", 1, 0),
        ("the other", 1, None),
    ],
)
def test_it_shows_each_person_their_part(shop: Broker, grant: str, brokers: int, queues: int | None) -> None:
    other = make_broker("attic")
    grants: dict[str, Any] = {
        "everything": Role.VIEWER,
        "the broker": (Role.VIEWER, shop),
        "every vhost": (Role.VIEWER, shop, "*"),
        "no vhost": (Role.VIEWER, shop, "red"),
        "the other": (Role.VIEWER, other),
    }
    api = api_of(make_user(None, *([grants[grant]] if grant in grants else [])))
    assert api.get("/brokers")["total"] == brokers
    if queues is None:
        assert api.status(f"/brokers/{shop.pk}/queues") == 404
    else:
        assert api.get(f"/brokers/{shop.pk}/queues")["total"] == queues
    if grant == "every vhost":
        # Every vhost is still not the broker: no nodes, no connections.
        assert api.get(f"/brokers/{shop.pk}")["nodes"] == []


def test_it_notices_at_once_when_a_grant_is_withdrawn(limited: Api, shop: Broker) -> None:
    assert limited.get("/brokers")["total"] == 1
    assert limited.user is not None
    limited.user.grants.all().delete()
    assert limited.get("/brokers")["total"] == 0
    assert limited.status(f"/brokers/{shop.pk}") == 404
