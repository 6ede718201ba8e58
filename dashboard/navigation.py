"""What the shell around every page shows: the rooms that a person may enter, and the brokers to switch between.

It is drawn on every page, so it is cheap: one query for the brokers, and one more for people who see only some vhosts
of a broker, whose queues have to be counted. Nothing is asked for an answer without a shell (a table's rows for htmx).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from brokers.collect.measures import decode
from brokers.collect.state import state_of
from brokers.registry.models import Broker, BrokerObject
from brokers.series.metrics import Kind
from dashboard import formats
from dashboard.accounts.models import User
from dashboard.accounts.rights import Rights, Role, rights_for
from dashboard.accounts.words import scope_words
from dashboard.queries.collector import STATES

_SEPARATORS = str.maketrans("@.-_+", "     ")


@dataclass(frozen=True, slots=True)
class Room:
    """One entry of the sidebar. `key` is the letter that leads there after `g`; `phone` puts it into the bar below."""

    label: str
    icon: str
    url: str
    key: str
    count: str = ""
    current: bool = False
    phone: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """Rooms under one heading; the first has none."""

    heading: str
    rooms: tuple[Room, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One broker of the switcher, with its state in a word and an icon. `url` is the present page, of that broker."""

    id: int
    name: str
    url: str
    word: str
    icon: str
    queues: int | None
    current: bool = False


@dataclass(frozen=True, slots=True)
class Navigation:
    """The whole shell. `all_url` is the present page over all brokers; `here` is the broker that the page is of."""

    sections: tuple[Section, ...]
    brokers: tuple[Choice, ...]
    here: Choice | None
    all_url: str
    username: str
    initials: str
    role: str

    @property
    def rooms(self) -> list[Room]:
        """Every room, in the sidebar's order."""
        return [room for section in self.sections for room in section.rooms]


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Return the context of every template: `nav`, None for somebody who is not signed in."""
    return {"nav": SimpleLazyObject(lambda: _of_request(request))}


def _of_request(request: HttpRequest) -> Navigation | None:
    user = getattr(request, "user", None)
    if not isinstance(user, User):
        return None
    match = request.resolver_match
    broker_id = match.kwargs.get("broker_id") if match and request.path.startswith("/brokers/") else None
    return shell(rights_for(request), request.path, broker_id, time.time_ns() // 1_000_000)


def shell(rights: Rights, path: str, broker_id: int | None, now_ms: int) -> Navigation:
    """Return the shell of a page at `path`, which is one of broker `broker_id` or of none. One or two queries."""
    rows = [row for row in _brokers() if rights.sees_broker(row.pk)]
    counted = _counted(rights, rows)
    in_queues = path == reverse("pages:queues") or path.endswith(("/queues", "/queue"))
    page = "pages:broker_queues" if in_queues else "pages:broker"
    brokers = tuple(
        Choice(
            id=row.pk,
            name=row.name,
            url=reverse(page, args=[row.pk]),
            word=STATES[state_of(row, now_ms).condition][0],
            icon=STATES[state_of(row, now_ms).condition][1],
            queues=counted.get(row.pk),
            current=row.pk == broker_id,
        )
        for row in rows
    )
    here = next((choice for choice in brokers if choice.current), None)
    sections = (
        Section("", _everywhere(path, brokers, here)),
        *((Section(here.name, _of_broker(path, here)),) if here else ()),
        Section("Warren", _settings(rights, path, rows)),
    )
    return Navigation(
        sections=tuple(section for section in sections if section.rooms),
        brokers=brokers,
        here=here,
        all_url=reverse("pages:queues" if in_queues else "pages:fleet"),
        username=rights.username,
        initials=initials(rights.username),
        role=role_words(rights, {row.pk: row.name for row in rows}),
    )


def initials(username: str) -> str:
    """Return the two letters of a person's round mark: `OC` for on-call or oc, `M` for m."""
    words = username.translate(_SEPARATORS).split()
    letters = "".join(word[0] for word in words[:2]) if len(words) > 1 else username[:2]
    return letters.upper()


def role_words(rights: Rights, names: dict[int, str]) -> str:
    """Say what a person may do, briefly: `operator on all brokers`, `viewer on shop, vhosts tenant-*`, `3 grants`."""
    everywhere = rights.role_on()
    if everywhere:
        return f"{everywhere.value} on all brokers"
    known = [scope for scope in rights.scopes if scope.broker_id in names]
    if len(known) == 1:
        scope = known[0]
        return f"{scope.role.value} on {scope_words(names[scope.broker_id or 0], scope.vhost_pattern)}"
    return f"{len(known)} grants" if known else "no grants"


def _brokers() -> Iterable[Broker]:
    """Read every broker with what its state and its queues' number are told from; what else is stored is large."""
    poll = ("last_tick_ms", "last_ok_ms", "failures", "failing_since_ms", "claimed_until_ms", "cadence_ms", "measures")
    told = ("error_kind", "error_sentence", "error_remedy")
    return (
        Broker.objects.select_related("poll_state")
        .only("name", "paused", "cadence_s", "created_at", *(f"poll_state__{name}" for name in poll + told))
        .order_by("name")
    )


def _counted(rights: Rights, rows: Sequence[Broker]) -> dict[int, int]:
    """Count each broker's queues as far as the person sees them: by its last poll, or one by one under a pattern."""
    counted: dict[int, int] = {}
    limited = []
    for row in rows:
        if not rights.sees_whole(row.pk):
            limited.append(row.pk)
        elif hasattr(row, "poll_state"):
            number = decode(row.poll_state.measures).rows.get(Kind.QUEUE)
            if number is not None:
                counted[row.pk] = number
    if limited:
        tests = {broker_id: rights.vhost_test(broker_id) for broker_id in limited}
        counted |= dict.fromkeys(limited, 0)
        there = BrokerObject.objects.filter(broker_id__in=limited, kind=Kind.QUEUE, gone_ms=None)
        for broker_id, vhost, number in there.values_list("broker_id", "vhost").annotate(number=Count("id")):
            if tests[broker_id](vhost):
                counted[broker_id] += number
    return counted


def _everywhere(path: str, brokers: Sequence[Choice], here: Choice | None) -> tuple[Room, ...]:
    known = [choice.queues for choice in brokers if choice.queues is not None]
    queues = formats.count(sum(known)) if known else ""
    fleet = Room("Fleet", "fleet", reverse("pages:fleet"), "f", formats.count(len(brokers)), path == "/", phone=True)
    address = reverse("pages:queues")
    charts = Room("Charts", "chart", reverse("pages:charts"), "h", current=path == reverse("pages:charts"))
    # The phone's bar has one entry for queues: those of the broker that the page is of.
    return (fleet, Room("Queues", "queue", address, "q", queues, path == address, phone=here is None), charts)


def _of_broker(path: str, here: Choice) -> tuple[Room, ...]:
    page = reverse("pages:broker", args=[here.id])
    queues = "" if here.queues is None else formats.count(here.queues)
    listed = reverse("pages:broker_queues", args=[here.id])
    of_queues = {listed, reverse("pages:queue", args=[here.id])}
    return (
        Room("Overview", "broker", page, "o", "", path == page, phone=True),
        Room("Queues", "queue", listed, "l", queues, path in of_queues, phone=True),
    )


def _settings(rights: Rights, path: str, rows: Sequence[Broker]) -> tuple[Room, ...]:
    rooms = []
    if rights.administers_all or any(rights.may(Role.ADMINISTRATOR, row.pk) for row in rows):
        rooms.append(("Brokers", "gear", "pages:brokers", "b"))
    if rights.administers_all or any(rights.sees_whole(row.pk) for row in rows):
        rooms.append(("Collector", "pulse", "pages:collector", "c"))
    if rights.administers_all:
        rooms.append(("Users", "access", "pages:users", "u"))
    rooms.append(("Audit trail", "audit", "pages:audit", "a"))
    return tuple(
        Room(label, icon, reverse(name), key, current=path.startswith(reverse(name)))
        for label, icon, name, key in rooms
    )
