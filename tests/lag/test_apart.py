"""What is told of a queue hangs on its own figures alone, whatever stands beside it and comes, goes or begins anew."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.lag.beat import Reading
from brokers.lag.history import wrapped
from brokers.lag.inverse import Ages, advance
from brokers.lag.state import METRICS, Memory, Tick, step

QUEUES = 5


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, dict[int, dict[str, float]]]]:
    """By tick its moment, and by slot what was told: counters that begin anew, depths that are purged, ticks that come
    late or without counters, queues that are away for a while."""
    rows = []
    at_ms = 1_700_000_000_000
    figures = {slot: dict.fromkeys(METRICS, 0.0) for slot in range(QUEUES)}
    for _ in range(draw(st.integers(2, 14))):
        at_ms += draw(st.sampled_from([5000, 5000, 5000, 4990, 12_000, 70_000]))
        told = {}
        for slot, now in figures.items():
            what = draw(
                st.sampled_from(["rests", "rests", "flows", "flows", "drains", "purged", "anew", "away", "silent"])
            )
            into = float(draw(st.integers(0, 40))) if what in {"flows", "anew"} else 0.0
            if what == "anew":
                now.update(dict.fromkeys(METRICS, 0.0))
            depth = now["ready"] + now["unacked"] + into
            left = min(depth, float(draw(st.integers(0, 40)))) if what in {"flows", "drains"} else 0.0
            now["published"] += into
            for name in ("acknowledged", "delivered"):
                now[name] += left
            depth = 0.0 if what == "purged" else depth - left
            now["unacked"] = min(depth, float(draw(st.integers(0, 3))))
            now["ready"], now["consumers"] = depth - now["unacked"], float(draw(st.integers(0, 1)))
            now["stream_lag"] = np.nan
            if what != "away":
                told[slot] = {name: np.nan if what == "silent" and name == "published" else now[name] for name in now}
        rows.append((at_ms, told))
    return rows


def columns(told: dict[int, dict[str, float]]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    slots = np.array(sorted(told), dtype=np.uint32)
    return slots, {name: np.array([told[slot][name] for slot in sorted(told)], dtype=np.float64) for name in METRICS}


def lags(rows: list[tuple[int, dict[int, dict[str, float]]]], *, live: bool) -> list[dict[int, tuple[float, float]]]:
    ages, found = Ages(), []
    for at_ms, told in rows:
        slots, figures = columns(told)
        reading = Reading(
            at_ms,
            slots,
            figures["ready"] + figures["unacked"],
            figures["published"],
            figures["acknowledged"],
            live,
            figures["unacked"],
            figures["redelivered"],
        )
        lag = advance(ages, reading)
        found.append(dict(zip(slots.tolist(), zip(lag.time_lag, lag.source, strict=True), strict=True)))
    return found


@settings(max_examples=60, deadline=None)
@given(histories(), st.booleans())
def test_a_lag_is_that_of_the_queue_alone(rows: list[tuple[int, dict[int, dict[str, float]]]], live: bool) -> None:
    together = lags(rows, live=live)
    for slot in range(QUEUES):
        alone = lags([(at_ms, {one: told[one] for one in told if one == slot}) for at_ms, told in rows], live=live)
        for number, found in enumerate(alone):
            for value, other in zip(found.get(slot, ()), together[number].get(slot, ()), strict=True):
                assert value == other or (np.isnan(value) and np.isnan(other)), (number, slot, found, together[number])


@settings(max_examples=60, deadline=None)
@given(histories(), st.booleans())
def test_what_had_come_in_at_a_moment_is_no_more_than_at_a_later_one(
    rows: list[tuple[int, dict[int, dict[str, float]]]], live: bool
) -> None:
    ages = Ages()
    for at_ms, told in rows:
        slots, figures = columns(told)
        total = figures["ready"] + figures["unacked"]
        advance(ages, Reading(at_ms, slots, total, figures["published"], figures["acknowledged"], live))
        entered = [ages.arrivals._counts[ages.arrivals._rows[place]] for place in range(len(ages.arrivals))]
        assert all((np.diff(np.array(entered), axis=0).astype(np.int32) >= 0).flat), entered


@settings(max_examples=60, deadline=None)
@given(histories())
def test_a_state_is_that_of_the_queue_alone_and_what_was_remembered_stays(
    rows: list[tuple[int, dict[int, dict[str, float]]]],
) -> None:
    memories = {slot: Memory() for slot in (*range(QUEUES), None)}
    for at_ms, told in rows:
        states: dict[int | None, dict[int, float]] = {}
        for slot, memory in memories.items():
            slots, figures = columns({one: told[one] for one in told if slot is None or one == slot})
            none = np.zeros(len(slots), dtype=np.bool_)
            before = {name: values.copy() for name, values in memory.columns.items()}
            memories[slot], found = step(memory, Tick(at_ms, slots, figures, none, none, none))
            states[slot] = dict(zip(slots.tolist(), found.tolist(), strict=True))
            for name, values in before.items():
                np.testing.assert_array_equal(values, memory.columns[name])
        alone = {slot: state for one, found in states.items() if one is not None for slot, state in found.items()}
        np.testing.assert_equal(alone, states[None])


@given(st.lists(st.integers(-(2**53), 2**53)))
def test_counts_are_kept_modulo_32_bits(numbers: list[int]) -> None:
    assert wrapped(np.array(numbers, dtype=np.float64)).tolist() == [number % 2**32 for number in numbers]
