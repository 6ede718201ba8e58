"""What happened on the brokers, newest first and by day: the timeline of fleet and broker page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from brokers.collect.models import BrokerEvent
from dashboard import formats
from dashboard.accounts.rights import Rights

SHOWN = 12


@dataclass(frozen=True, slots=True)
class Happening:
    """One event of a broker. `at` is in the viewer's zone; `severity` is critical, warning, notice or ok."""

    id: int
    at: dt.datetime
    severity: str
    broker_id: int
    broker: str
    sentence: str
    detail: str

    @property
    def rest(self) -> str:
        """The sentence behind the broker's name, where that stands before it already."""
        return self.sentence.removeprefix(f"{self.broker} ")

    @property
    def clock(self) -> str:
        """Hours and minutes in the viewer's zone."""
        return f"{self.at:%H:%M}"

    @property
    def exact(self) -> str:
        """The whole time."""
        return formats.full_time(int(self.at.timestamp() * 1000), self.at.tzinfo)


@dataclass(frozen=True, slots=True)
class Day:
    """What happened on one day of the viewer's."""

    name: str
    happenings: tuple[Happening, ...]


def happened(
    rights: Rights, broker_ids: Iterable[int], zone: dt.tzinfo, now_ms: int, *, shown: int = SHOWN
) -> tuple[Day, ...]:
    """Return the newest events of those brokers whose whole the person sees, by day. One query, none for nobody."""
    seen = [broker_id for broker_id in broker_ids if rights.sees_whole(broker_id)]
    if not seen:
        return ()
    rows = (
        BrokerEvent.objects.filter(broker_id__in=seen)
        .order_by("-at_ms", "-id")
        .values_list("id", "at_ms", "severity", "broker_id", "broker__name", "sentence", "detail")[:shown]
    )
    found = [
        Happening(key, dt.datetime.fromtimestamp(at_ms / 1000, zone), severity, broker_id, broker, sentence, detail)
        for key, at_ms, severity, broker_id, broker, sentence, detail in rows
    ]
    return by_day(found, dt.datetime.fromtimestamp(now_ms / 1000, zone).date())


def by_day(found: Sequence[Happening], today: dt.date) -> tuple[Day, ...]:
    """Group by the viewer's days, keeping the order; a day of another year says its year."""
    return tuple(
        Day(day_name(day, today), tuple(part))
        for day, part in groupby(found, key=lambda happening: happening.at.date())
    )


def day_name(day: dt.date, today: dt.date) -> str:
    """Name a day as people do: `Today`, `Yesterday`, `Monday 23 November`, with the year where it is another one."""
    if day == today:
        return "Today"
    if day == today - dt.timedelta(days=1):
        return "Yesterday"
    return f"{day:%A} {day.day} {day:%B}" + (f" {day.year}" if day.year != today.year else "")
