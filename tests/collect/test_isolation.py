"""Brokers that misbehave delay nobody: not the others' ticks, and not by their long lists of definitions either."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.db import connection

from brokers.collect import claims, poll, tasks
from brokers.collect.claims import Claim, Lane
from brokers.collect.models import PollState
from brokers.registry.models import Broker
from brokers.series.models import Snapshot
from tests.support.brokers import TestBroker
from tests.support.builders import make_broker
from tests.support.certificates import make_pair, server_context
from tests.support.misbehaving import Behaviour, answers, by_path, floods, misbehaving, never

pytestmark = pytest.mark.django_db(transaction=True)

# As many threads as a worker has.
THREADS = 16


class Worker:
    """The dispatcher and a worker's threads in this process: what Celery would send is done by a pool."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(THREADS)
        self.sent: list[tuple[Lane, int]] = []
        self.work: list[Future[None]] = []

    def send(self, task: object, claimed: Claim) -> None:
        self.sent.append((claimed.lane, claimed.broker_id))
        self.work.append(self.pool.submit(self._do, task, claimed))

    @staticmethod
    def _do(task: object, claimed: Claim) -> None:
        try:
            task(claimed.broker_id, claimed.token)  # type: ignore[operator]
        finally:
            connection.close()

    def end(self) -> None:
        """Wait for what is under way; raises what a task raised."""
        self.pool.shutdown(wait=True)
        for done in self.work:
            done.result()


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    made = Worker()
    monkeypatch.setattr(tasks, "_send", made.send)
    yield made
    made.end()


def due_now(broker: Broker) -> Broker:
    PollState.objects.filter(broker=broker).update(next_due_ms=0)
    return broker


def test_it_keeps_nine_brokers_polled_beside_ten_that_misbehave(
    any_broker: TestBroker, worker: Worker, tmp_path: Path
) -> None:
    authority = make_pair("authority", authority=True)
    yesterday = make_pair("broker", "127.0.0.1", signed_by=authority, days=(-9, -1))
    expired = server_context(tmp_path, yesterday)
    bad: dict[str, tuple[Behaviour, ssl.SSLContext | None, str]] = {
        **{f"silent-{number}": (never, None, "did not finish answering") for number in range(6)},
        "html": (answers("<html><title>Login</title></html>", content_type="text/html"), None, "HTML page"),
        "broken": (answers("oops", 500), None, "HTTP 500"),
        "huge": (floods(200 * 1024 * 1024), None, "are accepted"),
        "expired": (answers({}), expired, "expired"),
    }
    with ExitStack() as servers:
        for name, (behaviour, tls, _) in bad.items():
            there = servers.enter_context(misbehaving(behaviour, tls=tls))
            due_now(make_broker(name, management_url=there.url, cadence_s=1, ca_pem=authority.cert_pem))
        healthy = [
            due_now(
                make_broker(
                    f"healthy-{number}",
                    management_url=any_broker.management,
                    username=any_broker.username,
                    password=any_broker.password,
                    cadence_s=1,
                )
            )
            for number in range(9)
        ]
        # One behind the other, the silent ones alone would take 105 s for five rounds.
        end = time.monotonic() + 60
        while (
            PollState.objects.filter(broker__name__in=bad, failures__gte=2).count() < len(bad)
            or min(Snapshot.objects.filter(broker_id=broker.id).count() for broker in healthy) < 5
        ):
            tasks.dispatch()
            assert time.monotonic() < end, list(PollState.objects.values_list("broker__name", "failures"))
            time.sleep(0.1)
        worker.end()
    assert not PollState.objects.filter(broker__in=healthy, failures__gt=0).exists()
    for name, (_, _, says) in bad.items():
        state = PollState.objects.get(broker__name=name)
        assert says in state.error_sentence
        assert not Snapshot.objects.filter(broker_id=state.broker_id).exists()


def test_it_reads_definitions_of_a_few_brokers_at_once_and_leaves_the_other_threads_to_ticks(worker: Worker) -> None:
    # They answer ticks well, and their list of queues as definitions never: asked for its cheap form, it hangs.
    def hangs(talk: object, request: object) -> None:
        (never if "disable_stats" in request.path else answers([]))(talk, request)  # type: ignore[attr-defined, arg-type]

    queues = {"/api/queues": hangs, "/api/overview": answers({"rabbitmq_version": "4.0.5", "queue_totals": {}})}
    lists = {f"/api/{name}": answers([]) for name in ("nodes", "vhosts", "exchanges", "policies", "bindings")}
    with misbehaving(by_path({**queues, **lists})) as there:
        rows = [due_now(make_broker(f"slow-{number}", management_url=there.url, cadence_s=1)) for number in range(7)]
        end = time.monotonic() + 60

        def ticked() -> int:
            return min(Snapshot.objects.filter(broker_id=row.id).count() for row in rows)

        while [lane for lane, _ in worker.sent].count(Lane.DEFINITIONS) < claims.READINGS_AT_ONCE or ticked() < 4:
            tasks.dispatch()
            assert time.monotonic() < end, worker.sent
            time.sleep(0.1)
        under_way = PollState.objects.filter(definitions_claimed_until_ms__gt=poll.now_ms()).count()
        assert under_way == claims.READINGS_AT_ONCE
        assert [lane for lane, _ in worker.sent].count(Lane.DEFINITIONS) == claims.READINGS_AT_ONCE
