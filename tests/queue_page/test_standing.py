"""A queue's standing: the word and the sentence that follow from what was seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.registry.details import QueueDetail
from brokers.series.read import Series
from dashboard.live.topics import TOPICS
from dashboard.queries.queue_state import EVIDENCE_METRICS, Around, Seen, seen, standing
from dashboard.templatetags.live import TONES

NAN = math.nan
CLASSIC = QueueDetail(type="classic", durable=True, state="running")
HERE = Around("shop")


def of(
    ready: float = 0, unacked: float = 0, consumers: float = 1, publish: float = 0, ack: float = 0, change: float = 0
) -> Seen:
    return Seen(ready, unacked, consumers, publish, ack, change, seconds=300, polls=60, gaps=0)


@pytest.mark.parametrize(
    ("found", "word", "says"),
    [
        (of(), "Idle", "For 5 min, nothing waited and nothing moved."),
        (
            of(publish=42.1, ack=42.1),
            "Keeping up",
            "42.1 /s were acknowledged while 42.1 /s were published; nothing waits.",
        ),
        (of(ready=9, publish=5, ack=5, change=9), "Keeping up", "9 messages wait."),
        (of(ready=900, publish=42, ack=4, change=800), "Falling behind", "800 more wait than then, 900 in all."),
        (of(ready=900, publish=42, ack=118, change=-800), "Catching up", "800 fewer wait than then, 900 still."),
        (
            of(ready=12, unacked=8, consumers=2, publish=1, change=12),
            "Stalled",
            "2 consumers are subscribed and 12 messages wait.",
        ),
        (of(ready=12, consumers=0), "No consumer", "12 messages wait and nobody is subscribed: nothing leaves."),
        (of(ready=1, consumers=0, publish=3), "No consumer", "nothing leaves, 3.0 /s enter."),
        (of(ready=NAN, unacked=NAN), "Unknown", "shop has not told its figures in the last 5 min."),
        (of(ready=3, publish=NAN, ack=NAN), "Running", "How fast they move is not known yet."),
    ],
)
def test_it_says_how_a_queue_moves(found: Seen, word: str, says: str) -> None:
    shown = standing(CLASSIC, HERE, found, "03:04:00")
    assert shown.word == word
    assert says in shown.sentence
    assert shown.evidence == "From 60 polls since 03:04:00, none missing. Counters only; no message was read."


@pytest.mark.parametrize("state", ["down", "crashed", "stopped"])
def test_it_believes_the_broker_that_a_queue_is_down(state: str) -> None:
    shown = standing(QueueDetail(type="classic", state=state), HERE, of(ready=5))
    assert (shown.icon, shown.word) == ("critical", "Down")
    assert state in shown.sentence


def test_it_counts_the_members_of_a_queue_without_majority() -> None:
    detail = QueueDetail(type="quorum", state="minority", members=("a", "b", "c"), online=("a",))
    shown = standing(detail, HERE, of(ready=NAN))
    assert shown.word == "No majority"
    assert shown.sentence.startswith("1 of 3 members are online.")


def test_it_takes_what_a_stream_holds_for_no_backlog() -> None:
    shown = standing(QueueDetail(type="stream"), HERE, of(ready=5_000_000, consumers=0, publish=10))
    assert shown.icon == "ok"
    assert "no backlog" in shown.sentence


@pytest.mark.parametrize(
    ("detail", "whose"),
    [
        (
            QueueDetail(type="classic", dead_letters_of=("a", "b"), dead_letter_sources=24),
            "It is a dead-letter queue of 24 queues.",
        ),
        (QueueDetail(type="classic", named_like_dlq=True), "by its name: no queue is seen to dead-letter to it."),
    ],
)
def test_it_expects_no_consumer_of_a_dead_letter_queue(detail: QueueDetail, whose: str) -> None:
    shown = standing(detail, HERE, of(ready=40, consumers=0))
    assert (shown.icon, shown.word) == ("dead", "Holding")
    assert shown.sentence.startswith("40 letters wait here.")
    assert whose in shown.sentence


def test_it_expects_no_consumer_of_a_queue_in_which_messages_wait_for_their_time() -> None:
    waits = QueueDetail(type="classic", waits=True)
    shown = standing(waits, HERE, of(ready=40, consumers=0, publish=3))
    assert (shown.icon, shown.word) == ("queued", "Waiting")
    assert shown.sentence.startswith("40 messages wait here until the time is up, ")
    assert standing(waits, HERE, of(ready=1, consumers=0)).sentence.startswith("1 message waits here ")
    assert standing(waits, HERE, of()).word == "Idle"


def test_it_puts_what_is_not_of_now_before_every_figure() -> None:
    stale = Around("shop", stale=True, stale_since="03:04:00", figures_of="03:03:55")
    assert standing(CLASSIC, stale, of(ready=5, consumers=0)).word == "Stale"
    assert "since 03:04:00. The last figures are of 03:03:55." in standing(CLASSIC, stale, of()).sentence
    assert standing(CLASSIC, Around("shop", stale=True, gone_at="02:00:00"), of()).word == "Gone"
    assert standing(CLASSIC, Around("shop", closed=True), of(ready=NAN)).word == "Closed to Warren"


def test_it_counts_gaps_in_what_it_saw() -> None:
    ready = np.array([10, NAN, 30, NAN])
    times = np.array([0, 5_000, 10_000, 15_000])
    series = Series(times, dict.fromkeys(EVIDENCE_METRICS, ready), 1000)
    found = seen(series)
    assert (found.polls, found.gaps, found.change, found.seconds, found.ready) == (2, 2, 20, 10, 30)
    nothing = seen(Series(np.empty(0, dtype=np.int64), {name: np.empty(0) for name in EVIDENCE_METRICS}, 1000))
    assert math.isnan(nothing.ready)
    assert standing(CLASSIC, HERE, nothing).evidence == ""


figure = st.one_of(st.just(NAN), st.floats(0, 1e12))


@given(
    st.builds(
        Seen,
        figure,
        figure,
        figure,
        figure,
        figure,
        st.one_of(st.just(NAN), st.floats(-1e12, 1e12)),
        st.floats(0, 300),
        st.integers(0, 300),
        st.integers(0, 9),
    ),
    st.sampled_from(
        [
            CLASSIC,
            QueueDetail(),
            QueueDetail(type="stream"),
            QueueDetail(named_like_dlq=True),
            QueueDetail(waits=True),
            QueueDetail(state="flow"),
        ]
    ),
)
def test_it_finds_a_word_for_anything_and_says_no_nan(found: Seen, detail: QueueDetail) -> None:
    shown = standing(detail, HERE, found)
    assert shown.icon in TONES
    assert shown.word
    assert "nan" not in shown.sentence.lower()
    assert shown.sentence.endswith(".")


def test_the_topic_is_there() -> None:
    assert "queue" in TOPICS
