"""How a broker stands, decided from its last polls and the clock."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from brokers.collect.state import Condition, PollFacts, decide

NOW = 1_800_000_000_000
LIVE = PollFacts("shop", False, 5000, NOW - 3_600_000, last_tick_ms=NOW - 3000, last_ok_ms=NOW - 3100)


def test_it_is_new_until_a_poll_has_ended() -> None:
    state = decide(PollFacts("shop", False, 5000, NOW - 2000), NOW)
    assert state.condition is Condition.NEW
    assert state.since_ms is None
    assert not state.collector_stopped


def test_it_says_that_the_collector_does_not_run_when_nothing_was_ever_polled() -> None:
    state = decide(PollFacts("shop", False, 5000, NOW - 60_000), NOW)
    assert state.condition is Condition.NEW
    assert state.collector_stopped
    assert "60 s" in state.reason
    assert "collector does not run" in state.reason


def test_it_is_live_after_a_good_poll() -> None:
    assert decide(LIVE, NOW).condition is Condition.LIVE


def test_it_is_late_after_one_failure_and_unreachable_after_two() -> None:
    one = replace(
        LIVE, failures=1, failing_since_ms=NOW - 1000, error_sentence="rabbit:15672 refuses.", error_remedy="R."
    )
    assert decide(one, NOW).condition is Condition.LATE
    assert decide(one, NOW).reason == "rabbit:15672 refuses."
    two = decide(replace(one, failures=2), NOW)
    assert two.condition is Condition.UNREACHABLE
    assert (two.since_ms, two.reason, two.remedy) == (NOW - 1000, "rabbit:15672 refuses.", "R.")


def test_it_tells_a_collector_that_stopped_from_a_broker_that_does_not_answer() -> None:
    stopped = decide(replace(LIVE, last_tick_ms=NOW - 40_000), NOW)
    assert stopped.condition is Condition.LATE
    assert stopped.collector_stopped
    assert stopped.reason.startswith("No poll has ended for 40 s")
    polling = decide(replace(LIVE, last_tick_ms=NOW - 14_000, claimed_until_ms=NOW + 2000), NOW)
    assert polling.condition is Condition.LATE
    assert not polling.collector_stopped
    assert "has not answered" in polling.reason


def test_it_stays_unreachable_when_the_collector_stops_and_says_both() -> None:
    facts = replace(
        LIVE, failures=7, failing_since_ms=NOW - 90_000, error_sentence="It refused.", last_tick_ms=NOW - 60_000
    )
    state = decide(facts, NOW)
    assert state.condition is Condition.UNREACHABLE
    assert state.collector_stopped
    assert "collector does not run" in state.reason
    assert "It refused." in state.reason


def test_it_is_paused_whatever_else_is_true() -> None:
    facts = replace(LIVE, paused=True, failures=9, last_tick_ms=NOW - 10_000_000)
    assert decide(facts, NOW).condition is Condition.PAUSED


@given(
    st.booleans(),
    st.integers(1000, 300_000),
    st.none() | st.integers(0, 10**7),
    st.integers(0, 50),
    st.integers(-10_000, 10_000),
)
def test_it_always_gives_a_reason_unless_all_is_well(
    paused: bool, cadence_ms: int, age_ms: int | None, failures: int, claim_ms: int
) -> None:
    tick = None if age_ms is None else NOW - age_ms
    facts = PollFacts(
        "shop",
        paused,
        cadence_ms,
        NOW - 10**8,
        tick,
        tick,
        failures,
        tick,
        NOW + claim_ms,
        "It refused." * bool(failures),
    )
    state = decide(facts, NOW)
    assert (state.condition is Condition.LIVE) == (not state.reason)
