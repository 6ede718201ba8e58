"""Snapshots of a large broker without one: mixed traffic, made cheaply by changing what moved since the tick before.

Nine queues in ten are idle, most of the others busy at a steady pace, some in bursts, a few grow; every minute some
vanish and others come (back). Counters are Poisson, as independent messages are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from brokers.series.codec import Frame, Table
from brokers.series.metrics import Kind

# Each is the share of the objects.
BUSY = 0.08
BURSTY = 0.015
GROWING = 0.005
# What is asked less often is in every so manieth snapshot.
SLOW_EVERY = 30
COUNTERS = ("published", "delivered", "acknowledged", "redelivered")


class Simulated:
    """`objects` queues, of which a few are away at any time."""

    def __init__(self, objects: int, seed: int = 1) -> None:
        self._random = np.random.default_rng(seed)
        self._objects = objects
        shuffled = self._random.permutation(objects)
        ends = np.cumsum([int(objects * share) for share in (BUSY, BURSTY, GROWING)])
        self._busy, self._bursty, self._growing, _ = np.split(shuffled, ends)
        self._moving = np.sort(np.concatenate((self._busy, self._bursty, self._growing)))
        pace = np.zeros(objects)
        pace[self._busy] = self._random.gamma(0.6, 40.0, len(self._busy))
        pace[self._bursty] = self._random.gamma(1.0, 200.0, len(self._bursty))
        pace[self._growing] = self._random.gamma(1.0, 15.0, len(self._growing))
        self._pace = pace[self._moving]
        self._bursts = np.isin(self._moving, self._bursty)
        self._grows = np.isin(self._moving, self._growing)
        stock = self._random.random(objects)
        self._figures = {
            "ready": np.where(stock < 0.05, self._random.integers(1, 5000, objects), 0).astype(np.float64),
            "unacked": np.zeros(objects),
            "consumers": np.where(stock < 0.9, self._random.integers(1, 4, objects), 0).astype(np.float64),
            **{name: np.where(stock < 0.5, self._random.integers(0, 10**6, objects), 0.0) for name in COUNTERS},
        }
        self._there = np.ones(objects, dtype=bool)
        self._tick = 0

    def frames(self, start_ms: int, tick_ms: int, ticks: int) -> Iterator[Frame]:
        """Yield so many snapshots, one after the other."""
        for number in range(ticks):
            self._move()
            yield Frame(start_ms + number * tick_ms, {Kind.QUEUE: self._table(), Kind.BROKER: self._whole()})

    def _move(self) -> None:
        self._tick += 1
        if self._tick % 6 == 0:
            self._come_and_go()
        moving, figures = self._moving, self._figures
        # A burst lasts a minute of ten, each queue at its own time.
        bursting = (self._tick // 6 + moving) % 10 == 0
        pace = np.where(self._bursts & ~bursting, 0.0, self._pace)
        entered = self._random.poisson(pace).astype(np.float64)
        ready = figures["ready"][moving] + figures["unacked"][moving] + entered
        taken = np.where(self._grows, np.floor(entered * 0.9), np.minimum(ready, self._random.poisson(pace * 1.02)))
        left = ready - taken
        unacked = np.where(left > 0, np.minimum(left, self._random.integers(0, 20, len(moving))), 0.0)
        figures["unacked"][moving] = unacked
        figures["ready"][moving] = left - unacked
        figures["published"][moving] += entered
        figures["delivered"][moving] += taken
        figures["acknowledged"][moving] += taken
        figures["redelivered"][moving] += self._random.poisson(pace * 0.001)

    def _come_and_go(self) -> None:
        """One in two thousand vanishes; those away come back, with counters that begin anew."""
        away = np.flatnonzero(~self._there)
        back = away[self._random.random(len(away)) < 0.1]
        gone = self._random.integers(0, self._objects, max(1, self._objects // 2000))
        self._there[back] = True
        self._there[gone] = False
        for column in self._figures.values():
            column[gone] = 0

    def _table(self) -> Table:
        there = np.flatnonzero(self._there)
        columns = {name: column[there] for name, column in self._figures.items()}
        if self._tick % SLOW_EVERY == 1:
            columns["message_bytes"] = (columns["ready"] + columns["unacked"]) * 512
            columns["memory"] = 15_000 + columns["ready"] * 24
        return Table(there.astype(np.uint32), columns)

    def _whole(self) -> Table:
        sums = {name: np.array([column[self._there].sum()]) for name, column in self._figures.items()}
        return Table(np.zeros(1, dtype=np.uint32), {**sums, "queues": np.array([float(self._there.sum())])})
