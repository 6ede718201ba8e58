"""Routing keys of which only the outline is known, and an index of topic bindings that is asked with them. Pure.

A message that died carries the key that it was published with. What is known of that key is which binding let it into
the queue: exactly this key, some key that a topic pattern matches, or any key at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

ONE, MANY = "*", "#"


class BudgetSpentError(Exception):
    """The topology is too large, or built to be slow, to be followed to its end."""


@dataclass(slots=True)
class Budget:
    """How many steps are left. Spending more than there are raises BudgetSpentError."""

    steps: int = 2_000_000

    def spend(self, steps: int = 1) -> None:
        """Take steps off."""
        self.steps -= steps
        if self.steps < 0:
            raise BudgetSpentError


@dataclass(frozen=True, slots=True)
class Key:
    """A key, or all keys that a topic pattern matches (`pattern`)."""

    text: str
    pattern: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """The words."""
        return words_of(self.text)

    def narrowed(self, other: Key) -> Key:
        """Return what is known of a key that this and `other` allow: the narrower of the two."""
        if not self.pattern or self == ANY_KEY:
            return self if not self.pattern else other
        return other if not other.pattern else self


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a key or a pattern: empty ones count, and an empty key has none [measured]."""
    return tuple(text.split(".")) if text else ()


ANY_KEY = Key(MANY, pattern=True)


def exact(text: str) -> Key:
    """Return the key that is exactly this."""
    return Key(text)


def topic(text: str) -> Key:
    """Return the keys that a topic binding lets through."""
    return Key(text, pattern=any(word in {ONE, MANY} for word in words_of(text)))


@dataclass(slots=True)
class _Node(Generic[T]):
    below: dict[str, _Node[T]] = field(default_factory=dict)
    # What is bound with the pattern that ends here: the pattern, and the places that it leads to.
    ends: tuple[str, list[T]] | None = None


class TopicIndex(Generic[T]):
    """Topic bindings as a trie of their words: a key finds its bindings without looking at the others.

    `*` stands for one word, possibly empty, `#` for any number.
    """

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, pattern: str, place: T, *, literal: bool = False) -> None:
        """Add a binding; `literal`: of a direct exchange, where `*` and `#` are letters like others."""
        words = words_of(pattern)
        node = self._root
        for word in [_letters(one) for one in words] if literal else _tidied(words):
            node = node.below.setdefault(word, _Node())
        if node.ends is None:
            node.ends = (pattern, [])
        node.ends[1].append(place)

    def matching(self, key: Key, budget: Budget) -> Iterator[tuple[str, T]]:
        """Yield (pattern, place) of the bindings that can match the key. Raises BudgetSpentError."""
        words = tuple(_tidied(key.words)) if key.pattern else key.words
        seen: set[tuple[int, int]] = set()
        stack = [(self._root, 0)]
        while stack:
            node, at = stack.pop()
            if (id(node), at) in seen:
                continue
            seen.add((id(node), at))
            budget.spend()
            if at == len(words) and node.ends is not None:
                pattern, places = node.ends
                budget.spend(len(places))
                for place in places:
                    yield pattern, place
            stack.extend(_steps(node, at, words, patterned=key.pattern))


def _steps(node: _Node[T], at: int, words: tuple[str, ...], *, patterned: bool) -> Iterator[tuple[_Node[T], int]]:
    """Yield where a walk can go on: (node of the trie, number of the key's words behind it)."""
    many = node.below.get(MANY)
    if many is not None:
        # The binding's # takes none of the words left, or any number of them.
        for behind in range(at, len(words) + 1):
            yield many, behind
    if at == len(words):
        return
    word = words[at]
    if patterned and word in {ONE, MANY}:
        if word == MANY:
            yield node, at + 1  # the key's # takes none of the binding's words (any more)
        for bound, below in node.below.items():
            if bound != MANY:
                yield below, at + (word == ONE)
        return
    for bound in {word, ONE} - {MANY}:
        if bound in node.below:
            yield node.below[bound], at + 1


def _tidied(words: Sequence[str]) -> list[str]:
    """Return a pattern's words with every run of `#` as one: they match the same."""
    return [word for at, word in enumerate(words) if word != MANY or at == 0 or words[at - 1] != MANY]


def _letters(word: str) -> str:
    return f"\0{word}" if word in {ONE, MANY} else word
