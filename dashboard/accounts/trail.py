"""Reading the audit trail: which entries a person may see, filtered and paged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from dashboard.accounts.audit import Outcome
from dashboard.accounts.models import AuditEntry
from dashboard.accounts.rights import Rights, Role

PER_PAGE = 50
# An entry without outcome is an act under way for as long as one can take, and in doubt after.
UNDER_WAY_FOR = timedelta(minutes=2)
DOUBT = "doubt"
OUTCOMES = {
    Outcome.DONE.value: "done",
    Outcome.REFUSED.value: "refused",
    Outcome.FAILED.value: "failed",
    DOUBT: "in doubt",
}


@dataclass(frozen=True, slots=True)
class Filter:
    """What the page's address asks for; empty fields ask for everything. `before` and `after` are entry ids."""

    who: str = ""
    broker: str = ""
    action: str = ""
    outcome: str = ""
    before: int | None = None
    after: int | None = None

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Filter:
        """Read a query string's fields; what makes no sense is left out."""
        outcome = query.get("outcome", "")
        return cls(
            who=_plain(query.get("who", "")),
            broker=_plain(query.get("broker", "")),
            action=_plain(query.get("action", "")),
            outcome=outcome if outcome in OUTCOMES else "",
            before=_number(query.get("before", "")),
            after=_number(query.get("after", "")),
        )

    @property
    def narrows(self) -> bool:
        """Tell whether any filter is set, paging apart."""
        return bool(self.who or self.broker or self.action or self.outcome)


@dataclass(frozen=True, slots=True)
class Page:
    """Entries, newest first; `older` and `newer` are ids for `before` and `after`, None at the ends."""

    entries: list[AuditEntry]
    total: int
    older: int | None
    newer: int | None


@dataclass(frozen=True, slots=True)
class Choices:
    """What can be filtered by: values that occur in the entries that the person sees."""

    people: list[str]
    brokers: list[str]
    actions: list[str]


def visible(rights: Rights) -> QuerySet[AuditEntry]:
    """Return the entries that a person may see.

    Administrators of all brokers see all; others their own, those of brokers that they administer, and of those vhosts
    that they administer.
    """
    rows = AuditEntry.objects.all()
    if rights.administers_all:
        return rows
    if rights.user_id is None:
        return rows.none()
    seen = Q(user_id=rights.user_id)
    for broker_id in sorted({scope.broker_id for scope in rights.scopes if scope.broker_id is not None}):
        if rights.may(Role.ADMINISTRATOR, broker_id):
            seen |= Q(broker_id=broker_id)
        elif any(scope.broker_id == broker_id and scope.role >= Role.ADMINISTRATOR for scope in rights.scopes):
            named = rows.filter(broker_id=broker_id).exclude(vhost="")
            test = rights.vhost_test(broker_id, Role.ADMINISTRATOR)
            vhosts = [name for name in named.order_by().values_list("vhost", flat=True).distinct() if test(name)]
            seen |= Q(broker_id=broker_id, vhost__in=vhosts)
    return rows.filter(seen)


def page(rights: Rights, wanted: Filter) -> Page:
    """Return one page of entries."""
    rows = _narrowed(visible(rights), wanted)
    total = rows.count()
    if wanted.after is not None:
        found = list(rows.filter(pk__gt=wanted.after).order_by("id")[: PER_PAGE + 1])
        newer, found = len(found) > PER_PAGE, found[:PER_PAGE][::-1]
        older = bool(found)
    else:
        older_than = rows if wanted.before is None else rows.filter(pk__lt=wanted.before)
        found = list(older_than.order_by("-id")[: PER_PAGE + 1])
        older, found = len(found) > PER_PAGE, found[:PER_PAGE]
        newer = wanted.before is not None
    return Page(
        entries=found,
        total=total,
        older=found[-1].pk if found and older else None,
        newer=found[0].pk if found and newer else None,
    )


def choices(rights: Rights) -> Choices:
    """Return what the filters offer."""
    rows = visible(rights).order_by()
    names: dict[str, list[str]] = {}
    for column in ("who", "broker_name", "action"):
        names[column] = sorted(filter(None, rows.values_list(column, flat=True).distinct()[:500]))
    return Choices(names["who"], names["broker_name"], names["action"])


def state_of(entry: AuditEntry) -> str:
    """Return done, refused, failed, `running`, or `doubt` for an act that was cut off."""
    if entry.outcome:
        return entry.outcome
    return "running" if timezone.now() - entry.at < UNDER_WAY_FOR else DOUBT


def _narrowed(rows: QuerySet[AuditEntry], wanted: Filter) -> QuerySet[AuditEntry]:
    if wanted.who:
        rows = rows.filter(who=wanted.who)
    if wanted.broker:
        rows = rows.filter(broker_name=wanted.broker)
    if wanted.action:
        rows = rows.filter(action=wanted.action)
    if wanted.outcome == DOUBT:
        rows = rows.filter(outcome="", at__lt=timezone.now() - UNDER_WAY_FOR)
    elif wanted.outcome:
        rows = rows.filter(outcome=wanted.outcome)
    return rows


def _plain(text: str) -> str:
    return text.replace("\x00", "")[:255]


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
