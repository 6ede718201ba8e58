"""Queues that need a person: nobody consumes them, or whoever does not keep up. Pure."""

from __future__ import annotations

import math

from brokers.lag.state import ConsumerState
from dashboard import formats
from dashboard.queries.broker_analysis import Troubled, Unconsumed
from dashboard.queries.broker_facts import BrokerFacts
from dashboard.queries.need import Lasting, Need, Severity, need


def queue_needs(facts: BrokerFacts) -> list[Need]:
    """Return what the queues of a broker need, vhost by vhost and state by state."""
    return [_unconsumed(facts, group) for group in facts.unconsumed] + [
        _troubled(facts, group) for group in facts.troubled
    ]


def _unconsumed(facts: BrokerFacts, group: Unconsumed) -> Need:
    waits = f"{formats.count(group.ready)} {'message waits' if group.ready == 1 else 'messages wait'}"
    if group.hour_ago is not None and group.hour_ago != group.ready:
        trend = "up" if group.ready > group.hour_ago else "down"
        ago = formats.duration(60 * round(group.hour_span_s / 60))
        waits += f", {trend} from {formats.count(group.hour_ago)} ({ago} ago)"
    common = {
        "vhost": group.vhost,
        "lasts": Lasting(float(ConsumerState.STOPPED), group.queues, group.slots),
        "short": f"{formats.count(group.queues)} without consumer",
        "weight": 10 + math.log10(1 + group.ready),
    }
    if group.queues == 1:
        return need(
            facts,
            f"unconsumed.{group.vhost_slot}",
            Severity.WARNING,
            group.largest,
            f"of {group.vhost} on {facts.name} has a backlog and no consumer",
            why=f"{waits}. {group.full}".strip(),
            queue=group.largest,
            **common,
        )
    return need(
        facts,
        f"unconsumed.{group.vhost_slot}",
        Severity.WARNING,
        f"{formats.count(group.queues)} queues of {group.vhost}",
        f"on {facts.name} have a backlog and no consumer",
        why=f"{waits}; the most, {formats.count(group.largest_ready)}, in {formats.isolated(group.largest)}.",
        **common,
    )


# Of a state: how much it presses, what one and several queues are said to do, and its word in the address.
_TROUBLES = {
    ConsumerState.STALLED: (Severity.WARNING, 8.0, "is stalled", "are stalled", "Stalled"),
    ConsumerState.FALLING_BEHIND: (Severity.WARNING, 5.0, "falls behind", "fall behind", "Falling behind"),
    ConsumerState.STARVED: (Severity.NOTICE, 3.0, "is starved by its prefetch", "are starved by prefetch", "Starved"),
}
_STATE_NAMES = {
    ConsumerState.STALLED: "stalled",
    ConsumerState.FALLING_BEHIND: "behind",
    ConsumerState.STARVED: "starved",
}
_ICONS = {ConsumerState.STALLED: "stalled", ConsumerState.FALLING_BEHIND: "behind", ConsumerState.STARVED: "behind"}


def _troubled(facts: BrokerFacts, group: Troubled) -> Need:
    severity, weight, one, several, short = _TROUBLES[group.state]
    key = f"{_STATE_NAMES[group.state]}.{group.vhost_slot}"
    weight += math.log10(1 + group.total)
    lasts = Lasting(float(group.state), group.queues, group.slots)
    if group.queues == 1:
        return need(
            facts,
            key,
            severity,
            group.largest,
            f"of {group.vhost} on {facts.name} {one}",
            why=group.evidence,
            vhost=group.vhost,
            queue=group.largest,
            lasts=lasts,
            state=_STATE_NAMES[group.state],
            short=short,
            icon=_ICONS[group.state],
            weight=weight,
        )
    return need(
        facts,
        key,
        severity,
        f"{formats.count(group.queues)} queues of {group.vhost}",
        f"on {facts.name} {several}",
        why=f"The largest is {formats.isolated(group.largest)}: {group.evidence[:1].lower()}{group.evidence[1:]}",
        vhost=group.vhost,
        lasts=lasts,
        state=_STATE_NAMES[group.state],
        short=f"{formats.count(group.queues)} {short.lower()}",
        icon=_ICONS[group.state],
        weight=weight,
    )
