"""A broker that is kept busy by answers of no use is asked seldomer, too: its budget holds for them as well."""

from __future__ import annotations

import time

import msgspec
import pytest

from brokers.collect import claims, poll
from brokers.collect.budget import Budget, Held, Pace, Tier, decode_pace
from brokers.collect.known import decode
from brokers.collect.ledger import spent
from brokers.collect.measures import CallMeasure
from brokers.collect.models import PollState
from brokers.collect.pace import after, after_failure
from brokers.collect.plan import Abilities, plan
from brokers.rabbitmq.errors import ErrorKind
from brokers.registry.models import Broker
from tests.support.builders import make_broker
from tests.support.misbehaving import Behaviour, Request, Talk, answers, by_path, head, misbehaving

NOW_MS = 1_800_000_000_000
BROKER = Broker(name="shop", management_url="http://a:15672", cadence_s=5, budget_percent=2, budget_kb_s=1000)
CUT_OFF = CallMeasure("Prometheus", "rabbit@a", 1.2, error="It ended its answer in the middle.")


def failing(pace: Pace, kind: ErrorKind, call: CallMeasure, times: int = 8) -> list[int]:
    """Return depth's period after each of some polls in a row that failed so."""
    periods = []
    for number in range(times):
        at_ms = NOW_MS + number * 5000
        pace = after_failure(BROKER, pace, kind, [call], at_ms, at_ms + 1500)
        periods.append(pace.of(Tier.DEPTH).every_ms)
    return periods


@pytest.mark.parametrize("kind", [ErrorKind.TRUNCATED, ErrorKind.TOO_LARGE, ErrorKind.SERVER_ERROR, ErrorKind.RESET])
def test_what_took_long_and_was_no_use_is_asked_for_seldomer(kind: ErrorKind) -> None:
    known = Pace({Tier.DEPTH: Held(5000, NOW_MS, ((0.004, 900),) * 3)})
    # The first may be an accident.
    assert failing(known, kind, CUT_OFF)[:4] == [5000, 10_000, 20_000, 40_000]
    assert failing(known, kind, CUT_OFF)[-1] == 200_000
    # Nothing else was known of a new one.
    assert failing(Pace(), kind, CUT_OFF)[-1] == 200_000


def test_what_was_of_no_use_stands_in_the_ledger_and_does_not_outlast_the_trouble() -> None:
    pace = Pace({Tier.DEPTH: Held(5000, NOW_MS, ((0.004, 900),) * 3)})
    chosen = plan(Abilities("4.3.6", {"rabbit@a": "http://a:15692"}), 10, 5000, pace)
    for number in range(8):
        pace = after_failure(BROKER, pace, ErrorKind.TRUNCATED, [CUT_OFF], NOW_MS + number, NOW_MS + number + 1500)
    assert spent(pace.spent, NOW_MS) == pytest.approx(8 * 1.2)
    good = CallMeasure("/metrics/detailed", "rabbit@a", 0.004, 900, 900, tier=Tier.DEPTH)
    again = after(chosen, pace, {Tier.DEPTH}, [good], NOW_MS + 9000, Budget(), 5000)
    assert again.of(Tier.DEPTH).every_ms == 5000


def test_what_took_no_longer_than_ever_changes_nothing() -> None:
    known = Pace({Tier.DEPTH: Held(36_000, NOW_MS, ((1.3, 4_000_000),) * 7)})
    assert set(failing(known, ErrorKind.TRUNCATED, CUT_OFF)) == {36_000}
    quick = msgspec.structs.replace(CUT_OFF, seconds=0.005)
    for kind in (ErrorKind.UNAUTHORISED, ErrorKind.FORBIDDEN, ErrorKind.WRONG_NODE):
        assert after_failure(BROKER, known, kind, [quick], NOW_MS, NOW_MS + 5) is known
        # Nor does a new broker seem to be a small one by that.
        assert after_failure(BROKER, Pace(), kind, [quick], NOW_MS, NOW_MS + 5) == Pace()


@pytest.mark.parametrize("kind", [ErrorKind.REFUSED, ErrorKind.CONNECT_TIMEOUT, ErrorKind.DNS, ErrorKind.TLS_EXPIRED])
def test_what_never_got_there_costs_nothing(kind: ErrorKind) -> None:
    known = Pace({Tier.DEPTH: Held(5000, NOW_MS, ((0.004, 900),) * 3)})
    assert after_failure(BROKER, known, kind, [CUT_OFF], NOW_MS, NOW_MS + 3000) is known


def cut_off(seconds: float) -> Behaviour:
    """Say who answers, and break off an answer with figures after so long."""

    def answer(talk: Talk, request: Request) -> None:
        who = 'rabbitmq_identity_info{rabbitmq_node="rabbit@a",rabbitmq_cluster="a"} 1\n'
        if "family=identity" in request.path:
            answers(who, content_type="text/plain")(talk, request)
            return
        time.sleep(seconds)
        talk.send(head(length=100_000, content_type="text/plain"))
        talk.send(who.encode())

    return answer


@pytest.mark.django_db(transaction=True)
def test_a_proxy_that_cuts_answers_off_does_not_make_a_broker_work_in_vain() -> None:
    with misbehaving(cut_off(0.4)) as prometheus:
        paths = {"/api/overview": answers({"rabbitmq_version": "4.0.5"}), "/api/nodes": answers([{"name": "rabbit@a"}])}
        with misbehaving(by_path(paths)) as management:
            row = make_broker(management_url=management.url, prometheus_urls=prometheus.url)
            for _ in range(4):
                claims.due(0)
                PollState.objects.filter(broker=row).update(next_due_ms=0)
                claimed = claims.claim(row.id, poll.now_ms())
                assert claimed is not None
                assert poll.guarded(row.id, claimed.token) is poll.Outcome.FAILED
            state = PollState.objects.get(broker=row)
            assert (state.error_kind, state.failures) == ("truncated", 4)
            assert state.cadence_ms == decode_pace(state.pace).of(Tier.DEPTH).every_ms >= 20_000
            # Its overview is no use either, and what it says will be doubted when it is asked again.
            known = decode(state.capabilities)
            assert known is not None
            assert known.doubted
            assert management.paths.count("/api/overview") == 1
