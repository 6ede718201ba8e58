"""Each situation is named within three polls, whatever the broker's beats are, and stays named while it lasts."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.lag.state import ConsumerState
from tests.states.playing import named_after, seen
from tests.support.beats import Act, Beats

IDLE, OK, BEHIND, STARVED, STALLED, STOPPED = ConsumerState
WELL = Act(45, 10, 200, 1, 100)
TROUBLES = {
    "consumers are too slow": (BEHIND, Act(60, 20, 10, 1, 20)),
    "a consumer takes everything and acknowledges nothing": (STALLED, Act(60, 10, 0, 1, 0, "never")),
    "a consumer holds what it may and acknowledges nothing": (STALLED, Act(60, 10, 0, 1, 10, "never")),
    "what is delivered comes back": (STALLED, Act(60, 2, 25, 1, 5, "nack", prefill=10)),
    "nobody consumes": (STOPPED, Act(60, 10)),
    "a prefetch of one": (STARVED, Act(60, 40, 24, 1, 1)),
}
ALWAYS = {
    "steadily": Act(120, 10, 200, 1, 50),
    "much": Act(120, 300, 3000, 3, 50),
    "in bursts": Act(120, lambda s: 240 if s % 7 < 0.25 else 0, 40, 1, 50),
    "with automatic acknowledgement": Act(120, 10, 200, 1, mode="auto"),
    "fetched with basic.get": Act(120, 8, 12, 0, mode="get", prefill=20),
}
_phase = st.floats(0, 4.9)
beats = st.builds(
    Beats, queue_s=_phase, publisher_s=_phase, consumer_s=_phase, polled_s=st.floats(0.1, 5), live=st.booleans()
)


@pytest.mark.parametrize("trouble", TROUBLES)
@settings(max_examples=12, deadline=None)
@given(beats=beats)
def test_it_names_a_situation_within_three_polls_and_its_end_too(trouble: str, beats: Beats) -> None:
    state, act = TROUBLES[trouble]
    _, during, after = seen([WELL, act, WELL], beats)
    assert (named_after(during, state) or 99) <= 3, during
    assert (named_after(after, OK) or 99) <= 3, after


@pytest.mark.parametrize("how", ALWAYS)
@settings(max_examples=12, deadline=None)
@given(beats=beats)
def test_it_is_ok_where_messages_are_consumed(how: str, beats: Beats) -> None:
    [states] = seen([ALWAYS[how]], beats)
    assert set(states[3:]) == {OK}, states


@pytest.mark.parametrize("trouble", TROUBLES)
@settings(max_examples=8, deadline=None)
@given(
    beats=beats,
    untold=st.lists(st.sampled_from(["", "", "counters", "consumers", "counters, consumers"]), min_size=3, max_size=7),
)
def test_a_state_stays_where_counters_or_consumers_are_not_told(trouble: str, beats: Beats, untold: list[str]) -> None:
    state, act = TROUBLES[trouble]
    [during] = seen([replace(act, seconds=120)], beats, untold=untold)
    assert set(during[4:]) == {state}, during


@pytest.mark.parametrize("how", ALWAYS)
@settings(max_examples=8, deadline=None)
@given(beats=beats, untold=st.lists(st.sampled_from(["", "counters", "consumers"]), min_size=3, max_size=7))
def test_a_queue_that_does_well_stays_so_then(how: str, beats: Beats, untold: list[str]) -> None:
    [states] = seen([ALWAYS[how]], beats, untold=untold)
    assert set(states[3:]) == {OK}, states


def test_polls_that_come_early_end_no_state() -> None:
    """Where a poll is early it is told the depth of its last beat and the counters of a newer one."""
    early = Beats(3.09, 1.25, 0.11, polled_s=3.28, jitter=(-0.2, -0.3, -0.19, -0.01, 0.07, 0.04, 0.12))
    [held] = seen([TROUBLES["a consumer takes everything and acknowledges nothing"][1]], early)
    assert set(held[3:]) == {STALLED}, held
    late = Beats(4.52, 2.6, 0.92, polled_s=0.52, jitter=(-0.2, 0.38, -0.15, -0.18, 0.02, -0.37, 0.23))
    [starved] = seen([TROUBLES["a prefetch of one"][1]], late)
    assert STALLED not in starved, starved


def test_a_queue_that_is_polled_anew_without_counters_stays_idle() -> None:
    [idle] = seen([Act(60, consumers=1)], every=3)
    assert set(idle) == {IDLE}


@settings(max_examples=2, deadline=None)
@given(beats=beats)
def test_an_idle_queue_is_idle_all_night_with_a_message_now_and_then(beats: Beats) -> None:
    """Eight hours; a message comes every 40 minutes, and a consumer takes it."""
    [quiet] = seen([Act(8 * 3600, lambda s: 20.0 if s % 2400 < 0.25 else 0.0, 100, 2)], beats)
    assert set(quiet) <= {IDLE, OK}
    assert quiet.count(IDLE) > 0.97 * len(quiet)


def test_nothing_is_claimed_of_figures_that_are_unknown() -> None:
    [states] = seen([Act(60, 10)], without=("ready",))
    assert all(map(math.isnan, states))
    [uncounted] = seen([Act(60, 10, 200, 1)], without=("delivered", "acknowledged", "published", "redelivered"))
    assert set(uncounted[2:]) == {OK}


@pytest.mark.parametrize("kind", ["letters", "waits", "stream"])
def test_a_queue_that_nobody_is_to_consume_is_not_stopped(kind: str) -> None:
    [states] = seen(
        [Act(60, 5, prefill=100)], letters=kind == "letters", waits=kind == "waits", stream=kind == "stream"
    )
    assert not {STOPPED, BEHIND} & set(states)


def test_counters_that_are_read_seldom_make_no_false_state() -> None:
    before, _ = seen([Act(200, 10, 200, 1, 50), Act(40, 10)], every=6)
    # What had counted nothing when it was first seen is idle until it is told otherwise.
    assert set(before[:6]) <= {IDLE, OK}
    assert set(before[6:]) == {OK}
    [idle] = seen([Act(300, consumers=1)], every=6)
    assert set(idle) == {IDLE}
    _, stopped = seen([WELL, Act(60, 10)], every=6)
    assert named_after(stopped, STOPPED)


def test_consumers_that_are_read_seldom_make_no_false_state() -> None:
    before, _ = seen([Act(200, 10, 200, 1, 50), Act(40, 10)], every=6, consumers_every=9)
    assert set(before[6:]) == {OK}
    _, stopped = seen([WELL, Act(150, 10)], every=6, consumers_every=9)
    assert named_after(stopped, STOPPED)


def test_it_claims_nothing_before_consumers_were_read_once() -> None:
    [states] = seen([Act(60, 10, 200, 1, 50)], without=("consumers",))
    assert all(map(math.isnan, states))


def test_nobody_is_said_to_have_stopped_where_a_backlog_falls_since_consumers_were_read() -> None:
    _, served = seen([Act(50, 10, prefill=500), Act(200, 10, 400, 2, 50)], every=40, consumers_every=40)
    assert STOPPED not in served[3:]


def test_ticks_that_the_budget_stretches_are_no_gaps() -> None:
    slow = Beats(polled_s=200)
    [states] = seen([Act(4000, 1, prefill=100)], slow)
    assert states[-1] == STOPPED


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("set_back_ms", [7_000, 900_000])
def test_a_clock_that_is_set_back_ends_no_state(trouble: str, set_back_ms: int) -> None:
    state, act = TROUBLES[trouble]
    [during] = seen([replace(act, seconds=120)], set_back_ms=set_back_ms)
    assert set(during[4:]) == {state}, during


@pytest.mark.parametrize("phase_s", [0.0, 1.3, 4.2])
def test_what_a_queue_does_of_habit_is_no_news_every_quarter_of_an_hour(phase_s: float) -> None:
    """Forty minutes of bursts and of teeth: once they are known, nothing is named anew."""
    beats = Beats(phase_s, 2.0, 3.0, 0.5)
    for enter, take in ((lambda s: 240.0 if s % 60 < 0.25 else 0.0, 40), (lambda s: 30.0 if s % 40 < 20 else 0.0, 20)):
        [states] = seen([Act(2400, enter, take, 1, 50)], beats)
        assert set(states[40:]) == {OK}, states
