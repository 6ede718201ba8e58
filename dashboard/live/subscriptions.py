"""The subscriptions of one socket: what each was sent last, what is due, and whether it may be sent now. Pure.

A frame is sent only when the one before it, of the same subscription, was acknowledged. What becomes due meanwhile is
not kept: the next frame is made of the newest view and what was sent last, so that a slow browser gets the newest, not
a backlog. Numbers count the frames of the whole socket: a browser that misses one subscribes again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dashboard.cells import View
from dashboard.live import frames
from dashboard.live.frames import Frame
from dashboard.live.messages import MOST_SUBSCRIPTIONS


@dataclass(slots=True)
class Subscription:
    """One of a socket's subscriptions. `sent` is the view that the browser has, None before its first state."""

    sub: str
    topic: str
    params: Mapping[str, Any]
    # Whose news it waits for; None: every broker's.
    brokers: frozenset[int] | None
    sent: View | None = None
    # The number of the frame that is not acknowledged yet.
    unacked: int | None = None
    due: bool = True
    # Counts subscribing and showing: a view that was begun before is not sent after.
    round: int = 0


class Subscriptions:
    """All of one socket's."""

    def __init__(self) -> None:
        self._by_name: dict[str, Subscription] = {}
        self._seq = 0
        self.hidden = False

    def __len__(self) -> int:
        return len(self._by_name)

    def subscribe(self, sub: str, topic: str, params: Mapping[str, Any], brokers: frozenset[int] | None) -> bool:
        """Begin or begin anew; False where the socket has as many as it may."""
        if sub not in self._by_name and len(self._by_name) >= MOST_SUBSCRIPTIONS:
            return False
        # A new object: what is being computed for the old one is dropped with it. It stands last in the order.
        self._by_name.pop(sub, None)
        self._by_name[sub] = Subscription(sub, topic, params, brokers)
        return True

    def unsubscribe(self, sub: str) -> None:
        """End; of one that is not there, nothing."""
        self._by_name.pop(sub, None)

    def ack(self, seq: int) -> None:
        """Take note that a frame arrived."""
        for one in self._by_name.values():
            if one.unacked == seq:
                one.unacked = None

    def hide(self) -> None:
        """Send nothing until `show`."""
        self.hidden = True

    def show(self) -> None:
        """Owe everything a whole state."""
        self.hidden = False
        for one in self._by_name.values():
            one.sent, one.unacked, one.due = None, None, True
            one.round += 1

    def news(self, brokers: frozenset[int] | None) -> None:
        """Mark as due what waits for news of these brokers; None: everything."""
        for one in self._by_name.values():
            if brokers is None or one.brokers is None or one.brokers & brokers:
                one.due = True

    def next(self) -> Subscription | None:
        """Return a subscription that is due and may be sent now, the longest unserved first."""
        if self.hidden:
            return None
        return next((one for one in self._by_name.values() if one.due and one.unacked is None), None)

    def is_current(self, one: Subscription, begun_in: int) -> bool:
        """Tell whether a view that was begun for a subscription in a round may still be sent."""
        return not self.hidden and self._by_name.get(one.sub) is one and one.round == begun_in

    def frame(self, one: Subscription, view: View, now_ms: int) -> Frame | None:
        """Return the frame that brings the browser from what it has to `view`; None where nothing differs."""
        seq = self._seq + 1
        if one.sent is None:
            frame: Frame | None = frames.state(one.sub, seq, view, now_ms)
        else:
            frame = frames.change(one.sub, seq, one.sent, view, now_ms)
        one.sent = view
        if frame is not None:
            self._seq = seq
            one.unacked = seq
            # Behind the others, so that one that is always due does not keep them waiting.
            self._by_name[one.sub] = self._by_name.pop(one.sub)
        return frame
