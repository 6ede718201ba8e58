"""Fixtures of collecting: a broker as it is registered, and ticks as the dispatcher would have them done."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from brokers.collect import claims, clients, labels, poll
from brokers.collect.models import PollState
from brokers.registry import services
from brokers.registry.models import Broker
from brokers.series import store
from brokers.series.codec import Frame
from tests.support.brokers import TestBroker

Tick = Callable[[Broker], poll.Outcome]


@pytest.fixture(autouse=True)
def _fresh_process() -> Iterator[None]:
    """Forget what the process remembers of brokers: ids come again in the next test's database."""
    yield
    clients.forget()
    labels.forget()
    poll.forget_frames()


@pytest.fixture
def tick() -> Tick:
    """Do one tick of a broker now, due or not."""

    def done(broker: Broker) -> poll.Outcome:
        PollState.objects.filter(broker_id=broker.id).update(next_due_ms=0)
        claimed = claims.claim(broker.id, poll.now_ms())
        assert claimed is not None
        return poll.guarded(broker.id, claimed.token)

    return done


def register(broker: TestBroker, name: str = "shop") -> Broker:
    """Register a real broker as an administrator would."""
    return services.add(
        services.BrokerInput(
            name=name, management_url=broker.management, username=broker.username, password=broker.password
        )
    )


def newest(broker: Broker) -> Frame:
    """Return the newest snapshot of a broker."""
    row = store.latest_id(broker.id)
    assert row is not None
    frame = store.load(row)
    assert frame is not None
    return frame
