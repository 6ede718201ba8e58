"""/healthz, /readyz and /metrics: what they say, when they say no, and who may read what."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpResponse
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from brokers.collect.measures import CallMeasure, TickMeasures
from brokers.collect.models import PollState
from brokers.registry.models import Broker
from brokers.series.models import Span
from dashboard.accounts import tokens
from dashboard.accounts.models import Role, User
from dashboard.pages import probes
from tests.support.builders import append_snapshot, make_broker, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    probes._migrated = False
    yield
    probes._migrated = False


def scrape(user: User | None, **headers: str) -> HttpResponse:
    if user is not None:
        headers["Authorization"] = f"Bearer {tokens.create(user, 'prometheus')[0]}"
    return Client().get("/metrics", headers=headers)


def samples(answer: HttpResponse) -> dict[tuple[str, ...], float]:
    assert answer.status_code == 200, answer.content
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }


def checks(answer: HttpResponse) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in answer.json()["checks"]}


def test_it_lives_whatever_else_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "cursor", _fails)
    answer = Client().get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"ok\n")


def test_it_is_ready_without_a_broker_and_without_a_worker() -> None:
    answer = Client().get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["ready"] is True
    assert {name: check["ok"] for name, check in checks(answer).items()} == {
        "database": True,
        "migrations": True,
        "storage": True,
        "collector": True,
    }


def test_it_tells_anybody_that_collecting_stands_still_and_no_more() -> None:
    broker = make_broker("secret-name", management_url="http://10.0.0.7:15672")
    long_ago = time.time_ns() // 1_000_000 - 3_600_000
    PollState.objects.filter(broker=broker).update(last_tick_ms=long_ago, last_ok_ms=long_ago)
    answer = Client().get("/readyz")
    assert answer.status_code == 200
    assert checks(answer)["collector"] == {
        "name": "collector",
        "ok": False,
        "required": False,
        "sentence": "Collecting: stopped.",
    }
    assert "secret-name" not in answer.content.decode()


def test_it_is_not_ready_while_the_database_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "cursor", _fails)
    answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert checks(answer)["database"]["sentence"].startswith("The database does not answer")
    assert "10.0.0.7" not in answer.content.decode()


def test_it_is_not_ready_while_a_migration_is_missing() -> None:
    applied = MigrationRecorder.Migration.objects.filter(app="series")
    names = list(applied.values_list("name", flat=True))
    applied.delete()
    answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert "manage.py migrate" in checks(answer)["migrations"]["sentence"]
    # It notices by itself when they are there.
    for name in names:
        MigrationRecorder(connection).record_applied("series", name)
    assert Client().get("/readyz").status_code == 200


def test_it_gives_prometheus_warrens_own_figures() -> None:
    shop = make_broker('shop "one"')
    make_broker("attic", paused=True)
    now = time.time_ns() // 1_000_000
    measures = TickMeasures(
        calls=(
            CallMeasure("overview", seconds=0.25, wire_bytes=1200),
            CallMeasure("queues", seconds=0.5, wire_bytes=800),
        ),
        began_ms=now - 7000,
        cpu_s=0.125,
        answer_to_row_ms=40,
        rows={"queue": 10_000, "vhost": 3},
    )
    PollState.objects.filter(broker=shop).update(
        last_tick_ms=now - 4000, last_ok_ms=now - 4000, measures=msgspec.json.encode(measures), cadence_ms=10_000
    )
    found = samples(scrape(make_user(None, Role.VIEWER)))
    assert found["warren_brokers", "live"] == 1
    assert found["warren_brokers", "paused"] == 1
    assert found["warren_broker_state", 'shop "one"', "live"] == 1
    assert found["warren_broker_state", 'shop "one"', "unreachable"] == 0
    assert 4 <= found["warren_broker_poll_age_seconds", 'shop "one"'] < 60
    assert found["warren_broker_poll_cadence_seconds", 'shop "one"'] == 10
    assert found["warren_broker_tick_broker_seconds", 'shop "one"'] == 0.75
    assert found["warren_broker_tick_cpu_seconds", 'shop "one"'] == 0.125
    assert found["warren_broker_answer_to_row_seconds", 'shop "one"'] == 0.04
    assert found["warren_broker_tick_wire_bytes", 'shop "one"'] == 2000
    assert found["warren_broker_objects", 'shop "one"', "queue"] == 10_000
    assert ("warren_broker_poll_age_seconds", "attic") not in found
    assert found["warren_websockets_open",] == 0
    assert found["process_resident_memory_bytes",] > 1e6


def test_it_tells_what_history_takes_and_how_far_compaction_lies_behind() -> None:
    shop = make_broker("shop")
    now = time.time_ns() // 1_000_000
    append_snapshot(shop, {}, whole={"ready": 1}, at_ms=now - 90_000)
    append_snapshot(shop, {}, whole={"ready": 1}, at_ms=now)
    Span.objects.create(
        broker=shop, level=1, start_ms=0, end_ms=3_600_000, ticks=b"", samples=1, known=1, stored_bytes=12_345
    )
    found = samples(scrape(make_user(None, Role.VIEWER)))
    assert found["warren_history_snapshots", "shop"] == 2
    assert 90 <= found["warren_history_oldest_snapshot_age_seconds", "shop"] < 150
    assert found["warren_history_bytes", "shop", "minute"] == 12_345


def test_it_has_as_many_series_however_large_the_brokers_are() -> None:
    viewer = make_user(None, Role.VIEWER)
    counts = []
    for _ in range(3):
        make_broker()
        counts.append(len(samples(scrape(viewer))))
    assert counts[2] - counts[1] == counts[1] - counts[0] <= 20
    assert Broker.objects.count() == 3


def test_it_speaks_open_metrics_where_that_is_asked_for() -> None:
    answer = scrape(make_user(None, Role.VIEWER), Accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.content.endswith(b"# EOF\n")


def test_it_gives_figures_only_to_viewers_of_all_brokers() -> None:
    shop = make_broker("shop")
    assert scrape(None).status_code == 401
    assert scrape(None, Authorization="Bearer wrn_wrong").status_code == 401
    for grants in ((), ((Role.ADMINISTRATOR, shop),), ((Role.VIEWER, shop, "*"),)):
        answer = scrape(make_user(None, *grants))
        assert answer.status_code == 403
        assert "shop" not in answer.content.decode()
    client = Client()
    client.force_login(make_user(None, Role.OPERATOR))
    assert client.get("/metrics").status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_it_takes_no_other_method(path: str) -> None:
    assert Client().post(path).status_code == 405


def _fails(*_: Any) -> Any:
    raise OperationalError("connection to 10.0.0.7 refused")
