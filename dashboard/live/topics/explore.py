"""Topic `explore`: the page of charts. Parameter `address`: its series and window, as its address has them."""

from __future__ import annotations

import datetime as dt
from urllib.parse import parse_qs

from dashboard.accounts.rights import Rights
from dashboard.cells import View
from dashboard.charts.address import Asked, asked_of
from dashboard.live.refused import Refused
from dashboard.live.topics.params import Params
from dashboard.queries.explore import explored, live


def view(rights: Rights, params: Params, zone: dt.tzinfo, now_ms: int) -> View:
    """Return the chart's points; what the person may not see is not in them. Raises Refused."""
    return live(explored(rights, _asked(params, zone), zone, now_ms))


def brokers(params: Params) -> frozenset[int] | None:
    """Return the brokers whose news move the chart."""
    asked = _asked(params, dt.UTC)
    return frozenset(one.broker_id for one in asked.sources)


def _asked(params: Params, zone: dt.tzinfo) -> Asked:
    text = params.get("address", "")
    try:
        return asked_of(parse_qs(text, max_num_fields=100) if isinstance(text, str) else {}, zone)
    except ValueError as error:
        raise Refused("The chart's address can't be read. Reload the page.") from error
