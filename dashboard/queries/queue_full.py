"""What becomes of messages where a queue holds as many as it may. Pure."""

from __future__ import annotations

from brokers.rabbitmq.policy import effective
from brokers.rabbitmq.structs import Policy
from brokers.registry.details import QueueDetail
from dashboard import formats


def full(detail: QueueDetail, version: str, ready: float, enters: float) -> str:
    """Say what becomes of messages where so many wait as the queue may hold; empty where more may.

    `ready` is messages, NaN for *unknown*; `enters` those published a second. Limits in bytes are not looked at: what
    counts in them differs by type and version.
    """
    found = {
        one.name: one.value
        for one in effective(
            detail.arguments,
            known_policy(detail.policy),
            known_policy(detail.operator_policy),
            detail.type,
            version,
            told=detail.effective_policy or None,
        )
    }
    limit = found.get("max-length")
    if not isinstance(limit, int) or isinstance(limit, bool) or not ready >= limit or detail.type == "stream":
        return ""
    letters = "goes to the dead-letter exchange" if found.get("dead-letter-exchange") else ""
    what = {
        "reject-publish": "what is published to it is refused",
        "reject-publish-dlx": f"what is published to it is refused{' and ' + letters if letters else ''}",
    }.get(str(found.get("overflow")), f"for each message that enters, the oldest {letters or 'is dropped'}")
    pace = f", {formats.rate(enters)} a second" if enters > 0 else ""
    return f"It is full: it holds {formats.count(limit)} at most, and {what}{pace}."


def known_policy(name: str | None) -> Policy | None:
    """Return a policy of which the name alone is known, None where a queue has none."""
    return Policy(name=name) if name else None
