"""Fixtures of collecting: a broker as it is registered, and ticks as the dispatcher would have them done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from brokers.collect import claims, clients, definitions, labels, poll
from brokers.collect.budget import Held, Pace, Tier, decode_pace, encode_pace
from brokers.collect.models import PollState
from brokers.rabbitmq.errors import ErrorKind
from brokers.registry import services, slots
from brokers.registry.details import ExchangeDetail, NodeDetail, QueueDetail, VhostDetail
from brokers.registry.models import Broker
from brokers.series import store
from brokers.series.codec import Frame
from brokers.series.metrics import Kind
from tests.support.brokers import TestBroker

Tick = Callable[[Broker], poll.Outcome]
DETAILS: dict[Kind, type[msgspec.Struct]] = {
    Kind.NODE: NodeDetail,
    Kind.VHOST: VhostDetail,
    Kind.EXCHANGE: ExchangeDetail,
    Kind.QUEUE: QueueDetail,
}


@pytest.fixture(autouse=True)
def _fresh_process() -> Iterator[None]:
    """Forget what the process remembers of brokers: ids come again in the next test's database."""
    yield
    clients.forget()
    labels.forget()
    poll.forget_frames()


@pytest.fixture
def tick() -> Tick:
    """Do one tick of a broker now, due or not, in which all is asked that there is to ask, whatever it costs.

    On a machine that is busy with other tests an answer can come too late; the next tick then asks again, as it would
    in real life.
    """

    def once(broker: Broker) -> poll.Outcome:
        _all_due(broker)
        claimed = claims.claim(broker.id, poll.now_ms())
        assert claimed is not None
        return poll.guarded(broker.id, claimed.token)

    def done(broker: Broker) -> poll.Outcome:
        outcome = once(broker)
        for _ in range(3):
            late = PollState.objects.filter(broker_id=broker.id, error_kind=ErrorKind.TOO_SLOW).exists()
            if outcome is not poll.Outcome.FAILED or not late:
                break
            outcome = once(broker)
        return outcome

    return done


def _all_due(broker: Broker) -> None:
    """Make a tick due as it is when a broker's depth was told once, and quickly: all the rest is asked then."""
    state, _ = PollState.objects.get_or_create(broker=broker)
    pace = Pace({Tier.DEPTH: Held(recent=((0.001, 1000),))}, source=decode_pace(state.pace).source)
    PollState.objects.filter(broker=broker).update(next_due_ms=0, pace=encode_pace(pace))


def register(broker: TestBroker, name: str = "shop", prometheus: tuple[str, ...] = ()) -> Broker:
    """Register a real broker as an administrator would."""
    return services.add(
        services.BrokerInput(
            name=name,
            management_url=broker.management,
            username=broker.username,
            password=broker.password,
            prometheus_urls=prometheus,
        )
    )


def newest(broker: Broker) -> Frame:
    """Return the newest snapshot of a broker."""
    row = store.latest_id(broker.id)
    assert row is not None
    frame = store.load(row)
    assert frame is not None
    return frame


@pytest.fixture
def read() -> Tick:
    """Read a broker's definitions now, due or not."""

    def done(broker: Broker) -> poll.Outcome:
        PollState.objects.filter(broker_id=broker.id).update(definitions_due_ms=0)
        claimed = claims.claim(broker.id, poll.now_ms(), claims.Lane.DEFINITIONS)
        assert claimed is not None
        return definitions.read_definitions(broker.id, claimed.token)

    return done


def directory(broker: Broker) -> slots.Directory:
    """Return all that the registry knows of a broker's objects."""
    found = slots.Directory(broker.id)
    found.refresh()
    return found


def detail(broker: Broker, kind: Kind, vhost: str, name: str) -> Any:
    """Return what the registry knows of one object."""
    found = directory(broker)
    slot = found.slot(kind, vhost, name)
    assert slot is not None, (kind, vhost, name)
    known = found.known(kind, slot)
    assert known is not None
    return msgspec.json.decode(known.detail, type=DETAILS[kind])


def gone_ms(broker: Broker, kind: Kind, vhost: str, name: str) -> int | None:
    """Return when an object that was seen was found gone."""
    found = directory(broker)
    slot = found.slot(kind, vhost, name)
    assert slot is not None, (kind, vhost, name)
    known = found.known(kind, slot)
    assert known is not None
    return known.gone_ms
