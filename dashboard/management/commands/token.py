"""`manage.py token`: API tokens from the command line."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from dashboard.accounts import tokens
from dashboard.accounts.audit import act, by_command
from dashboard.accounts.models import ApiToken, User
from dashboard.management.prepared import holds_where, on_prepared_tables, person


class Command(BaseCommand):
    """`create` prints the token alone on its line; `list` and `revoke` go by the letters that a token begins with."""

    help = "Create, list and revoke API tokens."

    def add_arguments(self, parser: CommandParser) -> None:
        """Name the three verbs."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        create = verbs.add_parser("create", help="print a new token, alone on its line")
        create.add_argument("--user", required=True)
        create.add_argument("--name", default="command line", help="what it is for")
        create.add_argument("--days", type=int, default=0, help="days until it expires; 0: good until revoked")
        listing = verbs.add_parser("list", help="list tokens by the letters that they begin with")
        listing.add_argument("--user")
        revoke = verbs.add_parser("revoke", help="revoke a token")
        revoke.add_argument("token", help="the token, or the letters that `list` shows")

    @on_prepared_tables()
    def handle(self, *_args: Any, **options: Any) -> None:
        """Run one verb."""
        if options["verb"] == "create":
            self._create(person(options["user"]), options["name"], options["days"])
        elif options["verb"] == "list":
            self._list(person(options["user"]) if options["user"] else None)
        else:
            self._revoke(options["token"])

    def _create(self, user: User, name: str, days: int) -> None:
        if days < 0:
            raise CommandError(f"--days is {days}; it must be 0 or more.")
        if not user.is_active:
            raise CommandError(f"{user.username} is deactivated, so a token of theirs would be refused.")
        expires = timezone.now() + timedelta(days=days) if days else None
        intent = {"name": name, "expires": expires.isoformat() if expires else None}
        with act(by_command(), "user.api_token.create", needs=None, subject=user.username, intent=intent) as done:
            text, row = tokens.create(user, name, expires)
            done.sentence = f"The token begins with {row.prefix}."
        self.stderr.write(holds_where())
        self.stdout.write(text)

    def _list(self, user: User | None) -> None:
        rows = ApiToken.objects.select_related("user").order_by("user__username", "id")
        for row in rows.filter(user=user) if user else rows:
            used = f"used {row.last_used_at:%Y-%m-%d %H:%M} UTC" if row.last_used_at else "never used"
            until = f"until {row.expires_at:%Y-%m-%d %H:%M} UTC" if row.expires_at else "until revoked"
            self.stdout.write(f"{row.prefix}…  {row.user.username}  {row.name}  {used}  {until}")

    def _revoke(self, text: str) -> None:
        rows = ApiToken.objects.select_related("user")
        found = list(rows.filter(digest=tokens.digest(text)) or rows.filter(prefix=text.rstrip("…")))
        if len(found) != 1:
            raise CommandError("No token begins so." if not found else f"{len(found)} tokens begin so; give it whole.")
        row = found[0]
        intent = {"name": row.name, "begins": row.prefix}
        with act(by_command(), "user.api_token.revoke", needs=None, subject=row.user.username, intent=intent):
            row.delete()
        self.stdout.write(f"Token {row.prefix}… of {row.user.username} is revoked.")
