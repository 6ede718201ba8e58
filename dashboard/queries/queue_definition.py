"""What a queue was declared as, in words: type, place, members, and each setting with where it comes from. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from brokers.rabbitmq.policy import DEFAULT, Effective, effective
from brokers.rabbitmq.structs import Policy
from brokers.registry.details import QueueDetail
from dashboard import formats
from dashboard.queries.broker_analysis import short_node
from dashboard.queries.queue_full import known_policy

_LONGEST = 400
_MEMBERS_NAMED = 7


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the definition; `unknown` says why there is no text."""

    label: str
    text: str = ""
    note: str = ""
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class HiddenSetting:
    """A value that is set and does not hold."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it holds, and where it comes from."""

    name: str
    text: str
    note: str
    source: str
    is_default: bool
    hides: tuple[HiddenSetting, ...]
    remark: str


def rows(detail: QueueDetail, *, whole: bool, why: str) -> tuple[Row, ...]:
    """Return the definition line by line. Names of nodes are for people who see the whole broker."""
    if detail.type is None and detail.durable is None:
        return (Row("Type", unknown=why),)
    found = [Row("Type", _type(detail, why), _type_note(detail))]
    found += [*_leader(detail, whole, why), *_members(detail, whole)]
    found.append(Row("Policy", detail.policy or "none"))
    if detail.operator_policy:
        found.append(Row("Operator policy", detail.operator_policy))
    if detail.dead_letters_of:
        number = detail.dead_letter_sources
        found.append(Row("Dead letters of", f"{formats.count(number)} queue{'' if number == 1 else 's'}"))
    elif detail.named_like_dlq:
        found.append(Row("Dead letters of", "none seen", "only named like a dead-letter queue"))
    return tuple(found)


def settings(
    detail: QueueDetail, version: str, policy: Policy | None = None, operator_policy: Policy | None = None
) -> tuple[Setting, ...]:
    """Return each setting of the queue as it holds.

    Without the policies themselves their names are known and what they define together; which of two defines a key
    is then not.
    """
    mine = policy or known_policy(detail.policy)
    theirs = operator_policy or known_policy(detail.operator_policy)
    told = detail.effective_policy or None
    # The type is told in the definition already.
    own = {name: value for name, value in detail.arguments.items() if name != "x-queue-type"}
    found = effective(own, mine, theirs, detail.type, version, told=told)
    return tuple(_setting(one) for one in found)


def _setting(one: Effective) -> Setting:
    return Setting(
        name=one.name,
        text=value_text(one.value),
        note=_meaning(one.name, one.value),
        source="the broker’s default" if one.source == DEFAULT else one.source,
        is_default=one.source == DEFAULT,
        hides=tuple(HiddenSetting(value_text(hidden.value), hidden.source) for hidden in one.hides),
        remark=one.remark,
    )


def value_text(value: Any) -> str:
    """Return a setting's or argument's value as text, no longer than 400 characters."""
    if isinstance(value, str):
        text = value or "“” (empty)"
    elif isinstance(value, bool) or value is None:
        text = {True: "true", False: "false", None: "void"}[value]
    elif isinstance(value, int):
        text = f"{value:,}".replace("-", "−")
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def arguments_text(arguments: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return arguments of a binding or consumer by name."""
    return tuple((str(name), value_text(value)) for name, value in sorted(arguments.items()))


def _meaning(name: str, value: Any) -> str:
    number = isinstance(value, int) and not isinstance(value, bool)
    if name in {"message-ttl", "expires", "consumer-timeout"} and number:
        return formats.duration(value / 1000) if value >= 1000 else f"{value} ms"
    if name in {"max-length-bytes", "max-in-memory-bytes", "stream-max-segment-size-bytes"} and number:
        return formats.size(value)
    if name == "delivery-limit" and number and value < 0:
        return "no limit"
    return ""


def _type(detail: QueueDetail, why: str) -> str:
    lasts = {True: "durable", False: "not durable", None: ""}[detail.durable]
    return ", ".join(part for part in (detail.type or f"type unknown: {why}", lasts) if part)


def _type_note(detail: QueueDetail) -> str:
    notes = []
    if detail.auto_delete:
        notes.append("auto-delete: it goes with its last consumer")
    if detail.exclusive:
        notes.append("exclusive: only its own connection may use it, and it goes with that connection")
    return "; ".join(notes)


def _leader(detail: QueueDetail, whole: bool, why: str) -> tuple[Row, ...]:
    if not whole:
        return ()
    label = "Leader" if detail.type in {"quorum", "stream"} else "Node"
    return (Row(label, short_node(detail.node)) if detail.node else Row(label, unknown=why),)


def _members(detail: QueueDetail, whole: bool) -> Iterable[Row]:
    if not detail.members:
        return ()
    total, online = len(detail.members), len(set(detail.online) & set(detail.members))
    number = "1 member" if total == 1 else f"{total} members"
    state = "all online" if online == total else f"{online} online"
    if not whole:
        return (Row("Members", f"{number}, {state}"),)
    away = [short_node(node) for node in detail.members if node not in detail.online]
    named = ", ".join(short_node(node) for node in detail.members[:_MEMBERS_NAMED])
    more = f" and {total - _MEMBERS_NAMED} more" if total > _MEMBERS_NAMED else ""
    note = f"away: {', '.join(away[:_MEMBERS_NAMED])}" if away else ""
    return (Row("Members", f"{named}{more}, {state}", note),)
