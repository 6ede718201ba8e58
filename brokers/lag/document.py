"""docs/measures.md, written from the registry of measures: `python -m brokers.lag.document > docs/measures.md`.

A test holds the page equal to what this writes, so that no measure is without its line and no line without its measure.
"""

# ruff: noqa: E501  # lines of a Markdown page
from __future__ import annotations

import sys
from collections.abc import Iterator

from brokers.lag.measures import Form, Measure, measures_of
from brokers.series.metrics import Kind

_HEAD = """\
# Measures

Everything that Warren shows, charts, answers by API and exports, by the names that all of these use. This page is written from
the registry (`brokers/lag/measures.py`) by `python -m brokers.lag.document`.

*Unknown* is never zero: what a broker does not tell, or has not told twice yet, is a gap in a chart, a dash with its reason on
a page, `null` with its reason in the API. A *rate* is a second's worth of a counter; a counter that fell (a restart, a channel
that vanished) makes its interval unknown. A pace over the last minute or the last ten is one over two steps where a chart's steps
are longer. Of several objects together measures are added up, unless the table says otherwise.
"""
_TITLES = {
    Kind.BROKER: "Of a broker",
    Kind.NODE: "Of a node",
    Kind.VHOST: "Of a vhost",
    Kind.EXCHANGE: "Of an exchange",
    Kind.QUEUE: "Of a queue",
}
_FORMS = {
    Form.GAUGE: "gauge",
    Form.COUNTER: "counter",
    Form.STATE: "state",
    Form.RATE: "rate",
    Form.DERIVED: "derived",
}
_VERSIONS = """\
## What a version can't tell

| | what | why |
|---|---|---|
| before 4.0 | counters of each queue and exchange from Prometheus | they came with 4.0: until then the management API is asked, as \
often as the budget bears; in between they are unknown |
| before 4.0 | `confirmed`, `returned`, `dropped` of an exchange, and what follows from them | nothing counts them by exchange |
| without Prometheus | `received_confirm`, the dead letters by reason, `confirm_gap` and `no_confirm_rate` of a broker; \
`connections`, `leaders`, `received`, `confirmed` of a node | the management API does not count them |
| all | `time_lag` by `head_message_timestamp` | of classic queues alone, where publishers set `timestamp`; else from counters |
| all | `prefetch` | unknown where a consumer has no limit, and until the definitions are read again after one came or went |
| all | `capacity`, `message_bytes`, `memory`, `stream_lag`, `unconfirmed` | dear for the broker: asked seldom, and more seldom \
as it grows; the last answer holds until the next |
| all | `consumer_state` | unknown for the first polls of a queue that holds messages; of streams and dead-letter queues only \
what makes sense for them |
| management rates mode `none` | all counters of queues and vhosts by the management API | the broker was set not to count |

The collector's page says for each broker what is unknown there, and why.

## How far a time lag can be trusted

| source | shown as | what it claims |
|---|---|---|
| 0 counters, 1 timestamp of the head, 2 stream offsets | `45 s` | within one tick and 5 % of the age that the oldest message has, or had \
within the last 5 s |
| 3 at least | `> 45 s` | the oldest message is older than what is known of the queue; or anywhere in it, since the queue puts at its tail what is \
returned; or consumers may still hold what a purge left them |
| 4 about | `~ 45 s` | more flowed since the figures were told than they could tell it to within 5 s and 5 %: seldom from 4.0 on, often before \
it, where the counters that the management API has are up to 6 s old, each at a beat of its own |

What no figure shows is not marked: a queue tells its depth every 5 s, so that a purge, what expires, or a consumer that has just begun, shows up to
5 s later. And between two readings of counters messages are taken to have come in as the depths told meanwhile say: where the budget has
counters read each minute, a burst in that minute that was taken as fast as it came is taken for a steady flow.

## The states of consumers

| `consumer_state` | name | when |
|---|---|---|
| 0 | idle | nothing enters, nothing is there |
| 1 | ok | what enters leaves, or what waits is being worked off |
| 2 | falling behind | the backlog grows over the last polls though consumers acknowledge, and further than it does of habit |
| 3 | starved by prefetch | messages wait while consumers hold all they may, and only for the time of a round trip |
| 4 | stalled | messages wait, consumers are there, and nothing is acknowledged; redeliveries do not count |
| 5 | stopped | messages wait and nobody is subscribed, nor fetches them with `basic.get` |

A state is named within three polls, seldom four or five, and without a threshold to set: RabbitMQ tells its figures in beats of 5 s that are out of
phase, so one silent reading must be borne out by the queue's depth, or by a second one. With automatic acknowledgement a
delivery counts as an acknowledgement. *Starved by prefetch* alone rests on a fixed measure: consumers that hold one or two messages each have
them for at most 0.2 s, those that hold up to 20 for at most 0.1 s, while what waits keeps them busy for at least a second. A broker can't tell a long way from long work: a consumer that
works 40 ms on each message with a prefetch of one shows the same figures as one that is 40 ms away.
"""


def page() -> str:
    """Return the whole page as Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD
    for kind, title in _TITLES.items():
        yield f"## {title}"
        yield ""
        yield "| name | unit | form | what it says | formula | where from | of several |"
        yield "|---|---|---|---|---|---|---|"
        for one in measures_of(kind):
            yield _row(one)
        yield ""
    yield _VERSIONS.rstrip()
    yield ""


def _row(one: Measure) -> str:
    cells = (
        f"`{one.name}`",
        one.unit,
        _FORMS[one.form],
        one.says,
        one.formula,
        one.source,
        str(one.over),
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(page())
