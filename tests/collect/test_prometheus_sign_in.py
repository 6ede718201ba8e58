"""Prometheus endpoints behind a sign-in, TLS with an own authority, and an address of each node's own."""

from __future__ import annotations

from base64 import b64encode
from contextlib import ExitStack
from pathlib import Path

import pytest

from brokers.collect import poll
from brokers.collect.models import PollState
from brokers.rabbitmq.connect_check import Verdict, check
from brokers.registry import services
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from dashboard.acting.broker_form import Entered, secrets_of
from dashboard.acting.connection import steps_of
from tests.collect.conftest import Tick, newest
from tests.support.before_prometheus import Before, before
from tests.support.brokers import TestBroker
from tests.support.certificates import Pair, make_pair, server_context
from tests.support.local_cluster import LocalCluster

pytest_plugins = ["tests.support.local_cluster"]
pytestmark = pytest.mark.django_db(transaction=True)

USER, PASSWORD = "scraper", "s3cret of the proxy"


@pytest.fixture
def authority() -> Pair:
    return make_pair("authority of the proxies", authority=True)


def add(broker: TestBroker, addresses: list[str], **more: str) -> Broker:
    return services.add(
        services.BrokerInput(
            name="shop",
            management_url=broker.management,
            username=broker.username,
            password=broker.password,
            prometheus_urls=tuple(addresses),
            **{"prometheus_username": USER, "prometheus_password": PASSWORD, **more},  # type: ignore[arg-type]
        )
    )


@pytest.fixture
def guarded(any_broker: TestBroker, authority: Pair, tmp_path: Path) -> Before:
    tls = server_context(tmp_path, make_pair("proxy", "127.0.0.1", signed_by=authority))
    with before(any_broker.prometheus, user=USER, password=PASSWORD, tls=tls) as proxy:
        yield proxy  # type: ignore[misc]


def test_it_polls_through_tls_and_a_sign_in_of_the_endpoints_own(
    any_broker: TestBroker, guarded: Before, authority: Pair, tick: Tick
) -> None:
    row = add(any_broker, [guarded.url], prometheus_ca_pem=authority.cert_pem)
    assert tick(row) is poll.Outcome.STORED
    assert newest(row).table(Kind.BROKER).value(0, "received_confirm") >= 0
    sent = {headers.get("Authorization") for headers in guarded.headers_seen}
    assert sent == {f"Basic {b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"}
    steps = list(check(services.endpoint_of(row)))
    assert [step.verdict for step in steps if step.name.startswith("Prometheus")] == [Verdict.OK]


def test_the_test_of_a_connection_signs_in_there_with_what_was_entered(
    any_broker: TestBroker, guarded: Before, authority: Pair
) -> None:
    entered = Entered(
        name="shop",
        management_url=any_broker.management,
        prometheus_urls=guarded.url,
        username=any_broker.username,
        password=any_broker.password,
        prometheus_username=USER,
        prometheus_password=PASSWORD,
        prometheus_ca_pem=authority.cert_pem,
    )
    steps = [step for step in steps_of(entered, secrets_of(entered)) if step.name.startswith("Prometheus")]
    assert [step.state for step in steps] == ["ok"]


def test_it_says_that_the_sign_in_was_refused_and_goes_on_without_prometheus(
    any_broker: TestBroker, guarded: Before, authority: Pair, tick: Tick
) -> None:
    row = add(any_broker, [guarded.url], prometheus_ca_pem=authority.cert_pem, prometheus_password="wrong one")
    assert tick(row) is poll.Outcome.STORED
    reason = PollState.objects.get(broker=row).unknown["broker.received_confirm"]
    assert "“scraper” with the password that was entered" in reason
    assert "wrong one" not in reason
    # Neither the user of the management API nor its password went there.
    own = b64encode(f"{any_broker.username}:{any_broker.password}".encode()).decode()
    assert not any(own in str(headers) for headers in guarded.headers_seen)
    steps = [step for step in check(services.endpoint_of(row)) if step.name.startswith("Prometheus")]
    assert [step.verdict for step in steps] != [Verdict.OK]
    assert "broker's settings" in " ".join(step.remedy for step in steps)


def test_it_checks_the_certificate_as_for_the_management_api(
    any_broker: TestBroker, guarded: Before, tick: Tick
) -> None:
    row = add(any_broker, [guarded.url])
    assert tick(row) is poll.Outcome.STORED
    assert "certificate" in PollState.objects.get(broker=row).unknown["broker.received_confirm"]
    assert not guarded.headers_seen  # nothing was sent to a server that nobody vouches for


def test_it_takes_an_address_of_each_nodes_own(
    local_cluster: LocalCluster, authority: Pair, tmp_path: Path, tick: Tick
) -> None:
    broker = local_cluster.start(3)
    with ExitStack() as stack:
        tls = server_context(tmp_path, make_pair("proxy", "127.0.0.1", signed_by=authority))
        proxies = [
            stack.enter_context(before(node.prometheus, user=USER, password=PASSWORD, tls=tls))
            for node in local_cluster.nodes
        ]
        row = add(broker, [proxy.url for proxy in proxies], prometheus_ca_pem=authority.cert_pem)
        for _ in range(10):
            assert tick(row) is poll.Outcome.STORED
            if newest(row).complete:
                break
            # On a busy machine a node can take longer than it is given to say which one it is.
            PollState.objects.filter(broker=row).update(capabilities_ms=0)
        assert newest(row).complete
        nodes = newest(row).table(Kind.NODE)
        assert nodes.column("received").tolist() == [0, 0, 0]
        for proxy in proxies:
            assert any("queue_coarse_metrics" in path for path in proxy.asked)
