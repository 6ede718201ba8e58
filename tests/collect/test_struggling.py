"""A broker that struggles is not asked for dearer things: slow is not absent, and what is slow costs only itself."""

from __future__ import annotations

import math
import time
from typing import Any

import msgspec
import pytest

from brokers.collect import capabilities, claims, clients, poll, scrape
from brokers.collect.budget import Tier, decode_pace, encode_pace
from brokers.collect.capabilities import PATIENCE
from brokers.collect.measures import decode
from brokers.collect.models import PollState
from brokers.rabbitmq.http import Limits
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from tests.collect.conftest import Tick, newest, register
from tests.support.before_prometheus import before
from tests.support.brokers import TestBroker
from tests.support.builders import make_broker
from tests.support.misbehaving import Behaviour, Request, Talk, answers, by_path, head, misbehaving, never, resets

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines of half a second instead of four."""
    limits = Limits(connect=0.5, read=0.6, total=0.7)
    monkeypatch.setattr(capabilities, "_LOCATING", limits)
    monkeypatch.setattr(clients, "TICK_LIMITS", limits)
    monkeypatch.setattr(scrape, "TICK_DEADLINE_S", 1.0)


def once(row: Broker) -> PollState:
    """One tick at the pace in force, due or not."""
    claims.due(0)
    PollState.objects.filter(broker=row).update(next_due_ms=0)
    claimed = claims.claim(row.id, poll.now_ms())
    assert claimed is not None
    poll.guarded(row.id, claimed.token)
    return PollState.objects.get(broker=row)


def all_due(row: Broker) -> None:
    """Let the next tick ask for everything, as one some minutes later would."""
    claims.due(0)
    state = PollState.objects.get(broker=row)
    pace = decode_pace(state.pace)
    tiers = {name: msgspec.structs.replace(held, asked_ms=0) for name, held in pace.tiers.items()}
    state.pace = encode_pace(msgspec.structs.replace(pace, tiers=tiers))
    state.save(update_fields=["pace"])


def lists_asked(state: PollState) -> list[str]:
    return [call.what for call in decode(state.measures).calls if call.what.startswith("/api/queues")]


@pytest.mark.usefixtures("hasty")
def test_a_slow_prometheus_leads_to_no_dearer_call_until_it_was_slow_for_several_ticks(broker: TestBroker) -> None:
    if broker.release < (4, 0):
        pytest.skip("An older broker is asked for its list of queues in any case.")
    with before(broker.prometheus) as proxy:
        row = register(broker, prometheus=(proxy.url,))
        assert once(row).failures == 0
        proxy.delay_s = 2.0
        for number in range(1, PATIENCE + 2):
            state = once(row)
            assert (state.failures, state.error_kind, lists_asked(state)) == (number, "too_slow", [])
        # It has nothing else to go by any more: what is dear is better than nothing, as often as the pace bears.
        for _ in range(3):
            state = once(row)
            if not state.failures:
                break
        assert (state.failures, bool(lists_asked(state))) == (0, True)
        # By what the list costs, and not by what Prometheus did.
        assert len(decode_pace(state.pace).of(Tier.DEPTH).recent) == 1
        assert "did not finish answering" in " ".join(decode(state.measures).plan)
        proxy.delay_s = 0.0
        PollState.objects.filter(broker=row).update(capabilities_ms=0)
        state = once(row)
        assert (state.failures, lists_asked(state)) == (0, [])


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("behaviour", [never, answers("", 503), resets])
def test_at_first_sight_too_what_struggles_is_not_taken_for_absent(behaviour: Behaviour) -> None:
    with misbehaving(behaviour) as prometheus:
        listener = {"node": "a@127.0.0.1", "ip_address": "127.0.0.1", "port": prometheus.port}
        overview = {"rabbitmq_version": "4.0.5", "listeners": [{**listener, "protocol": "http/prometheus"}]}
        with misbehaving(by_path({"/api/overview": answers(overview)})) as management:
            state = once(make_broker(management_url=management.url))
            assert state.failures == 1
            assert not any(path.startswith("/api/queues") for path in management.paths)


def test_a_broker_that_takes_long_to_say_what_it_can_do_is_polled_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than a claim lasts that nobody extends."""
    monkeypatch.setitem(claims._SPAN_MS, claims.Lane.TICK, 500)

    def slow(answer: Behaviour) -> Behaviour:
        def late(talk: Talk, request: Request) -> None:
            time.sleep(0.7)
            answer(talk, request)

        return late

    paths = {"/api/overview": slow(answers({"rabbitmq_version": "4.0.5"})), "/api/feature-flags": slow(answers([]))}
    with misbehaving(by_path({**paths, "/api/queues": answers([]), "/api/exchanges": answers([])})) as management:
        row = make_broker(management_url=management.url)
        state = once(row)
        assert (state.last_ok_ms is not None, state.failures) == (True, 0)


@pytest.mark.parametrize("behaviour", [answers("", 404), answers("<html>", content_type="text/html")])
def test_what_is_absent_is_asked_of_the_management_api_at_once(behaviour: Behaviour) -> None:
    with misbehaving(behaviour) as prometheus:
        paths = {"/api/overview": answers({"rabbitmq_version": "4.0.5"}), "/api/queues": answers([])}
        with misbehaving(by_path(paths)) as management:
            state = once(make_broker(management_url=management.url, prometheus_urls=prometheus.url))
            assert state.failures == 0
            assert lists_asked(state)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("family", ["queue_delivery_metrics", "queue_coarse_metrics"])
def test_counters_that_do_not_come_cost_the_tick_nothing_else(any_broker: TestBroker, family: str) -> None:
    """Depth that does not come costs it all."""
    with before(any_broker.prometheus) as proxy:
        row = register(any_broker, prometheus=(proxy.url,))
        for _ in range(20):
            all_due(row)
            base = once(row).base_snapshot
            if base is not None:
                break
        assert base is not None
        proxy.delay_s, proxy.slow_families = 2.0, (family,)
        all_due(row)
        state = once(row)
        if family == "queue_coarse_metrics":
            assert state.failures == 1
            return
        assert state.failures == 0
        total = newest(row).table(Kind.BROKER)
        assert total.value(0, "ready") >= 0
        assert math.isnan(total.value(0, "published"))
        assert "did not finish answering" in state.unknown["queue.delivered"]
        # Sums go on from what was counted whole.
        assert state.base_snapshot == base
        proxy.delay_s = 0.0
        for _ in range(20):
            all_due(row)
            state = once(row)
            if state.base_snapshot != base:
                break
        assert newest(row).table(Kind.BROKER).value(0, "published") >= 0
        assert state.base_snapshot != base


def queues(number: int) -> list[dict[str, Any]]:
    return [
        {"name": f"q{index}", "vhost": "/", "messages_ready": 1, "messages_unacknowledged": 0, "consumers": 0}
        for index in range(number)
    ]


def whole(seconds: float) -> Behaviour:
    """A list of 80 queues in one answer that takes so long."""

    def answer(talk: Talk, request: Request) -> None:
        time.sleep(seconds)
        answers(queues(80))(talk, request)

    return answer


def paged(pages: int, seconds: float) -> Behaviour:
    """A list that is too large for one answer, in pages of ten queues that take so long each."""

    def page(talk: Talk, request: Request) -> None:
        if "page=" not in request.path:
            talk.send(head(length=10**9))
            return
        time.sleep(seconds)
        number = int(request.path.partition("page=")[2].partition("&")[0])
        items = [{**one, "name": f"{one['name']}-{number}"} for one in queues(10)]
        answers({"items": items, "page": number, "page_count": pages})(talk, request)

    return page


def test_a_list_of_many_slow_pages_is_given_up_at_the_deadline_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape, "TICK_DEADLINE_S", 1.0)
    monkeypatch.setattr(scrape, "SLOW_DEADLINE_S", 1.0)
    paths = {
        "/api/overview": answers({"rabbitmq_version": "4.0.5", "queue_totals": {"messages_ready": 5}}),
        "/api/queues": paged(100, 0.2),
        "/api/exchanges": answers([]),
    }
    with misbehaving(by_path(paths)) as management:
        state = once(make_broker(management_url=management.url))
        assert state.failures == 0
        held = decode_pace(state.pace).of(Tier.DEPTH)
        assert held.recent[-1][0] >= 0.9
        time.sleep(0.5)
        asked = len(management.paths)
        time.sleep(1.0)
        assert len(management.paths) == asked


@pytest.mark.parametrize("listed", [whole(1.5), paged(8, 0.2)])
def test_where_there_is_no_prometheus_a_long_list_of_queues_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, listed: Behaviour
) -> None:
    monkeypatch.setattr(scrape, "TICK_DEADLINE_S", 1.0)
    paths = {
        "/api/overview": answers({"rabbitmq_version": "4.0.5"}),
        "/api/queues": listed,
        "/api/exchanges": answers([]),
    }
    with misbehaving(by_path(paths)) as management:
        row = make_broker(management_url=management.url)
        for _ in range(2):
            assert once(row).failures == 0
            assert len(newest(row).table(Kind.QUEUE).slots) == 80


def test_a_list_of_vhosts_that_fails_once_makes_no_sum_fall(tick: Tick) -> None:
    def told(published: int) -> Behaviour:
        return answers([{"name": "/", "message_stats": {"publish": published}}])

    paths: dict[str, Behaviour] = {
        "/api/overview": answers({"rabbitmq_version": "4.0.5"}),
        "/api/queues": answers(queues(1)),
        "/api/exchanges": answers([]),
        "/api/vhosts": told(1000),
    }
    with misbehaving(by_path(paths)) as management:
        row = make_broker(management_url=management.url)

        def published() -> float:
            assert tick(row) is poll.Outcome.STORED
            return newest(row).table(Kind.VHOST).value(0, "published")

        assert published() == 1000
        paths["/api/vhosts"] = told(10)  # the broker restarted
        assert published() == 1010
        paths["/api/vhosts"] = answers("oops", 500)
        assert math.isnan(published())
        paths["/api/vhosts"] = told(15)
        assert published() == 1015
