"""Setting how long a broker's history is kept. What deletes history takes the broker's name, typed."""

from __future__ import annotations

from dataclasses import asdict

from brokers.series.retention import Retention, set_retention
from dashboard import formats
from dashboard.accounts.audit import Actor, act
from dashboard.accounts.rights import Role
from dashboard.queries.retention import Kept, Plan


class UnconfirmedError(Exception):
    """It would delete history, and was not confirmed; nothing was changed. The message is a sentence for the person."""


def keep(actor: Actor, plan: Plan, confirmed: str) -> Retention:
    """Keep a broker's history as planned from now on.

    Raises RefusedError, UnconfirmedError where history would be deleted and `confirmed` is not the broker's name, and
    RetentionError.
    """
    broker = plan.broker
    if plan.deletes and confirmed.strip() != broker.name.strip():
        raise UnconfirmedError(
            f"{' '.join(map(loss, plan.deleted))} Confirm with the broker's name. Nothing was changed."
        )
    with act(
        actor,
        "broker.retention",
        needs=Role.ADMINISTRATOR,
        broker=broker,
        subject=broker.name,
        intent={"from": asdict(plan.stored), "to": asdict(plan.retention), "deletes_bytes": _deleted(plan)},
    ) as done:
        set_retention(broker.pk, plan.retention)
        done.sentence = (
            f"{formats.size(_deleted(plan))} of history goes within the hour."
            if plan.deletes
            else "No history is deleted."
        )
    return plan.retention


def loss(kept: Kept) -> str:
    """Say what is deleted of one resolution."""
    return (
        f"{kept.field.label}: {formats.size(kept.deleted_bytes)} of history older than {kept.value:,} "
        f"{kept.field.unit} would be deleted."
    )


def _deleted(plan: Plan) -> int:
    return sum(one.deleted_bytes for one in plan.deleted)
