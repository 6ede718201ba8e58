"""*Test connection*: every step with its verdict and remedy, on real brokers and on servers that misbehave."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from brokers.rabbitmq import connect_check
from brokers.rabbitmq.connect_check import Step, Verdict
from brokers.rabbitmq.endpoint import Endpoint
from brokers.rabbitmq.errors import grant_command
from tests.support import misbehaving as server
from tests.support.brokers import TestBroker
from tests.support.misbehaving import Behaviour, Misbehaving, by_path, misbehaving

ORDER = ["Name", "TCP", "TLS", "Sign-in", "Rights", "Plugins", "Prometheus"]
NODE = "rabbit@one"
IDENTITY = f'rabbitmq_identity_info{{rabbitmq_node="{NODE}",rabbitmq_cluster="c"}} 1\n'
OVERVIEW = {"rabbitmq_version": "4.3.6", "management_version": "4.3.6", "node": NODE, "rates_mode": "basic"}


def steps(endpoint: Endpoint, **options: float) -> dict[str, Step]:
    return {step.name: step for step in connect_check.check(endpoint, **options)}


def like_a_broker() -> tuple[Behaviour, Callable[[Misbehaving], None]]:
    """Return a server that answers as a broker of one node does, and what tells it its own port."""
    listed: list[object] = []
    paths = {
        "/api/whoami": server.answers({"name": "watch", "tags": ["monitoring"]}),
        "/api/vhosts": server.answers([{"name": "/"}]),
        "/api/policies/%2F": server.answers([]),
        "/api/nodes": server.answers([{"name": NODE, "running": True, "enabled_plugins": ["rabbitmq_prometheus"]}]),
        "/api/feature-flags": server.answers([]),
        "/metrics/detailed": server.answers(IDENTITY, content_type="text/plain"),
    }

    def overview(talk: server.Talk, request: server.Request) -> None:
        server.answers({**OVERVIEW, "listeners": listed})(talk, request)

    def listening(at: Misbehaving) -> None:
        listed.append({"node": NODE, "protocol": "http/prometheus", "ip_address": "::", "port": at.port})

    return by_path({**paths, "/api/overview": overview}), listening


def checked(behaviour: Behaviour, listening: Callable[[Misbehaving], None] = lambda _: None) -> dict[str, Step]:
    with misbehaving(behaviour) as up:
        listening(up)
        return steps(Endpoint(up.url, username="watch", password="kept-to-itself"))


def changed(path: str, behaviour: Behaviour) -> dict[str, Step]:
    """Test the connection to a server that is as it should be but for one path."""
    well, listening = like_a_broker()

    def behave(talk: server.Talk, request: server.Request) -> None:
        (behaviour if request.path.partition("?")[0] == path else well)(talk, request)

    return checked(behave, listening)


def test_it_goes_through_all_steps_of_a_real_broker(broker: TestBroker, watcher: tuple[str, str], vhost: str) -> None:
    found = steps(Endpoint(broker.management, username=watcher[0], password=watcher[1]))
    node = broker.nodes[0]["name"]
    assert list(found) == [*ORDER[:-1], f"Prometheus of {node}"]
    assert {name: step.verdict for name, step in found.items() if name != "Rights"} == dict.fromkeys(
        [name for name in found if name != "Rights"], Verdict.OK
    )
    assert f"RabbitMQ {broker.version}." in found["Plugins"].sentence
    assert "It answers at http://127.0.0.1:" in found[f"Prometheus of {node}"].sentence
    # Other tests' vhosts stand on the broker too, and the watcher has a row in `/` and in this test's only.
    assert vhost not in found["Rights"].sentence
    assert grant_command(vhost, watcher[0]) not in found["Rights"].commands


def test_it_names_the_vhosts_without_a_row_and_the_commands(broker: TestBroker) -> None:
    closed = broker.make_vhost("closed it's")
    name, password = broker.make_watcher("/")
    try:
        found = steps(Endpoint(broker.management, username=name, password=password))["Rights"]
    finally:
        broker.delete_user(name)
        broker.delete_vhost(closed)
    assert found.verdict is Verdict.WARNING
    command = f"rabbitmqctl set_permissions -p '{closed}' {name} '' '' ''".replace("it's", "it'\"'\"'s")
    assert command in found.commands
    assert not any(" -p / " in one for one in found.commands)


@pytest.mark.parametrize(
    ("tags", "step", "words"),
    [
        ("", "Sign-in", "has no tag that lets it use the management API"),
        ("management", "Rights", "lacks the tag monitoring"),
    ],
)
def test_it_names_the_missing_tag(broker: TestBroker, tags: str, step: str, words: str) -> None:
    name, password = broker.make_watcher()
    try:
        broker.api("PUT", f"users/{name}", {"password": password, "tags": tags})
        found = steps(Endpoint(broker.management, username=name, password=password))
    finally:
        broker.delete_user(name)
    assert found[step].verdict is Verdict.CRITICAL
    assert words in found[step].sentence
    assert f"rabbitmqctl set_user_tags {name} " in f"{found[step].remedy}{found[step].commands}"
    if step == "Rights":
        assert found["Plugins"].verdict is Verdict.OK
        assert "with the tag monitoring only" in found["Prometheus"].sentence


def test_it_tells_a_wrong_password(broker: TestBroker) -> None:
    found = steps(Endpoint(broker.management, username=broker.username, password="wrong"))
    assert found["Sign-in"].verdict is Verdict.CRITICAL
    assert "does not accept the credentials" in found["Sign-in"].sentence
    assert [found[name].verdict for name in ORDER[4:]] == [Verdict.IDLE] * 3


def test_it_finds_nothing_wrong_where_nothing_is() -> None:
    well, listening = like_a_broker()
    found = checked(well, listening)
    assert {step.verdict for step in found.values()} == {Verdict.OK}
    assert found["Rights"].sentence == "watch has the tag monitoring and looks into its one vhost."


@pytest.mark.parametrize(
    ("path", "behaviour", "step", "verdict", "words"),
    [
        ("/api/whoami", server.answers("<html>", 200), "Sign-in", Verdict.CRITICAL, "an HTML page"),
        ("/api/whoami", server.answers("", 404), "Sign-in", Verdict.CRITICAL, "there is no management API"),
        ("/api/whoami", server.answers("", 302, Location="http://x/"), "Sign-in", Verdict.CRITICAL, "redirects to"),
        ("/api/vhosts", server.answers([]), "Rights", Verdict.OK, "has no vhost"),
        # Of a vhost with such a name nothing can be asked: no reason to try nothing else.
        (
            "/api/vhosts",
            server.answers([{"name": name} for name in ("/", ".", "..")]),
            "Rights",
            Verdict.OK,
            "1 of 3 vhosts that were tried",
        ),
        ("/api/overview", server.answers({**OVERVIEW, "rates_mode": "none"}), "Plugins", Verdict.WARNING, "no rates"),
        (
            "/api/overview",
            server.answers({**OVERVIEW, "disable_stats": True}),
            "Plugins",
            Verdict.WARNING,
            "keep no statistics",
        ),
        (
            "/api/overview",
            server.answers({**OVERVIEW, "rabbitmq_version": "3.8.1"}),
            "Plugins",
            Verdict.WARNING,
            "older than 3.10",
        ),
        (
            "/api/overview",
            server.answers({"lavinmq_version": "2.0"}),
            "Plugins",
            Verdict.WARNING,
            "LavinMQ speaks a part of RabbitMQ's API",
        ),
        (
            "/api/nodes",
            server.answers([{"name": NODE, "running": True, "enabled_plugins": []}]),
            "Plugins",
            Verdict.WARNING,
            f"rabbitmq_prometheus is off on {NODE}",
        ),
        ("/api/nodes", server.answers({}, 401), "Plugins", Verdict.OK, "RabbitMQ 4.3.6."),
        ("/api/overview", server.answers(OVERVIEW), "Prometheus", Verdict.WARNING, "No node has a Prometheus"),
        (
            "/metrics/detailed",
            server.answers("no", 404),
            f"Prometheus of {NODE}",
            Verdict.CRITICAL,
            "there is no Prometheus endpoint",
        ),
        (
            "/metrics/detailed",
            server.answers("<html>", content_type="text/html"),
            f"Prometheus of {NODE}",
            Verdict.CRITICAL,
            "an HTML page",
        ),
        (
            "/metrics/detailed",
            server.answers("go_threads 7\n", content_type="text/plain"),
            f"Prometheus of {NODE}",
            Verdict.CRITICAL,
            "name no RabbitMQ node",
        ),
        (
            "/metrics/detailed",
            server.answers(IDENTITY[:-9], content_type="text/plain"),
            f"Prometheus of {NODE}",
            Verdict.CRITICAL,
            "ended its answer in the middle",
        ),
    ],
)
def test_it_judges_each_step(path: str, behaviour: Behaviour, step: str, verdict: Verdict, words: str) -> None:
    found = changed(path, behaviour)
    assert (found[step].verdict, words in found[step].sentence) == (verdict, True), found[step]
    if verdict is Verdict.CRITICAL:
        assert found[step].remedy


def test_it_says_when_another_node_answers() -> None:
    other = IDENTITY.replace(NODE, "rabbit@two")
    found = changed("/metrics/detailed", server.answers(other, content_type="text/plain"))
    assert "Prometheus of rabbit@two" in found


@pytest.mark.parametrize("silent", ["/api/whoami", "/api/vhosts", "/api/policies/%2F", "/api/overview", "/api/nodes"])
@pytest.mark.parametrize("how", [server.never, server.drips])
def test_it_ends_in_time_whatever_the_other_side_does(
    monkeypatch: pytest.MonkeyPatch, silent: str, how: Behaviour
) -> None:
    monkeypatch.setattr(connect_check, "_CALL_S", 0.3)
    well, listening = like_a_broker()

    def behave(talk: server.Talk, request: server.Request) -> None:
        (how if request.path.partition("?")[0] == silent else well)(talk, request)

    with misbehaving(behave) as up:
        listening(up)
        found = steps(Endpoint(up.url, username="watch", password="x"), total_s=15.0)
        # The server would have gone on for a minute, and was left before.
        assert not up.closing.is_set()
    slow = [step for step in found.values() if step.verdict is Verdict.CRITICAL]
    assert len(slow) == 1
    assert "did not finish answering within" in slow[0].sentence


def test_it_stops_when_its_time_is_used_up() -> None:
    with misbehaving(server.never) as up:
        run = connect_check.check(Endpoint(up.url), total_s=0.2)
        first = next(run)
        time.sleep(0.25)
        rest = list(run)
    assert first.verdict is Verdict.OK
    assert [step.verdict for step in rest] == [Verdict.CRITICAL, *[Verdict.IDLE] * 5]
    assert "0.2 s for everything" in rest[0].sentence


def test_it_warns_of_credentials_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("brokers.rabbitmq.connect_verdicts.is_loopback", lambda _: False)
    well, listening = like_a_broker()
    found = checked(well, listening)
    assert found["TLS"].verdict is Verdict.WARNING
    assert "in the clear" in found["TLS"].sentence


def test_it_shows_no_secret_in_any_step() -> None:
    for path in ("/api/whoami", "/api/vhosts", "/api/overview", "/metrics/detailed"):
        for behaviour in (server.answers("<html>"), server.resets, server.answers("", 500)):
            assert "kept-to-itself" not in repr(changed(path, behaviour))
