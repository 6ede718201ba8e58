"""What a page can subscribe to: a function a topic, which makes the whole view of one moment.

A topic's function `view(rights, params, zone, now_ms) -> View` calls the query that drew the page's first paint. It is
called in a thread, with `zone` active as Django's current time zone. `params` is what the browser sent: untrusted. It
raises `Refused` with a sentence. The same view is shared by all sockets whose people have the same scopes: it must
depend on `rights.scopes` alone, not on who the person is.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dashboard.accounts.rights import Rights
from dashboard.cells import View
from dashboard.live.refused import Refused
from dashboard.live.topics import broker, collector, explore, fleet, queue, queues
from dashboard.live.topics.params import Params, broker_id, named_brokers

__all__ = ["TOPICS", "Params", "Refused", "Topic", "broker_id", "named_brokers"]


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `brokers` tells whose news it is woken by: ids, or None for every broker's."""

    view: Callable[[Rights, Mapping[str, Any], dt.tzinfo, int], View]
    brokers: Callable[[Mapping[str, Any]], frozenset[int] | None] = named_brokers


TOPICS: dict[str, Topic] = {
    "explore": Topic(explore.view, explore.brokers),
    "fleet": Topic(fleet.view),
    "broker": Topic(broker.view),
    "collector": Topic(collector.view),
    "queue": Topic(queue.view),
    "queues": Topic(queues.view),
}
