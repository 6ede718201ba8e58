"""The effective policy of a queue: which policy matches it, and where each of its settings comes from. Pure.

A setting can come from an argument of the queue, from the one policy that matches it, from the one operator policy
that does, or from the broker's default. How two of them are settled depends on the setting and on the queue's type
(measured on 3.10, 4.0 and 4.3 where not marked; [S]: read in RabbitMQ's source).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import re2

from brokers.rabbitmq.structs import Policy

ARGUMENT = "argument"
DEFAULT = "default"
# Of an argument and a policy the smaller value holds; of a policy and an operator policy too.
_SMALLER = frozenset(
    {
        "message-ttl",
        "expires",
        "max-length",
        "max-length-bytes",
        "max-in-memory-length",
        "max-in-memory-bytes",
        "delivery-limit",
        "consumer-timeout",
    }
)
# A policy goes before the argument, by queue type [streams: S].
_POLICY_FIRST = {
    "quorum": frozenset({"overflow"}),
    "stream": frozenset({"max-age", "max-length-bytes", "stream-max-segment-size-bytes", "stream-filter-size-bytes"}),
}
# Of a policy and an operator policy the larger value holds [S].
_LARGER = frozenset({"target-group-size"})
_QUORUM_ONLY = frozenset({"delivery-limit", "dead-letter-strategy", "target-group-size"})
_STREAM_ONLY = frozenset({"max-age", "stream-max-segment-size-bytes", "stream-filter-size-bytes"})
_NOT_STREAM = frozenset(
    {"message-ttl", "expires", "max-length", "overflow", "dead-letter-exchange", "dead-letter-routing-key"}
)
# Accepted as arguments of a queue, and without any effect.
_IDLE_ARGUMENTS = frozenset({"max-retries", "priority"})
_APPLIES = {
    "classic": frozenset({"all", "queues", "classic_queues"}),
    "quorum": frozenset({"all", "queues", "quorum_queues"}),
    "stream": frozenset({"all", "queues", "streams"}),
}


@dataclass(frozen=True, slots=True)
class Hidden:
    """A value that is set and does not hold, and where it is set."""

    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class Effective:
    """One setting as it holds. `name` is a policy's key (`message-ttl`), that of an argument without its `x-`.

    `source` is "argument", "policy NAME", "operator policy NAME" or "default"; `hides` has the values that it goes
    before. `remark` is a sentence where the setting does not do what it says, else empty.
    """

    name: str
    value: Any
    source: str
    hides: tuple[Hidden, ...] = ()
    remark: str = ""


def effective(
    arguments: Mapping[str, Any],
    policy: Policy | None,
    operator_policy: Policy | None,
    queue_type: str | None,
    version: str,
    *,
    told: Mapping[str, Any] | None = None,
) -> tuple[Effective, ...]:
    """Return the settings of a queue by name, each as it holds and with its origin.

    `told` is `effective_policy_definition` as the broker tells it for this queue, None where it does not: it is
    believed before our own merging of `policy` and `operator_policy`, which may then be known by name only.
    `version` is the broker's, for its defaults ("" where unknown).
    """
    kind = queue_type or "classic"
    layer = _policies(policy, operator_policy, told)
    own = {name.removeprefix("x-"): value for name, value in arguments.items()}
    found: dict[str, Effective] = {}
    for name in sorted(own.keys() | layer.keys()):
        by_policy = layer.get(name)
        if name not in own:
            if by_policy is not None:
                found[name] = by_policy
        else:
            found[name] = _settled(Effective(name, own[name], ARGUMENT), by_policy, kind, version)
    _add_defaults(found, kind, version)
    return tuple(
        Effective(one.name, one.value, one.source, one.hides, _remark(one, found, kind))
        for one in sorted(found.values(), key=lambda one: one.name)
    )


def merged(policy: Mapping[str, Any], operator: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a policy and an operator policy together define, as RabbitMQ merges them."""
    return {
        name: operator.get(name, policy.get(name))
        if name not in policy or name not in operator
        else _merged(name, policy[name], operator[name])
        for name in policy.keys() | operator.keys()
    }


def matching(
    policies: Iterable[Policy], vhost: str, name: str, queue_type: str | None = None, *, kind: str = "queue"
) -> Policy | None:
    """Return the policy that a queue or exchange has: of those that match the one of the highest priority.

    For brokers that don't tell. RabbitMQ does not say which of several with the same priority wins; here it is the
    first by name. Patterns are unanchored and searched for in bytes, as Erlang does; one that only Erlang's engine
    understands matches nothing here.
    """
    if kind == "exchange":
        applies = frozenset({"all", "exchanges"})
    else:
        applies = _APPLIES.get(queue_type or "classic", _APPLIES["classic"])
    candidates = [
        one for one in policies if one.vhost == vhost and one.apply_to in applies and pattern_matches(one.pattern, name)
    ]
    return min(candidates, key=lambda one: (-one.priority, one.name), default=None)


def pattern_matches(pattern: str, name: str) -> bool:
    """Tell whether a policy's pattern matches a name. Takes time in proportion to the name's length, at most."""
    compiled = _compiled(pattern)
    return compiled is not None and compiled.search(name.encode()) is not None


def _compiled(pattern: str) -> Any:
    held = _patterns.get(pattern)
    if held is None:
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.log_errors = False
        try:
            held = (re2.compile(pattern.encode(), options=options),)
        except re2.error:
            held = (None,)
        if len(_patterns) > 1000:
            _patterns.clear()
        _patterns[pattern] = held
    return held[0]


_patterns: dict[str, tuple[Any]] = {}


def _policies(policy: Policy | None, operator: Policy | None, told: Mapping[str, Any] | None) -> dict[str, Effective]:
    """Return what the two policies define together, each key with its origin."""
    first, second = (policy.keys if policy else {}), (operator.keys if operator else {})
    values = dict(told) if told is not None else merged(first, second)
    found = {}
    for name, value in values.items():
        mine = Hidden(first[name], f"policy {policy.name}") if policy and name in first else None
        theirs = Hidden(second[name], f"operator policy {operator.name}") if operator and name in second else None
        hidden: Hidden | None = None
        if mine and theirs:
            # The same value twice: the policy's own holds, the operator's limit changes nothing.
            holds, hidden = (mine, theirs) if mine.value == value else (theirs, mine)
        else:
            holds = mine or theirs or Hidden(value, _named(policy, operator))
        hides = (hidden,) if hidden is not None else ()
        found[name] = Effective(name, value, holds.source, hides)
    return found


def _named(policy: Policy | None, operator: Policy | None) -> str:
    """Return the origin of a key that the broker tells and neither definition has: ours are older, or unknown."""
    if policy is None and operator is not None:
        return f"operator policy {operator.name}"
    return f"policy {policy.name}" if policy is not None else "policy"


def _merged(name: str, value: Any, operator: Any) -> Any:
    if name in _SMALLER and _numbers(value, operator):
        return min(value, operator)
    if name in _LARGER and _numbers(value, operator):
        return max(value, operator)
    return operator


def _settled(own: Effective, by_policy: Effective | None, kind: str, version: str) -> Effective:
    if by_policy is None:
        return own
    if _policy_holds(own.name, own.value, by_policy.value, kind, version):
        return Effective(own.name, by_policy.value, by_policy.source, (Hidden(own.value, own.source), *by_policy.hides))
    return Effective(own.name, own.value, own.source, (Hidden(by_policy.value, by_policy.source), *by_policy.hides))


def _policy_holds(name: str, own: Any, by_policy: Any, kind: str, version: str) -> bool:
    if name in _POLICY_FIRST.get(kind, ()):
        return True
    if name not in _SMALLER or not _numbers(own, by_policy):
        return False
    if name == "delivery-limit" and _release(version) >= (4, 0) and (own < 0 or by_policy < 0):
        # Below zero means without a limit: a limit that is set goes before it.
        return bool(by_policy > own)
    return bool(by_policy < own)


def _add_defaults(found: dict[str, Effective], kind: str, version: str) -> None:
    if kind == "quorum" and "delivery-limit" not in found and _release(version) >= (4, 0):
        found["delivery-limit"] = Effective("delivery-limit", 20, DEFAULT)
    limited = "max-length" in found or "max-length-bytes" in found
    if kind != "stream" and limited and "overflow" not in found:
        found["overflow"] = Effective("overflow", "drop-head", DEFAULT)


def _remark(one: Effective, all_of_them: Mapping[str, Effective], kind: str) -> str:
    if one.name == "overflow" and one.value == "reject-publish-dlx" and kind == "quorum":
        return "A quorum queue takes this as drop-head."
    if one.name == "dead-letter-routing-key" and "dead-letter-exchange" not in all_of_them:
        return "Without effect: the queue has no dead-letter exchange."
    if one.name in _IDLE_ARGUMENTS and one.source == ARGUMENT:
        return "RabbitMQ accepts this argument and does nothing with it."
    if (
        (one.name in _QUORUM_ONLY and kind != "quorum")
        or (one.name in _STREAM_ONLY and kind != "stream")
        or (one.name in _NOT_STREAM and kind == "stream")
    ):
        return f"Without effect on a {kind} queue." if kind != "stream" else "Without effect on a stream."
    return ""


def _numbers(*values: Any) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
