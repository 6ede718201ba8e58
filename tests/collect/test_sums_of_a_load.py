"""A load of known size is counted to the message: through channels that live for a second, and a killed broker."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest

from brokers.collect import poll
from brokers.collect.models import PollState
from brokers.registry.models import Broker
from brokers.series.metrics import Kind
from tests.collect.conftest import Tick, newest, register
from tests.support.brokers import TestBroker
from tests.support.counted import Tally, differences
from tests.support.known_load import KnownLoad, Sums, running
from tests.support.own_broker import OwnBroker

pytest_plugins = ["tests.support.own_broker"]
pytestmark = pytest.mark.django_db(transaction=True)

# RabbitMQ's statistics come every 5 s, and the management API's list may be asked every 60 s only.
SETTLED_S = 90.0
# Before 4.0 nobody counts these by exchange.
BY_EXCHANGE = frozenset({("exchange", what) for what in ("confirmed", "returned", "dropped")})
LETTERS = frozenset(
    ("broker", f"dead_lettered{reason}") for reason in ("", "_rejected", "_expired", "_maxlen", "_delivery_limit")
)
# Others are at work on a broker that tests share.
BROKER_WIDE = LETTERS | {
    ("broker", what)
    for what in (
        *("published", "confirmed", "received_confirm", "returned", "dropped"),
        *("delivered", "acknowledged", "redelivered"),
    )
}
# What the load does not count.
CHURN = frozenset(
    ("broker", f"{what}_{how}")
    for what, hows in (
        ("connections", ("opened", "closed")),
        ("channels", ("opened", "closed")),
        ("queues", ("created", "deleted")),
    )
    for how in hows
)


@pytest.fixture
def load(broker: TestBroker, vhost: str) -> Iterator[KnownLoad]:
    found = KnownLoad(broker, vhost)
    found.declare()
    yield found
    found.forget_connections()


def settle(row: Broker, tick: Tick, good: Callable[[], object]) -> None:
    """Tick until nothing differs any more; returns with what does when that takes too long."""
    end = time.monotonic() + SETTLED_S
    while time.monotonic() < end:
        assert tick(row) == poll.Outcome.STORED, PollState.objects.get(broker=row).error_sentence
        if not good():
            return
        time.sleep(0.5)


def _told_less(broker: TestBroker, vhost: str, load: KnownLoad) -> dict[str, tuple[int, int]]:
    """Return the queues into which less came than was sent, by the broker's own words: (sent, told).

    Seen once on 3.10, on a machine that was busy.
    """
    told = {
        one["name"]: one.get("message_stats", {}).get("publish", 0)
        for one in broker.api("GET", f"queues/{quote(vhost, safe='')}")
    }
    sent = {name: load.sent["queue", name, "published"] for name in load.queues}
    return {name: (count, told[name]) for name, count in sent.items() if told[name] < count}


def test_every_message_of_a_load_through_short_channels_is_counted(
    broker: TestBroker, vhost: str, load: KnownLoad, tick: Tick
) -> None:
    row = register(broker)
    tick(row)
    tally = Tally(row, vhost)
    tally.take()
    with running(load):
        while load.rounds < 20:
            assert tick(row) == poll.Outcome.STORED
            # What counts of each object tells too much at no time, and falls at no time.
            before = Counter(tally.sums)
            counted = tally.take()
            assert not {key: sum_ for key, sum_ in before.items() if counted[key] < sum_}
            time.sleep(1)
    leave = CHURN | BROKER_WIDE | (BY_EXCHANGE if broker.release < (4, 0) else frozenset())
    settle(row, tick, lambda: differences(load.sent, tally.take(), leave=leave))
    found = differences(load.sent, tally.take(), leave=leave)
    if found and (told := _told_less(broker, vhost, load)):
        pytest.skip(f"RabbitMQ itself has lost count of {told}")
    assert found == {}, PollState.objects.get(broker=row).unknown
    assert load.sent["vhost", vhost, "returned"] == load.sent["vhost", vhost, "dropped"] == 3 * load.rounds
    # Of the broker as a whole others count too: at least as much as was sent here.
    assert not {key: sent for key, sent in load.sent.items() if tally.sums[key] < sent and key[0] == "broker"}


def test_a_killed_broker_costs_what_was_sent_since_the_last_tick_and_nothing_else(
    own_broker: OwnBroker, tick: Tick
) -> None:
    broker = own_broker.start()
    vhost = broker.make_vhost("sums")
    row = register(broker)
    tick(row)
    tally = Tally(row, vhost)
    tally.take()
    load = KnownLoad(broker, vhost)
    load.declare()

    def sent_again(rounds: int, lost: Sums, leave: frozenset[tuple[str, str]]) -> dict[str, tuple[int, int]]:
        for _ in range(rounds):
            load.round()

        def left() -> dict[str, tuple[int, int]]:
            return differences(load.sent - lost, tally.take(), leave=leave)

        settle(row, tick, left)
        return left()

    # Nobody else is here: the broker's own sums are held to the message too, letters by reason among them.
    assert sent_again(5, Counter(), CHURN | BY_EXCHANGE) == {}
    counted = Counter(load.sent)
    load.round()
    lost = load.sent - counted
    own_broker.kill()
    load.forget_connections()
    assert tick(row) is not poll.Outcome.STORED
    own_broker.start()
    settle_when_it_answers(row, tick, load.queues)
    assert sent_again(5, lost, CHURN | BY_EXCHANGE | LETTERS) == {}
    # On its way up a quorum queue goes through its log once more, and the broker counts the letters in it again.
    for key in (key for key in load.sent if (key[0], key[2]) in LETTERS):
        assert load.sent[key] - lost[key] <= tally.sums[key] <= 2 * load.sent[key], key
    load.forget_connections()


def settle_when_it_answers(row: Broker, tick: Tick, queues: tuple[str, ...]) -> None:
    """Tick until the broker is back with all its queues; a quorum queue takes a while to elect its leader."""
    end = time.monotonic() + 60
    while tick(row) is not poll.Outcome.STORED or len(newest(row).table(Kind.QUEUE).slots) < len(queues):
        assert time.monotonic() < end, PollState.objects.get(broker=row).error_sentence
        time.sleep(0.5)
