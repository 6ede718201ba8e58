"""Which queues of a vhost a message reaches. Pure; as measured on 3.10, 4.0 and 4.3.

`Router.route` answers for one message exactly. `Router.possible` answers for a message of which only the outline of
the key is known, and none of its headers: where it may get to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from brokers.rabbitmq.keys import ANY_KEY, Budget, Key, TopicIndex, exact, topic
from brokers.rabbitmq.structs import Binding, Exchange, Policy

DEFAULT_EXCHANGE = ""
# Under this name permissions and the management API know the default exchange; a message can't be sent to it by it.
_DEFAULT_BY_NAME = "amq.default"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a binding leads."""

    name: str
    is_queue: bool
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False)


@dataclass(slots=True)
class _Bound:
    """What is bound to one exchange, for the way in which its type looks it up."""

    type: str
    by_key: dict[str, list[Place]] = field(default_factory=dict)
    topics: TopicIndex[Place] = field(default_factory=TopicIndex)
    everything: list[Place] = field(default_factory=list)
    patterned: bool = False


class Router:
    """Routing in one vhost: bindings are indexed by exchange and key, so that a message costs what it reaches.

    `queues` are the names of the vhost's queues, all of them bound to the default exchange by their name.
    `version` is the broker's: 3.x compares numbers in headers by value, 4.x by type too.
    """

    def __init__(
        self,
        queues: Iterable[str],
        exchanges: Iterable[Exchange],
        bindings: Iterable[Binding],
        policies: Iterable[Policy] = (),
        version: str = "",
    ) -> None:
        self.queues = frozenset(queues)
        self._old = version.startswith("3.")
        self._alternates: dict[str, str] = {}
        self._bound: dict[str, _Bound] = {}
        self._internal: set[str] = set()
        definitions = {one.name: one.keys for one in policies}
        for exchange in exchanges:
            self._bound[exchange.name] = _Bound(_type(exchange))
            if exchange.internal is True:
                self._internal.add(exchange.name)
            by_policy = definitions.get(exchange.policy or "", {}).get("alternate-exchange")
            alternate = exchange.declared.get("alternate-exchange", by_policy)
            if isinstance(alternate, str):
                self._alternates[exchange.name] = alternate
        for binding in bindings:
            self._bind(binding)

    def __contains__(self, exchange: str) -> bool:
        return exchange == DEFAULT_EXCHANGE or exchange in self._bound

    def bindings_to(self, budget: Budget | None = None) -> dict[str, list[Key]]:
        """Return by queue what is known of the keys of the messages that its bindings let in."""
        budget = budget or Budget()
        found: dict[str, list[Key]] = {}
        for bound in self._bound.values():
            for key, places in bound.by_key.items():
                budget.spend(len(places))
                known = _known(bound.type, key)
                for place in places:
                    if place.is_queue:
                        found.setdefault(place.name, []).append(known)
        return found

    # --- one message

    def route(
        self, exchange: str, key: str, headers: Mapping[str, Any] | None = None, *, copies: Iterable[str] = ()
    ) -> frozenset[str]:
        """Return the queues that a message reaches, each of which gets it once; none: it is unroutable.

        `copies` are the keys of its CC and BCC headers. Of an exchange whose type is a plugin's that chooses one of its
        bindings (consistent hash, random), all are returned: the message reaches one of them.
        """
        keys = (exact(key), *(exact(one) for one in copies))
        return frozenset(queue for queue, _ in self._walk(exchange, keys, headers or {}, Budget()))

    # --- messages of which little is known

    def possible(self, exchange: str, key: Key, budget: Budget) -> frozenset[tuple[str, Key]]:
        """Return the queues that some message with such a key may reach, and what is known of its key there.

        A pattern says nothing of queues behind the default exchange: any name would do. Raises BudgetSpentError.
        """
        return frozenset(self._walk(exchange, (key,), None, budget))

    def _walk(
        self, start: str, keys: tuple[Key, ...], headers: Mapping[str, Any] | None, budget: Budget
    ) -> set[tuple[str, Key]]:
        reached: set[tuple[str, Key]] = set()
        seen = {(start, keys)}
        stack = [(start, keys)]
        while stack:
            exchange, these = stack.pop()
            budget.spend()
            if exchange == DEFAULT_EXCHANGE:
                reached |= {(key.text, key) for key in these if not key.pattern and key.text in self.queues}
                continue
            places = self._places(exchange, these, headers, budget)
            ways: list[tuple[str, tuple[Key, ...]]] = []
            for place, key in places:
                if not place.is_queue:
                    # With headers known this is one message, which takes all of its keys along.
                    ways.append((place.name, these if headers is not None else (key,)))
                elif place.name in self.queues:
                    reached.add((place.name, key))
            if not places or (headers is None and any(key.pattern for key in these)):
                alternate = self._alternates.get(exchange, "")
                if alternate and alternate != _DEFAULT_BY_NAME:
                    ways.append((alternate, these))
            for way in ways:
                if way not in seen and way[0] in self._bound:
                    seen.add(way)
                    stack.append(way)
        return reached

    def _places(
        self, exchange: str, keys: tuple[Key, ...], headers: Mapping[str, Any] | None, budget: Budget
    ) -> list[tuple[Place, Key]]:
        bound = self._bound.get(exchange)
        if bound is None:
            return []
        found: list[tuple[Place, Key]] = []
        if bound.type == "headers":
            budget.spend(len(bound.everything))
            key = keys[0]
            return [(place, key) for place in bound.everything if self._matches(place.arguments, headers)]
        for key in keys:
            if bound.type not in {"direct", "topic"}:
                budget.spend(len(bound.everything))
                found += [(place, key) for place in bound.everything]
            elif bound.type == "direct" and not key.pattern:
                places = bound.by_key.get(key.text, [])
                budget.spend(len(places))
                found += [(place, key) for place in places]
            else:
                by = bound.type == "topic"
                found += [
                    (place, key.narrowed(_known(bound.type, pattern)) if by else exact(pattern))
                    for pattern, place in self._topics(bound).matching(key, budget)
                ]
        return found

    def _topics(self, bound: _Bound) -> TopicIndex[Place]:
        """Return the index by words, built when it is first needed (a direct exchange seldom needs it)."""
        if not bound.patterned:
            for key, places in bound.by_key.items():
                for place in places:
                    bound.topics.add(key, place, literal=bound.type == "direct")
            bound.patterned = True
        return bound.topics

    def _bind(self, binding: Binding) -> None:
        if binding.source == DEFAULT_EXCHANGE:
            return  # every queue is bound to it, by its name and in no other way
        bound = self._bound.get(binding.source)
        if bound is None:
            return
        place = Place(binding.destination, binding.destination_type == "queue", binding.declared)
        bound.by_key.setdefault(binding.routing_key, []).append(place)
        bound.everything.append(place)

    def _matches(self, arguments: Mapping[str, Any], headers: Mapping[str, Any] | None) -> bool:
        """Tell whether a headers binding lets a message in; with unknown headers, whether it can let one in."""
        how = arguments.get("x-match", "all")
        all_of_them = how not in {"any", "any-with-x"}
        named = {
            name: value
            for name, value in arguments.items()
            if name != "x-match" and (how in {"all-with-x", "any-with-x"} or not name.startswith("x-"))
        }
        if headers is None:
            return all_of_them or bool(named)
        hits = (name in headers and self._same(value, headers[name]) for name, value in named.items())
        return all(hits) if all_of_them else any(hits)

    def _same(self, bound: Any, sent: Any) -> bool:
        if bound is None:
            return True  # void: the header is there, and that is enough
        if self._old and _number(bound) and _number(sent):
            return bool(bound == sent)
        return type(bound) is type(sent) and bool(bound == sent)


def _type(exchange: Exchange) -> str:
    if exchange.type == "x-delayed-message":
        # It keeps messages for a while, then routes as the type that its argument names.
        delayed = exchange.declared.get("x-delayed-type")
        return delayed if isinstance(delayed, str) else exchange.type
    return exchange.type


def _known(exchange_type: str, key: str) -> Key:
    """Return what is known of the key of a message that a binding let through."""
    if exchange_type == "direct":
        return exact(key)
    if exchange_type != "topic":
        return ANY_KEY
    return topic(key)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
