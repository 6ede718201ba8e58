"""What needs a person, worst first: sentences with their evidence, computed from the facts of brokers. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from brokers.collect.state import Condition
from brokers.rabbitmq.errors import grant_command
from dashboard import formats
from dashboard.queries.attention_queues import queue_needs
from dashboard.queries.broker_analysis import NodeFacts, short_node
from dashboard.queries.broker_facts import BrokerFacts
from dashboard.queries.need import Need, Severity, need

_RANK = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.UNKNOWN: 2, Severity.NOTICE: 3}

# Shares of a limit from which on head-room is worth a look, and from which on it cannot wait.
NEAR = 0.80
AT_THE_LIMIT = 0.95
# Free disk below this many times its limit is worth a look.
DISK_NEAR = 1.5


def needs(facts: BrokerFacts) -> list[Need]:
    """Return what needs a person on one broker, worst first.

    Figures that a broker told before it stopped answering are of the past: of a silent broker only its silence needs
    somebody.
    """
    if facts.condition is Condition.PAUSED:
        return []
    if facts.condition is Condition.NEW:
        return _first_time(facts)
    found = _silent(facts)
    if facts.condition is not Condition.UNREACHABLE:
        found += _cluster(facts)
        for node in facts.nodes:
            found += _node(facts, node)
        found += queue_needs(facts)
        found += _unreadable(facts)
    return worst_first(found)


def worst_first(found: Iterable[Need]) -> list[Need]:
    """Order by severity, then by weight, then by name."""
    return sorted(found, key=lambda one: (_RANK[one.severity], -one.weight, one.broker.casefold(), one.key))


def headline(found: Sequence[Need]) -> str:
    """Say in one sentence how much of it cannot wait."""
    pressing = sum(one.severity is Severity.CRITICAL for one in found)
    others = len(found) - pressing
    if not found:
        return "Nothing needs you."
    if not pressing:
        return f"{_things(others)} can wait, nothing is critical."
    if not others:
        return f"{_things(pressing)} cannot wait."
    return f"{_things(pressing)} cannot wait, {_word(others)} can."


def quiet(all_facts: Sequence[BrokerFacts]) -> str:
    """Say what is known to be well where nothing needs the person, and no more than they see and Warren knows."""
    fresh = [facts for facts in all_facts if facts.fresh]
    whole = [facts for facts in fresh if facts.whole]
    if not fresh:
        return "Nothing is known to need you: no broker gives figures now."
    if not whole:
        return "Nothing needs you: in the vhosts that you see no backlog waits for a consumer."
    told = all(
        node.running == 1 and node.memory_alarm == 0 and node.disk_alarm == 0 for facts in whole for node in facts.nodes
    )
    if not told or not all(facts.nodes for facts in whole):
        return "Nothing is known to need you, though not every node tells whether it runs and whether an alarm is up."
    where = "" if len(whole) == len(fresh) else " of the brokers that you see whole"
    return f"Nothing needs you: no alarm, every node{where} runs, and no backlog waits for a consumer."


def _things(number: int) -> str:
    return f"{_word(number).capitalize()} thing{'' if number == 1 else 's'}"


_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def _word(number: int) -> str:
    return _WORDS[number] if number < len(_WORDS) else formats.count(number)


def _first_time(facts: BrokerFacts) -> list[Need]:
    if not facts.failures:
        return []
    return [
        need(
            facts,
            "silent",
            Severity.CRITICAL,
            facts.name,
            "has never answered",
            short="Never answered",
            why=facts.reason(),
            icon="stale",
            since_ms=facts.failing_since_ms,
            weight=100,
        )
    ]


def _silent(facts: BrokerFacts) -> list[Need]:
    if facts.no_room:
        severity, sentence = Severity.CRITICAL, "is not polled, since Warren's disk is full"
    elif facts.condition is Condition.UNREACHABLE:
        severity, sentence = Severity.CRITICAL, "does not answer"
    elif facts.condition is Condition.LATE:
        severity, sentence = Severity.UNKNOWN, "is late"
    else:
        return []
    age = f"Its figures are from {formats.clock(facts.at_ms)}." if facts.at_ms else "It has no figures yet."
    return [
        need(
            facts,
            "silent",
            severity,
            facts.name,
            sentence,
            short="Disk full" if facts.no_room else "No answer" if severity is Severity.CRITICAL else "Late",
            why=f"{age} {facts.reason()}".strip(),
            icon="stale",
            since_ms=facts.failing_since_ms or facts.at_ms,
            weight=100,
        )
    ]


def _cluster(facts: BrokerFacts) -> list[Need]:
    apart = [node for node in facts.nodes if node.partitions]
    if not apart:
        return []
    pairs = "; ".join(
        f"{node.short} does not see {_listed([short_node(name) for name in node.partitions])}" for node in apart
    )
    return [
        need(
            facts,
            "partition",
            Severity.CRITICAL,
            facts.name,
            "is partitioned: parts of the cluster do not see each other",
            short="Partitioned",
            why=f"{pairs}. Each side goes on by itself until the nodes of one side are restarted.",
            since_ms=facts.since("partition", ""),
            weight=90,
        )
    ]


def _node(facts: BrokerFacts, node: NodeFacts) -> list[Need]:
    if node.running == 0:
        return [
            need(
                facts,
                f"node.{node.slot}.down",
                Severity.CRITICAL,
                node.short,
                f"of {facts.name} does not run",
                short="Node down",
                why=f"{facts.nodes_running} of {len(facts.nodes)} nodes run. "
                "Queues whose only copy is on it cannot be used.",
                since_ms=facts.since("node_down", node.name),
                weight=80,
            )
        ]
    return [*_memory(facts, node), *_disk(facts, node), *_handles(facts, node)]


def _memory(facts: BrokerFacts, node: NodeFacts) -> list[Need]:
    share = node.memory_share
    used = f"{formats.size(node.memory_used)} used, the limit is {formats.size(node.memory_limit)}."
    if node.memory_alarm == 1:
        sentence = f"of {facts.name} is out of memory and blocks every publisher of the cluster"
        return [
            need(
                facts,
                f"node.{node.slot}.memory",
                Severity.CRITICAL,
                node.short,
                sentence,
                short="Memory alarm",
                why=f"{used} Publishers wait until it falls." if share is not None else "The memory alarm is up.",
                since_ms=facts.since("memory_alarm", node.name),
                weight=95,
            )
        ]
    if share is None or share < NEAR:
        return []
    sentence = f"of {facts.name} uses {formats.percent(share)} of the memory at which it blocks publishers"
    return [
        need(
            facts,
            f"node.{node.slot}.memory",
            Severity.WARNING,
            node.short,
            sentence,
            short=f"Memory at {formats.percent(share)}",
            why=used,
            weight=40 + 10 * share,
        )
    ]


def _disk(facts: BrokerFacts, node: NodeFacts) -> list[Need]:
    free = f"{formats.size(node.disk_free)} free, the limit is {formats.size(node.disk_limit)}."
    known = not math.isnan(node.disk_free) and not math.isnan(node.disk_limit)
    if node.disk_alarm == 1:
        return [
            need(
                facts,
                f"node.{node.slot}.disk",
                Severity.CRITICAL,
                node.short,
                f"of {facts.name} is out of disk and blocks every publisher of the cluster",
                short="Disk alarm",
                why=f"{free} Publishers wait until more is free." if known else "The disk alarm is up.",
                since_ms=facts.since("disk_alarm", node.name),
                weight=95,
            )
        ]
    if not known or node.disk_limit <= 0 or node.disk_free >= node.disk_limit * DISK_NEAR:
        return []
    return [
        need(
            facts,
            f"node.{node.slot}.disk",
            Severity.WARNING,
            node.short,
            f"of {facts.name} comes close to its disk limit",
            short="Disk nearly full",
            why=f"{free} Below it the node blocks publishers.",
            weight=45,
        )
    ]


def _handles(facts: BrokerFacts, node: NodeFacts) -> list[Need]:
    found = []
    for key, share, used, limit, words, follows in (
        ("fd", node.fd_share, node.fd_used, node.fd_limit, "file descriptors", "no client can connect"),
        (
            "processes",
            node.processes_share,
            node.processes_used,
            node.processes_limit,
            "Erlang processes",
            "no connection, channel or queue can be opened",
        ),
    ):
        if share is None or share < NEAR:
            continue
        found.append(
            need(
                facts,
                f"node.{node.slot}.{key}",
                Severity.CRITICAL if share >= AT_THE_LIMIT else Severity.WARNING,
                node.short,
                f"of {facts.name} uses {formats.percent(share)} of its {words}",
                short=f"{words[0].upper()}{words[1:]} at {formats.percent(share)}",
                why=f"{formats.count(used)} of {formats.count(limit)}; at the limit {follows}.",
                weight=40 + 10 * share,
            )
        )
    return found


def _unreadable(facts: BrokerFacts) -> list[Need]:
    closed = [vhost for vhost in facts.vhosts if vhost.readable is False]
    if not closed:
        return []
    if len(closed) == 1:
        subject, rest = closed[0].name, f"of {facts.name} cannot be looked into"
    else:
        subject, rest = f"{formats.count(len(closed))} vhosts", f"of {facts.name} cannot be looked into"
    if not facts.whole:
        why = "What is in them is unknown until an administrator of the broker opens them for Warren."
        return [need(facts, "unreadable", Severity.NOTICE, subject, rest, short="Vhost closed", why=why)]
    names = _listed([vhost.name for vhost in closed[:3]]) + (
        f" and {formats.count(len(closed) - 3)} more" if len(closed) > 3 else ""
    )
    why = f"{facts.username or 'The watching user'} has no permission row in {names}. This opens it, for looking only:"
    command = grant_command(closed[0].name, facts.username)
    return [need(facts, "unreadable", Severity.NOTICE, subject, rest, short="Vhost closed", why=why, command=command)]


def _listed(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
