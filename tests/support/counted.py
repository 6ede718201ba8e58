"""What Warren counted of a known load, beside what was sent: sums over all snapshots, as a reader computes them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from brokers.collect import counters
from brokers.registry.models import Broker
from brokers.registry.slots import Directory
from brokers.series import store
from brokers.series.codec import Frame
from brokers.series.metrics import METRICS, Kind, Shape
from tests.support.known_load import Sums

KINDS = (Kind.BROKER, Kind.VHOST, Kind.EXCHANGE, Kind.QUEUE)


class Tally:
    """Adds up what each counter of one vhost and of its broker grew by, from snapshot to snapshot.

    A broker's and a vhost's counters are accumulated sums; those of a queue or an exchange are the broker's own, and
    may begin anew. The first snapshot is taken before anything is sent.
    """

    def __init__(self, row: Broker, vhost: str) -> None:
        self.vhost = vhost
        self.sums: Sums = Counter()
        self._directory = Directory(row.id)
        self._row = row
        self._seen = 0
        self._last: dict[tuple[str, str, str], float] = {}
        self._begun = False

    def take(self) -> Sums:
        """Read the snapshots that are new and return the sums."""
        newest = store.latest_id(self._row.id)
        assert newest is not None
        for number in range(self._seen + 1, newest + 1):
            frame = store.load(number)
            if frame is not None:
                self._add(frame)
        self._seen = newest
        return self.sums

    def _add(self, frame: Frame) -> None:
        self._directory.refresh()
        for kind in KINDS:
            table = frame.table(kind)
            names = [metric.name for metric in METRICS[kind] if metric.shape is Shape.COUNTER]
            for slot, name in self._names(kind):
                for what in names:
                    now = table.value(slot, what)
                    if math.isnan(now):
                        continue
                    key = (str(kind), name, what)
                    before = self._last.get(key, 0.0 if self._begun or kind is not Kind.BROKER else now)
                    self.sums[key] += int(counters.growth(now, before))
                    self._last[key] = now
        self._begun = True

    def _names(self, kind: Kind) -> Iterable[tuple[int, str]]:
        if kind is Kind.BROKER:
            return [(0, "")]
        home = "" if kind is Kind.VHOST else self.vhost
        return [
            (slot, name.name)
            for name, slot in self._directory.by_name.get(kind, {}).items()
            if name.vhost == home and (kind is not Kind.VHOST or name.name == self.vhost)
        ]


def differences(
    sent: Sums, counted: Sums, *, leave: frozenset[tuple[str, str]] = frozenset()
) -> dict[str, tuple[int, int]]:
    """Return (sent, counted) of each counter that differs; `leave`: (kind, what) that are not looked at."""
    return {
        " ".join(key): (sent[key], counted[key])
        for key in sorted(sent.keys() | (counted.keys() if sent else set()))
        if sent[key] != counted[key] and (key[0], key[2]) not in leave
    }
