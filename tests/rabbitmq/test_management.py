"""The management API of real brokers of each version: every call decodes, and says of everything what is known."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pika
import pytest
import requests

from brokers.rabbitmq import refusals
from brokers.rabbitmq.endpoint import Endpoint
from brokers.rabbitmq.errors import ErrorKind, ForbiddenError, NoPermissionRowError, NotFoundError
from brokers.rabbitmq.http import Client, Limits, Measure
from brokers.rabbitmq.management import Management
from brokers.rabbitmq.structs import Queue
from tests.support.brokers import TestBroker

NAMES = [
    "plain",
    "a/b",
    "100%",
    "%2F",
    "<script>alert(1)</script>",
    "quote'\"back\\",
    "ünï😀",
    "with space ",
    "?x=1#y",
    "+",
]


@pytest.fixture
def management(broker: TestBroker) -> Iterator[Management]:
    """The API as the administrator."""
    with Management(Endpoint(broker.management, username=broker.username, password=broker.password)) as made:
        yield made


@pytest.fixture
def watching(broker: TestBroker, watcher: tuple[str, str]) -> Iterator[Management]:
    """The API as a watcher with a row in `/` and in the test's vhost."""
    with Management(Endpoint(broker.management, username=watcher[0], password=watcher[1])) as made:
        yield made


def test_it_decodes_every_call(
    broker: TestBroker, management: Management, vhost: str, amqp: pika.BlockingConnection
) -> None:
    channel = amqp.channel()
    channel.exchange_declare("topic", "topic", durable=True, arguments={"alternate-exchange": "amq.fanout"})
    for name in NAMES:
        channel.queue_declare(name, durable=True, arguments={"x-max-length": 9})
        channel.queue_bind(name, "topic", f"key.{name}", arguments={"x": 1})
        channel.exchange_declare(f"ex {name}", "fanout", durable=True)
    channel.basic_qos(prefetch_count=7)
    channel.basic_consume("plain", lambda *_: None, consumer_tag="tag")
    channel.basic_publish("", "a/b", b"x")
    broker.api("PUT", f"policies/{vhost}/p", {"pattern": "^a", "definition": {"max-length": 5}, "apply-to": "queues"})
    if broker.release >= (4, 0):
        broker.api("PUT", f"operator-policies/{vhost}/o", {"pattern": ".", "definition": {"expires": 10**7}})
    overview = management.overview()
    assert (overview.rabbitmq_version or "").startswith(broker.version)
    assert overview.node == broker.nodes[0]["name"]
    assert {"amqp", "http", "http/prometheus"} <= {one.protocol for one in overview.listeners or ()}
    assert overview.totals.queues is not None
    # A broker that has just started tells nothing of its node before its first beat.
    end = time.monotonic() + 20
    while (node := next(one for one in management.nodes() if one.name == overview.node)).mem_used is None:
        assert time.monotonic() < end, node
        time.sleep(0.5)
    assert node.running is True
    assert None not in (node.mem_used, node.mem_limit, node.disk_free, node.fd_total, node.uptime, node.mem_alarm)
    assert "rabbitmq_management" in (node.enabled_plugins or ())
    assert "administrator" in management.whoami().tag_set
    assert {flag.state for flag in management.feature_flags()} <= {
        "enabled",
        "disabled",
        "unavailable",
        "state_changing",
    }
    assert vhost in {one.name for one in management.vhosts()}
    exchanges = {one.name: one for one in management.exchanges(vhost)}
    assert exchanges["topic"].declared == {"alternate-exchange": "amq.fanout"}
    assert exchanges[""].type == "direct"
    assert {one.name for one in management.exchanges()} >= exchanges.keys()
    queues = {one.name: one for one in management.queues(vhost)}
    assert queues.keys() == set(NAMES)
    assert queues["plain"].declared["x-max-length"] == 9
    assert queues["plain"].durable is True
    assert {one.name for one in management.queue_definitions(vhost)} == set(NAMES)
    assert [one.name for one in management.policies(vhost)] == ["p"]
    assert management.policies(vhost)[0].keys == {"max-length": 5}
    if broker.release >= (4, 0):
        assert [one.name for one in management.operator_policies(vhost)] == ["o"]
    bindings = management.bindings(vhost)
    assert {(one.destination, one.routing_key) for one in bindings if one.source == "topic"} == {
        (name, f"key.{name}") for name in NAMES
    }
    for name in NAMES:
        assert management.queue(vhost, name).name == name
        assert {one.source for one in management.queue_bindings(vhost, name)} == {"", "topic"}
        assert management.exchange(vhost, f"ex {name}").name == f"ex {name}"
    assert management.exchange(vhost, "").name == ""


def test_it_tells_consumers_with_their_prefetch(
    management: Management, vhost: str, amqp: pika.BlockingConnection
) -> None:
    channel = amqp.channel()
    channel.queue_declare("q")
    channel.basic_qos(prefetch_count=7)
    channel.basic_consume("q", lambda *_: None, consumer_tag="tag")
    # The broker tells its statistics of a consumer a moment after it lets it consume.
    end = time.monotonic() + 20
    while not (found := management.consumers(vhost)) or not found[0].channel.user:
        assert time.monotonic() < end, found
        amqp.process_data_events(0.1)
    (consumer,) = found
    assert (consumer.consumer_tag, consumer.prefetch_count, consumer.queue.name) == ("tag", 7, "q")
    assert consumer.ack_required is True
    assert consumer.channel.user == management.endpoint.username


def _declare_many(amqp: pika.BlockingConnection) -> set[str]:
    """Declare more queues than a page holds; return their names."""
    channel = amqp.channel()
    wanted = {f"q{number:04}" for number in range(520)}
    for name in wanted:
        channel.queue_declare(name, exclusive=True)
    return wanted


@pytest.mark.parametrize("call", [Management.queues, Management.queue_definitions])
def test_it_reads_all_queues_in_one_answer_and_by_pages_where_that_is_too_large(
    call: Callable[..., list[Queue]], management: Management, vhost: str, amqp: pika.BlockingConnection
) -> None:
    wanted = _declare_many(amqp)
    taken: list[Measure] = []
    whole = call(Management(management.endpoint, client=management.client, measured=taken.append), vhost)
    assert {one.name for one in whole} == wanted
    assert len(whole) == len(wanted)
    assert ["page=" in measure.what for measure in taken] == [False]
    narrow = Client(management.endpoint, Limits(max_bytes=taken.pop().bytes * 2 // 3))
    found = call(Management(management.endpoint, client=narrow, measured=taken.append), vhost, page_size=260)
    assert {one.name for one in found} == wanted
    assert len(found) == len(wanted)
    assert [measure.what.partition("page=")[2][0] for measure in taken] == ["1", "2"]


def test_it_reads_an_empty_list(management: Management, vhost: str) -> None:
    assert management.queues(vhost) == []
    assert management.queue_definitions(vhost) == []
    assert management.policies(vhost) == []
    assert management.consumers(vhost) == []
    assert management.bindings(vhost) == []


def test_it_lets_a_watcher_see_what_it_may(broker: TestBroker, watching: Management, vhost: str) -> None:
    assert watching.whoami().tag_set == {"monitoring"}
    assert watching.nodes()
    assert watching.overview().listeners
    assert watching.looks_into(vhost)
    assert watching.queues(vhost) == []
    if broker.release >= (4, 0):
        assert watching.feature_flags()
    else:
        with pytest.raises(ForbiddenError) as raised:
            watching.feature_flags()
        assert raised.value.missing_tag == "administrator"


def test_it_tells_a_vhost_without_a_row_from_one_that_is_not_there(broker: TestBroker, watching: Management) -> None:
    closed = broker.make_vhost("closed")
    try:
        assert closed in {one.name for one in watching.vhosts()}
        assert not watching.looks_into(closed)
        for call in (watching.queues, watching.exchanges, watching.bindings, watching.policies):
            with pytest.raises(NoPermissionRowError) as raised:
                call(closed)
            assert raised.value.vhost == closed
            assert f"rabbitmqctl set_permissions -p {closed} " in raised.value.remedy
        with pytest.raises(NoPermissionRowError):
            watching.queue(closed, "q")
    finally:
        broker.delete_vhost(closed)
    with pytest.raises(NotFoundError) as gone:
        watching.queues(closed)
    assert "There is no vhost" in gone.value.sentence


def test_it_says_what_is_missing(management: Management, watching: Management, vhost: str) -> None:
    for api in (management, watching):
        with pytest.raises(NotFoundError) as raised:
            api.queue(vhost, "nowhere")
        assert f"There is no queue “nowhere” in the vhost “{vhost}”" in raised.value.sentence
        with pytest.raises(NotFoundError, match="There is no exchange"):
            api.exchange(vhost, "nowhere")


def test_it_refuses_a_user_that_has_no_tag(broker: TestBroker) -> None:
    name, password = broker.make_watcher()
    try:
        broker.api("PUT", f"users/{name}", {"password": password, "tags": ""})
        with Management(Endpoint(broker.management, username=name, password=password)) as api:
            with pytest.raises(ForbiddenError) as raised:
                api.overview()
            assert raised.value.missing_tag == "monitoring"
            broker.api("PUT", f"users/{name}", {"password": password, "tags": "management"})
            assert api.whoami().tag_set == {"management"}
            with pytest.raises(ForbiddenError) as raised:
                api.nodes()
            assert raised.value.missing_tag == "monitoring"
    finally:
        broker.delete_user(name)


def test_it_takes_an_imported_exchange_whose_auto_delete_is_undefined(
    broker: TestBroker, management: Management, vhost: str
) -> None:
    # An import is a form's file there; what it lacks stays undefined on 3.10 and 4.0, and is shown as that word.
    definitions = {"exchanges": [{"name": "imported", "type": "topic", "durable": True, "arguments": {}}]}
    done = requests.post(
        f"{broker.management}/api/definitions/{vhost}",
        auth=(broker.username, broker.password),
        data=json.dumps(definitions),
        headers={"Content-Type": "application/json"},
        timeout=20,
    )
    if done.status_code >= 400:
        # 4.3 refuses what 3.10 and 4.0 take.
        assert broker.release >= (4, 1)
        return
    try:
        (found,) = [one for one in management.exchanges(vhost) if one.name == "imported"]
        assert found.auto_delete in {None, False}
        assert found.durable is True
        assert management.exchange(vhost, "imported").type == "topic"
    finally:
        # A vhost with such an exchange can't be deleted on 4.0: the exchange has to go first.
        broker.api("DELETE", f"exchanges/{vhost}/imported", expect=(404, 500))


def test_it_measures_each_call(broker: TestBroker) -> None:
    taken: list[Measure] = []
    endpoint = Endpoint(broker.management, username=broker.username, password=broker.password)
    with Management(endpoint, measured=taken.append) as api:
        api.overview()
    (measure,) = taken
    assert measure.what == "/api/overview"
    assert measure.bytes >= measure.wire_bytes > 0
    assert measure.seconds > 0


def test_it_reports_a_page_that_is_out_of_range_by_its_kind(management: Management, vhost: str) -> None:
    answer = management.get(["queues", vhost], {"page": "7", "page_size": "100"})
    assert answer.status == 400
    assert refusals.refusal(answer, management.endpoint).kind is ErrorKind.PAGE_OUT_OF_RANGE
