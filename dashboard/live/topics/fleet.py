"""Topic `fleet`: every broker that the person sees. No parameters."""

from __future__ import annotations

import datetime as dt

from dashboard.accounts.rights import Rights
from dashboard.cells import View
from dashboard.live.topics.params import Params
from dashboard.queries.fleet import fleet


def view(rights: Rights, params: Params, zone: dt.tzinfo, now_ms: int) -> View:  # noqa: ARG001 # as every topic
    """Return the fleet's view."""
    return fleet(rights, zone, now_ms).view()
