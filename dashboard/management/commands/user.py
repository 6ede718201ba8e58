"""`manage.py user`: people from the command line, also for those who have locked themselves out."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from brokers.registry.models import Broker
from dashboard.accounts import people
from dashboard.accounts.audit import ActRefusedError, act, by_command
from dashboard.accounts.models import Role, User
from dashboard.accounts.words import grant_words, scope_words
from dashboard.management.prepared import holds_where, on_prepared_tables, person


class Command(BaseCommand):
    """`add` and `password` print a temporary password alone on its line."""

    help = "List, add, grant, deactivate and activate people, and give temporary passwords."

    def add_arguments(self, parser: CommandParser) -> None:
        """Name the verbs."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("list", help="list people with their grants")
        for verb, text in (
            ("add", "add a person; prints a temporary password"),
            ("grant", "give a role on a scope, in place of the one on the same scope"),
        ):
            granting = verbs.add_parser(verb, help=text)
            granting.add_argument("username")
            granting.add_argument("--role", choices=Role.values, default=Role.VIEWER.value)
            granting.add_argument("--broker", help="name of one broker; without it, all brokers")
            granting.add_argument("--vhosts", default="", help="pattern over whole vhost names, as in tenant-*")
        for verb, text in (
            ("password", "print a new temporary password, and lift a lock after wrong ones"),
            ("deactivate", "let a person do nothing until activated"),
            ("activate", "let a deactivated person in again"),
        ):
            verbs.add_parser(verb, help=text).add_argument("username")

    @on_prepared_tables()
    def handle(self, *_args: Any, **options: Any) -> None:
        """Run one verb."""
        verb = options["verb"]
        try:
            if verb == "list":
                self._list()
            elif verb in {"add", "grant"}:
                self._grant(options, new=verb == "add")
            elif verb == "password":
                self._password(person(options["username"]))
            else:
                self._active(person(options["username"]), active=verb == "activate")
        except ActRefusedError as error:
            raise CommandError(str(error)) from error

    def _list(self) -> None:
        for user in User.objects.order_by("username").prefetch_related("grants__broker"):
            words = "; ".join(grant_words(grant) for grant in user.grants.all()) or "no grants"
            self.stdout.write(f"{user.username}{'' if user.is_active else ' (deactivated)'}: {words}")

    def _grant(self, options: dict[str, Any], *, new: bool) -> None:
        username, role, pattern = options["username"], Role(options["role"]), options["vhosts"]
        broker = _broker(options["broker"]) if options["broker"] else None
        if pattern and broker is None:
            raise CommandError("--vhosts needs --broker: a vhost pattern belongs to one broker.")
        words = f"{role.value} on {scope_words(broker.name if broker else None, pattern)}"
        action = "user.add" if new else "user.grant"
        user = _new(username) if new else person(username)
        with act(by_command(), action, needs=None, broker=broker, subject=username, intent={"grant": words}):
            if new:
                user, password = people.add(username, role, broker, pattern)
            else:
                people.grant(user, role, broker, pattern)
        if new:
            self.stderr.write(f"{username} is {words}. The password is temporary. {holds_where()}")
            self.stdout.write(password)
        else:
            self.stdout.write(f"{username} is {words}.")

    def _password(self, user: User) -> None:
        with act(by_command(), "user.reset_password", needs=None, subject=user.username):
            password = people.reset_password(user)
        self.stderr.write(f"{user.username} is signed out everywhere. The new password is temporary. {holds_where()}")
        self.stdout.write(password)

    def _active(self, user: User, *, active: bool) -> None:
        action = "user.activate" if active else "user.deactivate"
        with act(by_command(), action, needs=None, subject=user.username):
            if active:
                people.activate(user)
            else:
                people.deactivate(user)
        self.stdout.write(f"{user.username} is {'active' if active else 'deactivated'}.")


def _new(username: str) -> User:
    user = User(username=username)
    try:
        user.clean_fields(exclude=["password"])
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from error
    if User.objects.filter(username__iexact=username).exists():
        raise CommandError(f"There is already an account named {username}.")
    return user


def _broker(name: str) -> Broker:
    broker = Broker.objects.filter(name=name).first()
    if broker is None:
        names = ", ".join(Broker.objects.values_list("name", flat=True)[:20]) or "none yet"
        raise CommandError(f"There is no broker named {name}. There are: {names}.")
    return broker
