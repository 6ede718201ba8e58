"""`manage.py rotate_keys`: encrypt every broker's credentials anew under the first key of the list."""

from __future__ import annotations

from typing import Any

from cryptography.fernet import InvalidToken
from django.core.management.base import BaseCommand, CommandError

from brokers.registry.credentials import reseal
from brokers.registry.models import Broker
from dashboard.accounts.audit import act, by_command
from dashboard.management.prepared import on_prepared_tables


class Command(BaseCommand):
    """Re-encrypts what is stored, and says of which brokers it could not be opened."""

    help = "Encrypt all stored credentials anew under the first key. Afterwards the other keys can be taken away."

    @on_prepared_tables()
    def handle(self, *_args: Any, **_options: Any) -> None:
        """Re-encrypt broker by broker; a broker that is edited at the same moment keeps the edit."""
        done, lost = 0, []
        with act(by_command(), "broker.rotate_keys", needs=None) as running:
            for broker in Broker.objects.exclude(sealed=b""):
                try:
                    fresh = reseal(broker)
                except InvalidToken:
                    lost.append(broker.name)
                    continue
                # Stored meanwhile: by the first key already, since a running Warren encrypts under it alone.
                done += Broker.objects.filter(pk=broker.pk, sealed=bytes(broker.sealed)).update(sealed=fresh)
            running.sentence = f"Credentials of {_brokers(done)} stand under the first key."
            if lost:
                running.sentence += f" Those of {', '.join(lost)} open under no key of the list."
        self.stdout.write(f"Credentials of {_brokers(done)} stand under the first key.")
        if lost:
            raise CommandError(
                f"The credentials of {', '.join(lost)} open under no key of the list and were left as they are. "
                "Put their old key back at the end of the list, or enter the credentials again."
            )
        self.stdout.write("The other keys can be taken away. Who was not here since the restart signs in again then.")


def _brokers(count: int) -> str:
    return "1 broker" if count == 1 else f"{count} brokers"
