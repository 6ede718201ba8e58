"""`manage.py demo`: Warren with a RabbitMQ of its own, a little shop on it, and traffic."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.conf import settings

from dashboard.accounts.first_admin import USERNAME
from dashboard.accounts.models import User
from dashboard.accounts.passwords import made_up_password
from dashboard.demo import docker_rabbitmq
from dashboard.demo.local_rabbitmq import LocalBroker, LocalRabbitMQ, LocalRabbitMQError
from dashboard.demo.shop import OPEN_FILE
from dashboard.demo.topology import WATCHER, password_of
from dashboard.management.commands.up import Command as Up
from dashboard.supervisor.guards import CannotStartError
from dashboard.supervisor.plan import Child

BROKER_NAME = "demo-shop"


class Command(Up):
    """As `up`, on a data folder of its own (`var/demo`), so that the demo never mixes with your own brokers."""

    help = "Starts Warren with a RabbitMQ of its own, a little shop on it, and traffic."

    def handle(self, *args: Any, **options: Any) -> None:
        """Go to the demo's data folder, then start as `up` does."""
        if "WARREN_DATA_DIR" not in os.environ:
            os.environ["WARREN_DATA_DIR"] = str(settings.BASE_DIR / "var" / "demo")
            os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606 - ourselves again, with that folder
        super().handle(*args, **options)

    def addresses(self) -> list[str]:
        """Return the demo's broker alone: what WARREN_BROKERS names is left in peace."""
        password = quote(password_of(self.broker, WATCHER), safe="")
        return [f"http://{WATCHER}:{password}@127.0.0.1:{self.broker.management_port}#{BROKER_NAME}"]

    def prepare(self) -> None:
        """Choose where the RabbitMQ comes from, and the password of the first sign-in."""
        self.folder = Path(settings.WARREN_DATA_DIR) / "rabbitmq"
        (self.folder / OPEN_FILE).unlink(missing_ok=True)
        self.broker, self.keeper = _broker(self.folder)
        self.password = os.environ.get("WARREN_ADMIN_PASSWORD") or _remembered_password()
        os.environ["WARREN_ADMIN_PASSWORD"] = self.password

    def further_children(self) -> list[Child]:
        """Return the RabbitMQ and the shop."""
        shop = [sys.executable, "-m", "dashboard.demo.shop", str(self.folder)]
        return [
            Child("rabbitmq", self.keeper, patience_s=4.5, parent_death_signal=int(signal.SIGTERM), ends_last=True),
            Child("shop", shop, patience_s=2.0),
        ]

    def wait_for_file(self) -> str:
        """Return what says that the shop is open: until then beat sends nothing, and nobody is told to come."""
        return str(self.folder / OPEN_FILE)

    def sign_in(self, _made: list[str]) -> list[str]:
        """Say how to sign in, at every start."""
        user = User.objects.filter(username=USERNAME).first()
        if user is not None and user.check_password(self.password):
            return [f"Sign in as {USERNAME} with the password {self.password}"]
        return [f"Sign in as {USERNAME} with the password that you gave it."]


def _broker(folder: Path) -> tuple[LocalBroker, list[str]]:
    """Return the broker that will run and the command that keeps it. Raises CannotStartError."""
    if docker_rabbitmq.engine_answers():
        return docker_rabbitmq.prepare(folder), [sys.executable, "-m", "dashboard.demo.docker_rabbitmq", str(folder)]
    try:
        broker = LocalRabbitMQ(folder).prepare()
    except LocalRabbitMQError as error:
        raise CannotStartError(f"The demo needs a RabbitMQ. {error} `make run` needs none.") from error
    return broker, [sys.executable, "-m", "dashboard.demo.local_rabbitmq", str(folder)]


def _remembered_password() -> str:
    path = Path(settings.WARREN_DATA_DIR) / "demo-sign-in"
    try:
        return str(json.loads(path.read_text())["password"])
    except (OSError, ValueError, KeyError, TypeError):
        password = made_up_password()
        path.touch(mode=0o600)
        path.write_text(json.dumps({"password": password}))
        return password
