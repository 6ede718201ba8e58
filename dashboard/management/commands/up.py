"""`manage.py up`: prepare, then run web, worker and beat until Ctrl-C."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connections

from dashboard.supervisor import preparation
from dashboard.supervisor.guards import CannotStartError, check_port, lock_folder
from dashboard.supervisor.plan import Child, Plan, hand_over


class Command(BaseCommand):
    """Everything in one terminal; see docs/architecture.md."""

    help = "Starts Warren: makes the tables and the first administrator if need be, then runs web, worker and beat."
    requires_system_checks: list[str] = []

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Prepare, then become the supervisor. Ends with 1 and a sentence where Warren cannot start."""
        try:
            self.check_can_start()
            children, brokers, notes = self.more()
        except CannotStartError as error:
            self.stderr.write(str(error))
            sys.exit(1)
        preparation.drop_old_messages()
        if preparation.migrate():
            self.stdout.write("The tables are up to date.")
        preparation.collect_static()
        welcome = preparation.make_first_admin()
        for line in preparation.register_brokers([*settings.WARREN_BROKERS, *brokers]):
            self.stdout.write(line)
        connections.close_all()
        address = preparation.address()
        plan = Plan(
            children=[*preparation.processes(), *children],
            address=address,
            ready_url=f"{address}/healthz",
            status_file=str(settings.WARREN_DATA_DIR / "up.json"),
            welcome=notes or welcome,
        )
        self.stdout.flush()
        # The preparation needed Django; what stays does not. The same process goes on as a small one.
        os.chdir(settings.BASE_DIR)
        command = [sys.executable, "-m", "dashboard.supervisor", str(hand_over(plan))]
        os.execv(sys.executable, command)  # noqa: S606 - our own module

    def check_can_start(self) -> None:
        """Take the data folder and look at the port. Raises CannotStartError."""
        lock_folder(settings.WARREN_DATA_DIR)
        check_port(settings.WARREN_HOST, settings.WARREN_PORT)

    def more(self) -> tuple[list[Child], list[str], list[str]]:
        """Return further processes, brokers to register, and what to say instead of the first sign-in."""
        return [], [], []
