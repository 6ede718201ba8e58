"""One node's Prometheus endpoint: real ones, and what answers in their place."""

from __future__ import annotations

import time

import pytest

from brokers.rabbitmq.endpoint import Endpoint
from brokers.rabbitmq.errors import BrokerError, ErrorKind
from brokers.rabbitmq.http import Client, Limits, Measure
from brokers.rabbitmq.prometheus import Identity, Prometheus, locate, metrics_url
from tests.support import misbehaving as server
from tests.support.brokers import TestBroker
from tests.support.misbehaving import Behaviour, by_path, misbehaving

LIMITS = Limits(connect=10, read=10, total=20, max_bytes=1 << 20)
IMPATIENT = Limits(connect=0.5, read=0.5, total=0.8, max_bytes=1 << 20)
IDENTITY = 'rabbitmq_identity_info{rabbitmq_node="r@a",rabbitmq_cluster="c"} 1\n'
TEXT = "text/plain; version=0.0.4"


def client(limits: Limits = LIMITS) -> Client:
    return Client(Endpoint("http://127.0.0.1:1"), limits, signed_in=False)


def test_it_reads_a_real_node(broker: TestBroker, vhost: str, amqp: object) -> None:
    amqp.channel().queue_declare("orders")  # type: ignore[attr-defined]
    taken: list[Measure] = []
    node = broker.nodes[0]["name"]
    endpoint = Endpoint(broker.management)
    with Client(endpoint, signed_in=False) as calls:
        reader = Prometheus(calls, broker.prometheus, node=node, measured=taken.append)
        assert reader.identity().node == node
        plain = reader.plain({"rabbitmq_resident_memory_limit_bytes", "nothing_like_it"})
        ready = "rabbitmq_detailed_queue_messages_ready"
        detailed = reader.detailed(["queue_coarse_metrics"], {ready})
    assert plain.keys() == {"rabbitmq_resident_memory_limit_bytes"}
    assert any(vhost.encode() in raw for raw in detailed[ready][0])
    assert [measure.what.partition("?")[0] for measure in taken] == [
        "/metrics/detailed",
        "/metrics",
        "/metrics/detailed",
    ]
    assert taken[0].bytes < 5000


def test_it_finds_who_answers_at_each_address() -> None:
    first = server.answers(IDENTITY, content_type=TEXT)
    with misbehaving(first) as one, misbehaving(server.never) as silent, client() as calls:
        found = locate(calls, [one.url, one.url, silent.url, one.url + "/metrics/"], Limits(connect=3, read=3, total=4))
        assert found[one.url] == found[one.url + "/metrics/"] == Identity("r@a", "c")
        assert isinstance(found[silent.url], BrokerError)
        assert len(one.requests) == 2
    assert locate(calls, [], LIMITS) == {}


def test_it_looks_for_any_number_of_nodes_in_the_time_of_one() -> None:
    """A server that tells of ten thousand listeners would hold a worker's thread up for minutes."""
    with misbehaving(server.never) as silent, client() as calls:
        began = time.monotonic()
        found = locate(calls, [f"{silent.url}/{number}" for number in range(10_000)], IMPATIENT)
        assert time.monotonic() - began < 5
    assert 100 < len(found) < 1000
    assert all(isinstance(one, BrokerError) for one in found.values())


@pytest.mark.parametrize(
    ("behaviour", "kind", "words"),
    [
        (server.answers("", 404), ErrorKind.PLUGIN_OFF, "there is no Prometheus endpoint at http://"),
        (server.answers("", 401), ErrorKind.FORBIDDEN, "without signing in"),
        (server.answers("", 503), ErrorKind.SERVER_ERROR, "HTTP 503"),
        (server.answers("", 301, Location="http://elsewhere/"), ErrorKind.REDIRECTED, "redirects to"),
        (server.answers("<html><title>x</title>"), ErrorKind.NOT_RABBITMQ, "an HTML page titled “x”"),
        (server.answers('{"a": 1}'), ErrorKind.NOT_RABBITMQ, "something else"),
        (server.answers("", content_type=TEXT), ErrorKind.NOT_RABBITMQ, "with nothing"),
        (server.answers("up 1\n", content_type=TEXT), ErrorKind.NOT_RABBITMQ, "name no RabbitMQ node"),
        (server.answers(IDENTITY + "up", content_type=TEXT), ErrorKind.TRUNCATED, "ended its answer in the middle"),
        (server.cut_off(IDENTITY.encode(), 900), ErrorKind.TRUNCATED, "ended its answer in the middle"),
        (server.announces(200 << 20), ErrorKind.TOO_LARGE, "announces 209,715,200 bytes"),
        (server.bomb(64 << 20), ErrorKind.TOO_LARGE, "sends more"),
        (server.drips, ErrorKind.TOO_SLOW, "did not finish answering"),
        (server.answers(IDENTITY, content_type=TEXT), ErrorKind.WRONG_NODE, "for the node “r@a”, not for “r@b”"),
    ],
)
def test_it_says_what_answers_in_place_of_a_node(behaviour: Behaviour, kind: ErrorKind, words: str) -> None:
    calls = client(IMPATIENT if kind is ErrorKind.TOO_SLOW else LIMITS)
    with misbehaving(behaviour) as up, calls, pytest.raises(BrokerError) as raised:
        Prometheus(calls, up.url, node="r@b").plain(["up"])
    assert (raised.value.kind, words in raised.value.sentence) == (kind, True), raised.value
    assert raised.value.remedy


def test_it_reads_gzip_and_asks_for_families_by_name() -> None:
    body = (IDENTITY + "up 1\n").encode()
    with misbehaving(by_path({"/p/metrics/detailed": server.zipped(body)})) as up, client() as calls:
        found = Prometheus(calls, up.url + "/p/").detailed(["a", "b"], ["up"])
        assert found["up"][1].tolist() == [1.0]
        assert up.paths == ["/p/metrics/detailed?family=a&family=b"]
        assert "accept-encoding: gzip" in up.requests[0].head.lower()


@pytest.mark.parametrize("given", ["http://h:1", "http://h:1/", "http://h:1/metrics", "http://h:1/metrics/"])
def test_it_takes_an_address_with_or_without_its_end(given: str) -> None:
    assert metrics_url(given) == "http://h:1/metrics"
