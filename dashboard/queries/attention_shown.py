"""A need as a page shows it: with its link, and since when in the viewer's zone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from django.urls import reverse

from dashboard import formats
from dashboard.cells import Cell, Cells
from dashboard.queries.need import Need


@dataclass(frozen=True, slots=True)
class ShownNeed:
    """What the list draws; `since` is in the viewer's zone."""

    key: str
    severity: str
    icon: str
    subject: str
    sentence: str
    why: str
    command: str
    url: str
    since: dt.datetime | None
    since_text: str
    since_word: str

    @property
    def why_key(self) -> str:
        """The key of the cell that says `why`: its figures are of now."""
        return f"page.need.{self.key}.why"


def why_cells(found: Iterable[ShownNeed]) -> Cells:
    """Return the cells of the reasons; the rest of a need changes seldom, and the page is drawn anew then."""
    return {need.why_key: Cell(text=need.why) for need in found}


def unchanging(found: Iterable[ShownNeed]) -> tuple[ShownNeed, ...]:
    """Return needs without what their cells say: what the shape of a view is made of."""
    return tuple(replace(need, why="") for need in found)


def shown(found: Iterable[Need], zone: dt.tzinfo, now_ms: int) -> tuple[ShownNeed, ...]:
    """Return needs ready to be drawn."""
    now = dt.datetime.fromtimestamp(now_ms / 1000, zone)
    return tuple(_shown(need, zone, now) for need in found)


def _shown(need: Need, zone: dt.tzinfo, now: dt.datetime) -> ShownNeed:
    since = formats.moment(need.since_ms, zone)
    return ShownNeed(
        key=need.key,
        severity=need.severity.value,
        icon=need.icon or need.severity.value,
        subject=need.subject,
        sentence=need.sentence,
        why=need.why,
        command=need.command,
        url=url_of(need),
        since=since,
        since_text=moment(since, now) if since else "",
        since_word=f"{need.since_of} since{' before' if need.since_before else ''}".lstrip(),
    )


def moment(at: dt.datetime, now: dt.datetime) -> str:
    """Say a time as briefly as it is clear: `03:08` today, `Sat 22:40` within a week, `9 Nov 14:20` before."""
    if at.date() == now.date():
        return f"{at:%H:%M}"
    if now - at < dt.timedelta(days=6):
        return f"{at:%a %H:%M}"
    return f"{at.day} {at:%b %H:%M}" if at.year == now.year else f"{at.day} {at:%b %Y}"


def url_of(need: Need) -> str:
    """Return the page that shows it: the queue, the vhost's lonely queues, else the broker."""
    if need.queue is not None and need.vhost is not None:
        return queue_url(need.broker_id, need.vhost, need.queue)
    if need.vhost is not None:
        return queues_url(need.broker_id, vhost=need.vhost, state=need.state)
    return reverse("pages:broker", args=[need.broker_id])


def queues_url(broker_id: int | None = None, **filters: str) -> str:
    """Return the address of a broker's queues, or of all brokers'; names stand in the query, where any byte may.

    `filters` are fields of dashboard.queries.queues_params.Params.
    """
    address = reverse("pages:queues") if broker_id is None else reverse("pages:broker_queues", args=[broker_id])
    return f"{address}?{urlencode(filters)}" if filters else address


def queue_url(broker_id: int, vhost: str, name: str) -> str:
    """Return the address of one queue."""
    return f"{reverse('pages:broker', args=[broker_id])}/queue?{urlencode({'vhost': vhost, 'name': name})}"
