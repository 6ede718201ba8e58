"""Acts on Warren's list of brokers: add, edit, test, pause, resume, remove.

Each checks the right and writes the audit trail by `dashboard.accounts.audit.act`; what is entered has been checked by
`broker_form.problems` before.
"""

from __future__ import annotations

from brokers.registry import services
from brokers.registry.credentials import SealedError, Secrets, unseal
from brokers.registry.models import Broker
from dashboard.accounts.audit import Actor, act
from dashboard.accounts.rights import Role
from dashboard.acting import broker_form as form
from dashboard.acting.connection import StepShown, steps_of


def stored_secrets(broker: Broker) -> tuple[Secrets, str]:
    """Return the stored secrets, or none and the sentence that says why they can't be opened."""
    try:
        return unseal(broker), ""
    except SealedError as error:
        return Secrets(), str(error)


def add(actor: Actor, entered: form.Entered) -> Broker:
    """Add a broker. Raises RefusedError, and InvalidBrokerError where the input can't be taken."""
    with act(
        actor,
        "broker.add",
        needs=Role.ADMINISTRATOR,
        subject=entered.name,
        intent={"name": entered.name, "address": entered.management_url, "user": entered.username},
    ) as done:
        broker = services.add(form.given(entered))
        done.sentence = f"{broker.name} is polled every {broker.cadence_s} s."
    return broker


def edit(actor: Actor, broker: Broker, entered: form.Entered, stored: Secrets) -> Broker:
    """Store what was entered about a broker. Raises RefusedError, and InvalidBrokerError."""
    before = form.from_stored(broker, stored)
    changed = sorted(
        field for field in form.Entered.__dataclass_fields__ if getattr(before, field) != getattr(entered, field)
    )
    with act(
        actor,
        "broker.edit",
        needs=Role.ADMINISTRATOR,
        broker=broker,
        subject=broker.name,
        intent={"fields": changed, "address": entered.management_url},
    ) as done:
        edited = services.edit(broker.pk, form.given(entered), broker.revision)
        done.sentence = "Saved." if changed else "Saved; nothing was changed."
    return edited


def test(actor: Actor, broker: Broker | None, entered: form.Entered, stored: Secrets) -> list[StepShown]:
    """Test the connection with what is entered, step by step, and change nothing. Raises RefusedError."""
    with act(
        actor,
        "broker.test",
        needs=Role.ADMINISTRATOR,
        broker=broker,
        subject=entered.name,
        intent={"address": entered.management_url},
    ) as done:
        steps = steps_of(entered, form.secrets_of(entered, stored))
        bad = sum(step.state == "critical" for step in steps)
        done.sentence = f"{bad} of {len(steps)} steps failed." if bad else f"All {len(steps)} steps went well."
    return steps


def pause(actor: Actor, broker: Broker) -> None:
    """Ask nothing of a broker from now on. Raises RefusedError."""
    with act(actor, "broker.pause", needs=Role.ADMINISTRATOR, broker=broker, subject=broker.name) as done:
        services.pause(broker.pk)
        done.sentence = "Nothing is asked of it any more."


def resume(actor: Actor, broker: Broker) -> None:
    """Poll a paused broker again. Raises RefusedError."""
    with act(actor, "broker.resume", needs=Role.ADMINISTRATOR, broker=broker, subject=broker.name) as done:
        services.resume(broker.pk)
        done.sentence = "It is polled again."


def remove(actor: Actor, broker: Broker) -> None:
    """Remove a broker with its history; takes an administrator of all brokers. Raises RefusedError."""
    intent = {"address": broker.management_url}
    with act(actor, "broker.remove", needs=Role.ADMINISTRATOR, subject=broker.name, intent=intent) as done:
        services.remove(broker.pk)
        done.sentence = "Removed with its history, its credentials and the grants on it."
