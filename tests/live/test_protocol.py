"""The protocol of /ws/live: states, changes, acknowledging, hiding, unsubscribing."""

from __future__ import annotations

import time
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from dashboard.accounts.models import Role
from dashboard.cells import Cell, View
from dashboard.live import topics
from dashboard.live.topics import Refused, Topic
from tests.live.client import Shown, Socket, session_of, socket_of
from tests.support.builders import Seen, append_snapshot, make_broker, make_user, seen_queue

pytestmark = pytest.mark.usefixtures("live_db")


def snapshot(broker: Broker, ready: float, **more: Any) -> None:
    """Write a snapshot of one vhost with one queue."""
    append_snapshot(
        broker,
        {
            Kind.VHOST: [Seen("", "shop", {"ready": ready, "unacked": 0, "queues": 1})],
            Kind.QUEUE: [seen_queue("shop", "orders", ready=ready, unacked=0, consumers=1)],
        },
        whole={"ready": ready, "unacked": 0, "queues": 1},
        **more,
    )


@sync_to_async
def polled(ready: float = 5, broker: Broker | None = None) -> Broker:
    broker = broker or make_broker()
    snapshot(broker, ready)
    return broker


@sync_to_async
def viewer(*grants: Any) -> Any:
    return make_user(None, *(grants or (Role.VIEWER,)))


async def test_it_sends_a_whole_state_and_then_only_what_differs() -> None:
    broker, other = await polled(), await polled()
    socket = await socket_of(await viewer())
    await socket.subscribe("fleet")
    state = await socket.hear()
    ready = f"b.{broker.pk}.ready"
    assert (state["op"], state["sub"], state["seq"]) == ("state", "page", 1)
    assert state["cells"][ready] == {"text": "5"}
    assert set(state["order"]) == {f"b.{broker.pk}", f"b.{other.pk}"}
    assert abs(state["now_ms"] - time.time() * 1000) < 60_000
    await polled(6, broker)
    change = await socket.hear_until(ready, "6")
    assert change["op"] == "change"
    assert not any(key.startswith(f"b.{other.pk}.") for key in change["cells"])
    assert f"b.{broker.pk}.queues" not in change["cells"]
    await socket.leave()


async def test_it_numbers_frames_without_a_gap() -> None:
    broker = await polled()
    socket = await socket_of(await viewer())
    await socket.subscribe("fleet")
    await socket.subscribe("broker", {"broker": broker.pk}, sub="second")
    seqs = [(await socket.hear())["seq"] for _ in range(2)]
    await polled(6, broker)
    seqs += [(await socket.hear())["seq"] for _ in range(2)]
    assert seqs == [1, 2, 3, 4]
    await socket.leave()


async def test_it_says_nothing_while_nothing_happens() -> None:
    await polled()
    socket = await socket_of(await viewer())
    await socket.subscribe("fleet")
    shown = Shown().after(await socket.hear())
    assert await socket.silent()
    assert shown.cells["page.ready"]["text"] == "5"
    await socket.leave()


async def test_it_waits_for_an_acknowledgement_and_then_sends_the_newest() -> None:
    broker = await polled()
    ready = f"b.{broker.pk}.ready"
    socket = await socket_of(await viewer())
    await socket.subscribe("fleet")
    first = await socket.hear(ack=False)
    for count in (6, 7, 8):
        await polled(count, broker)
    assert await socket.silent()
    await socket.say(op="ack", seq=first["seq"] + 5)
    assert await socket.silent(0.4), "an acknowledgement of another frame counted"
    await socket.say(op="ack", seq=first["seq"])
    change = await socket.hear()
    assert (change["seq"], change["cells"][ready]["text"]) == (2, "8")
    await socket.leave()


async def test_it_lets_one_subscription_go_on_while_another_is_not_acknowledged() -> None:
    broker = await polled()
    socket = await socket_of(await viewer())
    await socket.subscribe("fleet")
    await socket.hear(ack=False)
    await socket.subscribe("broker", {"broker": broker.pk}, sub="second")
    assert (await socket.hear())["sub"] == "second"
    await polled(9, broker)
    assert (await socket.hear())["sub"] == "second"
    assert await socket.silent(0.5)
    await socket.leave()


async def test_it_sends_nothing_while_hidden_and_a_whole_state_when_seen_again() -> None:
    broker = await polled()
    socket = await socket_of(await viewer())
    await socket.subscribe("fleet")
    await socket.hear()
    await socket.say(op="hide")
    await polled(6, broker)
    await socket.subscribe("broker", {"broker": broker.pk}, sub="second")
    await socket.subscribe("no such topic", sub="third")
    assert await socket.silent()
    await socket.say(op="show")
    frames = [await socket.hear() for _ in range(3)]
    by_sub = {frame["sub"]: frame for frame in frames}
    assert by_sub["page"]["op"] == by_sub["second"]["op"] == "state"
    assert by_sub["page"]["cells"][f"b.{broker.pk}.ready"]["text"] == "6"
    await socket.leave()


async def test_it_answers_a_hidden_window_whose_last_frame_was_never_acknowledged() -> None:
    await polled()
    socket = await socket_of(await viewer())
    await socket.subscribe("fleet")
    await socket.hear(ack=False)
    await socket.say(op="hide")
    await socket.say(op="show")
    assert (await socket.hear())["op"] == "state"
    await socket.leave()


async def test_it_stops_when_unsubscribed() -> None:
    broker = await polled()
    socket = await socket_of(await viewer())
    await socket.subscribe("fleet")
    await socket.hear()
    await socket.say(op="unsubscribe", sub="page")
    await socket.say(op="unsubscribe", sub="never was")
    await polled(6, broker)
    assert await socket.silent()
    await socket.leave()


async def test_it_begins_anew_with_other_parameters_under_the_same_name() -> None:
    one, two = await polled(5), await polled(7)
    socket = await socket_of(await viewer())
    await socket.subscribe("broker", {"broker": one.pk})
    assert f"b.{one.pk}.ready" in (await socket.hear())["cells"]
    await socket.subscribe("broker", {"broker": str(two.pk)})
    state = await socket.hear()
    assert state["op"] == "state"
    assert state["cells"][f"b.{two.pk}.ready"]["text"] == "7"
    assert f"b.{one.pk}.ready" not in state["cells"]
    await polled(8, one)
    assert await socket.silent(0.6)
    await socket.leave()


async def test_it_writes_times_in_the_viewers_zone() -> None:
    broker = await polled()
    person = await viewer()
    clocks = set()
    for zone in ("Asia/Tokyo", "no/such-zone"):
        socket = await socket_of(person, zone=zone)
        await socket.subscribe("broker", {"broker": broker.pk})
        clocks.add((await socket.hear())["cells"]["page.checked"]["text"])
        await socket.leave()
    assert len(clocks) == 2


async def test_it_computes_once_what_many_sockets_show(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = await polled()
    computed: list[tuple[str, int]] = []

    def view(rights: Any, params: Any, zone: Any, now_ms: int) -> View:
        computed.append((str(zone), now_ms))
        return View({"x": Cell(text=str(now_ms))})

    monkeypatch.setitem(topics.TOPICS, "counted", Topic(view))
    sockets = [await socket_of(await viewer()) for _ in range(4)]
    other_rights = await socket_of(await viewer((Role.VIEWER, broker)))
    other_zone = await socket_of(await viewer(), zone="Asia/Tokyo")
    everybody = [*sockets, other_rights, other_zone]
    for socket in everybody:
        await socket.subscribe("counted")
        await socket.hear()
    computed.clear()
    await polled(6, broker)
    texts = [(await socket.hear())["cells"]["x"]["text"] for socket in everybody]
    assert len(set(texts[:4])) == 1
    assert len(computed) == 3
    for socket in everybody:
        await socket.leave()


async def test_it_turns_a_broker_unreachable_that_writes_no_snapshot() -> None:
    broker = await polled()
    state = f"b.{broker.pk}.state"
    socket = await socket_of(await viewer())
    await socket.subscribe("fleet")
    assert (await socket.hear())["cells"][state]["text"] == "Quiet"

    @sync_to_async
    def fail() -> None:
        poll = broker.poll_state
        poll.failures, poll.failing_since_ms = 2, poll.last_ok_ms
        poll.error_sentence = "Nobody listens at 127.0.0.1:9."
        poll.save()

    await fail()
    change = await socket.hear()
    assert change["cells"][state]["state"] == "stale"
    assert change["cells"]["page.answered"]["text"] == f"0 of 1 answer; {broker.name} does not."
    assert change["shape"]
    await socket.leave()


async def test_it_turns_a_broker_late_as_time_alone_passes() -> None:
    @sync_to_async
    def make() -> Broker:
        broker = make_broker(cadence_s=1)
        snapshot(broker, 5, at_ms=time.time_ns() // 1_000_000 - 1500, cadence_ms=1000)
        return broker

    broker = await make()
    socket = await socket_of(await viewer())
    await socket.subscribe("collector")
    key = f"b.{broker.pk}.collecting"
    first = await socket.hear()
    if first["cells"][key]["text"] != "Late":
        # Nothing is written to the database from here on.
        await socket.hear_until(key, "Late")
    await socket.leave()


async def test_it_notices_a_broker_that_comes_and_one_that_goes() -> None:
    one = await polled()
    socket = await socket_of(await viewer())
    await socket.subscribe("fleet")
    before = await socket.hear()
    two = await polled()
    shown = Shown().after(before)
    while f"b.{two.pk}.ready" not in shown.cells:
        shown = shown.after(await socket.hear())
    assert shown.shape != before["shape"]
    ready = f"b.{one.pk}.ready"
    await sync_to_async(one.delete)()
    gone: list[str] = []
    while ready in shown.cells:
        frame = await socket.hear()
        shown = shown.after(frame)
        gone += frame.get("gone", [])
    assert ready in gone
    assert shown.order == [f"b.{two.pk}"]
    await socket.leave()


async def test_it_refuses_a_topic_with_the_topics_own_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def view(rights: Any, params: Any, zone: Any, now_ms: int) -> View:
        raise Refused("This queue is gone.")

    monkeypatch.setitem(topics.TOPICS, "refusing", Topic(view))
    socket = await socket_of(await viewer())
    await socket.subscribe("refusing")
    assert await socket.hear() == {"op": "refused", "sub": "page", "sentence": "This queue is gone."}
    await polled()
    assert await socket.silent(0.6), "a refused subscription was computed again"
    await socket.leave()


async def test_it_says_that_a_topic_failed_and_nothing_of_how(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def view(rights: Any, params: Any, zone: Any, now_ms: int) -> View:
        raise ZeroDivisionError("of secret figures")

    monkeypatch.setitem(topics.TOPICS, "failing", Topic(view))
    socket = await socket_of(await viewer())
    await socket.subscribe("failing")
    refused = await socket.hear()
    assert refused["op"] == "refused"
    assert "secret" not in refused["sentence"]
    assert "of secret figures" in caplog.text
    await polled()
    await socket.subscribe("fleet")
    assert (await socket.hear())["op"] == "state", "the socket did not survive it"
    await socket.leave()


@pytest.mark.parametrize("origin", ["http://evil.example", "null"])
async def test_it_lets_no_other_site_open_a_socket(origin: str) -> None:
    browser = await sync_to_async(session_of)(await viewer())
    socket = Socket(browser.cookies["sessionid"].value, origin=origin)
    assert await socket.knock() == "websocket.close"


async def test_it_opens_no_socket_at_another_address() -> None:
    assert await Socket(None, path="/ws/other").knock() == "websocket.close"
