"""What a broker can be asked, decided from what it says of itself."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import pytest

from brokers.rabbitmq.capabilities import capabilities, located, release_of
from brokers.rabbitmq.endpoint import Endpoint
from brokers.rabbitmq.errors import ErrorKind, UnreachableError
from brokers.rabbitmq.prometheus import Identity
from brokers.rabbitmq.structs import FeatureFlag, Listener, Overview

REFUSED = UnreachableError(ErrorKind.REFUSED, "Nobody listens there.", "Look.")


def listener(node: str, port: int = 15692, ip: str = "::", protocol: str = "http/prometheus") -> Listener:
    return Listener(node=node, protocol=protocol, ip_address=ip, port=port)


def addresses(entered: str, *listeners: Listener) -> dict[str, tuple[str, ...]]:
    return dict(capabilities(Overview(listeners=list(listeners)), Endpoint(entered)).addresses)


@pytest.mark.parametrize(
    ("version", "release"),
    [("4.3.6", (4, 3)), ("3.10.8", (3, 10)), ("4.3.0-rc.1", (4, 3)), ("4.1", (4, 1)), ("", ()), ("four", ())],
)
def test_it_reads_versions(version: str, release: tuple[int, ...]) -> None:
    assert release_of(version) == release


@pytest.mark.parametrize(
    ("version", "flags", "exposed"),
    [
        ("3.10.8", None, False),
        ("3.13.7", {"rabbitmq_4.0.0": "enabled"}, False),
        ("4.0.5", None, True),
        ("4.0.5", {"rabbitmq_4.0.0": "enabled"}, True),
        # An upgrade under way: this node is new, another is not.
        ("4.0.5", {"rabbitmq_4.0.0": "disabled"}, False),
        ("4.3.6", {}, True),
        ("5.0.0", {}, True),
        ("", {}, False),
    ],
)
def test_it_takes_counters_from_prometheus_once_every_node_has_them(
    version: str, flags: dict[str, str] | None, exposed: bool
) -> None:
    known = None if flags is None else [FeatureFlag(name=name, state=state) for name, state in flags.items()]
    assert capabilities(Overview(rabbitmq_version=version), Endpoint("http://h"), known).counters_exposed is exposed


@pytest.mark.parametrize(
    ("overview", "words"),
    [
        (Overview(rabbitmq_version="3.8.1"), "older than 3.10"),
        (Overview(rabbitmq_version="4.4.0"), "newer than 4.3"),
        (Overview(), "does not tell its version"),
        (Overview(lavinmq_version="2.1.0"), "LavinMQ speaks a part"),
        (Overview(rabbitmq_version="4.0.1", rates_mode="none"), "count no messages"),
        (Overview(rabbitmq_version="4.0.1", disable_stats=True), "keep no statistics"),
    ],
)
def test_it_says_what_it_cannot_do_and_why(overview: Overview, words: str) -> None:
    told = capabilities(overview, Endpoint("http://h"))
    assert words in " ".join(told.remarks)
    assert told.counts == ("rates" not in words and overview.rates_mode != "none" and not overview.disable_stats)


def test_it_makes_no_remark_on_what_is_as_it_should_be() -> None:
    told = capabilities(Overview(rabbitmq_version="4.3.6", rates_mode="basic"), Endpoint("http://h"))
    assert told.remarks == ()
    assert (told.product, told.version, told.counts, told.escapes_labels) == ("RabbitMQ", "4.3.6", True, True)


def test_it_asks_one_node_at_the_entered_host_first() -> None:
    assert addresses("http://rabbit.example", listener("rabbit@inner")) == {
        "rabbit@inner": ("http://rabbit.example:15692", "http://inner:15692")
    }


def test_it_asks_the_nodes_of_a_cluster_at_their_own_names_first() -> None:
    found = addresses("https://balancer.example/rabbit", listener("rabbit@a"), listener("rabbit@b", ip="10.0.0.2"))
    assert found == {
        "rabbit@a": ("http://a:15692", "http://balancer.example:15692"),
        "rabbit@b": ("http://b:15692", "http://balancer.example:15692", "http://10.0.0.2:15692"),
    }


def test_it_takes_loopback_for_this_machine_only_where_the_entered_host_is() -> None:
    node = listener("rabbit@localhost", ip="127.0.0.1")
    assert addresses("http://rabbit.example", node) == {"rabbit@localhost": ("http://rabbit.example:15692",)}
    here = addresses("http://127.0.0.1:15672", node, listener("two@localhost", port=15693))
    assert here["rabbit@localhost"][0] == "http://127.0.0.1:15692"
    assert here["two@localhost"][0] == "http://127.0.0.1:15693"


def test_it_asks_over_tls_where_the_listener_speaks_it() -> None:
    found = addresses("http://[::1]:15672", listener("r@h", port=15691, protocol="https/prometheus"))
    assert found["r@h"][0] == "https://[::1]:15691"


def test_it_knows_no_address_without_a_prometheus_listener() -> None:
    assert addresses("http://h", listener("r@h", protocol="http"), listener("r@h", port=0)) == {}
    assert capabilities(Overview(), Endpoint("http://h")).addresses == {}


def test_it_takes_what_a_person_entered_in_place_of_all() -> None:
    endpoint = Endpoint("http://h", prometheus_urls=("http://p1:1", "http://p2:2/metrics"))
    told = capabilities(Overview(listeners=[listener("r@h")]), endpoint)
    assert told.addresses == {"": ("http://p1:1", "http://p2:2/metrics")}
    answers = {"http://p1:1": Identity("r@one"), "http://p2:2/metrics": REFUSED}
    assert located(told.addresses, answers) == ({"r@one": "http://p1:1"}, {})
    assert located(told.addresses, dict.fromkeys(answers, REFUSED)) == ({}, {"": REFUSED})


def test_it_keeps_a_node_that_is_down_in_a_cluster_that_answers() -> None:
    told = capabilities(Overview(listeners=[listener("r@a"), listener("r@b")]), Endpoint("http://balancer"))
    answers = {"http://a:15692": Identity("r@a"), "http://b:15692": REFUSED, "http://balancer:15692": Identity("r@a")}
    reached, failed = located(told.addresses, answers)
    assert reached == {"r@a": "http://a:15692", "r@b": "http://b:15692"}
    assert failed == {"r@b": REFUSED}
    assert located(told.addresses, dict.fromkeys(answers, REFUSED)) == ({}, {"r@a": REFUSED, "r@b": REFUSED})


def test_it_goes_by_the_node_that_answers_and_not_by_the_one_that_was_meant() -> None:
    told = capabilities(Overview(listeners=[listener("r@a"), listener("r@b")]), Endpoint("http://balancer"))
    answers = {"http://a:15692": REFUSED, "http://b:15692": Identity("r@b"), "http://balancer:15692": Identity("r@a")}
    assert located(told.addresses, answers) == ({"r@a": "http://balancer:15692", "r@b": "http://b:15692"}, {})


@hypothesis.given(st.text(max_size=30), st.text(max_size=20), st.integers(-5, 70000))
def test_it_survives_any_name_of_a_node(node: str, ip: str, port: int) -> None:
    for one in addresses("http://h", listener(node, port, ip), listener("r@b")).values():
        assert all(address.startswith("http://") and "\n" not in address for address in one)
