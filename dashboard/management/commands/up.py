"""`manage.py up`: prepare, then run web, worker and beat until Ctrl-C."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connections

from dashboard.supervisor import preparation
from dashboard.supervisor.guards import CannotStartError, check_port, lock_folder, writable
from dashboard.supervisor.plan import Child, Plan, hand_over


class Command(BaseCommand):
    """Everything in one terminal. `demo` is this with a RabbitMQ of its own, by the methods that it overrides."""

    help = "Starts Warren: makes the tables and the first administrator if need be, then runs web, worker and beat."
    requires_system_checks: list[str] = []

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Prepare, then become the supervisor. Ends with 1 and a sentence where Warren cannot start."""
        try:
            with writable():
                lock_folder(settings.WARREN_DATA_DIR)
                check_port(settings.WARREN_HOST, settings.WARREN_PORT)
                self.prepare()
                welcome = self._fill()
        except CannotStartError as error:
            self.stderr.write(str(error))
            sys.exit(1)
        connections.close_all()
        self.stdout.flush()
        self._become_supervisor(welcome)

    def _fill(self) -> list[str]:
        """Bring tables, files and accounts up to date; return what to say about signing in."""
        preparation.drop_old_messages()
        if preparation.migrate():
            self.stdout.write("The tables are up to date.")
        preparation.collect_static()
        made = preparation.make_first_admin()
        for line in preparation.register_brokers(self.addresses()):
            self.stdout.write(line)
        return self.sign_in(made)

    def prepare(self) -> None:
        """Get ready what is needed beside the dashboard. Raises CannotStartError."""

    def addresses(self) -> list[str]:
        """Return the management addresses to register, with credentials."""
        return list(settings.WARREN_BROKERS)

    def further_children(self) -> list[Child]:
        """Return what runs beside web, worker and beat."""
        return []

    def wait_for_file(self) -> str:
        """Return the file whose existence says that what runs beside is ready; empty: there is nothing to wait for."""
        return ""

    def sign_in(self, made: list[str]) -> list[str]:
        """Return what to say about signing in; `made` is what there is to say of an administrator just made."""
        return made

    def _become_supervisor(self, welcome: list[str]) -> None:
        address = preparation.address()
        waited_for = self.wait_for_file()
        own = preparation.processes()
        plan = Plan(
            # Polls that are bound to fail are not begun.
            children=[
                *self.further_children(),
                *(replace(child, after_file=waited_for) if child.name == "beat" else child for child in own),
            ],
            address=address,
            ready_url=f"{address}/healthz",
            ready_file=waited_for,
            status_file=str(settings.WARREN_DATA_DIR / "up.json"),
            welcome=welcome,
        )
        # The preparation needed Django; what stays does not. The same process goes on as a small one.
        os.chdir(settings.BASE_DIR)
        command = [sys.executable, "-m", "dashboard.supervisor", str(hand_over(plan))]
        os.execv(sys.executable, command)  # noqa: S606 - our own module
