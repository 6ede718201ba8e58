"""Measures for Prometheus: which queues have series, how many there are at most, and names that try to break out."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from brokers.collect.models import PollState
from brokers.lag.measures import measures_of
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from dashboard.pages import own_measures
from dashboard.pages.own_measures import Bounds, Measures, family_name, highest
from tests.support.builders import Seen, append_snapshot, make_broker

pytestmark = pytest.mark.django_db

Samples = dict[str, dict[tuple[str, ...], float]]


def scrape(queues: int = 3) -> Samples:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Measures(time.time_ns() // 1_000_000, Bounds(queues, vhosts=5)))
    found: Samples = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        assert family.documentation.endswith(".")
        assert family.samples or family.name in {"warren_broker_vhosts_left_out", "warren_broker_figures_failed"}
        for sample in family.samples:
            labels = [sample.labels[name] for name in ("broker", "vhost", "queue") if name in sample.labels]
            found.setdefault(sample.name, {})[tuple(labels)] = sample.value
    return found


def filled(queues: list[Seen], *, vhosts: list[Seen] | None = None, whole: dict[str, float] | None = None) -> Broker:
    broker = make_broker('shop "one"')
    append_snapshot(
        broker,
        {Kind.QUEUE: queues, Kind.VHOST: vhosts or [Seen("", "v", {"ready": 7, "unacked": 1, "queues": 1})]},
        whole=whole or {"ready": 7, "unacked": 1, "connections": 4},
    )
    return broker


def test_it_gives_the_measures_of_brokers_and_vhosts_by_their_own_names() -> None:
    filled([])
    found = scrape()
    assert found["warren_broker_total_messages"] == {('shop "one"',): 8}
    assert found["warren_broker_connections"] == {('shop "one"',): 4}
    assert found["warren_vhost_ready_messages"] == {('shop "one"', "v"): 7}
    # What nobody knows has no sample, and no zero.
    assert "warren_broker_unconfirmed_messages" not in found


def test_it_gives_series_to_the_worst_queues_alone() -> None:
    queues = [
        Seen("v", f"q{number}", {"ready": number, "unacked": 0, "time_lag": number, "consumer_state": 1})
        for number in range(50)
    ]
    queues += [Seen("v", f"bad{state}", {"ready": 1, "unacked": 0, "consumer_state": state}) for state in range(6)]
    filled(queues)
    found = scrape()
    assert found["warren_queue_time_lag_seconds"] == {('shop "one"', "v", f"q{n}"): n for n in (47, 48, 49)}
    worst = {queue for _, _, queue in found["warren_queue_consumer_state"]}
    assert worst == {"q47", "q48", "q49", "bad3", "bad4", "bad5"}
    assert scrape(queues=0).get("warren_queue_total_messages") is None


def test_it_has_as_many_series_however_many_queues_there_are() -> None:
    def count(samples: Samples) -> int:
        return sum(map(len, samples.values()))

    broker = make_broker()
    counts = []
    for size in (40, 2000):
        queues = [
            Seen(
                f"v{number % 20}",
                f"q{number}",
                {"ready": number, "unacked": 0, "time_lag": number, "consumer_state": 4},
            )
            for number in range(size)
        ]
        vhosts = [Seen("", f"v{number}", {"ready": number, "unacked": 0}) for number in range(20)]
        append_snapshot(broker, {Kind.QUEUE: queues, Kind.VHOST: vhosts})
        counts.append(count(scrape()))
    assert counts[0] == counts[1]
    assert scrape()["warren_broker_vhosts_left_out"] == {(broker.name,): 15}
    assert {vhost for _, vhost in scrape()["warren_vhost_total_messages"]} == {f"v{number}" for number in range(15, 20)}


def test_a_broker_that_does_not_answer_has_no_figures_and_stops_nobody_elses() -> None:
    broker = filled([Seen("v", "q", {"ready": 1, "unacked": 0, "time_lag": 4})])
    make_broker("never polled")
    assert scrape()["warren_queue_time_lag_seconds"]
    PollState.objects.filter(broker=broker).update(failures=3, failing_since_ms=1)
    assert set(scrape()) == set()


def test_one_broker_whose_figures_fail_takes_no_scrape_away(monkeypatch: pytest.MonkeyPatch) -> None:
    first = filled([])
    second = make_broker("second")
    append_snapshot(second, {}, whole={"ready": 3, "unacked": 0})
    real = own_measures.present

    def present(broker_id: int) -> Any:
        if broker_id == first.pk:
            raise ValueError("broken")
        return real(broker_id)

    monkeypatch.setattr(own_measures, "present", present)
    found = scrape()
    assert found["warren_broker_total_messages"] == {("second",): 3}
    assert found["warren_broker_figures_failed"] == {(first.name,): 1, ("second",): 0}


@pytest.mark.parametrize(
    "name", ['"} evil 1\n# HELP x', "back\\slash\\n", "new\nline", "ünï日本", "{}=,", 'quote"', " ", "\r\n\t"]
)
def test_a_name_stays_within_its_label(name: str) -> None:
    filled([Seen(name, name, {"ready": 1, "unacked": 0, "time_lag": 4})], vhosts=[Seen("", name, {"ready": 1})])
    found = scrape()
    assert list(found["warren_queue_time_lag_seconds"]) == [('shop "one"', name, name)]
    assert list(found["warren_vhost_ready_messages"]) == [('shop "one"', name)]


@settings(deadline=None)
@given(st.lists(st.one_of(st.floats(allow_nan=True), st.integers(-3, 3).map(float)), max_size=30), st.integers(0, 12))
def test_the_highest_are_the_first_of_all_in_order(values: list[float], most: int) -> None:
    found = highest(np.array(values, dtype=np.float64), most).tolist()
    known = [(-value, place) for place, value in enumerate(values) if not np.isnan(value)]
    assert found == [place for _, place in sorted(known)][:most]


def test_every_family_has_a_name_of_its_own_with_its_unit() -> None:
    for kind in Kind:
        names = [family_name(kind, one) for one in measures_of(kind)]
        assert len(names) == len(set(names))
    queue = {one.name: family_name(Kind.QUEUE, one) for one in measures_of(Kind.QUEUE)}
    assert queue["time_lag"] == "warren_queue_time_lag_seconds"
    assert queue["publish_rate"] == "warren_queue_publish_rate_messages_per_second"
    assert queue["redeliver_ratio"] == "warren_queue_redeliver_ratio"
    assert queue["message_bytes"] == "warren_queue_message_bytes"
