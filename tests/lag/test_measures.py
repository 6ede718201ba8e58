"""The registry names every measure once, and derived ones are computed from what the kind really has."""

from __future__ import annotations

import numpy as np
import pytest

from brokers.lag.measures import Form, Over, measure, measures_of, names_of
from brokers.series.metrics import Kind, readable_names


@pytest.mark.parametrize("kind", list(Kind))
def test_it_has_all_that_is_stored_and_every_rate(kind: Kind) -> None:
    assert set(readable_names(kind)) <= set(names_of(kind))
    assert len(set(names_of(kind))) == len(measures_of(kind))


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (
            Kind.QUEUE,
            "total growth drain_time drain_time_recent redeliver_ratio prefetch_used time_lag consumer_state",
        ),
        (Kind.VHOST, "total growth drain_time drain_time_recent redeliver_ratio confirm_gap unroutable_rate"),
        (Kind.EXCHANGE, "confirm_gap unroutable_rate confirm_rate"),
        (
            Kind.BROKER,
            "total growth confirm_gap no_confirm_rate unroutable_rate dead_letter_expired_rate channel_close_rate",
        ),
    ],
)
def test_it_has_the_derived_measures(kind: Kind, names: str) -> None:
    assert set(names.split()) <= set(names_of(kind))


@pytest.mark.parametrize("kind", list(Kind))
def test_every_measure_says_what_it_is(kind: Kind) -> None:
    for one in measures_of(kind):
        assert one.says, one.name
        assert one.formula, one.name
        assert one.source, one.name
        assert one.unit, one.name
        assert one.label, one.name


@pytest.mark.parametrize("kind", list(Kind))
def test_derived_ones_need_only_what_the_kind_has(kind: Kind) -> None:
    for one in measures_of(kind):
        if one.form is Form.DERIVED:
            assert set(one.needs) <= set(readable_names(kind))
            assert one.compute is not None
            columns = {name: np.array([8.0, np.nan]) for name in (*one.needs, "pace")}
            found = one.compute(columns)
            assert not np.isnan(found[0])
            assert np.isnan(found[1]), f"{one.name} of unknown figures is unknown"


def test_several_objects_are_as_late_as_the_latest() -> None:
    lag = measure(Kind.QUEUE, "time_lag")
    capacity = measure(Kind.QUEUE, "capacity")
    ready = measure(Kind.QUEUE, "ready")
    assert lag is not None
    assert capacity is not None
    assert ready is not None
    assert (lag.over, capacity.over, ready.over) == (Over.MAX, Over.MIN, Over.SUM)
