"""Rights on the socket: who gets in, what they see, and what becomes of it when their rights change."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from brokers.registry.details import NodeDetail
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from dashboard.accounts.models import Grant, Role, User
from dashboard.live import socket as live
from tests.live.client import Socket, session_of, socket_of
from tests.support.builders import Seen, append_snapshot, make_broker, make_user, seen_queue

pytestmark = pytest.mark.usefixtures("live_db")


@sync_to_async
def polled(ready: float = 5, broker: Broker | None = None) -> Broker:
    """Make a broker with a node and the vhosts `mine` and `theirs`, and write a snapshot."""
    broker = broker or make_broker()
    append_snapshot(
        broker,
        {
            Kind.NODE: [
                Seen("", "rabbit@theirs-host", {"running": 1, "memory_used": 1, "memory_limit": 4}, NodeDetail())
            ],
            Kind.VHOST: [
                Seen("", "mine", {"ready": ready, "unacked": 1, "queues": 1}),
                Seen("", "theirs", {"ready": 1000, "unacked": 1000, "queues": 1}),
            ],
            Kind.QUEUE: [
                seen_queue("mine", "orders", ready=ready, unacked=1, consumers=0),
                seen_queue("theirs", "secret", ready=1000, unacked=1000, consumers=0),
            ],
        },
        whole={"ready": 1000 + ready, "unacked": 1001, "queues": 2, "connections": 77},
    )
    return broker


@sync_to_async
def person(*grants: Any) -> User:
    return make_user(None, *grants)


@sync_to_async
def take_grants(user: User, *brokers: Broker) -> None:
    found = Grant.objects.filter(user=user)
    for grant in found.filter(broker__in=brokers) if brokers else found:
        grant.delete()


async def test_it_closes_a_socket_of_nobody_with_a_code_that_the_browser_sees() -> None:
    for session in (None, "made-up"):
        socket = await Socket(session).open()
        assert await socket.closed_with() == 4401


async def test_it_closes_a_socket_of_a_person_whose_password_is_temporary() -> None:
    user = await person(Role.VIEWER)
    browser = await sync_to_async(session_of)(user)
    user.must_change_password = True
    await sync_to_async(user.save)()
    socket = await Socket(browser.cookies["sessionid"].value).open()
    assert await socket.closed_with() == 4401


async def test_it_shows_a_person_of_one_vhost_nothing_else() -> None:
    broker, other = await polled(), await polled(6)
    socket = await socket_of(await person((Role.VIEWER, broker, "mine")))
    await socket.subscribe("fleet", sub="fleet")
    await socket.subscribe("broker", {"broker": broker.pk}, sub="broker")
    await socket.subscribe("collector", sub="collector")
    for _ in range(3):
        text = json.dumps(frame := await socket.hear())
        assert "theirs" not in text
        assert "1,00" not in text
        assert "77" not in {cell.get("text") for cell in frame["cells"].values()}
        assert not any(key.startswith((f"b.{other.pk}.", "n.")) for key in frame["cells"])
        if frame["sub"] != "collector":
            assert frame["cells"][f"b.{broker.pk}.ready"]["text"] == "5"
    await polled(7, broker)
    for _ in range(2):
        text = json.dumps(await socket.hear())
        assert "theirs" not in text
        assert "1,00" not in text
    await socket.leave()


async def test_it_answers_the_same_for_a_broker_that_is_not_there_and_one_that_is_not_theirs() -> None:
    broker, other = await polled(), await polled()
    socket = await socket_of(await person((Role.VIEWER, broker)))
    sentences = set()
    for wanted in (other.pk, 10**9):
        await socket.subscribe("broker", {"broker": wanted})
        refused = await socket.hear()
        assert refused["op"] == "refused"
        sentences.add(refused["sentence"])
    assert len(sentences) == 1
    await socket.leave()


@pytest.mark.parametrize("wanted", [None, True, -1, 0, 2**70, "x", "1 OR 1", [1], {"a": 1}, 1.5])
async def test_it_refuses_a_broker_that_is_none(wanted: Any) -> None:
    socket = await socket_of(await person(Role.VIEWER))
    await socket.subscribe("broker", {"broker": wanted})
    assert (await socket.hear())["op"] == "refused"
    await socket.leave()


async def test_it_refuses_with_a_sentence_what_was_revoked_and_sends_nothing_more() -> None:
    broker = await polled()
    user = await person((Role.VIEWER, broker))
    socket = await socket_of(user)
    await socket.subscribe("broker", {"broker": broker.pk})
    await socket.hear()
    await take_grants(user)
    refused = await socket.hear()
    assert (refused["op"], refused["sub"]) == ("refused", "page")
    await polled(9, broker)
    assert await socket.silent()
    await socket.leave()


async def test_it_takes_away_the_rows_of_a_broker_that_was_revoked() -> None:
    broker, other = await polled(), await polled()
    user = await person((Role.VIEWER, broker), (Role.VIEWER, other))
    socket = await socket_of(user)
    await socket.subscribe("fleet")
    await socket.hear()
    await take_grants(user, other)
    change = await socket.hear()
    assert f"b.{other.pk}.ready" in change["gone"]
    assert change["order"] == [f"b.{broker.pk}"]
    await socket.leave()


async def test_it_narrows_a_person_to_their_vhosts_at_once() -> None:
    broker = await polled()
    user = await person((Role.VIEWER, broker))
    socket = await socket_of(user)
    await socket.subscribe("broker", {"broker": broker.pk})
    assert (await socket.hear())["cells"][f"b.{broker.pk}.ready"]["text"] == "1,005"

    @sync_to_async
    def narrow() -> None:
        grant = Grant.objects.get(user=user)
        grant.vhost_pattern = "mine"
        grant.save()

    await narrow()
    change = await socket.hear()
    assert change["cells"][f"b.{broker.pk}.ready"]["text"] == "5"
    assert any(key.startswith("n.") for key in change["gone"])
    await socket.leave()


async def test_it_shows_more_as_soon_as_more_is_granted() -> None:
    broker = await polled()
    user = await person()
    socket = await socket_of(user)
    await socket.subscribe("fleet")
    assert f"b.{broker.pk}.ready" not in (await socket.hear())["cells"]
    await sync_to_async(Grant.objects.create)(user=user, role=Role.VIEWER)
    assert f"b.{broker.pk}.ready" in (await socket.hear())["cells"]
    await socket.leave()


@pytest.mark.parametrize("how", ["sign out", "deactivate", "remove", "new password", "temporary password"])
async def test_it_closes_the_socket_of_a_session_that_ends(how: str) -> None:
    await polled()
    user = await person(Role.VIEWER)
    browser = await sync_to_async(session_of)(user)
    socket = await Socket(browser.cookies["sessionid"].value).open()
    await socket.subscribe("fleet")
    await socket.hear()

    @sync_to_async
    def end() -> None:
        if how == "sign out":
            browser.logout()
        elif how == "remove":
            user.delete()
        else:
            user.is_active = how != "deactivate"
            user.must_change_password = how == "temporary password"
            if how == "new password":
                user.set_password("another-long-password")
            user.save()

    await end()
    assert await socket.closed_with() == 4401


async def test_it_looks_again_for_sessions_that_end_by_their_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_AGAIN_S", 0.3)
    await polled()
    user = await person(Role.VIEWER)
    browser = await sync_to_async(session_of)(user)
    socket = await Socket(browser.cookies["sessionid"].value).open()
    await socket.subscribe("fleet")
    await socket.hear()
    # No epoch grows when a session's row is cleared away.
    await sync_to_async(browser.session.delete)()
    assert await socket.closed_with() == 4401


async def test_it_keeps_other_peoples_sockets_open_when_one_signs_out() -> None:
    await polled()
    one, two = await person(Role.VIEWER), await person(Role.VIEWER)
    browser = await sync_to_async(session_of)(one)
    leaving = await Socket(browser.cookies["sessionid"].value).open()
    staying = await socket_of(two)
    await staying.subscribe("fleet")
    await staying.hear()
    await sync_to_async(browser.logout)()
    assert await leaving.closed_with() == 4401
    broker = await polled()
    while f"b.{broker.pk}.ready" not in (await staying.hear())["cells"]:
        pass
    await staying.leave()
