"""A queue's standing: the word and the sentence that follow from what was seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.lag.evidence import Seen as EvidenceSeen
from brokers.lag.state import ConsumerState
from brokers.registry.details import QueueDetail
from brokers.series.read import Series
from dashboard.live.topics import TOPICS
from dashboard.queries.queue_state import EVIDENCE_METRICS, Around, Judged, Polls, polls, standing
from dashboard.queries.queues_states import of_one
from dashboard.templatetags.live import TONES

NAN = math.nan
CLASSIC = QueueDetail(type="classic", durable=True, state="running")
HERE = Around("shop")


NOW = Polls(60, 0, "03:04:00")


def of(named: float = ConsumerState.OK, detail: QueueDetail = CLASSIC, **figures: float) -> Judged:
    known = {
        **dict.fromkeys(("ready", "unacked", "publish_rate", "ack_rate", "deliver_rate"), 0.0),
        "consumers": 1.0,
        **figures,
    }
    state = of_one(detail, {**known, "consumer_state": float(named)})
    return Judged(state, float(named), EvidenceSeen(**known))


@pytest.mark.parametrize(
    ("found", "word", "says"),
    [
        (of(ConsumerState.IDLE), "Idle", "Nothing enters and nothing is there."),
        (of(publish_rate=42.1, ack_rate=42.1), "Keeping up", "42.1 /s enter and 42.1 /s leave; nothing waits."),
        (of(ready=9, publish_rate=5, ack_rate=5), "Keeping up", "9 messages wait."),
        (
            of(ready=900, publish_rate=42, ack_rate=118, growth=-800),
            "Keeping up",
            "900 messages wait, 800 fewer a minute.",
        ),
        (
            of(ConsumerState.FALLING_BEHIND, ready=900, publish_rate=42, ack_rate=4, growth=800),
            "Falling behind",
            "900 messages are there, 800 more a minute: 42.0 /s enter and 4.0 /s leave.",
        ),
        (
            of(ConsumerState.STALLED, ready=12, unacked=8, consumers=2, prefetch=8),
            "Stalled",
            "12 messages wait and 2 consumers hold 8 of 8, yet nothing is acknowledged.",
        ),
        (
            of(ConsumerState.STARVED, ready=412, unacked=30, consumers=3, prefetch=30, ack_rate=750),
            "Starved by prefetch",
            "412 messages wait and 3 consumers hold 30 of 30; each is acknowledged after 40 ms: a larger",
        ),
        (
            of(ConsumerState.STOPPED, ready=12, consumers=0),
            "Stopped",
            "12 messages wait and nobody is subscribed: nothing leaves.",
        ),
        (of(NAN, ready=1, consumers=0, publish_rate=3), "Stopped", "nothing leaves, and 3.0 /s enter."),
        (of(NAN, ready=NAN, unacked=NAN), "Unknown", "shop has not told its figures in the last 5 min."),
        (of(NAN, ready=3, publish_rate=NAN, ack_rate=NAN), "Too new to say", "3 messages wait. There were too few"),
    ],
)
def test_it_says_how_a_queue_moves(found: Judged, word: str, says: str) -> None:
    shown = standing(CLASSIC, HERE, found, NOW)
    assert shown.word == word
    assert says in shown.sentence
    assert shown.evidence == "From 60 polls since 03:04:00, none missing. Counters only; no message was read."


def test_it_says_what_becomes_of_messages_where_no_more_fit_in() -> None:
    around = Around(
        "shop", full="It is full: it holds 100 at most, and for each message that enters, the oldest is dropped."
    )
    shown = standing(CLASSIC, around, of(ConsumerState.STOPPED, ready=100, consumers=0, publish_rate=9), NOW)
    assert shown.sentence == (
        "100 messages wait and nobody is subscribed. "
        "It is full: it holds 100 at most, and for each message that enters, the oldest is dropped."
    )
    # Nothing is said to stay that does not.
    assert "nothing leaves" not in shown.sentence
    late = standing(CLASSIC, around, of(ConsumerState.FALLING_BEHIND, ready=100, publish_rate=9, ack_rate=1), NOW)
    assert late.sentence.endswith("the oldest is dropped.")


@pytest.mark.parametrize("state", ["down", "crashed", "stopped"])
def test_it_believes_the_broker_that_a_queue_is_down(state: str) -> None:
    shown = standing(QueueDetail(type="classic", state=state), HERE, of(ready=5), NOW)
    assert (shown.icon, shown.word) == ("critical", "Down")
    assert state in shown.sentence


def test_it_counts_the_members_of_a_queue_without_majority() -> None:
    detail = QueueDetail(type="quorum", state="minority", members=("a", "b", "c"), online=("a",))
    shown = standing(detail, HERE, of(NAN, ready=NAN), NOW)
    assert shown.word == "No majority"
    assert shown.sentence.startswith("1 of 3 members are online.")


def test_it_takes_what_a_stream_holds_for_no_backlog() -> None:
    stream = QueueDetail(type="stream")
    shown = standing(stream, HERE, of(detail=stream, ready=5_000_000, consumers=0, publish_rate=10), NOW)
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
    shown = standing(detail, HERE, of(detail=detail, ready=40, consumers=0), NOW)
    assert (shown.icon, shown.word) == ("dead", "Holding")
    assert shown.sentence.startswith("40 letters wait here.")
    assert whose in shown.sentence


def test_it_expects_no_consumer_of_a_queue_in_which_messages_wait_for_their_time() -> None:
    waits = QueueDetail(type="classic", waits=True)
    shown = standing(waits, HERE, of(detail=waits, ready=40, consumers=0, publish_rate=3), NOW)
    assert (shown.icon, shown.word) == ("queued", "Waiting")
    assert shown.sentence.startswith("40 messages wait here until the time is up, ")
    single = standing(waits, HERE, of(detail=waits, ready=1, consumers=0), NOW)
    assert single.sentence.startswith("1 message waits here ")
    assert standing(waits, HERE, of(ConsumerState.IDLE, waits), NOW).word == "Idle"


def test_it_puts_what_is_not_of_now_before_every_figure() -> None:
    stale = Around("shop", stale=True, stale_since="03:04:00", figures_of="03:03:55")
    assert standing(CLASSIC, stale, of(ready=5, consumers=0), NOW).word == "Stale"
    assert "since 03:04:00. The last figures are of 03:03:55." in standing(CLASSIC, stale, of(), NOW).sentence
    assert standing(CLASSIC, Around("shop", stale=True, gone_at="02:00:00"), of(), NOW).word == "Gone"
    assert standing(CLASSIC, Around("shop", closed=True), of(NAN, ready=NAN), NOW).word == "Closed to Warren"


def test_it_counts_gaps_in_what_it_saw() -> None:
    ready = np.array([10, NAN, 30, NAN])
    times = np.array([0, 5_000, 10_000, 15_000])
    series = Series(times, dict.fromkeys(EVIDENCE_METRICS, ready), 1000)
    assert polls(series, "03:04:00") == Polls(2, 2, "03:04:00")
    assert polls(Series(np.empty(0, dtype=np.int64), {"ready": np.empty(0)}, 1000)) == Polls(0, 0)


figure = st.one_of(st.just(NAN), st.floats(0, 1e12))


@given(
    st.sampled_from([NAN, *map(float, ConsumerState)]),
    st.builds(EvidenceSeen, *[figure] * 8, st.one_of(st.just(NAN), st.floats(-1e12, 1e12)), figure),
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
def test_it_finds_a_word_for_anything_and_says_no_nan(named: float, found: EvidenceSeen, detail: QueueDetail) -> None:
    figures = {name: getattr(found, name) for name in EvidenceSeen.__dataclass_fields__}
    state = of_one(detail, {**figures, "consumer_state": named})
    shown = standing(detail, HERE, Judged(state, named, found), NOW)
    assert shown.icon in TONES
    assert shown.word
    assert "nan" not in shown.sentence.lower()
    assert shown.sentence.endswith(".")


def test_the_topic_is_there() -> None:
    assert "queue" in TOPICS
