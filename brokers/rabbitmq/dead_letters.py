"""Which queues are dead-letter queues, and of which queues. Pure.

Found by topology: the dead-letter exchange and key that a queue has in effect are routed, from hop to hop where letters
only wait (a queue with a TTL and a dead-letter exchange of its own, in which they are held before they go on). Names
are no proof: of 77 real definitions files seven have queues named like one that no letter ever reaches, and three have
dead-letter queues with ordinary names. `named_like_one` is told beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from brokers.rabbitmq.keys import Budget, BudgetSpentError, Key, exact
from brokers.rabbitmq.routing import Router

# How many of the queues whose letters one queue gets are named; a fan-out may have thousands.
NAMED = 20


@dataclass(frozen=True, slots=True)
class Dying:
    """What a queue does with messages that die in it, as it is in effect.

    `key` None: letters keep the key that they came with. `expires`: messages have a time to live there.
    """

    name: str
    exchange: str | None = None
    key: str | None = None
    expires: bool = False


@dataclass(frozen=True, slots=True)
class Sources:
    """The queues whose letters one queue gets: the first of them by name, and how many there are."""

    names: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Found:
    """`dead_letter_queues` by name; `waiting`: queues in which messages wait for their time and nothing else, so that
    nobody is to consume them; `whole`: False where the topology was too large to be followed to its end."""

    dead_letter_queues: Mapping[str, Sources]
    waiting: frozenset[str]
    whole: bool = True


def dying(name: str, arguments: Mapping[str, Any], policy: Mapping[str, Any]) -> Dying:
    """Return what a queue does with its dead, from its arguments and its effective policy's definition.

    The argument goes before the policy for the exchange and for the key, each by itself.
    """
    exchange = arguments.get("x-dead-letter-exchange", policy.get("dead-letter-exchange"))
    key = arguments.get("x-dead-letter-routing-key", policy.get("dead-letter-routing-key"))
    return Dying(
        name,
        exchange if isinstance(exchange, str) else None,
        key if isinstance(key, str) else None,
        expires="x-message-ttl" in arguments or "message-ttl" in policy,
    )


def find(queues: Iterable[Dying], router: Router, budget: Budget | None = None) -> Found:
    """Return the dead-letter queues of one vhost.

    A queue counts as one when letters of another queue are routed to it directly, or after they only waited
    somewhere. What returns from waiting to a queue that has a dead-letter exchange of its own, or to several queues of
    which one is where the letter came from, is a retry and no dead letter.
    """
    return _Search({one.name: one for one in queues}, router, budget or Budget()).found()


def named_like_one(name: str) -> bool:
    """Tell whether a queue bears the name of a dead-letter queue."""
    return _NAMED_LIKE.search(name) is not None


# As people name them (77 definitions files): mostly the suffix .dlq or _dlq, the prefix dlq., .failed, .dead.
# MassTransit's are _error and _skipped.
_NAMED_LIKE = re.compile(
    r"(?:^|[^a-z0-9])(?:dlq|dlqs|dead[^a-z0-9]?letters?|poison)(?:$|[^a-z0-9])"
    r"|[^a-z0-9](?:failed|dead)$|_error$|_skipped$|(?:Dlq|DLQ|DeadLetters?)$|(?:^|[^a-z0-9])dead[^a-z0-9]?letter[^a-z0-9]?queue",
    re.IGNORECASE,
)
_NAMED_WAITING = re.compile(
    r"(?:^|[^a-z0-9])(?:wait|waiting|retry|retries|delay|delayed|backoff|parked)", re.IGNORECASE
)


@dataclass(slots=True)
class _Search:
    queues: dict[str, Dying]
    router: Router
    budget: Budget
    # By (exchange, key): where a letter gets to. Queues share dead-letter exchanges, and often keys.
    reached: dict[tuple[str, Key], frozenset[tuple[str, Key]]] = field(default_factory=dict)
    bound: dict[str, list[Key]] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    # Those of them that are told for certain from a work queue with a TTL that gets its letters back.
    certain: set[str] = field(default_factory=set)

    def found(self) -> Found:
        sources: dict[str, set[str]] = {}
        counts: dict[str, int] = {}
        whole = True
        try:
            self.bound = self.router.bindings_to(self.budget)
            self.waiting = self._waiting()
            for queue in sorted(self.queues):
                for target in self._final(self.queues[queue]):
                    named = sources.setdefault(target, set())
                    counts[target] = counts.get(target, 0) + 1
                    if len(named) < NAMED:
                        named.add(queue)
        except BudgetSpentError:
            whole = False
        found = {name: Sources(tuple(sorted(named)), counts[name]) for name, named in sources.items()}
        return Found(found, frozenset(self.certain), whole)

    def _waiting(self) -> set[str]:
        """Return the queues in which letters only wait: with a TTL, a way on, and letters of others, or named so.

        Certain are those named so, and those that get letters of a queue which can't be one of them.
        """
        candidates = {one.name for one in self.queues.values() if one.expires and self._leads(one)}
        waiting = {name for name in candidates if _NAMED_WAITING.search(name)}
        self.certain |= waiting
        for one in self.queues.values():
            if candidates - self.certain:
                reached = {name for name, _ in self._next(one) if name in candidates and name != one.name}
                waiting |= reached
                if one.name not in candidates:
                    self.certain |= reached
        return waiting

    def _final(self, queue: Dying) -> set[str]:
        """Return the queues in which letters of this queue come to rest."""
        if queue.name in self.waiting or not self._leads(queue):
            return set()
        direct = self._next(queue)
        final = {name for name, _ in direct if name not in self.waiting}
        seen = set(direct)
        stack = [(name, key) for name, key in direct if name in self.waiting]
        while stack:
            name, key = stack.pop()
            on = self._route(self.queues[name], key)
            back = any(one == queue.name for one, _ in on)
            for step in on:
                self.budget.spend()
                if step in seen:
                    continue
                seen.add(step)
                if step[0] in self.waiting:
                    stack.append(step)
                elif not back and not self._leads(self.queues.get(step[0], Dying(step[0]))):
                    final.add(step[0])
        return final - {queue.name}

    def _leads(self, queue: Dying) -> bool:
        return queue.exchange is not None and queue.exchange in self.router

    def _next(self, queue: Dying) -> set[tuple[str, Key]]:
        """Return where letters of a queue get to in one hop, with what is known of their keys."""
        if not self._leads(queue):
            return set()
        if queue.key is not None:
            return set(self._route(queue, exact(queue.key)))
        # A message can always have been sent to the queue itself, by the default exchange.
        incoming = {exact(queue.name), *self.bound.get(queue.name, ())}
        return {step for key in incoming for step in self._route(queue, key)}

    def _route(self, queue: Dying, key: Key) -> frozenset[tuple[str, Key]]:
        if queue.exchange is None:
            return frozenset()
        asked = (queue.exchange, exact(queue.key) if queue.key is not None else key)
        if asked not in self.reached:
            self.reached[asked] = self.router.possible(*asked, self.budget)
        found = self.reached[asked]
        self.budget.spend(len(found))
        return found
